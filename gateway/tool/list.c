/* list.c: shmgate list: the channels of a segment, or the segments of this machine. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shm/shared_memory.h"
#include "tool/tool.h"

/* ---- The segments ---- */

struct segments {
    char **names; /* owned, each, too */
    size_t count;
};

/* Keep a name. -ENOMEM ends the listing. */
static int take_segment(void *context, const char *name)
{
    struct segments *segments = context;
    char **larger = realloc(segments->names, (segments->count + 1) * sizeof(*larger));

    if (!larger)
        return -ENOMEM;
    segments->names = larger;
    larger[segments->count] = strdup(name);
    if (!larger[segments->count])
        return -ENOMEM;
    segments->count++;
    return 0;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* One line, or one object, about a segment. What has gone or cannot be read meanwhile has no channels. */
static void print_segment(const struct tool_options *options, const char *name, int first)
{
    struct shared_memory *shm = NULL;
    struct shared_memory_status status = {0};

    if (shared_memory_attach_view(&shm, name, 0) == 0)
        (void)shared_memory_read_status(shm, &status);
    if (options->json)
        printf("%s{\"segment\": \"%s\", \"gateway\": %s, \"link\": \"%s\", \"channels\": %d}", first ? "" : ", ", name,
               status.gateway_alive ? "true" : "false", status.gateway_alive && status.link_up ? "up" : "down",
               status.channels);
    else
        printf("%-24s %-8s %-6s %8d\n", name, status.gateway_alive ? "running" : "gone",
               status.gateway_alive && status.link_up ? "up" : "down", status.channels);
    shared_memory_detach(shm);
}

static void print_segments(const struct tool_options *options, const struct segments *segments)
{
    if (options->json)
        printf("{\"segments\": [");
    else
        printf("%-24s %-8s %-6s %8s\n", "segment", "gateway", "link", "channels");
    for (size_t i = 0; i < segments->count; i++)
        print_segment(options, segments->names[i], i == 0);
    if (options->json)
        puts("]}");
}

/* ---- The channels ---- */

static void print_channels_table(struct shared_memory *shm, int count)
{
    struct shared_memory_counters counters;

    printf("%-16s %-9s %s\n", "channel", "direction", "topic");
    for (int i = 0; i < count && shared_memory_channel_counters(shm, i, &counters) == 0; i++) {
        printf("%-16s %-9s ", counters.name, counters.is_subscribe ? "subscribe" : "publish");
        tool_print_topic(counters.topic);
        putchar('\n');
    }
}

/* A topic is text in UTF-8 that may have quotes in it; control characters, which it should not have, become spaces. */
static void print_json_topic(const char *topic)
{
    putchar('"');
    for (; *topic; topic++) {
        if (*topic == '"' || *topic == '\\')
            putchar('\\');
        putchar((unsigned char)*topic < 0x20 ? ' ' : *topic);
    }
    putchar('"');
}

static void print_channels_json(struct shared_memory *shm, const char *segment, int count)
{
    struct shared_memory_counters counters;

    printf("{\"segment\": \"%s\", \"channels\": [", segment);
    for (int i = 0; i < count && shared_memory_channel_counters(shm, i, &counters) == 0; i++) {
        printf("%s{\"name\": \"%s\", \"direction\": \"%s\", \"topic\": ", i > 0 ? ", " : "", counters.name,
               counters.is_subscribe ? "subscribe" : "publish");
        print_json_topic(counters.topic);
        putchar('}');
    }
    puts("]}");
}

static int print_channels(const struct tool_options *options, const char *segment)
{
    struct shared_memory *shm;
    int count;

    if (shared_memory_attach_view(&shm, segment, 0) < 0)
        return tool_fail(options, "%s", shared_memory_error());
    count = shared_memory_channel_count(shm);
    if (count >= 0 && options->json)
        print_channels_json(shm, segment, count);
    else if (count >= 0)
        print_channels_table(shm, count);
    shared_memory_detach(shm);
    return count < 0 ? tool_fail(options, "%s", shared_memory_error()) : tool_finish_output(options);
}

int list_run(const struct tool_options *options)
{
    struct segments segments = {0};
    int rc = options->segment_named ? 0 : shared_memory_each_segment(take_segment, &segments);

    if (rc < 0) {
        rc = tool_fail(options, "look for segments: %s", strerror(-rc));
    } else if (segments.count > 1) {
        qsort(segments.names, segments.count, sizeof(*segments.names), compare_names);
        print_segments(options, &segments);
        rc = tool_finish_output(options);
    } else {
        rc = print_channels(options, segments.count == 1 ? segments.names[0] : options->segment);
    }
    for (size_t i = 0; i < segments.count; i++)
        free(segments.names[i]);
    free(segments.names);
    return rc;
}
