/* metrics_text.h: the counters of a segment as Prometheus text (exposition format 0.0.4). */
#ifndef SHMGATE_METRICS_TEXT_H
#define SHMGATE_METRICS_TEXT_H

#include <stdint.h>

#include "shm/segment.h"

/* What the segment does not know. */
struct metrics_facts {
    const char *segment; /* its name */
    const char *version; /* of the gateway */
    uint64_t start_ns;   /* Unix time at which the process began */
    unsigned set_aside;  /* damaged segments that were set aside since then */
};

/* Write all families into *text, which is then the caller's to free; *size is its length without the NUL. Whatever the
 * segment holds, the text is valid UTF-8 and a label cannot end before its end. Reads shared memory without a lock: any
 * thread may do it, while the gateway writes. It takes some microseconds a lane and does not block. -ENOMEM. */
int metrics_text_make(const struct segment *segment, const struct metrics_facts *facts, char **text, size_t *size);

#endif
