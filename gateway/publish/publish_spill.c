/* publish_spill.c: from the rings to the spool, before they run over. See publish.h.
 *
 * A batch:
 *   1. messages are read from the lanes, from their tails on, and given to the spool; each lane notes what that will
 * mean for its ledger
 *   2. the spool commits: they are on the disk
 *   3. the lanes' ledgers take the note over, and the next flush gives the slots back
 * Messages in flight are taken too: a link that hangs must not make the ring run over behind them. Their answers are
 * passed on (lane.c). When the commit fails, the notes are thrown away and everything is as it was. A lane that cannot
 * be spooled now is left out; the others are not.
 */
#include <errno.h>
#include <string.h>

#include "publish/publish_internal.h"
#include "shm/platform.h"

/* A batch: large enough that a sync, some milliseconds on flash, is shared by many messages; small enough that the loop
 * is back soon. */
#define BATCH_MESSAGES 2048
#define BATCH_STEPS (4 * BATCH_MESSAGES) /* what is damaged or overwritten costs steps, too */
#define BATCH_BYTES (1 << 20)

struct spill_batch {
    uint64_t now_ns;
    size_t messages, steps, bytes;
    void *memory; /* room for the largest payload */
    size_t size;
};

static int batch_is_full(const struct spill_batch *batch)
{
    return batch->messages >= BATCH_MESSAGES || batch->steps >= BATCH_STEPS || batch->bytes >= BATCH_BYTES;
}

void publish_spill_pending(struct lane *lane)
{
    struct publish *publish = lane->publish;

    /* Without a topic it could never be sent from there either: the sender drops it. */
    if (lane->spill_pending || !publish->spool || lane->source.channel->spool == PUBLISH_SPOOL_OFF ||
        !lane->source.topic)
        return;
    lane->spill_pending = 1;
    publish->spill[publish->spill_count++] = lane;
}

/* Messages from the tail on. */
static uint64_t count_waiting(const struct lane *lane)
{
    return lane_head(lane) - lane->ledger.tail;
}

/* Whether the lane has something that should be on the disk. */
static int wants_spill(const struct lane *lane)
{
    if (lane->spill_force || lane->source.channel->spool == PUBLISH_SPOOL_ALWAYS)
        return count_waiting(lane) > 0;
    /* Half: the other half is for what is written while the batch is on its way to the disk. */
    return count_waiting(lane) > (lane->ring.mask + 1) / 2;
}

/* Step over a message that cannot be read, for the reason `rc`. Returns 1; 0: there is nothing to be read. */
static int spill_skip(struct lane *lane, int rc)
{
    struct lane_batch *note = &lane->batch;
    uint64_t next;

    if (rc == -EAGAIN && ring_check_damage(&lane->ring, note->tail) != -EBADMSG)
        return 0;
    if (rc == -ESTALE) {
        next = ring_resync(&lane->ring, note->tail);
        note->overwritten += next - note->tail;
        note->tail = next;
        return 1;
    }
    note->corrupt++;
    note->tail++;
    return 1;
}

/* Take one message. Returns 1 to go on, 0 when the lane has no more now, -errno when the batch is lost. */
static int spill_message(struct lane *lane, struct spill_batch *batch)
{
    struct lane_batch *note = &lane->batch;
    struct ring_message message;
    struct spool_message to;
    int rc = ring_read(&lane->ring, note->tail, &message, &(struct ring_space){batch->memory, batch->size, NULL});

    batch->steps++;
    if (rc < 0)
        return spill_skip(lane, rc);
    to = (struct spool_message){
        .sequence = note->tail, .time_ns = message.time_ns, .payload = message.payload, .size = message.size};
    rc = spool_take(lane->publish->spool, lane->stream, &to, batch->now_ns);
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

static int spill_lane(struct lane *lane, struct spill_batch *batch)
{
    uint64_t end;
    int rc = 1;

    lane->batch = (struct lane_batch){.tail = lane->ledger.tail};
    if (lane_reconcile_spool(lane) < 0)
        return 0;
    lane->batch.tail = lane->ledger.tail;
    end = lane_head(lane);
    while (rc > 0 && !batch_is_full(batch) && lane->batch.tail < end)
        rc = spill_message(lane, batch);
    return rc < 0 ? rc : 0;
}

/* The lane's part of the batch is on the disk. Returns whether there was one. */
static int apply_batch(struct lane *lane)
{
    const struct lane_batch *note = &lane->batch;

    if (note->tail == lane->ledger.tail)
        return 0;
    lane->ledger.tail = note->tail;
    lane->ledger.taken += note->taken;
    lane_count_dropped(lane, LAYOUT_DROP_OVERWRITTEN, note->overwritten);
    lane_count_dropped(lane, LAYOUT_DROP_CORRUPT, note->corrupt);
    /* What flies from the ring need not be sent from the spool, too. */
    if (!note->had_unsent && lane->source.next > 0)
        replay_skip(lane->publish->replay, lane->stream, lane->source.next);
    if (lane->source.next < lane->ledger.tail)
        lane->source.next = lane->ledger.tail;
    replay_ready(lane->publish->replay, lane->stream);
    lane_mark_dirty(lane);
    return 1;
}

/* Forget the lanes that have nothing more for the spool. */
static void keep_wanting(struct publish *publish)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < publish->spill_count; i++) {
        struct lane *lane = publish->spill[i];

        if (wants_spill(lane)) {
            publish->spill[kept++] = lane;
            continue;
        }
        lane->spill_pending = 0;
        lane->spill_force = 0;
    }
    publish->spill_count = kept;
}

/* The next batch begins with another lane. */
static void rotate_pending(struct publish *publish, uint32_t lanes)
{
    for (uint32_t i = 0; i + lanes < publish->spill_count; i++) {
        struct lane *other = publish->spill[i];

        publish->spill[i] = publish->spill[i + lanes];
        publish->spill[i + lanes] = other;
    }
}

int publish_spill(struct publish *publish)
{
    struct spill_batch batch = {.now_ns = platform_time_ns()};
    uint32_t lanes = 0;
    int rc = 0, moved = 0;

    if (!publish->spool || publish->spill_count == 0)
        return 0;
    keep_wanting(publish);
    batch.memory = sender_scratch(publish->sender, &batch.size);
    while (rc == 0 && lanes < publish->spill_count && !batch_is_full(&batch))
        rc = spill_lane(publish->spill[lanes++], &batch);
    /* Noted before the commit: afterwards the batch's own messages count as unsent. */
    for (uint32_t i = 0; i < lanes; i++)
        publish->spill[i]->batch.had_unsent = replay_is_unsent(publish->spill[i]->stream);
    /* With nothing to take there may still be something to step over. */
    if (rc < 0 || batch.messages == 0)
        spool_abandon(publish->spool);
    else
        rc = spool_commit(publish->spool);
    for (uint32_t i = 0; rc == 0 && i < lanes; i++)
        moved |= apply_batch(publish->spill[i]);
    rotate_pending(publish, lanes);
    return moved;
}

static void force_lanes(struct publish_segment *of)
{
    for (uint32_t i = 0; i < of->segment->layout.lane_count; i++) {
        struct lane *lane = &of->lanes[i];

        if (!publish_has_lane(of->segment, i) || count_waiting(lane) == 0)
            continue;
        publish_spill_pending(lane);
        lane->spill_force = lane->spill_pending;
    }
}

void publish_spill_all(struct publish *publish)
{
    force_lanes(&publish->present);
    if (publish->retired)
        retired_segments_each(publish->retired, force_lanes);
}
