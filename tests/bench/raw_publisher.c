/* raw_publisher.c: publishes stamped messages on a bare socket.
 *
 *   raw_publisher PORT TOPIC QOS COUNT INTERVAL_NS WINDOW
 *
 * At QoS 1 at most WINDOW messages are unanswered; as many as that go into one write. At QoS 0 the broker's reading is
 * the limit, and WINDOW messages go into one write. */
#include <stdlib.h>
#include <unistd.h>

#include "bench.h"
#include "raw_mqtt.h"

#define USAGE "raw_publisher PORT TOPIC QOS COUNT INTERVAL_NS WINDOW"

/* Take the answers that have come; wait for one when `wait`. Returns how many there were. */
static uint64_t take_answers(struct raw_connection *connection, int wait)
{
    struct raw_packet packet;
    uint64_t answers = 0;

    while (raw_pending(connection) || (wait && answers == 0)) {
        if (!raw_receive(connection, &packet, BENCH_QUIET_S * 1000))
            bench_die("the broker does not answer");
        answers += packet.kind == RAW_PUBACK;
    }
    return answers;
}

int main(int argc, char **argv)
{
    unsigned port = (unsigned)bench_argument(argc, argv, 1, USAGE),
             qos = (unsigned)bench_argument(argc, argv, 3, USAGE);
    uint64_t count = bench_argument(argc, argv, 4, USAGE), interval_ns = bench_argument(argc, argv, 5, USAGE);
    uint64_t window = bench_argument(argc, argv, 6, USAGE), flying = 0, at, begin;
    struct raw_connection *connection;
    char message[BENCH_MESSAGE], client[32];

    snprintf(client, sizeof(client), "raw-publisher-%ld", (long)getpid());
    connection = raw_connect(port, client, 1);
    at = begin = bench_now_ns();
    for (uint64_t i = 0; i < count; i++, at += interval_ns) {
        if (interval_ns > 0)
            bench_sleep_until(at);
        while (flying >= window && qos > 0) {
            raw_flush(connection);
            flying -= take_answers(connection, 1);
        }
        bench_message_fill(message, i);
        raw_publish(connection, argv[2], qos, (uint16_t)(i % 65535 + 1), message, sizeof(message));
        flying += qos > 0;
        if (interval_ns > 0 || i % window == window - 1)
            raw_flush(connection);
    }
    raw_flush(connection);
    while (flying > 0)
        flying -= take_answers(connection, 1);
    printf("{\"seconds\": %.6f}\n", (double)(bench_now_ns() - begin) / 1e9);
    return 0;
}
