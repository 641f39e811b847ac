/* test_log.c: each message is one line on standard error, and nothing in it can forge another. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/utf8.h"
#include "check.h"
#include "observe/log.h"

static char output[16384];

/* Run `act` in a child whose standard error is a file, as a journal stream or not; what it wrote stands in `output`. */
static int run_child(void (*act)(void), int journal)
{
    char path[] = "/tmp/shmgate-test-XXXXXX", stream[64];
    int fd = mkstemp(path), status = -1;
    struct stat file;
    ssize_t size = -1;
    pid_t child;

    if (fd < 0)
        return -1;
    unlink(path);
    fflush(stdout);
    child = fork();
    if (child == 0) {
        if (dup2(fd, STDERR_FILENO) < 0 || fstat(fd, &file) < 0)
            _exit(1);
        snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)file.st_dev,
                 (unsigned long long)file.st_ino + !journal);
        setenv("JOURNAL_STREAM", stream, 1);
        /* The machine's own journal is not for us: test_journal.c is about that. */
        log_set_journal("/nonexistent/socket");
        act();
        _exit(0);
    }
    if (child > 0 && waitpid(child, &status, 0) == child)
        size = pread(fd, output, sizeof(output) - 1, 0);
    close(fd);
    output[size > 0 ? size : 0] = '\0';
    return status;
}

static void write_levels(void)
{
    log_write(LOG_LEVEL_ERROR, "a %d", 1);
    log_write(LOG_LEVEL_WARNING, "b");
    log_write(LOG_LEVEL_INFO, "c");
    log_write(LOG_LEVEL_DEBUG, "not shown");
    log_set_level(LOG_LEVEL_DEBUG);
    log_write(LOG_LEVEL_DEBUG, "d");
    log_set_level(LOG_LEVEL_ERROR);
    log_write(LOG_LEVEL_WARNING, "not shown");
}

/* Where the journal takes no entries, lines begin with their priority. */
static void test_journal_priorities(void)
{
    CHECK_EQUAL(run_child(write_levels, 1), 0);
    CHECK(strcmp(output, "<3>a 1\n<4>b\n<6>c\n<7>d\n") == 0);
}

/* Elsewhere, also when $JOURNAL_STREAM is inherited but means another file, lines begin with a date and the level. */
static void test_person_prefixes(void)
{
    unsigned year, month, day, hour, minute, second, milli;
    char *line;

    CHECK_EQUAL(run_child(write_levels, 0), 0);
    CHECK_EQUAL(sscanf(output, "%4u-%2u-%2uT%2u:%2u:%2u.%3uZ", &year, &month, &day, &hour, &minute, &second, &milli),
                7);
    CHECK(year >= 2024 && month >= 1 && month <= 12 && day >= 1 && day <= 31 && hour < 24 && minute < 60 &&
          second < 61);
    CHECK(strcmp(output + 23, "Z error: a 1\n") > 0 && strncmp(output + 23, "Z error: a 1\n", 13) == 0);
    line = strchr(output, '\n') + 1;
    CHECK(strncmp(line + 23, "Z warning: b\n", 13) == 0);
    CHECK(strstr(output, "Z c\n") && strstr(output, "Z debug: d\n") && !strstr(output, "not shown"));
}

static void write_hostile(void)
{
    log_write(LOG_LEVEL_INFO, "topic=%s", "a\n<3>forged\x1b[2J\xc2\x85\xff gr\xc3\xbcn \xe2\x80\xa8");
}

/* Control characters and bytes that are not UTF-8 are escaped; other text stays readable. */
static void test_hostile_text_is_escaped(void)
{
    CHECK_EQUAL(run_child(write_hostile, 1), 0);
    CHECK(strcmp(output, "<6>topic=a\\x0a<3>forged\\x1b[2J\\xc2\\x85\\xff gr\xc3\xbcn \\xe2\\x80\\xa8\n") == 0);
}

static void write_long(void)
{
    static char text[9000];

    memset(text, 'x', sizeof(text) - 1);
    log_write(LOG_LEVEL_INFO, "%s", text);
    memset(text, '\n', sizeof(text) - 1);
    log_write(LOG_LEVEL_INFO, "%s", text);
    log_write(LOG_LEVEL_INFO, "%.2000s", "end");
}

/* A long message is cut, visibly, and the next line is whole. */
static void test_long_text_is_cut(void)
{
    char *second;

    CHECK_EQUAL(run_child(write_long, 1), 0);
    second = strchr(output, '\n') + 1;
    CHECK_EQUAL(second - output, 3 + 2000 + 1);
    CHECK(strncmp(second - 5, "x...\n", 5) == 0);
    CHECK(strncmp(second, "<6>\\x0a\\x0a", 11) == 0);
    CHECK(strcmp(strchr(second, '\n') - 3, "...\n<6>end\n") == 0);
}

static void write_with_errno(void)
{
    close(STDERR_FILENO);
    errno = EBUSY;
    log_write(LOG_LEVEL_INFO, "nobody hears this");
    if (errno != EBUSY)
        _exit(1);
}

/* errno stays as it was, also when nothing can be written. */
static void test_errno_is_kept(void)
{
    CHECK_EQUAL(run_child(write_with_errno, 1), 0);
}

/* The escape fills any room without a byte too many, and never cuts an escape or a character in two. */
static void test_escape_fits_any_room(void)
{
    static const char text[] = "a\n\xc3\xbc\xff\xf0\x9f\x98\x80z";

    for (size_t room = 8; room < 40; room++) {
        char *out = malloc(room);
        size_t used = utf8_escape(out, room, text, sizeof(text) - 1);
        int right = used < room && strlen(out) == used && (used == 16 || strcmp(out + used - 3, "...") == 0);
        uint32_t code;
        for (size_t at = 0, length; at < used; at += length ? length : 1)
            right &= (length = utf8_decode(out + at, used - at, &code)) > 0;
        free(out);
        CHECK(right);
    }
}

static const struct check_test tests[] = {
    {"test_journal_priorities", test_journal_priorities},
    {"test_person_prefixes", test_person_prefixes},
    {"test_hostile_text_is_escaped", test_hostile_text_is_escaped},
    {"test_long_text_is_cut", test_long_text_is_cut},
    {"test_errno_is_kept", test_errno_is_kept},
    {"test_escape_fits_any_room", test_escape_fits_any_room},
};

CHECK_MAIN(tests)
