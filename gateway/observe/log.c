/* log.c: one line on standard error for each message, for the journal or for a person. */
#include "observe/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/utf8.h"
#include "observe/journal.h"
#include "observe/log_fields.h"
#include "observe/log_writer.h"
#include "observe/progress.h"

#define TEXT_SIZE 2048 /* bytes of a message before escaping; the journal takes 48 KiB a line, a person far less */
#define SHOWN_SIZE \
    2001 /* 2000 bytes of text and a NUL, so that one cut by vsnprintf is cut again when it is escaped, and visibly */

enum { TARGET_UNKNOWN, TARGET_PERSON, TARGET_JOURNAL };

static const char priorities[] = "3467"; /* err, warning, info, debug of syslog(3) */

static _Atomic int log_level = LOG_LEVEL_INFO;
static _Atomic int log_target = TARGET_UNKNOWN;
static _Atomic(const char *) journal_path = JOURNAL_SOCKET;

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&log_level, (int)level, memory_order_relaxed);
}

void log_set_journal(const char *path)
{
    atomic_store_explicit(&journal_path, path, memory_order_relaxed);
}

/* Whether standard error is the stream that $JOURNAL_STREAM names by device and inode. The variable alone proves
 * nothing: a child whose standard error was redirected inherits it as well. */
static int find_target(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long device, inode;
    struct stat status;
    char *end;

    if (!stream || fstat(STDERR_FILENO, &status) < 0)
        return TARGET_PERSON;
    device = strtoull(stream, &end, 10);
    if (*end != ':')
        return TARGET_PERSON;
    inode = strtoull(end + 1, &end, 10);
    if (*end)
        return TARGET_PERSON;
    return (unsigned long long)status.st_dev == device && (unsigned long long)status.st_ino == inode ? TARGET_JOURNAL
                                                                                                     : TARGET_PERSON;
}

/* The date of a day counted from 1970-01-01, as year * 10000 + month * 100 + day. libc's gmtime_r may allocate: it
 * reads the time zone even though it does not need one. */
static unsigned date_of_day(unsigned day)
{
    static const unsigned char month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    unsigned year = 1970, month = 0;

    for (;; year++) {
        unsigned leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        if (day < 365 + leap) {
            for (;; month++) {
                unsigned days = month_days[month] + (month == 1 ? leap : 0);
                if (day < days)
                    return year * 10000 + (month + 1) * 100 + day + 1;
                day -= days;
            }
        }
        day -= 365 + leap;
    }
}

/* "2026-01-31T12:00:00.000Z error: ". */
static int write_prefix(char *line, size_t size, enum log_level level)
{
    static const char *const names[] = {"error: ", "warning: ", "", "debug: "};
    struct timespec now = {0};
    unsigned date, second;

    /* CLOCK_REALTIME always exists; were it refused, the line would begin at 1970. */
    (void)clock_gettime(CLOCK_REALTIME, &now);
    date = date_of_day((unsigned)((uint64_t)now.tv_sec / 86400 % 1000000));
    second = (unsigned)((uint64_t)now.tv_sec % 86400);
    return snprintf(line, size, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ %s", date / 10000, date / 100 % 100, date % 100,
                    second / 3600, second / 60 % 60, second % 60, (unsigned)(now.tv_nsec / 1000000), names[level]);
}

/* Send the line to the journal, with its fields. Returns 0, or -errno: it has to be written to standard error. */
static int send_entry(enum log_level level, const char *text, size_t size, const char *format, va_list arguments)
{
    struct log_field fields[LOG_FIELDS_MAX];
    size_t count = log_fields_find(fields, format, arguments);
    char value[JOURNAL_ENTRY_SIZE / 2], name[JOURNAL_NAME_MAX + 1];
    struct journal_entry entry;

    journal_begin(&entry);
    journal_add(&entry, "MESSAGE", value, utf8_escape(value, SHOWN_SIZE, text, size));
    journal_add(&entry, "PRIORITY", &priorities[level], 1);
    journal_add(&entry, "SYSLOG_FACILITY", "3", 1); /* daemon, as for what a service writes to standard error */
    journal_add(&entry, "SYSLOG_IDENTIFIER", "shmgated", strlen("shmgated"));
    for (size_t i = 0; i < count; i++) {
        size_t begin = fields[i].begin < size ? fields[i].begin : size,
               end = fields[i].end < size ? fields[i].end : size;

        snprintf(name, sizeof(name), "SHMGATE_%.*s", (int)fields[i].key_size, fields[i].key);
        for (char *at = name; *at; at++)
            if (*at >= 'a' && *at <= 'z')
                *at = (char)(*at - 'a' + 'A');
        journal_add(&entry, name, value, utf8_escape(value, sizeof(value), text + begin, end - begin));
    }
    return journal_send(&entry, atomic_load_explicit(&journal_path, memory_order_relaxed));
}

/* The whole line into `line`, of LOG_WRITER_LINE_MAX bytes. Returns its size. */
static size_t make_line(char *line, enum log_level level, const char *text, size_t size)
{
    /* A line of progress that stands there makes way. */
    size_t used = progress_erasure(line);

    if (atomic_load_explicit(&log_target, memory_order_relaxed) == TARGET_JOURNAL)
        used += (size_t)snprintf(line + used, LOG_WRITER_LINE_MAX - used, "<%c>", priorities[level]);
    else
        used += (size_t)write_prefix(line + used, LOG_WRITER_LINE_MAX - used, level);
    used += utf8_escape(line + used, SHOWN_SIZE, text, size);
    line[used++] = '\n';
    return used;
}

/* On the writer's thread. */
static size_t make_notice(char *line, uint64_t lost)
{
    char text[128];
    int size = snprintf(text, sizeof(text), "lines of the log are missing here, as nobody took them: count=%" PRIu64,
                        lost);

    return make_line(line, LOG_LEVEL_WARNING, text, (size_t)size);
}

int log_start(void)
{
    return log_writer_start(make_notice);
}

void log_stop(void)
{
    log_writer_stop();
}

void log_write_list(enum log_level level, const char *format, va_list arguments)
{
    int saved_errno = errno, target = atomic_load_explicit(&log_target, memory_order_relaxed), size;
    char text[TEXT_SIZE], line[LOG_WRITER_LINE_MAX];
    va_list copy;

    if ((int)level > atomic_load_explicit(&log_level, memory_order_relaxed))
        return;
    if (target == TARGET_UNKNOWN) {
        target = find_target();
        atomic_store_explicit(&log_target, target, memory_order_relaxed);
    }
    errno = saved_errno; /* for %m */
    va_copy(copy, arguments);
    size = vsnprintf(text, sizeof(text), format, copy);
    va_end(copy);
    if (size < 0)
        size = snprintf(text, sizeof(text), "could not format a message: %s", format);
    if (size >= (int)sizeof(text))
        size = (int)sizeof(text) - 1;
    if (target != TARGET_JOURNAL || send_entry(level, text, (size_t)size, format, arguments) < 0)
        log_writer_put(line, make_line(line, level, text, (size_t)size));
    errno = saved_errno;
}

void log_write(enum log_level level, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    log_write_list(level, format, arguments);
    va_end(arguments);
}
