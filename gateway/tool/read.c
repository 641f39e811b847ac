/* read.c: shmgate read: print a channel's messages as they come. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "shm/shared_memory.h"
#include "tool/tool.h"

#define SLICE_MS 1000       /* longest single wait: a signal that comes just before a wait does not end it */
#define ATTACH_SLICE_MS 200 /* the same for the segment: such a wait is not ended by any signal */
#define REPORT_S 1.0        /* between two lines about missed messages */

static volatile sig_atomic_t interrupted;

/* One run of the command. */
struct reading {
    const struct tool_options *options;
    struct shared_memory *shm;
    struct shared_memory_reader *reader;
    void *buffer;
    size_t size;               /* bytes of buffer */
    double end_s;              /* monotonic time at which -W runs out; below 0: never */
    unsigned long long missed; /* messages overwritten before they were read, not yet reported */
    double reported_s;         /* monotonic time of the last report */
};

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Milliseconds left, at most a slice; 0 when the time is up. */
static int wait_left_ms(double end)
{
    double left;

    if (end < 0)
        return SLICE_MS;
    left = end - now_s();
    return left <= 0 ? 0 : left * 1000 >= SLICE_MS ? SLICE_MS : (int)(left * 1000) + 1;
}

static void report_missed(struct reading *reading)
{
    if (reading->missed == 0)
        return;
    fprintf(stderr, "shmgate: read %s: missed %llu messages: they were overwritten before they were read\n",
            reading->options->channel, reading->missed);
    reading->missed = 0;
    reading->reported_s = now_s();
}

static void report_missed_at_times(struct reading *reading)
{
    if (reading->missed > 0 && now_s() - reading->reported_s >= REPORT_S)
        report_missed(reading);
}

/* Make room for a message of `size` bytes. */
static int enlarge(struct reading *reading, size_t size)
{
    void *larger = realloc(reading->buffer, size ? size : 1);

    if (!larger)
        return -ENOMEM;
    reading->buffer = larger;
    reading->size = size;
    return 0;
}

/* Read once. A message that is too large for the buffer comes of a gateway that was given a larger max_payload
 * meanwhile. */
static int read_once(struct reading *reading, struct shared_memory_message *message, int timeout_ms)
{
    int rc;

    while ((rc = shared_memory_reader_read(reading->reader, reading->buffer, reading->size, message, timeout_ms)) ==
           -EMSGSIZE)
        if (enlarge(reading, message->size) < 0)
            return -ENOMEM;
    return rc;
}

/* The next message: at once if there is one, else after what was printed has been flushed. */
static int next_message(struct reading *reading, struct shared_memory_message *message)
{
    int rc;

    /* The time ends it also while there is always a next message; no time at all still takes what is there. */
    if (reading->options->seconds > 0 && wait_left_ms(reading->end_s) == 0)
        return -ETIMEDOUT;
    if (interrupted || (rc = read_once(reading, message, 0)) == -EINTR)
        return -EINTR;
    if (rc != -EAGAIN)
        return rc;
    if (fflush(stdout) != 0)
        return -EPIPE;
    while (!interrupted) {
        int ms = wait_left_ms(reading->end_s);

        report_missed_at_times(reading);
        rc = read_once(reading, message, ms);
        if ((rc != -ETIMEDOUT && rc != -EAGAIN) || (reading->end_s >= 0 && ms == 0))
            return rc;
    }
    return -EINTR;
}

/* Wait for the segment, saying so, and open the channel. Returns an exit code. */
static int open_reader(struct reading *reading)
{
    const struct tool_options *options = reading->options;
    enum shared_memory_start start = options->new_only ? SHARED_MEMORY_FROM_NOW : SHARED_MEMORY_FROM_OLDEST;
    int rc = shared_memory_attach(&reading->shm, options->segment, 0), told = 0;

    while (rc == -ETIMEDOUT && !interrupted && wait_left_ms(reading->end_s) > 0) {
        int ms = wait_left_ms(reading->end_s);

        if (!told)
            fprintf(stderr, "shmgate: read %s: waiting for segment %s: is shmgated running?\n", options->channel,
                    options->segment);
        told = 1;
        rc = shared_memory_attach(&reading->shm, options->segment, ms < ATTACH_SLICE_MS ? ms : ATTACH_SLICE_MS);
    }
    if (interrupted)
        return TOOL_DONE;
    if (rc == -ETIMEDOUT) {
        tool_fail(options, "%s", shared_memory_error());
        return TOOL_TIMEOUT;
    }
    if (rc < 0 || shared_memory_reader_open(reading->shm, options->channel, start, &reading->reader) < 0)
        return tool_fail(options, "%s", shared_memory_error());
    if (enlarge(reading, shared_memory_reader_max_payload(reading->reader)) < 0)
        return tool_fail(options, "out of memory");
    return TOOL_DONE;
}

/* Print until the count, the time or a signal ends it. Returns an exit code. */
static int print_all(struct reading *reading)
{
    const struct tool_options *options = reading->options;
    int rc = 0, output_error;

    for (long count = 0; (options->count == 0 || count < options->count) && !ferror(stdout); count++) {
        struct shared_memory_message message;

        if ((rc = next_message(reading, &message)) < 0)
            break;
        reading->missed += message.missed;
        report_missed_at_times(reading);
        format_print(stdout, options->format ? options->format : "%p", &message);
    }
    output_error = ferror(stdout) || fflush(stdout) != 0 ? errno : 0;
    report_missed(reading);
    /* A pipe that nobody reads any more ends it quietly; a full disk does not. */
    if (output_error)
        return output_error == EPIPE ? TOOL_DONE
                                     : tool_fail(options, "write standard output: %s", strerror(output_error));
    if (rc == -ETIMEDOUT || rc == -EAGAIN)
        return TOOL_TIMEOUT;
    if (rc == -ENOMEM)
        return tool_fail(options, "out of memory");
    if (rc < 0 && !(rc == -EINTR && interrupted))
        return tool_fail(options, "%s", shared_memory_error());
    return TOOL_DONE;
}

int read_run(const struct tool_options *options)
{
    struct sigaction action = {.sa_handler = on_signal};
    struct reading reading = {.options = options, .end_s = options->seconds < 0 ? -1 : now_s() + options->seconds};
    int rc;

    if (sigaction(SIGINT, &action, NULL) < 0 || sigaction(SIGTERM, &action, NULL) < 0)
        return tool_fail(options, "install a signal handler: %s", strerror(errno));
    rc = open_reader(&reading);
    if (rc == TOOL_DONE && reading.reader)
        rc = print_all(&reading);
    free(reading.buffer);
    shared_memory_reader_close(reading.reader);
    shared_memory_detach(reading.shm);
    return rc;
}
