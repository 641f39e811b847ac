/* ours_reader.c: reads stamped messages from a channel, asleep between them, and reports their latencies.
 *
 *   ours_reader SEGMENT CHANNEL COUNT
 */
#include <errno.h>
#include <stdlib.h>

#include "bench.h"
#include "shared_memory.h"

#define USAGE "ours_reader SEGMENT CHANNEL COUNT"
#define ATTACH_MS 10000

int main(int argc, char **argv)
{
    uint64_t count = bench_argument(argc, argv, 3, USAGE), sent_ns;
    struct shared_memory_reader *reader;
    struct shared_memory_message message;
    struct bench_arrivals arrivals;
    char buffer[BENCH_MESSAGE];
    struct shared_memory *shm;
    int rc;

    bench_arrivals_init(&arrivals, count);
    if (shared_memory_attach(&shm, argv[1], ATTACH_MS) < 0 ||
        shared_memory_reader_open(shm, argv[2], SHARED_MEMORY_FROM_NOW, &reader) < 0)
        bench_die("%s", shared_memory_error());
    bench_ready();
    while (arrivals.count < count) {
        rc = shared_memory_reader_read(reader, buffer, sizeof(buffer), &message, BENCH_QUIET_S * 1000);
        if (rc == -EINTR)
            continue;
        if (rc < 0)
            break;
        if ((sent_ns = bench_message_time(buffer, message.size)) > 0)
            bench_arrivals_add(&arrivals, sent_ns, bench_now_ns());
    }
    bench_arrivals_print(&arrivals);
    shared_memory_reader_close(reader);
    shared_memory_detach(shm);
    return 0;
}
