/* former.h: the segments that were replaced because the configuration asked for another geometry: what is left in them
 * is published, and their counters are carried over, until no writer can write into them any more. There is more than
 * one when the geometry changes again before an idle writer has made its next call.
 *
 * Used by the loop's thread only.
 */
#ifndef SHMGATE_FORMER_H
#define SHMGATE_FORMER_H

#include "publish/outward.h"

struct former;

/* Take up `olds`, which segment_serve gave (SEGMENT_OLD_MAX, the oldest first); borrowed for the life of the former, as
 * is `present`, the segment that they led to. What is left in them is published as their own descriptors say: the
 * configuration has moved on. *out stays NULL when there is none. On success *out must be given to former_destroy.
 * -ENOMEM. */
int former_create(struct former **out, struct segment *olds, const struct segment *present,
                  const struct outward_channel *channels, struct flight *flight, struct backlog *backlog,
                  outward_send send, void *context);
void former_destroy(struct former *former);

/* Collect and send, the oldest segment first. A writer's messages in one come before its messages in the next, so
 * nothing of a later segment is sent before the earlier ones are empty. Returns whether anything was sent. */
int former_pump(struct former *former);

/* Move what channels with a spool have in them to the disk: the link is down, or we are about to stop. A batch of each.
 * Returns whether any was moved. */
int former_take(struct former *former);

/* The counts of the spool have changed. */
void former_spool_changed(struct former *former);

/* Whether all that is in them so far has been published: 1 or 0. Until then nothing of the present segment may be sent,
 * for the same reason. */
int former_drained(const struct former *former);

/* Write their ledgers, and carry each channel's counters over into the channel of the same name in the next segment. */
void former_settle(struct former *former);

/* Take away the segments, from the oldest on, that are drained and whose lanes no writer holds. Makes a system call a
 * lane. Returns 1 when none is left: the former can be destroyed. */
int former_finish(struct former *former);

#endif
