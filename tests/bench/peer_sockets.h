/* peer_sockets.h: a messaging library's pair of blocking ends at the jobs of floor_wake and ours_flow; the library is
 * four functions.
 *
 *   peer_X sleeping COUNT INTERVAL_NS | flow COUNT
 *
 * Two processes, each on a core of its own, over the library's transport between processes, as its guide sets it up.
 * Included by one program for each library. */
#ifndef SHMGATE_BENCH_PEER_SOCKETS_H
#define SHMGATE_BENCH_PEER_SOCKETS_H

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define PEER_LEAD_NS 200000000 /* for the receiver to be there */

/* The library's part. peer_open makes the end that waits (`listens`) or the other; address is unique to the run. All
 * end the program on failure. */
static void peer_open(const char *address, int listens);
static void peer_send(const char *message);
static void peer_receive(char *buffer);
static void peer_close(void);

static void peer_send_all(const char *address, uint64_t count, uint64_t interval_ns)
{
    char message[BENCH_MESSAGE];
    uint64_t at;

    peer_open(address, 0);
    at = bench_now_ns() + PEER_LEAD_NS;
    for (uint64_t i = 0; i < count; i++, at += interval_ns) {
        if (i == 0 || interval_ns > 0)
            bench_sleep_until(at);
        bench_message_fill(message, i);
        peer_send(message);
    }
    peer_close();
}

static int peer_main(int argc, char **argv, const char *usage)
{
    uint64_t count = bench_argument(argc, argv, 2, usage), interval_ns = 0;
    char folder[] = "/tmp/shmgate-bench-XXXXXX", address[100], buffer[BENCH_MESSAGE];
    struct bench_arrivals arrivals;
    pid_t child;

    if (strcmp(argv[1], "sleeping") == 0)
        interval_ns = bench_argument(argc, argv, 3, usage);
    if (!mkdtemp(folder))
        bench_die("could not make a folder");
    snprintf(address, sizeof(address), "ipc://%s/peer", folder);
    bench_arrivals_init(&arrivals, count);
    child = fork();
    if (child < 0)
        bench_die("could not fork");
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        bench_pin(0);
        peer_send_all(address, count, interval_ns);
        _exit(0);
    }
    bench_pin(1);
    peer_open(address, 1);
    while (arrivals.count < count) {
        peer_receive(buffer);
        bench_arrivals_add(&arrivals, bench_message_time(buffer, sizeof(buffer)), bench_now_ns());
    }
    waitpid(child, NULL, 0);
    peer_close();
    unlink(address + strlen("ipc://"));
    rmdir(folder);
    bench_arrivals_print(&arrivals);
    return 0;
}

#endif
