/* latency.c: how long things took. See latency.h. */
#include "base/latency.h"

#include <assert.h>
#include <string.h>

#define SUB (1u << LATENCY_SUB_BITS)

/* Below 16 us a bucket a microsecond; above, the highest five bits of the number say which bucket. */
static unsigned bucket_of(uint64_t us)
{
    unsigned high, bucket;

    if (us < SUB)
        return (unsigned)us;
    high = 63u - (unsigned)__builtin_clzll(us);
    bucket = (high - LATENCY_SUB_BITS + 1) * SUB + (unsigned)((us >> (high - LATENCY_SUB_BITS)) & (SUB - 1));
    return bucket < LATENCY_BUCKETS ? bucket : LATENCY_BUCKETS - 1;
}

/* The largest number that falls into the bucket. */
static uint64_t top_of(unsigned bucket)
{
    unsigned shift = bucket / SUB;

    if (shift == 0)
        return bucket;
    return ((uint64_t)(SUB + bucket % SUB + 1) << (shift - 1)) - 1;
}

void latency_add(struct latency *latency, int64_t duration_ns, uint32_t times)
{
    uint64_t us = (uint64_t)duration_ns / 1000;

    if (duration_ns < 0)
        return;
    latency->counts[bucket_of(us)] += times;
    latency->total += times;
    if (us > latency->max_us)
        latency->max_us = us;
}

void latency_clear(struct latency *latency)
{
    memset(latency, 0, sizeof(*latency));
}

static uint32_t clip(uint64_t us)
{
    return us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
}

/* The duration that `per_mille` of a thousand do not exceed. */
static uint32_t percentile(const struct latency *latency, unsigned per_mille)
{
    uint64_t wanted = (latency->total * per_mille + 999) / 1000, seen = 0;

    for (unsigned bucket = 0; bucket < LATENCY_BUCKETS; bucket++) {
        seen += latency->counts[bucket];
        if (seen >= wanted)
            return clip(top_of(bucket) < latency->max_us ? top_of(bucket) : latency->max_us);
    }
    assert(seen == latency->total);
    return clip(latency->max_us);
}

void latency_summarise(const struct latency *latency, struct latency_summary *summary)
{
    *summary = (struct latency_summary){0, 0, 0, 0};
    if (latency->total == 0)
        return;
    summary->p50_us = percentile(latency, 500);
    summary->p99_us = percentile(latency, 990);
    summary->p999_us = percentile(latency, 999);
    summary->max_us = clip(latency->max_us);
}
