/* replay.h: from the spool to the transport: each stream of the spool as a source (source.h), and the counters of
 * messages whose segment is gone.
 *
 * Streams of earlier segments (of before a reboot, or of another geometry) go first within their channel, one
 * generation after the other; then that of the same lane. A channel's new messages wait for what is replayed, unless
 * the channel says live-first. What is replayed never has all of the window (sender.c).
 *
 * The happy path of a message: the sender reads it from the file and hands it to the transport; its answer tells the
 * spool, which deletes it with the next batch. What can go wrong:
 *   - failed: sending begins again at that message
 *   - dropped by a limit while it is in flight: the spool counted it; the answer then counts nothing
 *   - the gateway is killed anywhere: what the file still has is sent again
 *
 * For the loop's thread only.
 */
#ifndef SHMGATE_REPLAY_H
#define SHMGATE_REPLAY_H

#include "publish/source.h"
#include "shm/segment.h"
#include "spool/spool.h"

struct publish;
struct replay;

/* What it works with; everything is borrowed and outlives the replay. */
struct replay_options {
    struct publish *publish;
    struct spool *spool;
    const struct segment_list *olds; /* those that are still being drained; NULL: none */
    int created;                     /* 1: the present segment was made just now, and is the only one */
};

/* Take up what the spool holds. Brings the segments' counters into agreement with the file, now or when it can be read.
 * On success *out must be given to replay_destroy, before the sender goes. -ENOMEM. */
int replay_create(struct replay **out, const struct replay_options *options);
void replay_destroy(struct replay *replay);

/* This boot of the machine (random(4), boot_id). */
const char *replay_boot(const struct replay *replay);

/* The stream's source; made when there is none. NULL: out of memory. */
struct source *replay_source(struct replay *replay, struct spool_stream *stream);

/* Whether the stream has messages that have not been sent; NULL has none. */
int replay_is_unsent(const struct spool_stream *stream);

/* The stream, or any stream, has something to send, or may have. */
void replay_ready(struct replay *replay, struct spool_stream *stream);
void replay_ready_all(struct replay *replay);

/* Whether there is nothing unsent in any stream of a segment before the present one. */
int replay_earlier_sent(const struct replay *replay);

/* Messages of the stream below `next` were taken from a ring while they were in flight from there: they need not be
 * sent, if there was nothing unsent before them. */
void replay_skip(struct replay *replay, struct spool_stream *stream, uint64_t next);

/* `count` such messages have been answered: delivered, refused, or to be sent again, with all behind them. */
void replay_answer(struct replay *replay, struct spool_stream *stream, uint64_t sequence, uint32_t count,
                   enum inflight_answer answer);

/* Bring the counters that the present segment shows for earlier segments' messages up to what the spool says, and the
 * spool's state. */
void replay_flush(struct replay *replay);

#endif
