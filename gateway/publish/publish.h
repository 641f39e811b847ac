/* publish.h: the publisher's side as the loop sees it: from the lanes of the segments and from the spool to the sender,
 * and the ledgers.
 *
 *      lane.h               a lane of a ring, of the present segment or of one that was replaced, as a source; its
 * ledger replay.h             a stream of the spool as a source sender.h             from the sources to the transport
 *      publish_spill.c      from the rings to the spool
 *      retired_segments.h   segments that were replaced, until they are drained
 *
 * For the loop's thread only. Nothing here waits, but for the disk when messages are moved to the spool or read from
 * it.
 */
#ifndef SHMGATE_PUBLISH_H
#define SHMGATE_PUBLISH_H

#include <stddef.h>
#include <stdint.h>

#include "publish/sender.h"
#include "publish/source.h"
#include "shm/segment.h"
#include "spool/spool.h"

struct publish;

/* What it works with; everything is borrowed and outlives the publish. */
struct publish_options {
    struct segment *segment;
    struct segment_list *olds;              /* those that were replaced; NULL: none */
    const struct publish_channel *channels; /* one a channel of the segment; those of subscribe channels are not looked
                                               at */
    struct spool *spool;                    /* NULL: none */
    struct sender *sender;
    int created; /* 1: the segment was made just now, and is the only one */
};

/* Take up the lanes where their ledgers, and the spool's, say. On success *out must be given to publish_destroy.
 * -ENOMEM. */
int publish_create(struct publish **out, const struct publish_options *options);
void publish_destroy(struct publish *publish);

/* Take the lanes' word that they have news, and wake the readers of their channels. Returns whether there was any. */
int publish_poll_dirty(struct publish *publish);

/* Look at every lane, whether it left word or not. */
void publish_ready_all(struct publish *publish);

/* Move messages to the spool: of lanes whose ring is filling up, and of channels that always spool. A batch at a time;
 * blocks on the disk until it holds them. Returns whether any was moved. */
int publish_spill(struct publish *publish);

/* From now on move all that channels with a spool have waiting, however little: the link is down, or we are about to
 * stop. */
void publish_spill_all(struct publish *publish);

/* The counts or the state of the spool have changed. */
void publish_spool_changed(struct publish *publish);

/* Show the latencies in the segment; `clear`: begin to count anew afterwards. */
void publish_show_latency(struct publish *publish, int clear);

/* Write the changed ledgers into the segments. Returns a bit mask of the drop reasons that grew since the last call. */
unsigned publish_flush_ledgers(struct publish *publish);

/* Look for tails that another program has overwritten, and mark their lanes: with overflow = reject a writer would find
 * its ring full for ever. Bounded: one look a lane. */
void publish_check_tails(struct publish *publish);

/* Whether replaced segments are still being drained: 1 or 0. */
int publish_has_retired(const struct publish *publish);

/* Take away the replaced segments, from the oldest on, that are drained and that no writer holds. Makes a system call a
 * lane. Returns 1 when the last one has gone. */
int publish_finish_retired(struct publish *publish);

/* Whether everything written into the present segment so far has been sent and accounted for: 1 or 0. */
int publish_is_drained(const struct publish *publish);

#endif
