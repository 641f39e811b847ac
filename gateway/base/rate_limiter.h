/* rate_limiter.h: how many messages a second may pass: a token bucket. Pure arithmetic: no clock, no input or output.
 *
 * The bucket holds one second's worth of messages and is full at the beginning, so that a burst of that size passes at
 * once. In any span of S seconds no more than (S + 1) * rate messages pass.
 */
#ifndef SHMGATE_RATE_LIMITER_H
#define SHMGATE_RATE_LIMITER_H

#include <stdint.h>

#define RATE_LIMITER_MAX UINT32_C(1000000) /* messages a second; more than a broker sends on one connection */

/* Times in nanoseconds of one monotonic clock. */
struct rate_limiter {
    uint64_t per_second; /* 0: no limit */
    uint64_t credit;     /* billionths of a message: each nanosecond brings per_second of them */
    uint64_t last_ns;    /* when credit was right */
};

/* per_second is at most RATE_LIMITER_MAX. */
void rate_limiter_init(struct rate_limiter *rate, uint32_t per_second, uint64_t now_ns);

/* Whether one more message may pass now: 1, and it is counted; or 0. A clock that goes back counts as one that stands
 * still. */
int rate_limiter_take(struct rate_limiter *rate, uint64_t now_ns);

#endif
