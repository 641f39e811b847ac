/* test_journal.c: a line of the log becomes an entry of the journal, with the fields that its format names and no
 * others. */
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "check.h"
#include "observe/journal.h"
#include "observe/log.h"
#include "observe/log_fields.h"

#define FIELDS 32

/* The journal's end: a socket of our own, and the last entry in it, taken apart. */
static char folder[] = "/tmp/shmgate-test-XXXXXX", path[64];
static int journal = -1;
static char datagram[65536];
static struct {
    char name[80];
    const char *value;
    size_t size;
} fields[FIELDS];
static size_t field_count;

static void clean_up(void)
{
    unlink(path);
    rmdir(folder);
}

/* Read and take apart one entry, strictly as the protocol says; -1: none there, or not well formed. */
static int receive(void)
{
    ssize_t size = recv(journal, datagram, sizeof(datagram), MSG_DONTWAIT);
    const char *at = datagram, *end = datagram + size;

    field_count = 0;
    if (size < 0)
        return -1;
    while (at < end && field_count < FIELDS) {
        const char *line = memchr(at, '\n', (size_t)(end - at));
        uint64_t length = 0;

        if (!line || memchr(at, '=', (size_t)(line - at)) || (size_t)(line - at) >= sizeof(fields[0].name) ||
            end - line < 9)
            return -1;
        snprintf(fields[field_count].name, sizeof(fields[0].name), "%.*s", (int)(line - at), at);
        for (unsigned i = 0; i < 8; i++)
            length |= (uint64_t)(unsigned char)line[1 + i] << (8 * i);
        at = line + 9;
        if (length >= (uint64_t)(end - at) || at[length] != '\n')
            return -1;
        fields[field_count].value = at;
        fields[field_count++].size = (size_t)length;
        at += length + 1;
    }
    return 0;
}

/* Whether the field is there once, with that value. */
static int has(const char *name, const char *value)
{
    int found = 0;

    for (size_t i = 0; i < field_count; i++)
        if (strcmp(fields[i].name, name) == 0)
            found += fields[i].size == strlen(value) && memcmp(fields[i].value, value, fields[i].size) == 0 ? 1 : 100;
    return found == 1;
}

/* A message and its key=value pairs arrive as fields, numbers and texts, with the priority and who says it. */
static void test_pairs_become_fields(void)
{
    log_write(LOG_LEVEL_WARNING, "could not connect: uri=%s client_id=%s window=%u lost=%llu: %s", "mqtt://h", "x", 18u,
              5ull, "why=not");
    CHECK_EQUAL(receive(), 0);
    CHECK_EQUAL(field_count, 8);
    CHECK(has("MESSAGE", "could not connect: uri=mqtt://h client_id=x window=18 lost=5: why=not"));
    CHECK(has("PRIORITY", "4") && has("SYSLOG_FACILITY", "3") && has("SYSLOG_IDENTIFIER", "shmgated"));
    CHECK(has("SHMGATE_URI", "mqtt://h") && has("SHMGATE_CLIENT_ID", "x") && has("SHMGATE_WINDOW", "18") &&
          has("SHMGATE_LOST", "5"));
    log_write(LOG_LEVEL_ERROR, "plain");
    CHECK_EQUAL(receive(), 0);
    CHECK_EQUAL(field_count, 4);
    CHECK(has("MESSAGE", "plain") && has("PRIORITY", "3"));
}

/* Whatever a value holds, it is one value: no field begins or ends in it, and a viewer sees one line. */
static void test_values_forge_nothing(void)
{
    log_write(LOG_LEVEL_INFO, "channel=%s topic=%s: %s", "a b=c\nPRIORITY=0\n_UID=0\n", "\xff\x1b[2J reason=forged",
              "uri=%s%n\nMESSAGE=no");
    CHECK_EQUAL(receive(), 0);
    CHECK_EQUAL(field_count, 6);
    CHECK(has("SHMGATE_CHANNEL", "a b=c\\x0aPRIORITY=0\\x0a_UID=0\\x0a") &&
          has("SHMGATE_TOPIC", "\\xff\\x1b[2J reason=forged"));
    CHECK(
        has("PRIORITY", "6") &&
        has("MESSAGE",
            "channel=a b=c\\x0aPRIORITY=0\\x0a_UID=0\\x0a topic=\\xff\\x1b[2J reason=forged: uri=%s%n\\x0aMESSAGE=no"));
}

/* Also a value that is given to the journal as it is cannot end early. */
static void test_raw_values_forge_nothing(void)
{
    static struct journal_entry entry;

    journal_begin(&entry);
    journal_add(&entry, "A", "x\nPRIORITY=0\n", 13);
    journal_add(&entry, "B", "", 0);
    journal_add(&entry, "C", "\0\n", 2);
    CHECK_EQUAL(journal_send(&entry, path), 0);
    CHECK_EQUAL(receive(), 0);
    CHECK_EQUAL(field_count, 3);
    CHECK(has("A", "x\nPRIORITY=0\n") && has("B", ""));
    CHECK(fields[2].size == 2 && memcmp(fields[2].value, "\0\n", 2) == 0);
}

/* A line that is too long is cut, in the message and in its values; what would stand behind the cut is empty. */
static void test_long_line_is_cut(void)
{
    static char text[9000], bytes[2049];

    memset(text, '\n', sizeof(text) - 1);
    log_write(LOG_LEVEL_INFO, "topic=%s channel=%s", text, "behind");
    CHECK_EQUAL(receive(), 0);
    CHECK_EQUAL(field_count, 6);
    CHECK(has("SHMGATE_CHANNEL", "") && strcmp(fields[4].name, "SHMGATE_TOPIC") == 0 &&
          fields[4].size == 4 * (2047 - strlen("topic=")));
    CHECK(fields[0].size == 1999 || fields[0].size == 2000 ||
          memcmp(fields[0].value + fields[0].size - 3, "...", 3) == 0);
    memset(bytes, 'x', sizeof(bytes) - 1);
    log_write(LOG_LEVEL_INFO, "uri=%s", bytes);
    CHECK_EQUAL(receive(), 0);
    CHECK_EQUAL(fields[4].size, 2047 - strlen("uri="));
}

/* Fields of a format and its arguments. */
static size_t find(struct log_field *found, const char *format, ...)
{
    va_list arguments;
    size_t count;

    va_start(arguments, format);
    count = log_fields_find(found, format, arguments);
    va_end(arguments);
    return count;
}

/* Only a conversion right behind KEY= is a field; widths, stars and %% are understood. */
static void test_fields_are_those_of_the_format(void)
{
    struct log_field found[LOG_FIELDS_MAX];

    CHECK_EQUAL(find(found, "100%% a=%%x =%d B=%d b =%d %s=%d b=c%d c1_=%-5d|d=%.*s", 1, 2, 3, "k", 4, 5, 6, 2, "xyz"),
                2);
    CHECK(found[0].key_size == 3 && memcmp(found[0].key, "c1_", 3) == 0 && found[0].end - found[0].begin == 5);
    CHECK(found[1].key_size == 1 && found[1].key[0] == 'd' && found[1].end - found[1].begin == 2);
    CHECK_EQUAL(find(found, "x=%s", ""), 1);
    CHECK(found[0].begin == 2 && found[0].end == 2);
    CHECK_EQUAL(find(found, "%"), 0);
    CHECK_EQUAL(find(found, ""), 0);
}

/* An entry that does not fit, or a socket that nobody reads, is an error for the caller; the log then writes to
 * standard error. */
static void test_journal_that_takes_nothing(void)
{
    static struct journal_entry entry;
    static char large[JOURNAL_ENTRY_SIZE];
    int rc;

    journal_begin(&entry);
    journal_add(&entry, "A", large, sizeof(large));
    CHECK_EQUAL(journal_send(&entry, path), -EMSGSIZE);
    CHECK_EQUAL(receive(), -1);
    journal_begin(&entry);
    journal_add(&entry, "A", "x", 1);
    CHECK_EQUAL(journal_send(&entry, "/nonexistent/socket"), -ENOENT);
    /* Nobody reads: at some time the queue is full, and nobody waits for it. */
    while ((rc = journal_send(&entry, path)) == 0)
        ;
    CHECK_EQUAL(rc, -EAGAIN);
    while (receive() == 0)
        ;
}

static const struct check_test tests[] = {
    {"test_pairs_become_fields", test_pairs_become_fields},
    {"test_values_forge_nothing", test_values_forge_nothing},
    {"test_raw_values_forge_nothing", test_raw_values_forge_nothing},
    {"test_long_line_is_cut", test_long_line_is_cut},
    {"test_fields_are_those_of_the_format", test_fields_are_those_of_the_format},
    {"test_journal_that_takes_nothing", test_journal_that_takes_nothing},
};

/* As a service has it: standard error is what $JOURNAL_STREAM names. */
int main(int argc, char **argv)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char stream[64];
    struct stat file;

    if (!mkdtemp(folder) || fstat(STDERR_FILENO, &file) < 0)
        return 2;
    snprintf(path, sizeof(path), "%s/socket", folder);
    strcpy(address.sun_path, path);
    atexit(clean_up);
    journal = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (journal < 0 || bind(journal, (struct sockaddr *)&address, sizeof(address)) < 0)
        return 2;
    snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)file.st_dev, (unsigned long long)file.st_ino);
    setenv("JOURNAL_STREAM", stream, 1);
    log_set_journal(path);
    return check_main(tests, sizeof(tests) / sizeof(tests[0]), argc, argv);
}
