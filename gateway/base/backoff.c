/* backoff.c: when to try to connect next. See backoff.h. */
#include "base/backoff.h"

/* xorshift64* (S. Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled", 2016): ample for
 * jitter. */
static uint64_t next_random(struct backoff *backoff)
{
    uint64_t x = backoff->random;

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    backoff->random = x;
    return x * UINT64_C(0x2545f4914f6cdd1d);
}

void backoff_init(struct backoff *backoff, const struct backoff_pace *pace, unsigned uri_count, uint64_t seed)
{
    *backoff = (struct backoff){
        .pace = *pace,
        .uri_count = uri_count,
        .wait_ms = pace->base_ms,
        .random = seed ? seed : 1,
    };
}

unsigned backoff_uri(const struct backoff *backoff)
{
    return backoff->uri;
}

static uint64_t next_wait(struct backoff *backoff)
{
    uint64_t top = 3 * backoff->wait_ms < backoff->pace.cap_ms ? 3 * backoff->wait_ms : backoff->pace.cap_ms;

    backoff->wait_ms = backoff->pace.base_ms + next_random(backoff) % (top - backoff->pace.base_ms + 1);
    return backoff->wait_ms;
}

uint64_t backoff_failed(struct backoff *backoff, uint64_t now_ms)
{
    backoff->uri = (backoff->uri + 1) % backoff->uri_count;
    return backoff->uri == 0 ? now_ms + next_wait(backoff) : now_ms;
}

void backoff_connected(struct backoff *backoff, uint64_t now_ms)
{
    backoff->connected_ms = now_ms;
}

uint64_t backoff_lost(struct backoff *backoff, uint64_t now_ms)
{
    if (now_ms - backoff->connected_ms < backoff->pace.stable_ms)
        return backoff_failed(backoff, now_ms);
    backoff->wait_ms = backoff->pace.base_ms;
    backoff->uri = 0;
    return now_ms + next_wait(backoff);
}
