/* rate_limiter.c: how many messages a second may pass. See rate_limiter.h. */
#include "base/rate_limiter.h"

#define SECOND_NS UINT64_C(1000000000)
#define MESSAGE SECOND_NS /* of credit: what one message costs */

void rate_limiter_init(struct rate_limiter *rate, uint32_t per_second, uint64_t now_ns)
{
    rate->per_second = per_second;
    rate->credit = per_second * MESSAGE;
    rate->last_ns = now_ns;
}

int rate_limiter_take(struct rate_limiter *rate, uint64_t now_ns)
{
    uint64_t full = rate->per_second * MESSAGE;
    uint64_t elapsed = now_ns > rate->last_ns ? now_ns - rate->last_ns : 0;

    if (rate->per_second == 0)
        return 1;
    /* A second fills the bucket from empty; with longer spans the product could exceed 64 bits. */
    if (elapsed > SECOND_NS)
        elapsed = SECOND_NS;
    rate->credit += elapsed * rate->per_second;
    if (rate->credit > full)
        rate->credit = full;
    if (now_ns > rate->last_ns)
        rate->last_ns = now_ns;
    if (rate->credit < MESSAGE)
        return 0;
    rate->credit -= MESSAGE;
    return 1;
}
