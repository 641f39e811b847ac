/* ours_host.c: serves a segment as a gateway does that is always awake, with no broker behind it.
 *
 *   ours_host SEGMENT
 *
 * For what the library does by itself. The segment has the publish channels ping, pong (1,024 slots) and flow (4,096),
 * and the subscribe channel in. Prints "ready"; takes lines "arrive COUNT INTERVAL_NS", which put so many messages into
 * the subscribe channel as a gateway does; removes the segment at the end of its standard input. */
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "platform.h"
#include "ring.h"
#include "segment.h"

#define LEAD_NS 20000000 /* for the reader to be asleep before the first message */

static const struct layout_request channels[] = {
    {.name = "ping",
     .topic = "bench/ping",
     .direction = LAYOUT_PUBLISH,
     .overflow = LAYOUT_DROP_OLDEST,
     .max_payload = BENCH_MESSAGE,
     .slots = 1024,
     .writers = 1},
    {.name = "pong",
     .topic = "bench/pong",
     .direction = LAYOUT_PUBLISH,
     .overflow = LAYOUT_DROP_OLDEST,
     .max_payload = BENCH_MESSAGE,
     .slots = 1024,
     .writers = 1},
    {.name = "flow",
     .topic = "bench/flow",
     .direction = LAYOUT_PUBLISH,
     .overflow = LAYOUT_DROP_OLDEST,
     .max_payload = BENCH_MESSAGE,
     .slots = 4096,
     .writers = 1},
    {.name = "in",
     .topic = "bench/in",
     .direction = LAYOUT_SUBSCRIBE,
     .overflow = LAYOUT_DROP_OLDEST,
     .max_payload = BENCH_MESSAGE,
     .topic_max = 16,
     .slots = 1024,
     .writers = 1},
};
#define CHANNELS (sizeof(channels) / sizeof(channels[0]))
#define CHANNEL_IN 3
#define LANE_IN 3

static void arrive(const struct segment *segment, uint64_t count, uint64_t interval_ns)
{
    char payload[BENCH_MESSAGE];
    struct ring_message message = {.payload = payload, .size = sizeof(payload), .topic = "bench/in", .topic_size = 8};
    struct ring ring = segment_ring(segment, LANE_IN);
    struct ring_writer writer;
    uint64_t at = bench_now_ns() + LEAD_NS;

    ring_writer_start(&writer, &ring, 0);
    for (uint64_t i = 0; i < count; i++, at += interval_ns) {
        bench_sleep_until(at);
        bench_message_fill(payload, i);
        message.time_ns = platform_time_ns();
        if (ring_write(&writer, &message) < 0)
            bench_die("could not write into the subscribe channel");
        segment_wake_readers(segment, CHANNEL_IN);
    }
}

int main(int argc, char **argv)
{
    static struct segment segment;
    struct segment_list olds;
    struct segment_options options = {.mode = 0600, .gid = -1};
    unsigned long long count, interval_ns;
    const char *topics[CHANNELS];
    struct reason reason;
    char line[100];
    struct layout plan;

    if (argc != 2)
        bench_die("usage: ours_host SEGMENT");
    options.name = argv[1];
    for (size_t i = 0; i < CHANNELS; i++)
        topics[i] = channels[i].topic;
    options.topics = topics;
    options.plan = &plan;
    if (layout_plan(&plan, channels, CHANNELS, &reason) < 0 || segment_serve(&segment, &olds, &options, &reason) < 0)
        bench_die("%s", reason.text);
    bench_pin(0);
    bench_ready();
    while (fgets(line, sizeof(line), stdin))
        if (sscanf(line, "arrive %llu %llu", &count, &interval_ns) == 2)
            arrive(&segment, count, interval_ns);
    segment_list_close(&olds);
    segment_close(&segment);
    layout_free(&plan);
    if (segment_remove(argv[1], &reason) < 0)
        bench_die("%s", reason.text);
    return 0;
}
