/* raw_subscriber.c: receives stamped messages on a bare socket and reports their latencies.
 *
 *   raw_subscriber PORT TOPIC QOS COUNT [SESSION]
 *
 * The samples of a frame (gateway/base/frame.h) are messages, too. SESSION is the client whose session the broker
 * keeps; with a COUNT of 0 it is only made. What has come in one read is acknowledged in one write. */
#include <stdlib.h>
#include <unistd.h>

#include "base/frame.h"
#include "bench.h"
#include "raw_mqtt.h"

#define USAGE "raw_subscriber PORT TOPIC QOS COUNT [SESSION]"

/* Count what a message holds: itself, or each sample of a frame. */
static void count_samples(struct bench_arrivals *arrivals, const char *payload, size_t size, uint64_t now_ns)
{
    struct frame_reader reader;
    struct frame_sample sample;
    uint64_t sent_ns;

    if (frame_open(&reader, FRAME_BINARY, payload, size) < 0)
        frame_open(&reader, FRAME_NONE, payload, size);
    while (frame_next(&reader, &sample))
        if ((sent_ns = bench_message_time(sample.payload, sample.size)) > 0)
            bench_arrivals_add(arrivals, sent_ns, now_ns);
}

int main(int argc, char **argv)
{
    unsigned port = (unsigned)bench_argument(argc, argv, 1, USAGE),
             qos = (unsigned)bench_argument(argc, argv, 3, USAGE);
    uint64_t count = bench_argument(argc, argv, 4, USAGE);
    struct raw_connection *connection;
    struct bench_arrivals arrivals;
    struct raw_packet packet;
    uint16_t identifier;
    const char *payload;
    char client[64];
    size_t size;

    snprintf(client, sizeof(client), "raw-subscriber-%ld", (long)getpid());
    bench_arrivals_init(&arrivals, count);
    connection = raw_connect(port, argc > 5 ? argv[5] : client, argc <= 5);
    raw_subscribe(connection, argv[2], qos);
    bench_ready();
    while (arrivals.count < count && raw_receive(connection, &packet, BENCH_QUIET_S * 1000)) {
        if (packet.kind != RAW_PUBLISH)
            continue;
        payload = raw_payload(&packet, &size, &identifier);
        count_samples(&arrivals, payload, size, bench_now_ns());
        if (identifier > 0)
            raw_acknowledge(connection, identifier);
        if (!raw_pending(connection))
            raw_flush(connection);
    }
    raw_flush(connection);
    bench_arrivals_print(&arrivals);
    return 0;
}
