/* log.c: one line on standard error for each message, for the journal or for a person. */
#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "progress.h"
#include "utf8.h"

#define TEXT_SIZE 2048   /* bytes of a message before escaping; the journal takes 48 KiB a line, a person far less */
#define LINE_SIZE 2072   /* ... and after it, with its prefix; utf8_escape cuts what does not fit */

enum { TARGET_UNKNOWN, TARGET_PERSON, TARGET_JOURNAL };

static _Atomic int log_level = LOG_LEVEL_INFO;
static _Atomic int log_target = TARGET_UNKNOWN;

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&log_level, (int)level, memory_order_relaxed);
}

/* Whether standard error is the stream that $JOURNAL_STREAM names by device and inode. The variable alone proves
 * nothing: a child whose standard error was redirected inherits it as well. */
static int find_target(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long device, inode;
    struct stat status;
    char end;

    if (!stream || sscanf(stream, "%llu:%llu%c", &device, &inode, &end) != 2 || fstat(STDERR_FILENO, &status) < 0)
        return TARGET_PERSON;
    return (unsigned long long)status.st_dev == device && (unsigned long long)status.st_ino == inode ? TARGET_JOURNAL
                                                                                                     : TARGET_PERSON;
}

/* The date of a day counted from 1970-01-01, as year * 10000 + month * 100 + day. libc's gmtime_r may allocate: it
 * reads the time zone even though it does not need one. */
static unsigned date_of_day(unsigned day)
{
    static const unsigned char month_days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
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
    static const char *const names[] = { "error: ", "warning: ", "", "debug: " };
    struct timespec now = { 0 };
    unsigned date, second;

    /* CLOCK_REALTIME always exists; were it refused, the line would begin at 1970. */
    (void)clock_gettime(CLOCK_REALTIME, &now);
    date = date_of_day((unsigned)((uint64_t)now.tv_sec / 86400 % 1000000));
    second = (unsigned)((uint64_t)now.tv_sec % 86400);
    return snprintf(line, size, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ %s", date / 10000, date / 100 % 100, date % 100,
                    second / 3600, second / 60 % 60, second % 60, (unsigned)(now.tv_nsec / 1000000), names[level]);
}

void log_write(enum log_level level, const char *format, ...)
{
    static const char priorities[] = "3467"; /* err, warning, info, debug of syslog(3) */
    int saved_errno = errno, target = atomic_load_explicit(&log_target, memory_order_relaxed), size;
    char text[TEXT_SIZE], line[LINE_SIZE];
    size_t used;
    va_list arguments;

    if ((int)level > atomic_load_explicit(&log_level, memory_order_relaxed))
        return;
    if (target == TARGET_UNKNOWN) {
        target = find_target();
        atomic_store_explicit(&log_target, target, memory_order_relaxed);
    }
    errno = saved_errno; /* for %m */
    va_start(arguments, format);
    size = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (size < 0)
        size = snprintf(text, sizeof(text), "could not format a message: %s", format);
    if (size >= (int)sizeof(text))
        size = (int)sizeof(text) - 1;
    /* A line of progress that stands there makes way. */
    used = progress_erasure(line);
    if (target == TARGET_JOURNAL)
        used += (size_t)snprintf(line + used, sizeof(line) - used, "<%c>", priorities[level]);
    else
        used += (size_t)write_prefix(line + used, sizeof(line) - used, level);
    /* 2000 bytes of text, so that one cut by vsnprintf is cut here again, and visibly. */
    used += utf8_escape(line + used, 2001, text, (size_t)size);
    line[used++] = '\n';
    while (write(STDERR_FILENO, line, used) < 0 && errno == EINTR)
        ;
    errno = saved_errno;
}
