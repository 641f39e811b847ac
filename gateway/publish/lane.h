/* lane.h: a lane of a ring as a source, and its ledger: what has become of its messages.
 *
 * A lane's messages leave the ring by three ways: delivered, dropped, or taken by the spool. What happens to the last
 * is counted by the spool, in the file, together with the messages themselves; the segment's ledger shows the sum of
 * both. When a gateway starts, the two may differ by what a killed one had committed to the file and not yet written
 * into the segment: the file is right.
 *
 * The numbers of a lane hold: tail <= next, and what is in flight lies between them, but for messages that the spool
 * took while they flew.
 *
 * For the loop's thread only.
 */
#ifndef SHMGATE_LANE_H
#define SHMGATE_LANE_H

#include "publish/source.h"
#include "shm/segment.h"
#include "spool/spool.h"

struct publish;

/* What a batch for the spool will do to the lane's ledger once it is on the disk. */
struct lane_batch {
    uint64_t tail, taken, overwritten, corrupt;
    int had_unsent; /* 1: the stream had unsent messages before */
};

struct lane {
    struct source source;
    struct publish *publish;
    struct segment *segment;
    struct ring ring;
    char *own_topic; /* with its number in it; NULL: the channel's is good for all */
    /* The ring's part: tail = delivered + taken + sum of dropped. The spool's part is added when it is stored. */
    struct ring_ledger ledger;
    struct spool_stream *stream; /* of the spool; NULL: nothing of this lane ever went there, or the spool cannot be
                                    read */
    struct spool_ledger spool_snapshot; /* the spool's part as a former gateway stored it, for as long as there is no
                                           stream */
    struct lane_batch batch;
    struct lane *dirty_next;
    unsigned char dirty;         /* 1: in the list of lanes whose ledger has changed */
    unsigned char spill_pending; /* 1: in the list of lanes that may have something for the spool */
    unsigned char spill_force;   /* 1: whatever it has goes to the spool */
};

/* What a lane is made of. */
struct lane_options {
    struct publish *publish;
    struct segment *segment;
    uint32_t number; /* in the segment */
    const struct publish_channel *channel;
    struct source_group *group;
    struct publish_latency *latency; /* NULL: not measured */
    int is_retired;                  /* 1: of a segment that was replaced */
};

/* Take the lane up where its ledger and the spool say. On success *lane, which must stay where it is, must be given to
 * lane_end. 0 or -ENOMEM. */
int lane_start(struct lane *lane, const struct lane_options *options);
void lane_end(struct lane *lane);

/* Something may have been written: to be sent, and perhaps to be spooled. */
void lane_ready(struct lane *lane);

/* Behind the last message of the lane, as far as its head can be believed; at least lane->source.next. Bounded. */
uint64_t lane_head(const struct lane *lane);

/* Whether all that was written has been sent and accounted for: 1 or 0. */
int lane_is_drained(const struct lane *lane);

/* The ledger has changed: the next flush stores it. */
void lane_mark_dirty(struct lane *lane);
void lane_count_dropped(struct lane *lane, enum layout_drop reason, uint64_t count);

/* Store the ledger, with the spool's part in it. */
void lane_flush_ledger(struct lane *lane);

/* Find the lane's stream in the spool, and bring the ledger up to what it says: a gateway may have been killed between
 * the disk's commit and the ledger's. Returns 0, or -EAGAIN while the spool cannot be read. */
int lane_reconcile_spool(struct lane *lane);

#endif
