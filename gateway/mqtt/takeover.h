/* takeover.h: whether another client seems to have our client_id. A broker then takes the session from one to give it
 * to the other (MQTT 5, 3.1.4; 3.1.1, 3.1.4), and both come back again and again. Pure, no clock.
 */
#ifndef SHMGATE_TAKEOVER_H
#define SHMGATE_TAKEOVER_H

#include <stdint.h>

#define TAKEOVER_REASON 0x8e /* MQTT 5, table 2-6: session taken over */

/* All zero at the beginning. Times in milliseconds of one monotonic clock. */
struct takeover {
    uint64_t last_ms; /* of the last loss that counted */
    unsigned count;   /* losses that counted, one after the other */
    int told;
};

enum takeover_news {
    TAKEOVER_NO,
    TAKEOVER_LIKELY,  /* connections are closed without a reason right after they were made, again and again */
    TAKEOVER_CERTAIN, /* the broker has said so, more than once */
};

/* A connection that held for held_ms was lost; `reason` is what the broker said of it, 0: nothing. Returns what is to
 * be told now; each time of trouble once. */
enum takeover_news takeover_lost(struct takeover *takeover, int reason, uint64_t held_ms, uint64_t now_ms);

#endif
