/* progress.c: a line on standard error that writes over itself. See progress.h. */
#include "observe/progress.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "observe/log_writer.h"

#define LINE_SIZE 160
static const char erasure[] = "\r\033[K"; /* to the line's begin, and erase it: ECMA-48, on all terminals but "dumb"
                                             ones */

/* 1: the last thing on standard error is a line of ours. */
static atomic_int standing;

void progress_begin(struct progress *progress, const char *verb, uint64_t now_ms, uint64_t done)
{
    const char *term = getenv("TERM");

    *progress = (struct progress){.verb = verb,
                                  .on = isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0,
                                  .due_ms = now_ms + PROGRESS_INTERVAL_MS,
                                  .done = done,
                                  .time_ms = now_ms,
                                  .rate = -1};
}

/* Columns a line may have without being broken, which could not be erased. */
static size_t columns(void)
{
    struct winsize size;

    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col - 1u : 79;
}

static size_t write_line(char *line, size_t size, const struct progress *progress, uint64_t total)
{
    size_t used = (size_t)snprintf(line, size, "%s: %llu", progress->verb, (unsigned long long)progress->done);

    if (total > 0)
        used += (size_t)snprintf(line + used, size - used, " of %llu", (unsigned long long)total);
    used += (size_t)snprintf(line + used, size - used, " messages");
    if (total > 0)
        used += (size_t)snprintf(line + used, size - used, ", %.0f%%", 100.0 * (double)progress->done / (double)total);
    used += (size_t)snprintf(line + used, size - used, ", %.0f/s", progress->rate);
    if (total > progress->done && progress->rate >= 1)
        used += (size_t)snprintf(line + used, size - used, ", %.0fs left",
                                 (double)(total - progress->done) / progress->rate);
    return used;
}

static void progress_put(const char *text, size_t size)
{
    struct pollfd output = {.fd = STDERR_FILENO, .events = POLLOUT};

    if (log_writer_is_idle() && poll(&output, 1, 0) == 1 && (output.revents & POLLOUT) &&
        log_writer_put(text, size) == 0)
        atomic_store(&standing, 1);
}

void progress_show(struct progress *progress, uint64_t now_ms, uint64_t done, uint64_t total)
{
    char line[LINE_SIZE + sizeof(erasure)];
    size_t used, wide;
    double rate;

    if (!progress->on || now_ms < progress->due_ms)
        return;
    progress->due_ms = now_ms + PROGRESS_INTERVAL_MS;
    if (done < progress->done || now_ms <= progress->time_ms)
        progress->rate = -1;
    rate = done < progress->done || now_ms <= progress->time_ms
               ? 0
               : (double)(done - progress->done) * 1000 / (double)(now_ms - progress->time_ms);
    progress->rate = progress->rate < 0 ? rate : (3 * progress->rate + rate) / 4;
    progress->done = done;
    progress->time_ms = now_ms;
    memcpy(line, erasure, sizeof(erasure) - 1);
    used = write_line(line + sizeof(erasure) - 1, LINE_SIZE, progress, total);
    wide = columns();
    progress_put(line, sizeof(erasure) - 1 + (used < wide ? used : wide));
}

void progress_hide(void)
{
    char out[PROGRESS_ERASURE_SIZE];
    size_t size = progress_erasure(out);

    /* A terminal that has gone has no line any more. */
    if (size > 0)
        log_writer_put(out, size);
}

void progress_end(struct progress *progress)
{
    progress->on = 0;
    progress_hide();
}

size_t progress_erasure(char *out)
{
    if (!atomic_load(&standing) || !atomic_exchange(&standing, 0))
        return 0;
    memcpy(out, erasure, sizeof(erasure) - 1);
    return sizeof(erasure) - 1;
}
