/* floor_wake.c: how long a process that sleeps in sem_wait takes to go on after another process, on another core, has
 * posted.
 *
 *   floor_wake COUNT INTERVAL_NS
 */
#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define USAGE "floor_wake COUNT INTERVAL_NS"
#define LEAD_NS 20000000 /* for the sleeper to be asleep before the first post */

struct meeting {
    sem_t bell;
    _Alignas(128) _Atomic uint64_t sent_ns;
};

static void post(struct meeting *meeting, uint64_t count, uint64_t interval_ns)
{
    uint64_t at = bench_now_ns() + LEAD_NS;

    bench_pin(0);
    for (uint64_t i = 0; i < count; i++, at += interval_ns) {
        bench_sleep_until(at);
        atomic_store(&meeting->sent_ns, bench_now_ns());
        sem_post(&meeting->bell);
    }
}

int main(int argc, char **argv)
{
    uint64_t count = bench_argument(argc, argv, 1, USAGE), interval_ns = bench_argument(argc, argv, 2, USAGE);
    struct meeting *meeting = bench_shared(sizeof(*meeting));
    struct bench_arrivals arrivals;
    pid_t child;

    bench_arrivals_init(&arrivals, count);
    if (sem_init(&meeting->bell, 1, 0) < 0 || (child = fork()) < 0)
        bench_die("could not begin");
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        post(meeting, count, interval_ns);
        _exit(0);
    }
    bench_pin(1);
    while (arrivals.count < count) {
        while (sem_wait(&meeting->bell) < 0 && errno == EINTR)
            ;
        bench_arrivals_add(&arrivals, atomic_load(&meeting->sent_ns), bench_now_ns());
    }
    waitpid(child, NULL, 0);
    bench_arrivals_print(&arrivals);
    return 0;
}
