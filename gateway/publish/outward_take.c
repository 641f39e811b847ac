/* outward_take.c: from the rings to the spool, before they run over. See outward.h.
 *
 * A batch:
 *   1. messages are read from the lanes, from their tails on, and given to the spool; each lane notes what that will
 * mean for its ledger
 *   2. the spool commits: they are on the disk
 *   3. the lanes' ledgers take the note over, and the next settle gives the slots back
 * Messages in flight are taken too: a link that hangs must not make the ring run over behind them. Their answers are
 * passed on (outward.c). When the commit fails, the notes are thrown away and everything is as it was.
 */
#include <errno.h>
#include <string.h>

#include "publish/outward_lane.h"
#include "shm/platform.h"

/* A batch: large enough that a sync, some milliseconds on flash, is shared by many messages; small enough that the loop
 * is back soon. */
#define BATCH_MESSAGES 2048
#define BATCH_BYTES (1 << 20)

struct batch {
    uint64_t now_ns;
    size_t messages, bytes;
};

static int is_full(const struct batch *batch)
{
    return batch->messages >= BATCH_MESSAGES || batch->bytes >= BATCH_BYTES;
}

/* Whether the lane has something that should be on the disk. */
static int wants_spool(const struct lane *lane)
{
    const struct outward *outward = lane->outward;
    uint64_t head = ring_head(&lane->ring), waiting = head > lane->ledger.tail ? head - lane->ledger.tail : 0;

    if (lane->take_all || outward->channels[lane->channel].spool == OUTWARD_SPOOL_ALWAYS)
        return waiting > 0;
    /* Half: the other half is for what is written while the batch is on its way to the disk. */
    return waiting > (lane->ring.mask + 1) / 2;
}

/* Take one message. Returns 1 to go on, 0 when the lane has no more now, -errno when the batch is lost. */
static int take_next(struct lane *lane, struct batch *batch)
{
    struct outward *outward = lane->outward;
    struct lane_batch *note = &lane->batch;
    struct ring_message message;
    struct spool_message to;
    int rc = ring_read(&lane->ring, note->tail, &message, outward->frame.bytes, outward->frame.capacity, NULL);

    if (rc == -EAGAIN) {
        if (ring_check_damage(&lane->ring, note->tail) != -EBADMSG)
            return 0;
        note->corrupt++;
        note->tail++;
        return 1;
    }
    if (rc == -ESTALE) {
        uint64_t next = ring_resync(&lane->ring, note->tail);

        note->overwritten += next - note->tail;
        note->tail = next;
        return 1;
    }
    if (rc < 0) {
        note->corrupt++;
        note->tail++;
        return 1;
    }
    to = (struct spool_message){
        .sequence = note->tail, .time_ns = message.time_ns, .payload = message.payload, .size = message.size};
    rc = spool_take(outward->spool, lane->stream, &to, batch->now_ns);
    /* Out of order, which only a damaged segment is: it is not for the spool. */
    if (rc == -EINVAL)
        return 0;
    if (rc < 0)
        return rc;
    note->taken++;
    note->tail++;
    batch->messages++;
    batch->bytes += message.size;
    return 1;
}

static int take_lane(struct lane *lane, struct batch *batch)
{
    uint64_t end = ring_head(&lane->ring);
    int rc = 1;

    lane->batch = (struct lane_batch){.tail = lane->ledger.tail};
    if (lane_meet_spool(lane) < 0)
        return -EAGAIN;
    lane->batch.tail = lane->ledger.tail;
    while (rc > 0 && !is_full(batch) && lane->batch.tail < end)
        rc = take_next(lane, batch);
    return rc < 0 ? rc : 0;
}

/* The lane's part of the batch is on the disk. */
static void apply(struct lane *lane, int had_unsent)
{
    const struct lane_batch *note = &lane->batch;

    if (note->tail == lane->ledger.tail)
        return;
    lane->ledger.tail = note->tail;
    lane->ledger.taken += note->taken;
    lane_count_dropped(lane, LAYOUT_DROP_OVERWRITTEN, note->overwritten);
    lane_count_dropped(lane, LAYOUT_DROP_CORRUPT, note->corrupt);
    /* What flies from the ring need not be sent from the spool, too. */
    if (!had_unsent && lane->next > 0)
        backlog_skip(lane->outward->backlog, lane->stream, lane->next);
    if (lane->next < lane->ledger.tail)
        lane->next = lane->ledger.tail;
    lane_changed(lane);
}

/* Forget the lanes that have nothing more for the spool. */
static void keep_wanting(struct outward *outward)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < outward->news_count; i++) {
        struct lane *lane = &outward->lanes[outward->news[i]];

        if (wants_spool(lane)) {
            outward->news[kept++] = outward->news[i];
            continue;
        }
        lane->news = 0;
        lane->take_all = 0;
    }
    outward->news_count = kept;
}

int outward_take(struct outward *outward)
{
    struct batch batch = {.now_ns = platform_time_ns()};
    uint32_t lanes = 0;
    int rc = 0;

    if (!outward->spool || outward->news_count == 0)
        return 0;
    keep_wanting(outward);
    while (rc == 0 && lanes < outward->news_count && !is_full(&batch))
        rc = take_lane(&outward->lanes[outward->news[lanes++]], &batch);
    if (rc < 0 || batch.messages == 0) {
        spool_abandon(outward->spool);
        return 0;
    }
    for (uint32_t i = 0; i < lanes; i++) {
        struct lane *lane = &outward->lanes[outward->news[i]];

        /* Noted before the commit: afterwards the batch's own messages count as unsent. */
        lane->batch.had_unsent = backlog_unsent(lane->stream);
    }
    if (spool_commit(outward->spool) < 0)
        return 0;
    for (uint32_t i = 0; i < lanes; i++) {
        struct lane *lane = &outward->lanes[outward->news[i]];

        apply(lane, lane->batch.had_unsent);
    }
    /* The next batch begins with another lane. */
    for (uint32_t i = 0; i + lanes < outward->news_count; i++) {
        uint32_t other = outward->news[i];

        outward->news[i] = outward->news[i + lanes];
        outward->news[i + lanes] = other;
    }
    return 1;
}

void outward_take_all(struct outward *outward)
{
    const struct layout *layout = &outward->segment->layout;

    for (uint32_t i = 0; i < layout->lane_count; i++) {
        struct lane *lane = &outward->lanes[i];

        if (layout->channels[layout->lane_channel[i]].direction != LAYOUT_PUBLISH ||
            ring_head(&lane->ring) <= lane->ledger.tail)
            continue;
        lane_has_news(lane);
        lane->take_all = lane->news;
    }
}

void outward_spool_changed(struct outward *outward)
{
    const struct layout *layout = &outward->segment->layout;

    for (uint32_t i = 0; i < layout->lane_count; i++) {
        if (layout->channels[layout->lane_channel[i]].direction != LAYOUT_PUBLISH)
            continue;
        if (outward->lanes[i].stream)
            lane_changed(&outward->lanes[i]);
    }
}
