/* backlog.h: from the spool to the broker: each stream in order, beside what is sent from the rings.
 *
 * Streams of earlier segments (of before a reboot, or of another geometry) go first, one generation after the other;
 * then those of the present segment's lanes, in turns. A channel's new messages wait for its backlog, unless the
 * channel says live-first. The backlog never has all of the window: a quarter is left for messages that need not wait;
 * of a live-first channel's own backlog only a quarter flies.
 *
 * Used by the loop's thread only.
 */
#ifndef SHMGATE_BACKLOG_H
#define SHMGATE_BACKLOG_H

#include "publish/flight.h"
#include "publish/outward.h"
#include "spool/spool.h"

struct backlog;

/* Take up what `spool` (borrowed, as everything else) holds. `channels` are those of `present`; `olds` are the
 * SEGMENT_OLD_MAX segments that are still being drained, the oldest first, unused ones with base NULL; `created`: the
 * present one was made just now, and is the only one. Brings the segments' counters into agreement with the file, now
 * or when it can be read. On success *out must be given to backlog_destroy. -ENOMEM. */
int backlog_create(struct backlog **out, struct spool *spool, const struct segment *present,
                   const struct outward_channel *channels, const struct segment *olds, int created,
                   struct flight *flight, outward_send send, void *context);
void backlog_destroy(struct backlog *backlog);

struct spool *backlog_spool(const struct backlog *backlog);

/* This boot of the machine (random(4), boot_id). */
const char *backlog_boot(const struct backlog *backlog);

/* Send what may be sent: of earlier segments, or of all. Returns the number of messages handed over, or -EAGAIN when
 * the client takes no more now. */
int backlog_pump_earlier(struct backlog *backlog);
int backlog_pump(struct backlog *backlog);

/* Whether as much of the backlog flies as may: 1 or 0. */
int backlog_is_full(const struct backlog *backlog);

/* Whether all of earlier segments has been sent, though perhaps not answered: 1 or 0. Also 1 while the spool cannot be
 * drained: it holds nobody up. */
int backlog_earlier_sent(struct backlog *backlog);

/* Whether a channel's lane with that stream (NULL: none) has messages in the spool, or its channel has from earlier
 * segments, that have not been sent. 0 while the spool cannot be drained. */
int backlog_before(const struct backlog *backlog, const char *channel, const struct spool_stream *stream);

/* Whether the stream has messages that have not been sent. */
int backlog_unsent(const struct spool_stream *stream);

/* Messages of the stream below `next` were taken from a ring while they were in flight from there: they need not be
 * sent, if there was nothing unsent before them. */
void backlog_skip(struct backlog *backlog, struct spool_stream *stream, uint64_t next);

/* `count` such messages have been answered: delivered, refused, or to be sent again, with all behind them. */
void backlog_answer(struct backlog *backlog, struct spool_stream *stream, uint64_t sequence, uint32_t count,
                    enum flight_answer answer);

/* Bring the counters that the present segment shows for earlier segments' messages up to what the spool says, and the
 * spool's state. */
void backlog_settle(struct backlog *backlog);

#endif
