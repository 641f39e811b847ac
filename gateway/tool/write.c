/* write.c: shmgate write: messages from the command line, a file or standard input into a channel. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "shm/shared_memory.h"
#include "tool/tool.h"

#define DEFAULT_WAIT_S 10
/* Between two tries at a full ring; each pause is twice the one before it, as each try counts as rejected. */
#define PAUSE_FIRST_NS 1000000L
#define PAUSE_LAST_NS 64000000L
#define INPUT_MAX (256 << 20) /* bytes; no MQTT message is larger (3.1.1, 2.2.3), and some files never end */

struct target {
    const struct tool_options *options;
    struct shared_memory_writer *writer;
    double wait_s;
    unsigned long long written;
};

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Write one message, waiting for room. Returns an exit code. */
static int write_put(struct target *target, const void *payload, size_t size)
{
    struct timespec pause = {.tv_nsec = PAUSE_FIRST_NS};
    double end = now_s() + target->wait_s;
    int rc;

    while ((rc = shared_memory_writer_write(target->writer, payload, size)) == -EAGAIN && now_s() < end) {
        nanosleep(&pause, NULL);
        if (pause.tv_nsec < PAUSE_LAST_NS)
            pause.tv_nsec *= 2;
    }
    if (rc == 0) {
        target->written++;
        return TOOL_DONE;
    }
    if (target->options->lines)
        return tool_fail(target->options, "after %llu messages: %s", target->written, shared_memory_error());
    return tool_fail(target->options, "%s", shared_memory_error());
}

/* Read all of a stream. The caller frees *content. Returns an exit code. */
static int slurp(const struct tool_options *options, FILE *stream, const char *name, char **content, size_t *size)
{
    size_t room = 0, length = 0;
    char *buffer = NULL;

    while (!feof(stream) && !ferror(stream)) {
        if (length >= INPUT_MAX) {
            free(buffer);
            return tool_fail(options, "read %s: above %d MiB: no channel takes a message of that size", name,
                             INPUT_MAX >> 20);
        }
        if (length == room) {
            char *larger = realloc(buffer, room = room ? 2 * room : 65536);

            if (!larger) {
                free(buffer);
                return tool_fail(options, "read %s: out of memory", name);
            }
            buffer = larger;
        }
        length += fread(buffer + length, 1, room - length, stream);
    }
    if (ferror(stream)) {
        free(buffer);
        return tool_fail(options, "read %s: %s", name, strerror(errno));
    }
    *content = buffer;
    *size = length;
    return TOOL_DONE;
}

static int write_put_stream(struct target *target, FILE *stream, const char *name)
{
    char *content = NULL;
    size_t size = 0;
    int rc = slurp(target->options, stream, name, &content, &size);

    if (rc == TOOL_DONE)
        rc = write_put(target, content, size);
    free(content);
    return rc;
}

static int put_file(struct target *target, const char *path)
{
    FILE *stream = fopen(path, "rb");
    int rc;

    if (!stream)
        return tool_fail(target->options, "open %s: %s", path, strerror(errno));
    rc = write_put_stream(target, stream, path);
    fclose(stream);
    return rc;
}

static int put_lines(struct target *target)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    int rc = TOOL_DONE;

    while (rc == TOOL_DONE && (length = getline(&line, &room, stdin)) >= 0)
        rc = write_put(target, line, (size_t)length - (line[length - 1] == '\n'));
    if (rc == TOOL_DONE && ferror(stdin))
        rc = tool_fail(target->options, "read standard input: %s", strerror(errno));
    free(line);
    return rc;
}

int write_run(const struct tool_options *options)
{
    struct target target = {.options = options, .wait_s = options->seconds >= 0 ? options->seconds : DEFAULT_WAIT_S};
    struct shared_memory *shm = NULL;
    int rc;

    if (shared_memory_attach(&shm, options->segment, tool_timeout_ms(target.wait_s)) < 0)
        return tool_fail(options, "%s", shared_memory_error());
    if (shared_memory_writer_open(shm, options->channel, &target.writer) < 0)
        rc = tool_fail(options, "%s", shared_memory_error());
    else if (options->lines)
        rc = put_lines(&target);
    else if (options->whole)
        rc = write_put_stream(&target, stdin, "standard input");
    else if (options->file)
        rc = put_file(&target, options->file);
    else
        rc = write_put(&target, options->message ? options->message : "",
                       options->message ? strlen(options->message) : 0);
    shared_memory_writer_close(target.writer);
    shared_memory_detach(shm);
    return rc;
}
