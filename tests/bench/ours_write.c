/* ours_write.c: what a write of 64 bytes costs its writer, beside reading the clock and copying 64 bytes, in turn.
 *
 *   ours_write SEGMENT BLOCKS
 *
 * The segment has the publish channel ping; its gateway is awake, so that a write is no system call. Reports
 * nanoseconds a call: the median over BLOCKS blocks of 1,000 calls each. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench.h"
#include "shared_memory.h"

#define USAGE "ours_write SEGMENT BLOCKS"
#define CALLS 1000
#define ATTACH_MS 10000
#define COPIES 4096 /* slots of 128 bytes: the copies walk through a ring as writes do */

static struct shared_memory_writer *writer;
static char message[BENCH_MESSAGE] = "message";
static char (*ring)[128];

static void read_clock(void)
{
    struct timespec now;

    for (int i = 0; i < CALLS; i++)
        clock_gettime(CLOCK_REALTIME, &now);
}

static void copy(void)
{
    static unsigned next;

    for (int i = 0; i < CALLS; i++) {
        memcpy(ring[next++ % COPIES], message, BENCH_MESSAGE);
        /* The compiler is not to see that nobody reads it. */
        __asm__ volatile("" ::: "memory");
    }
}

static void write_messages(void)
{
    for (int i = 0; i < CALLS; i++)
        if (shared_memory_writer_write(writer, message, BENCH_MESSAGE) < 0)
            bench_die("%s", shared_memory_error());
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;

    return left < right ? -1 : left > right;
}

static double timed(void (*work)(void))
{
    uint64_t before = bench_now_ns();

    work();
    return (double)(bench_now_ns() - before) / CALLS;
}

int main(int argc, char **argv)
{
    static void (*const works[])(void) = {read_clock, copy, write_messages};
    static const char *const names[] = {"clock", "memcpy", "write"};
    uint64_t blocks = bench_argument(argc, argv, 2, USAGE);
    double *times[3];
    struct shared_memory *shm;

    if (shared_memory_attach(&shm, argv[1], ATTACH_MS) < 0 || shared_memory_writer_open(shm, "ping", &writer) < 0)
        bench_die("%s", shared_memory_error());
    ring = calloc(COPIES, sizeof(*ring));
    for (int i = 0; i < 3; i++)
        if (!ring || blocks == 0 || !(times[i] = calloc(blocks, sizeof(double))))
            bench_die("out of memory");
    bench_pin(0);
    for (uint64_t block = 0; block < blocks; block++)
        for (int i = 0; i < 3; i++)
            times[i][block] = timed(works[i]);
    for (int i = 0; i < 3; i++) {
        qsort(times[i], blocks, sizeof(double), compare);
        printf("%s\"%s\": %.2f", i ? ", " : "{", names[i], times[i][blocks / 2]);
    }
    printf("}\n");
    shared_memory_writer_close(writer);
    shared_memory_detach(shm);
    return 0;
}
