/* former.h: the segment that was replaced because the configuration asks for another geometry: what is left in it is published, and its counters
 * are carried over, until no writer can write into it any more.
 *
 * Used by the loop's thread only.
 */
#ifndef SHMGATE_FORMER_H
#define SHMGATE_FORMER_H

#include "outward.h"

struct former;

/* Take up `old`, which segment_serve gave; borrowed for the life of the former. What is left in it is published as its own descriptors say: the
 * configuration has moved on. *out stays NULL when old->base is NULL. On success *out must be given to former_destroy. -ENOMEM. */
int former_create(struct former **out, struct segment *old, struct flight *flight, outward_send send, void *context);
void former_destroy(struct former *former);

/* Collect and send. Returns whether there was anything to do. */
int former_pump(struct former *former);

/* Whether all that is in it so far has been published: 1 or 0. Until then nothing of the present segment may be sent, since a writer's older
 * messages may still be here. */
int former_drained(const struct former *former);

/* Write its ledgers, and carry its channels' counters over into the channels of the same names in `present`. */
void former_settle(struct former *former, const struct segment *present);

/* Whether it is drained and no writer holds a lane of it, so that it can go. Makes a system call a lane. */
int former_finished(const struct former *former);

#endif
