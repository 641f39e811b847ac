/* ours_writer.c: writes stamped messages into channels.
 *
 *   ours_writer SEGMENT CHANNEL COUNT INTERVAL_NS [CHANNELS]
 *
 * With CHANNELS above 0, CHANNEL is a prefix: the messages go in turn to CHANNEL0, CHANNEL1, ... An interval of 0 is as
 * fast as it goes: a full ring (overflow = reject) is tried again a little later. Reports nanoseconds a write, and the
 * seconds that all took. */
#include <errno.h>
#include <stdlib.h>

#include "bench.h"
#include "shared_memory.h"

#define USAGE "ours_writer SEGMENT CHANNEL COUNT INTERVAL_NS [CHANNELS]"
#define ATTACH_MS 10000
#define RETRY_NS 200000

static struct shared_memory_writer **open_writers(const char *segment, const char *channel, uint64_t channels)
{
    uint64_t count = channels ? channels : 1;
    struct shared_memory_writer **writers = calloc(count, sizeof(struct shared_memory_writer *));
    struct shared_memory *shm;

    if (!writers || shared_memory_attach(&shm, segment, ATTACH_MS) < 0)
        bench_die("%s", shared_memory_error());
    for (uint64_t i = 0; i < count; i++) {
        char name[64];

        snprintf(name, sizeof(name), channels ? "%s%llu" : "%s", channel, (unsigned long long)i);
        if (shared_memory_writer_open(shm, name, &writers[i]) < 0)
            bench_die("%s", shared_memory_error());
    }
    return writers;
}

int main(int argc, char **argv)
{
    uint64_t count = bench_argument(argc, argv, 3, USAGE), interval_ns = bench_argument(argc, argv, 4, USAGE);
    uint64_t channels = argc > 5 ? bench_argument(argc, argv, 5, USAGE) : 0;
    struct shared_memory_writer **writers = open_writers(argv[1], argv[2], channels);
    uint64_t at = bench_now_ns(), begin = at, waited = 0;
    char message[BENCH_MESSAGE];
    int rc;

    for (uint64_t i = 0; i < count; i++, at += interval_ns) {
        if (interval_ns > 0)
            bench_sleep_until(at);
        bench_message_fill(message, i);
        while ((rc = shared_memory_writer_write(writers[channels ? i % channels : 0], message, sizeof(message))) ==
               -EAGAIN) {
            bench_sleep_until(bench_now_ns() + RETRY_NS);
            waited++;
        }
        if (rc < 0)
            bench_die("%s", shared_memory_error());
    }
    printf("{\"seconds\": %.6f, \"nanoseconds\": %.1f, \"waited\": %llu}\n", (double)(bench_now_ns() - begin) / 1e9,
           (double)(bench_now_ns() - begin) / (double)(count ? count : 1), (unsigned long long)waited);
    return 0;
}
