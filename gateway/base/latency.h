/* latency.h: how long things took, as a histogram from which percentiles are read. Pure arithmetic: no clock, no input
 * or output.
 *
 * Buckets are log-linear, 16 for each power of two of microseconds, as in G. Tene's HdrHistogram: a percentile is at
 * most 1/16 too high, and a histogram of everything from a microsecond to an hour fits 2 KiB.
 */
#ifndef SHMGATE_LATENCY_H
#define SHMGATE_LATENCY_H

#include <stdint.h>

#define LATENCY_SUB_BITS 4  /* 16 buckets a power of two */
#define LATENCY_BUCKETS 512 /* up to 2^35 us, some nine hours; longer ones count as that */

struct latency {
    uint32_t counts[LATENCY_BUCKETS];
    uint64_t total, max_us;
};

/* What a histogram amounts to, in microseconds; all 0 when nothing was counted. */
struct latency_summary {
    uint32_t p50_us, p99_us, p999_us, max_us;
};

/* Count a duration `times` times; a negative one (the clock was set back) is left out. */
void latency_add(struct latency *latency, int64_t duration_ns, uint32_t times);

/* Count nothing again. */
void latency_clear(struct latency *latency);

void latency_summarise(const struct latency *latency, struct latency_summary *summary);

#endif
