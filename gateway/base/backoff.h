/* backoff.h: when to try to connect next, and to which of several URIs. Pure arithmetic: no clock, no input or output.
 *
 * All URIs of a round are tried one right after the other, in order; between rounds lies a wait with decorrelated
 * jitter: wait = random between base and min(cap, 3 * the wait before) (after M. Brooker, "Exponential Backoff And
 * Jitter", AWS Architecture Blog, 2015; there the cap is taken after the draw, and most waits end up at the cap, in
 * step), so that many gateways that lost the same broker do not come back all at once. The wait starts small again only
 * after a connection that held for a while: a broker that accepts and then kicks is not stormed.
 */
#ifndef SHMGATE_BACKOFF_H
#define SHMGATE_BACKOFF_H

#include <stdint.h>

/* How long waits are: base_ms at least 1 and at most cap_ms. */
struct backoff_pace {
    uint64_t base_ms, cap_ms;
    uint64_t stable_ms; /* a connection that held for so long was a good one */
};

/* Times in milliseconds of one monotonic clock. */
struct backoff {
    struct backoff_pace pace;
    unsigned uri_count;
    unsigned uri;          /* to try next */
    uint64_t wait_ms;      /* the last wait */
    uint64_t connected_ms; /* since when the present connection holds */
    uint64_t random;       /* state of the generator; never 0 */
};

/* uri_count is at least 1; any seed will do. The pace is copied. */
void backoff_init(struct backoff *backoff, const struct backoff_pace *pace, unsigned uri_count, uint64_t seed);

/* Index of the URI to try now. */
unsigned backoff_uri(const struct backoff *backoff);

/* The attempt failed: go on to the next URI. Returns when to try it. */
uint64_t backoff_failed(struct backoff *backoff, uint64_t now_ms);

/* The attempt succeeded. */
void backoff_connected(struct backoff *backoff, uint64_t now_ms);

/* The connection was lost: begin again with the first URI; but one that did not hold for stable_ms counts as a failed
 * attempt, so that a first broker that only kicks does not hide the second. Returns when to try. */
uint64_t backoff_lost(struct backoff *backoff, uint64_t now_ms);

#endif
