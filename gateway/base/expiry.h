/* expiry.h: until when a message from the broker is good. Pure arithmetic: no clock, no input or output.
 *
 * Times are Unix times in nanoseconds. What a message says of itself is hostile until it has passed here.
 */
#ifndef SHMGATE_EXPIRY_H
#define SHMGATE_EXPIRY_H

#include <stddef.h>
#include <stdint.h>

#define EXPIRY_TIME_PROPERTY \
    "shmgate-time" /* user property (MQTT 5, 3.3.2.3.7) in which a publisher says when it made the message */

/* Understand the text of EXPIRY_TIME_PROPERTY: Unix seconds in decimal, with or without a fraction ("1700000000.25").
 * Digits behind the ninth of a fraction are cut off. Returns 0; -EINVAL when it is anything else, or beyond the range
 * of *time_ns, which is then unchanged. */
int expiry_parse_time(const char *text, size_t size, uint64_t *time_ns);

/* What is known of a message's age. */
struct expiry {
    uint64_t arrival_ns; /* when it came to the gateway */
    uint64_t made_ns;    /* when its publisher made it, as it says; 0: it does not say */
    int expires;         /* 1: it came with a message expiry interval (MQTT 5, 3.3.2.3.3) */
    uint32_t expiry_s;   /* what the broker left of that */
};

/* How long from its arrival on the message is good, in nanoseconds, by its own expiry interval or by max_age_ms (0: no
 * limit), whichever is less; 0: it is too old on arrival. A span and no time, as the clock may be set meanwhile. A
 * publisher's clock ahead of ours makes a message no younger than just made. */
#define EXPIRY_NEVER UINT64_MAX
uint64_t expiry_left_ns(const struct expiry *age, uint64_t max_age_ms);

#endif
