/* retired_segments.h: the segments that were replaced because the configuration asked for another geometry: what is
 * left in them is published, and their counters are carried over, until no writer can write into them any more. There
 * is more than one when the geometry changes again before an idle writer has made its next call.
 *
 * Their lanes are sources like any other (lane.h); their order brings them before the lanes of later segments in the
 * same channel. For the loop's thread only.
 */
#ifndef SHMGATE_RETIRED_SEGMENTS_H
#define SHMGATE_RETIRED_SEGMENTS_H

#include "shm/segment.h"

struct publish;
struct publish_segment;
struct retired_segments;

/* Take up `olds`, which segment_serve gave; borrowed. What is left in them is
 * published as their own descriptors say: the configuration has moved on. *out stays NULL when there is none. On
 * success *out must be given to retired_segments_destroy. -ENOMEM. */
int retired_segments_create(struct retired_segments **out, struct publish *publish, struct segment_list *olds);
void retired_segments_destroy(struct retired_segments *retired);

/* Do something with each of them, the oldest first. */
void retired_segments_each(struct retired_segments *retired, void (*act)(struct publish_segment *of));

/* Carry each channel's counters over into the channel of the same name in the next segment. */
void retired_segments_carry(struct retired_segments *retired);

/* Take away those, from the oldest on, that are drained and whose lanes no writer holds. Makes a system call a lane.
 * Returns 1 when none is left. */
int retired_segments_finish(struct retired_segments *retired);

#endif
