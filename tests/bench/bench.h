/* bench.h: what the programs of the comparison share: a clock, cores, stamped messages, and latencies as they are
 * reported.
 *
 * Every program does one job, prints one JSON object on a line of standard output and exits with 0; what goes wrong
 * ends it with 1 and the reason on standard error. Receivers print "ready" on a line of its own as soon as nothing sent
 * to them is missed. Single-threaded unless said otherwise.
 */
#ifndef SHMGATE_BENCH_H
#define SHMGATE_BENCH_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define BENCH_MESSAGE \
    64 /* bytes of every message: text without line breaks, so that peers that take lines can carry it */
#define BENCH_QUIET_S 10 /* a receiver that got nothing for so long reports what it has */

/* End the program with the reason on standard error. */
_Noreturn void bench_die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The monotonic clock, which all processes of the machine share. */
uint64_t bench_now_ns(void);

/* Sleep until the monotonic clock reads `at_ns`. */
void bench_sleep_until(uint64_t at_ns);

/* Keep this process on one core; a machine that does not have it keeps it on one that it has. */
void bench_pin(unsigned core);

/* The number in argument `index`, or the end of the program with `usage`. */
uint64_t bench_argument(int argc, char **argv, int index, const char *usage);

/* Zeroed memory that forked children share. */
void *bench_shared(size_t size);

/* Tell the driver that the receiver listens. */
void bench_ready(void);

/* Write message `number`, stamped with the present time, into BENCH_MESSAGE bytes. */
void bench_message_fill(char *message, uint64_t number);

/* The time in a message; 0 when it is none of ours. */
uint64_t bench_message_time(const char *message, size_t size);

/* What a receiver saw. */
struct bench_arrivals {
    uint64_t *latency_ns;
    size_t count, capacity;
    uint64_t first_ns, last_ns;
};

void bench_arrivals_init(struct bench_arrivals *arrivals, size_t capacity);

/* Add a message sent at `sent_ns` that came at `now_ns`. What is above the capacity is left out. */
void bench_arrivals_add(struct bench_arrivals *arrivals, uint64_t sent_ns, uint64_t now_ns);

/* Print {"count", "rate", "p50", "p99", "p999", "max", "quantiles"}: rate in messages a second from the first arrival
 * to the last, latencies in nanoseconds, quantiles as pairs of part and latency, evenly but for the tail. Sorts what it
 * has. */
void bench_arrivals_print(struct bench_arrivals *arrivals);

#endif
