/* stats.c: shmgate stats: what became of the messages of all channels; and shmgate release. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "shm/shared_memory.h"
#include "tool/tool.h"

int tool_finish_output(const struct tool_options *options)
{
    if (fflush(stdout) != 0 || ferror(stdout))
        return errno == EPIPE ? TOOL_DONE : tool_fail(options, "write standard output: %s", strerror(errno));
    return TOOL_DONE;
}

int stats_json(const struct tool_options *options, struct shared_memory *shm, char **text)
{
    size_t size = 65536;
    ssize_t length;

    for (*text = NULL;; size = (size_t)length + 4096) {
        char *larger = realloc(*text, size);

        if (!larger) {
            free(*text);
            tool_fail(options, "out of memory");
            return TOOL_FAILED;
        }
        *text = larger;
        length = shared_memory_stats_json(shm, *text, size);
        if (length < 0) {
            free(*text);
            tool_fail(options, "%s", shared_memory_error());
            return TOOL_FAILED;
        }
        if ((size_t)length < size)
            return TOOL_DONE;
    }
}

static int print_json(const struct tool_options *options, struct shared_memory *shm)
{
    char *text;
    int rc = stats_json(options, shm, &text);

    if (rc != TOOL_DONE)
        return rc;
    puts(text);
    free(text);
    return tool_finish_output(options);
}

void tool_print_topic(const char *topic)
{
    for (; *topic; topic++)
        putchar((unsigned char)*topic < 0x20 || *topic == 0x7f ? '?' : *topic);
}

static void print_dropped(const struct shared_memory_counters *counters)
{
    const char *separator = "";

    for (unsigned i = 0; i < SHARED_MEMORY_DROP_REASONS; i++) {
        if (counters->dropped[i] == 0)
            continue;
        printf("%s%s=%llu", separator, shared_memory_drop_name(i), (unsigned long long)counters->dropped[i]);
        separator = " ";
    }
    puts(*separator ? "" : "-");
}

/* Who serves the segment, and the broker's state. */
static void print_head(const struct tool_options *options, const struct shared_memory_status *status)
{
    time_t since = (time_t)(status->link_change_ns / 1000000000);
    char text[64] = "";
    struct tm tm;

    if (!status->gateway_alive) {
        printf("segment %s: no gateway runs; messages wait for the next one\n", options->segment);
        return;
    }
    if (since > 0 && gmtime_r(&since, &tm))
        strftime(text, sizeof(text), " since %Y-%m-%dT%H:%M:%SZ", &tm);
    printf("segment %s: served by a gateway, %s the broker%s", options->segment,
           status->link_up ? "connected to" : "not connected to", text);
    if (strcmp(status->spool_state, "off") != 0)
        printf(", spool %s", status->spool_state);
    putchar('\n');
}

static int print_table(const struct tool_options *options, struct shared_memory *shm)
{
    struct shared_memory_status status;
    int count;

    if (shared_memory_read_status(shm, &status) < 0 || (count = shared_memory_channel_count(shm)) < 0)
        return tool_fail(options, "%s", shared_memory_error());
    print_head(options, &status);
    printf("%-16s %-9s %12s %12s %8s %8s %8s  %-20s %s\n", "channel", "direction", "written", "delivered", "queued",
           "spooled", "rejected", "dropped", "topic");
    for (int i = 0; i < count; i++) {
        struct shared_memory_counters counters;
        unsigned long long dropped = 0;

        if (shared_memory_channel_counters(shm, i, &counters) < 0)
            return tool_fail(options, "%s", shared_memory_error());
        for (unsigned reason = 0; reason < SHARED_MEMORY_DROP_REASONS; reason++)
            dropped += counters.dropped[reason];
        printf("%-16s %-9s %12llu %12llu %8llu %8llu %8llu  %-20llu ", counters.name,
               counters.is_subscribe ? "subscribe" : "publish", (unsigned long long)counters.written,
               (unsigned long long)counters.delivered, (unsigned long long)counters.queued,
               (unsigned long long)counters.spooled, (unsigned long long)counters.rejected, dropped);
        tool_print_topic(counters.topic);
        putchar('\n');
        if (dropped > 0) {
            printf("%16s dropped: ", "");
            print_dropped(&counters);
        }
    }
    return tool_finish_output(options);
}

int stats_run(const struct tool_options *options)
{
    struct shared_memory *shm;
    int rc;

    if (options->watch)
        return watch_run(options);
    /* Only to look: so it works where /dev/shm is mounted read-only. */
    rc = shared_memory_attach_view(&shm, options->segment, 0);
    if (rc < 0)
        return tool_fail(options, "%s", shared_memory_error());
    rc = options->json ? print_json(options, shm) : print_table(options, shm);
    shared_memory_detach(shm);
    return rc;
}

int release_run(const struct tool_options *options)
{
    if (shared_memory_remove(options->segment) < 0)
        return tool_fail(options, "%s", shared_memory_error());
    return TOOL_DONE;
}
