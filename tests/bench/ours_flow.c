/* ours_flow.c: as many messages as one writer and one spinning reader can pass through one lane.
 *
 *   ours_flow SEGMENT COUNT
 *
 * The segment has the publish channel flow with drop-oldest. So that nothing is lost, which every peer also sees to,
 * the reader says now and then how far it is, and the writer looks there now and then; each is on a core of its own. */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "shared_memory.h"

#define USAGE "ours_flow SEGMENT COUNT"
#define ATTACH_MS 10000
#define SLOTS 4096 /* of the channel: the host's */
#define STRIDE 256 /* messages between two looks */

struct progress {
    _Alignas(128) _Atomic uint64_t read;
    _Alignas(128) _Atomic int ready;
};

static struct shared_memory *attach(const char *segment)
{
    struct shared_memory *shm;

    if (shared_memory_attach(&shm, segment, ATTACH_MS) < 0)
        bench_die("%s", shared_memory_error());
    return shm;
}

static void write_all(const char *segment, struct progress *progress, uint64_t count)
{
    char message[BENCH_MESSAGE] = "message";
    struct shared_memory_writer *writer;

    if (shared_memory_writer_open(attach(segment), "flow", &writer) < 0)
        bench_die("%s", shared_memory_error());
    bench_pin(0);
    while (!atomic_load(&progress->ready))
        ;
    for (uint64_t i = 0; i < count; i++) {
        if (i % STRIDE == 0)
            while (i - atomic_load_explicit(&progress->read, memory_order_acquire) > SLOTS - 2 * STRIDE)
                ;
        if (shared_memory_writer_write(writer, message, BENCH_MESSAGE) < 0)
            bench_die("%s", shared_memory_error());
    }
}

int main(int argc, char **argv)
{
    uint64_t count = bench_argument(argc, argv, 2, USAGE), missed = 0, begin = 0, end;
    struct progress *progress = bench_shared(sizeof(*progress));
    struct shared_memory_reader *reader;
    struct shared_memory_message message;
    char buffer[BENCH_MESSAGE];
    pid_t child = fork();
    int rc;

    if (child < 0)
        bench_die("could not fork");
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        write_all(argv[1], progress, count);
        _exit(0);
    }
    if (shared_memory_reader_open(attach(argv[1]), "flow", SHARED_MEMORY_FROM_NOW, &reader) < 0)
        bench_die("%s", shared_memory_error());
    bench_pin(1);
    atomic_store(&progress->ready, 1);
    for (uint64_t i = 0; i < count; i++) {
        while ((rc = shared_memory_reader_read(reader, buffer, sizeof(buffer), &message, 0)) == -EAGAIN)
            ;
        if (rc < 0)
            bench_die("%s", shared_memory_error());
        missed += message.missed;
        if (i == 0)
            begin = bench_now_ns();
        if (i % STRIDE == 0)
            atomic_store_explicit(&progress->read, i, memory_order_release);
    }
    end = bench_now_ns();
    waitpid(child, NULL, 0);
    printf("{\"rate\": %.0f, \"missed\": %llu}\n", (double)(count - 1) * 1e9 / (double)(end - begin),
           (unsigned long long)missed);
    return 0;
}
