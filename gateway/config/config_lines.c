/* config_lines.c: cut a configuration file into lines of any length and let inih take them apart. */
#include "config/config_lines.h"

#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "config/config_shown.h"

#define KEY_MAX 64 /* bytes; the longest key there is has fewer than 20 */

/* inih gives 200 bytes at first whatever its build; "KEY=@" and its end must fit. */
_Static_assert(KEY_MAX + 8 < 200, "a key fits inih's line");

struct reader {
    FILE *file;
    const struct config_lines_taker *taker;
    struct config_faults *faults;
    char *line; /* the current line, NUL-terminated, without its end */
    size_t size, capacity;
    unsigned number;     /* of the current line */
    int begun, at_start; /* 1: a line has been read; the current line is the first */
    const char *value;   /* of the current line; NULL when it was a fault */
    size_t total;        /* bytes read so far, but for the ends of lines */
    int too_long;
    int error; /* -errno that ended the reading */
};

static const char blank[] = " \t\r\v\f";

/* Make room for one byte more and a NUL. */
static int grow(struct reader *reader)
{
    size_t capacity = reader->capacity ? 2 * reader->capacity : 256;
    char *line;

    if (reader->size + 1 < reader->capacity)
        return 0;
    line = realloc(reader->line, capacity);
    if (!line)
        return -ENOMEM;
    reader->line = line;
    reader->capacity = capacity;
    return 0;
}

/* Read the next line into reader->line. Returns 1; 0 at the end of the file; -errno. */
static int read_line(struct reader *reader)
{
    int byte;

    reader->size = 0;
    reader->too_long = 0;
    errno = 0;
    byte = getc(reader->file);
    if (byte == EOF)
        return ferror(reader->file) ? (errno ? -errno : -EIO) : 0;
    for (; byte != EOF && byte != '\n'; byte = getc(reader->file)) {
        if (++reader->total > CONFIG_FILE_MAX)
            return -EFBIG;
        if (reader->size == CONFIG_LINE_MAX) {
            reader->too_long = 1;
            continue;
        }
        if (grow(reader) < 0)
            return -ENOMEM;
        reader->line[reader->size++] = (char)byte;
    }
    if (ferror(reader->file))
        return errno ? -errno : -EIO;
    if (grow(reader) < 0)
        return -ENOMEM;
    if (reader->size > 0 && reader->line[reader->size - 1] == '\r')
        reader->size--;
    reader->line[reader->size] = '\0';
    return 1;
}

/* Cut white space from both ends, in place. */
static char *trim(char *text)
{
    size_t size;

    text += strspn(text, blank);
    for (size = strlen(text); size > 0 && strchr(blank, text[size - 1]); size--)
        ;
    text[size] = '\0';
    return text;
}

/* Whether `text` can be a name or a value: UTF-8 without control characters. */
static int check_text(struct reader *reader, const char *what, const char *text)
{
    size_t size = strlen(text), length;

    for (size_t at = 0; at < size; at += length) {
        uint32_t code = 0;
        length = utf8_decode(text + at, size - at, &code);
        if (length == 0) {
            config_faults_add(reader->faults, reader->number, "%s: byte %zu is not UTF-8: save the file as UTF-8", what,
                              at + 1);
            return 0;
        }
        if (utf8_is_control(code)) {
            config_faults_add(reader->faults, reader->number, "%s: byte %zu is the control character U+%04X", what,
                              at + 1, (unsigned)code);
            return 0;
        }
    }
    return 1;
}

/* A line that begins with a bracket. Writes into `out` what inih is to see. */
static void take_section(struct reader *reader, char *line, char *out)
{
    char *end = strchr(line, ']');
    const char *name;
    char text[CONFIG_SHOWN_SIZE];

    strcpy(out, "\n");
    if (!end) {
        config_faults_add(reader->faults, reader->number, "%s: the closing ] is missing",
                          config_shown_line(text, line));
        reader->taker->section(reader->taker->context, reader->number, NULL);
        return;
    }
    *end = '\0';
    if (*trim(end + 1)) {
        config_faults_add(reader->faults, reader->number, "text after [%s]: a comment needs a line of its own",
                          config_shown_line(text, line + 1));
        /* The section is clear nevertheless; its keys are checked as such. */
    }
    name = trim(line + 1);
    if (!check_text(reader, "name of the section", name))
        name = NULL;
    reader->taker->section(reader->taker->context, reader->number, name);
    strcpy(out, "[@]\n");
}

/* Whether the text of a value holds the start of a comment. */
static int has_comment(const char *value)
{
    for (const char *at = value; *at; at++)
        if ((*at == ';' || *at == '#') && (at == value ? *at == ';' : strchr(blank, at[-1]) != NULL))
            return 1;
    return 0;
}

/* The value of `key`, or NULL when it is a fault, which is then reported. */
static const char *take_value(struct reader *reader, const char *key, char *value)
{
    char text[CONFIG_SHOWN_SIZE];

    if (!*value) {
        config_faults_add(reader->faults, reader->number, "%s has no value: give one, or remove the line", key);
        return NULL;
    }
    if (!check_text(reader, key, value))
        return NULL;
    if (has_comment(value)) {
        config_faults_add(reader->faults, reader->number,
                          "%s %s: a comment needs a line of its own (a value cannot contain ; or # after white space)",
                          key, config_shown_value(text, key, value));
        return NULL;
    }
    return value;
}

/* A line that should be KEY = VALUE. Writes into `out` what inih is to see. */
static void take_setting(struct reader *reader, char *line, char *out)
{
    char *equals = strchr(line, '=');
    char text[CONFIG_SHOWN_SIZE], *key;

    strcpy(out, "\n");
    if (!equals) {
        config_faults_add(reader->faults, reader->number, "%s: expected KEY = VALUE, [SECTION] or a comment",
                          config_shown_line(text, line));
        return;
    }
    *equals = '\0';
    key = trim(line);
    if (!*key) {
        config_faults_add(reader->faults, reader->number, "the key before = is missing");
        return;
    }
    if (strspn(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != strlen(key) ||
        strlen(key) > KEY_MAX) {
        config_faults_add(reader->faults, reader->number,
                          "\"%s\" is not a key: expected KEY = VALUE, in letters, digits, _ and -",
                          config_shown_line(text, key));
        return;
    }
    reader->value = take_value(reader, key, trim(equals + 1));
    snprintf(out, KEY_MAX + 4, "%s=@\n", key);
}

/* The fgets that inih calls, for one line each time. */
static char *read_for_inih(char *buffer, int size, void *stream)
{
    struct reader *reader = stream;
    char *line, out[KEY_MAX + 4] = "\n";
    int status;

    if (reader->error)
        return NULL;
    status = read_line(reader);
    if (status <= 0) {
        reader->error = status;
        return NULL;
    }
    reader->at_start = !reader->begun;
    reader->begun = 1;
    reader->number++;
    reader->value = NULL;
    line = reader->line;
    if (reader->at_start && strncmp(line, "\xef\xbb\xbf", 3) == 0)
        line += 3;
    if (reader->too_long) {
        config_faults_add(reader->faults, reader->number, "the line is longer than %d bytes", CONFIG_LINE_MAX);
    } else if (strlen(reader->line) != reader->size) {
        config_faults_add(reader->faults, reader->number,
                          "the line contains a NUL byte: is this a text file in UTF-8?");
    } else if (!line[strspn(line, blank)] || strchr("#;", line[strspn(line, blank)])) {
        ;
    } else if (strchr(blank, *line)) {
        config_faults_add(reader->faults, reader->number,
                          "the line is indented: begin it at the margin, and keep each value on one line");
    } else if (*line == '[') {
        take_section(reader, line, out);
    } else {
        take_setting(reader, line, out);
    }
    if ((size_t)size < strlen(out) + 1) {
        reader->error = -EMSGSIZE;
        return NULL;
    }
    strcpy(buffer, out);
    return buffer;
}

/* inih's handler. Builds of inih differ: some also call it for a new section, with no name. */
static int handle_setting(void *user, const char *section, const char *name, const char *value)
{
    struct reader *reader = user;

    (void)section;
    (void)value; /* the mark */
    if (name)
        reader->taker->setting(reader->taker->context, reader->number, name, reader->value);
    return 1;
}

int config_lines_parse(FILE *file, const struct config_lines_taker *taker, struct config_faults *faults,
                       unsigned *last_line)
{
    struct reader reader = {.file = file, .taker = taker, .faults = faults, .number = *last_line};
    int status = ini_parse_stream(read_for_inih, &reader, handle_setting, &reader);
    unsigned first;

    first = *last_line;
    *last_line = reader.number > first ? reader.number : first + 1;
    free(reader.line);
    if (reader.error)
        return reader.error;
    if (status < 0)
        return -ENOMEM;
    /* inih only ever sees lines that it can read; should it object nevertheless, that is not to be passed over. */
    if (status > 0)
        config_faults_add(faults, first + (unsigned)status, "the line could not be read");
    return 0;
}
