/* config_reader.c: the lines of the files become a struct config. See config_reader.h. */
#include "config/config_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/utf8.h"
#include "config/config_fill.h"
#include "config/config_lines.h"
#include "config/config_shown.h"

#define HINT_SIZE 512                        /* bytes of what may have been meant */
#define SHOWN 80                             /* bytes of a value shown in a message */
#define NAME_MAX_SIZE (LAYOUT_NAME_SIZE - 1) /* characters of a channel's name */

/* Give each key of a section the value that the table says. */
static int apply_table(enum config_section section, void *fields)
{
    struct reason reason;

    for (size_t i = 0; i < config_schema_count(); i++) {
        const struct config_key *key = config_schema_key(i);
        int status;
        if (key->section != section || !key->default_text || (key->flags & CONFIG_KEY_COMPUTED))
            continue;
        status = key->parse(&key->rule, key->default_text, (char *)fields + key->offset, &reason);
        if (status < 0)
            return status;
    }
    return 0;
}

/* Make room for one channel more. Pointers into the arrays are set anew by the caller. */
static int grow_channels(struct config_reader *reader)
{
    size_t capacity = reader->channel_capacity ? 2 * reader->channel_capacity : 8;
    struct config_channel *channels;
    struct config_origin *origins;

    if (reader->config->channel_count < reader->channel_capacity)
        return 0;
    channels = realloc(reader->config->channels, capacity * sizeof(*channels));
    if (!channels)
        return -ENOMEM;
    reader->config->channels = channels;
    origins = realloc(reader->origins.channels, capacity * sizeof(*origins));
    if (!origins)
        return -ENOMEM;
    reader->origins.channels = origins;
    reader->channel_capacity = capacity;
    return 0;
}

static int channel_is_acceptable(struct config_reader *reader, unsigned line, const char *name)
{
    const struct config *config = reader->config;
    char shown[SHOWN];

    if (!config_value_is_name(name, NAME_MAX_SIZE)) {
        utf8_escape(shown, sizeof(shown), name, strlen(name));
        config_faults_add(&reader->faults, line,
                          "[channel %s]: expected a name of 1 to %d characters of A-Z a-z 0-9 _ . -", shown,
                          NAME_MAX_SIZE);
        return 0;
    }
    if (config->channel_count == LAYOUT_CHANNELS_MAX) {
        config_faults_add(&reader->faults, line, "[channel %s]: a segment has room for %d channels", name,
                          LAYOUT_CHANNELS_MAX);
        return 0;
    }
    return 1;
}

/* Make the spare channel the current section. */
static void begin_spare_channel(struct config_reader *reader, unsigned line, const char *name)
{
    char shown[SHOWN];

    utf8_escape(shown, sizeof(shown), name, strlen(name));
    config_free_channel(&reader->spare);
    reader->spare = (struct config_channel){.line = line, .name = strdup(shown)};
    reader->origins.broken_sections++;
    reader->spare_origin = (struct config_origin){.line = line};
    reader->fields = &reader->spare;
    reader->origin = &reader->spare_origin;
    if (!reader->spare.name)
        reader->error = -ENOMEM;
}

/* Whether a section that began at `before` may begin again: in another file, whose keys are added to it or replace its
 * own. */
static int may_go_on(struct config_reader *reader, unsigned line, const char *title, unsigned before)
{
    char name[CONFIG_FAULTS_LINE_SIZE];

    if (!config_faults_same_file(&reader->faults, line, before))
        return 1;
    config_faults_add(&reader->faults, line, "[%s] stands on %s already", title,
                      config_faults_name_line(&reader->faults, line, before, name));
    return 0;
}

/* Go on with a channel that there is already. Returns 0 when there is none of that name. */
static int resume_channel(struct config_reader *reader, unsigned line, const char *name)
{
    struct config *config = reader->config;
    char title[sizeof("channel ") + NAME_MAX_SIZE];

    for (size_t i = 0; i < config->channel_count; i++) {
        if (strcmp(config->channels[i].name, name) != 0)
            continue;
        snprintf(title, sizeof(title), "channel %s", name);
        if (!may_go_on(reader, line, title, reader->origins.channels[i].line)) {
            begin_spare_channel(reader, line, name);
            return 1;
        }
        reader->origin = &reader->origins.channels[i];
        reader->origin->line = line;
        reader->fields = &config->channels[i];
        return 1;
    }
    return 0;
}

/* Begin a channel and make it the current section. */
static void begin_channel(struct config_reader *reader, unsigned line, const char *name)
{
    struct config *config = reader->config;
    struct config_channel *channel;

    if (resume_channel(reader, line, name))
        return;
    if (!channel_is_acceptable(reader, line, name)) {
        begin_spare_channel(reader, line, name);
        return;
    }
    if (grow_channels(reader) < 0) {
        reader->error = -ENOMEM;
        return;
    }
    channel = &config->channels[config->channel_count];
    *channel = (struct config_channel){.line = line, .name = strdup(name)};
    reader->origin = &reader->origins.channels[config->channel_count];
    *reader->origin = (struct config_origin){.line = line};
    reader->fields = channel;
    config->channel_count++;
    if (!channel->name || apply_table(CONFIG_SECTION_CHANNEL, channel) < 0)
        reader->error = -ENOMEM;
}

static void take_section(void *context, unsigned line, const char *name)
{
    struct config_reader *reader = context;
    const char *channel;
    int section;

    reader->before_sections = 0;
    reader->origin = NULL;
    if (reader->error)
        return;
    if (!name) {
        reader->origins.broken_sections++;
        return;
    }
    section = config_schema_section(name, &channel);
    if (section < 0) {
        char shown[SHOWN], hint[HINT_SIZE];
        utf8_escape(shown, sizeof(shown), name, strlen(name));
        config_schema_suggest_section(name, hint, sizeof(hint));
        reader->origins.broken_sections++;
        config_faults_add(&reader->faults, line, "unknown section [%s]: %s", shown, hint);
        return;
    }
    reader->section = (enum config_section)section;
    if (section == CONFIG_SECTION_CHANNEL) {
        begin_channel(reader, line, channel);
        return;
    }
    reader->origin = &reader->origins.sections[section];
    reader->fields = section == CONFIG_SECTION_DEFAULTS ? (void *)&reader->defaults : (void *)reader->config;
    if (reader->origin->line == 0 || may_go_on(reader, line, name, reader->origin->line))
        reader->origin->line = line;
}

/* How messages name the current section. */
static void show_section(const struct config_reader *reader, char *out, size_t out_size)
{
    if (reader->section == CONFIG_SECTION_CHANNEL)
        snprintf(out, out_size, "[channel %s]", ((const struct config_channel *)reader->fields)->name);
    else
        snprintf(out, out_size, "%s", config_schema_section_title(reader->section));
}

/* Whether the section has the key on a line of this file already. */
static int is_repeated(struct config_reader *reader, unsigned line, const char *name, unsigned before)
{
    char other[CONFIG_FAULTS_LINE_SIZE];

    if (before == 0 || !config_faults_same_file(&reader->faults, line, before))
        return 0;
    config_faults_add(&reader->faults, line, "%s stands on %s already", name,
                      config_faults_name_line(&reader->faults, line, before, other));
    return 1;
}

/* Whether a value stands in quotes, which people are used to from other files; here they are a part of it. */
static int is_quoted(const char *value)
{
    static const char *const quotes[][2] = {{"\"", "\""}, {"'", "'"}, {"\xe2\x80\x9c", "\xe2\x80\x9d"}, {"`", "`"}};
    size_t size = strlen(value);

    for (size_t i = 0; i < sizeof(quotes) / sizeof(quotes[0]); i++) {
        size_t open = strlen(quotes[i][0]), close = strlen(quotes[i][1]);

        if (size >= open + close && strncmp(value, quotes[i][0], open) == 0 &&
            strcmp(value + size - close, quotes[i][1]) == 0)
            return 1;
    }
    return 0;
}

/* Fill the value in, understand it, and put it into the field. */
static void take_value(struct config_reader *reader, unsigned line, int index, const char *value)
{
    const struct config_key *key = config_schema_key((size_t)index);
    struct reason reason;
    char shown[CONFIG_SHOWN_SIZE], *filled = NULL;
    int status = config_fill_value(value, &filled, &reason);

    if (status == 0)
        status = key->parse(&key->rule, filled, (char *)reader->fields + key->offset, &reason);
    if (status == -ENOMEM) {
        reader->error = -ENOMEM;
    } else if (status < 0) {
        config_faults_add(&reader->faults, line, "%s %s: %s%s", key->name,
                          config_shown_value(shown, key->name, filled ? filled : value), reason.text,
                          is_quoted(value) ? " (without the quotes)" : "");
    } else if (is_quoted(value)) {
        config_faults_warn(&reader->faults, line, "%s %s: the quotes are taken as part of the value: leave them out",
                           key->name, config_shown_value(shown, key->name, value));
    }
    if (status == 0 && reader->section == CONFIG_SECTION_DEFAULTS) {
        free(reader->default_texts[index]);
        reader->default_texts[index] = filled;
        return;
    }
    free(filled);
}

static void take_setting(void *context, unsigned line, const char *name, const char *value)
{
    struct config_reader *reader = context;
    char hint[HINT_SIZE], section[96];
    int index;

    if (reader->before_sections && value)
        config_faults_add(&reader->faults, line, "%s stands before any [SECTION]", name);
    if (!reader->origin || reader->error)
        return;
    index = config_schema_find(reader->section, name);
    if (index < 0) {
        show_section(reader, section, sizeof(section));
        config_schema_suggest_key(reader->section, name, hint, sizeof(hint));
        config_faults_add(&reader->faults, line, "unknown key \"%s\" in %s: %s", name, section, hint);
        return;
    }
    if (is_repeated(reader, line, name, reader->origin->key_line[index]))
        return;
    reader->origin->key_line[index] = line;
    if (value)
        take_value(reader, line, index, value);
}

/* ---- [defaults] ---- */

/* Give a channel what it does not say itself and [defaults] does. */
static void inherit(struct config_reader *reader, struct config_channel *channel, struct config_origin *origin)
{
    const struct config_origin *defaults = &reader->origins.sections[CONFIG_SECTION_DEFAULTS];
    unsigned other = channel->direction == LAYOUT_PUBLISH ? CONFIG_KEY_SUBSCRIBE : CONFIG_KEY_PUBLISH;
    struct reason reason;

    for (size_t i = 0; i < config_schema_count(); i++) {
        const struct config_key *key = config_schema_key(i);

        if (defaults->key_line[i] == 0 || origin->key_line[i] != 0 || (key->flags & other))
            continue;
        origin->key_line[i] = defaults->key_line[i];
        if (reader->default_texts[i] &&
            key->parse(&key->rule, reader->default_texts[i], (char *)channel + key->offset, &reason) == -ENOMEM)
            reader->error = -ENOMEM;
    }
}

int config_reader_finish(struct config_reader *reader)
{
    for (size_t i = 0; i < reader->config->channel_count; i++)
        if (reader->config->channels[i].direction)
            inherit(reader, &reader->config->channels[i], &reader->origins.channels[i]);
    return reader->error;
}

/* ---- The whole ---- */

int config_reader_begin(struct config_reader *reader, struct config *config)
{
    *reader = (struct config_reader){.config = config};
    for (int section = 0; section < CONFIG_SECTION_DEFAULTS; section++)
        if (apply_table((enum config_section)section, config) < 0)
            return -ENOMEM;
    return 0;
}

/* Open a file to read it. A FIFO, on which nobody may ever write, or a device is none: -ENOTSUP. */
static int open_regular(const char *path, FILE **file)
{
    /* Without O_NONBLOCK a FIFO would hold us up here already. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), rc = 0;
    struct stat status;

    *file = NULL;
    if (fd < 0)
        return -errno;
    if (fstat(fd, &status) < 0)
        rc = -errno;
    else if (!S_ISREG(status.st_mode))
        rc = S_ISDIR(status.st_mode) ? -EISDIR : -ENOTSUP;
    if (rc == 0 && !(*file = fdopen(fd, "r")))
        rc = -errno;
    if (!*file)
        close(fd);
    return rc;
}

int config_reader_file(struct config_reader *reader, const char *path)
{
    struct config_lines_taker taker = {reader, take_section, take_setting};
    FILE *file;
    int status = open_regular(path, &file);

    if (status == 0)
        status = config_faults_begin_file(&reader->faults, path, reader->origins.last_line);
    reader->before_sections = 1;
    reader->origin = NULL;
    if (status == 0)
        status = config_lines_parse(file, &taker, &reader->faults, &reader->origins.last_line);
    if (file)
        fclose(file); /* it was only read: nothing can be lost here */
    return status < 0 ? status : reader->error;
}

void config_reader_end(struct config_reader *reader)
{
    config_faults_free(&reader->faults);
    free(reader->origins.channels);
    config_free_channel(&reader->spare);
    config_free_channel(&reader->defaults);
    for (size_t i = 0; i < CONFIG_KEYS_MAX; i++)
        free(reader->default_texts[i]);
}
