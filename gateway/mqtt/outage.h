/* outage.h: which reasons of an outage have been told: each different one once, and not endlessly many. Pure, no clock.
 */
#ifndef SHMGATE_OUTAGE_H
#define SHMGATE_OUTAGE_H

#include <stddef.h>
#include <stdint.h>

#define OUTAGE_REASONS 16 /* told of one outage: more is a flood */

/* All zero: no outage yet. */
struct outage {
    uint64_t seen[OUTAGE_REASONS];
    unsigned count;
};

enum outage_news {
    OUTAGE_KNOWN, /* told already, or too many have been */
    OUTAGE_FIRST, /* the first one of the outage */
    OUTAGE_OTHER, /* not yet told */
    OUTAGE_LAST,  /* not yet told, and the last one that will be */
};

/* Remember why an attempt at URI number `uri` failed. Numbers in the text, such as a time, make no other reason of it;
 * the code does. */
enum outage_news outage_add(struct outage *outage, size_t uri, int code, const char *text);

#endif
