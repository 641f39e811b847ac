/* floor_cache.c: how fast a cache line goes from core to core: two processes, each on a core of its own, spin on a word
 * of the other.
 *
 *   floor_cache ROUNDS
 *
 * Reports half of each round trip. */
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define USAGE "floor_cache ROUNDS"

struct lines {
    _Alignas(128) _Atomic uint64_t ping;
    _Alignas(128) _Atomic uint64_t pong;
};

static void answer(struct lines *lines, uint64_t rounds)
{
    bench_pin(1);
    for (uint64_t i = 1; i <= rounds; i++) {
        while (atomic_load_explicit(&lines->ping, memory_order_acquire) != i)
            ;
        atomic_store_explicit(&lines->pong, i, memory_order_release);
    }
}

int main(int argc, char **argv)
{
    uint64_t rounds = bench_argument(argc, argv, 1, USAGE), before, now;
    uint64_t unmeasured = rounds / 10;
    struct lines *lines = bench_shared(sizeof(*lines));
    struct bench_arrivals arrivals;
    pid_t child;

    bench_arrivals_init(&arrivals, rounds);
    child = fork();
    if (child < 0)
        bench_die("could not fork");
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        answer(lines, rounds + unmeasured);
        _exit(0);
    }
    bench_pin(0);
    before = bench_now_ns();
    for (uint64_t i = 1; i <= rounds + unmeasured; i++) {
        atomic_store_explicit(&lines->ping, i, memory_order_release);
        while (atomic_load_explicit(&lines->pong, memory_order_acquire) != i)
            ;
        now = bench_now_ns();
        if (i > unmeasured)
            bench_arrivals_add(&arrivals, now - (now - before) / 2, now);
        before = now;
    }
    waitpid(child, NULL, 0);
    bench_arrivals_print(&arrivals);
    return 0;
}
