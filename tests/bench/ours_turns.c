/* ours_turns.c: a message goes to and fro between two processes through two channels, each reader spinning on a core of
 * its own.
 *
 *   ours_turns SEGMENT ROUNDS
 *
 * The segment has the publish channels ping and pong. Reports half of each round trip. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "shared_memory.h"

#define USAGE "ours_turns SEGMENT ROUNDS"
#define ATTACH_MS 10000

struct end {
    struct shared_memory_writer *writer;
    struct shared_memory_reader *reader;
};

static struct end open_end(const char *segment, const char *writes, const char *reads)
{
    struct shared_memory *shm;
    struct end end;

    if (shared_memory_attach(&shm, segment, ATTACH_MS) < 0 || shared_memory_writer_open(shm, writes, &end.writer) < 0 ||
        shared_memory_reader_open(shm, reads, SHARED_MEMORY_FROM_NOW, &end.reader) < 0)
        bench_die("%s", shared_memory_error());
    return end;
}

static void send_one(struct end *end, const char *message)
{
    if (shared_memory_writer_write(end->writer, message, BENCH_MESSAGE) < 0)
        bench_die("%s", shared_memory_error());
}

static void receive_one(struct end *end, char *buffer)
{
    struct shared_memory_message message;
    int rc;

    while ((rc = shared_memory_reader_read(end->reader, buffer, BENCH_MESSAGE, &message, 0)) == -EAGAIN)
        ;
    if (rc < 0)
        bench_die("%s", shared_memory_error());
}

static void answer(const char *segment, int ready, uint64_t rounds)
{
    char buffer[BENCH_MESSAGE];
    struct end end = open_end(segment, "pong", "ping");

    bench_pin(1);
    if (write(ready, "r", 1) != 1)
        bench_die("could not say that the answers are ready");
    for (uint64_t i = 0; i < rounds; i++) {
        receive_one(&end, buffer);
        send_one(&end, buffer);
    }
}

int main(int argc, char **argv)
{
    uint64_t rounds = bench_argument(argc, argv, 2, USAGE), before, now;
    uint64_t unmeasured = rounds / 10;
    struct bench_arrivals arrivals;
    char buffer[BENCH_MESSAGE] = "";
    struct end end;
    int ready[2];
    pid_t child;

    bench_arrivals_init(&arrivals, rounds);
    if (pipe(ready) < 0 || (child = fork()) < 0)
        bench_die("could not begin");
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        answer(argv[1], ready[1], rounds + unmeasured);
        _exit(0);
    }
    close(ready[1]);
    end = open_end(argv[1], "ping", "pong");
    if (read(ready[0], buffer, 1) != 1)
        bench_die("the process that answers has ended");
    bench_pin(0);
    before = bench_now_ns();
    for (uint64_t i = 0; i < rounds + unmeasured; i++) {
        send_one(&end, buffer);
        receive_one(&end, buffer);
        now = bench_now_ns();
        if (i >= unmeasured)
            bench_arrivals_add(&arrivals, now - (now - before) / 2, now);
        before = now;
    }
    waitpid(child, NULL, 0);
    bench_arrivals_print(&arrivals);
    return 0;
}
