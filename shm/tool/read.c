/* read.c: shmgate read: print a channel's messages as they come. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "shared_memory.h"
#include "tool.h"

#define SLICE_MS 60000 /* longest single wait; a wait without an end is made of these */

static volatile sig_atomic_t interrupted;

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
static int left_ms(double end)
{
    double left;

    if (end < 0)
        return SLICE_MS;
    left = end - now_s();
    return left <= 0 ? 0 : left * 1000 >= SLICE_MS ? SLICE_MS : (int)(left * 1000) + 1;
}

/* The next message: at once if there is one, else after what was printed has been flushed. */
static int next_message(struct shared_memory_reader *reader, void *buffer, size_t size, struct shared_memory_message *message, double end)
{
    int rc = shared_memory_reader_read(reader, buffer, size, message, 0);

    if (rc != -EAGAIN)
        return rc;
    if (fflush(stdout) != 0)
        return -EPIPE;
    while (!interrupted) {
        int ms = left_ms(end);

        rc = shared_memory_reader_read(reader, buffer, size, message, ms);
        if ((rc != -ETIMEDOUT && rc != -EAGAIN) || (end >= 0 && ms == 0))
            return rc;
    }
    return -EINTR;
}

/* Wait for the segment, saying so, and open the channel. Returns an exit code. */
static int open_reader(const struct tool_options *options, double end, struct shared_memory **shm, struct shared_memory_reader **reader)
{
    int rc = shared_memory_attach(shm, options->segment, 0), told = 0;

    while (rc == -ETIMEDOUT && !interrupted && left_ms(end) > 0) {
        if (!told)
            fprintf(stderr, "shmgate: read %s: waiting for segment %s\n", options->channel,
                    options->segment ? options->segment : SHARED_MEMORY_DEFAULT_SEGMENT);
        told = 1;
        rc = shared_memory_attach(shm, options->segment, left_ms(end) < 200 ? left_ms(end) : 200);
    }
    if (interrupted)
        return TOOL_DONE;
    if (rc == -ETIMEDOUT) {
        tool_fail(options, "%s", shared_memory_error());
        return TOOL_TIMEOUT;
    }
    if (rc < 0 || shared_memory_reader_open(*shm, options->channel, options->new_only ? SHARED_MEMORY_FROM_NOW : SHARED_MEMORY_FROM_OLDEST,
                                            reader) < 0)
        return tool_fail(options, "%s", shared_memory_error());
    return TOOL_DONE;
}

/* Print until the count, the time or a signal ends it. */
static int print_all(const struct tool_options *options, struct shared_memory_reader *reader, double end)
{
    const char *format = options->format ? options->format : "%p";
    size_t size = shared_memory_reader_max_payload(reader);
    void *buffer = malloc(size);
    int rc = 0;

    if (!buffer)
        return tool_fail(options, "out of memory");
    for (long count = 0; options->count == 0 || count < options->count; count++) {
        struct shared_memory_message message;

        rc = next_message(reader, buffer, size, &message, end);
        if (rc == -EMSGSIZE) {
            /* The gateway was given a larger max_payload meanwhile. */
            void *larger = realloc(buffer, message.size);

            if (!larger)
                break;
            buffer = larger;
            size = message.size;
            count--;
            rc = 0;
            continue;
        }
        if (rc < 0)
            break;
        if (message.missed > 0)
            fprintf(stderr, "shmgate: read %s: missed %llu messages: they were overwritten before they were read\n", options->channel,
                    (unsigned long long)message.missed);
        format_print(format, &message);
        if (ferror(stdout))
            break;
    }
    free(buffer);
    /* A pipe that nobody reads any more ends it quietly; a full disk does not. */
    if (ferror(stdout) || fflush(stdout) != 0)
        return errno == EPIPE ? TOOL_DONE : tool_fail(options, "write standard output: %s", strerror(errno));
    if (rc == -ETIMEDOUT || rc == -EAGAIN)
        return TOOL_TIMEOUT;
    if (rc < 0 && !(rc == -EINTR && interrupted))
        return tool_fail(options, "%s", shared_memory_error());
    return TOOL_DONE;
}

int read_run(const struct tool_options *options)
{
    struct sigaction action = {.sa_handler = on_signal};
    double end = options->seconds < 0 ? -1 : now_s() + options->seconds;
    struct shared_memory *shm = NULL;
    struct shared_memory_reader *reader = NULL;
    int rc;

    if (sigaction(SIGINT, &action, NULL) < 0 || sigaction(SIGTERM, &action, NULL) < 0)
        return tool_fail(options, "install a signal handler: %s", strerror(errno));
    rc = open_reader(options, end, &shm, &reader);
    if (rc == TOOL_DONE && reader)
        rc = print_all(options, reader, end);
    shared_memory_reader_close(reader);
    shared_memory_detach(shm);
    return rc;
}
