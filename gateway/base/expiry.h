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

/* When the message becomes too old, by its own expiry interval or by max_age_ms (0: no limit), whichever is earlier; 0:
 * never. It is too old on arrival if that is not above arrival_ns. A publisher's clock ahead of ours makes a message no
 * younger than just made. */
uint64_t expiry_ns(const struct expiry *age, uint64_t max_age_ms);

#endif
