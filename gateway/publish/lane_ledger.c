/* lane_ledger.c: what has become of a lane's messages, and its agreement with the spool. See lane.h. */
#include <assert.h>
#include <errno.h>

#include "publish/lane_internal.h"
#include "publish/publish_internal.h"
#include "shm/counters.h"

void lane_mark_dirty(struct lane *lane)
{
    if (lane->dirty)
        return;
    lane->dirty = 1;
    lane->dirty_next = lane->publish->dirty;
    lane->publish->dirty = lane;
}

void lane_count_dropped(struct lane *lane, enum layout_drop reason, uint64_t count)
{
    if (count == 0)
        return;
    lane->ledger.dropped[reason] += count;
    lane->publish->dropped |= 1u << reason;
}

static uint64_t sum_dropped(const struct ring_ledger *ledger)
{
    uint64_t sum = 0;

    for (int reason = 0; reason < LAYOUT_DROP_SPACE; reason++)
        sum += ledger->dropped[reason];
    return sum;
}

void lane_load_ledger(struct lane *lane)
{
    struct ring_ledger *ledger = &lane->ledger;

    ring_ledger_load_checked(&lane->ring, ledger);
    lane->spool_snapshot = (struct spool_ledger){
        .taken = ledger->taken, .held = ledger->spooled, .delivered = ledger->spool_delivered};
    ledger->delivered -= ledger->spool_delivered;
    for (unsigned kind = 0; kind < LAYOUT_SPOOL_DROPS; kind++) {
        uint64_t *total = &ledger->dropped[counters_spool_drop(kind)];

        lane->spool_snapshot.dropped[kind] = kind == SPOOL_DROP_REFUSED ? ledger->spool_refused : *total;
        *total -= lane->spool_snapshot.dropped[kind];
    }
}

/* The lane's ledger with the spool's part in it. */
static void add_spool(const struct lane *lane, struct ring_ledger *ledger)
{
    const struct spool_ledger *spool = lane->stream ? &lane->stream->ledger : &lane->spool_snapshot;

    *ledger = lane->ledger;
    ledger->spooled = spool->held;
    ledger->delivered += spool->delivered;
    ledger->spool_delivered = spool->delivered;
    ledger->spool_refused = spool->dropped[SPOOL_DROP_REFUSED];
    for (unsigned kind = 0; kind < LAYOUT_SPOOL_DROPS; kind++)
        ledger->dropped[counters_spool_drop(kind)] += spool->dropped[kind];
}

void lane_flush_ledger(struct lane *lane)
{
    struct ring_ledger ledger;

    assert(lane->ledger.tail == lane->ledger.delivered + lane->ledger.taken + sum_dropped(&lane->ledger));
    assert(lane->ledger.tail <= lane->source.next);
    add_spool(lane, &ledger);
    ring_ledger_store(lane->ring.lane, &ledger);
}

/* ---- Agreement with the spool ---- */

/* Make the ledger add up again, after `taken` came from the file: only a damaged segment needs it. */
static void balance(struct lane *lane)
{
    struct ring_ledger *ledger = &lane->ledger;
    uint64_t sum = ledger->delivered + ledger->taken + sum_dropped(ledger), over;

    if (sum <= ledger->tail) {
        lane_count_dropped(lane, LAYOUT_DROP_CORRUPT, ledger->tail - sum);
        return;
    }
    over = sum - ledger->tail;
    for (int reason = LAYOUT_DROP_SPACE - 1; reason >= 0 && over > 0; reason--) {
        uint64_t less = ledger->dropped[reason] < over ? ledger->dropped[reason] : over;

        ledger->dropped[reason] -= less;
        over -= less;
    }
    if (over > ledger->delivered) {
        /* The file knows of more than the lane ever had. */
        ledger->tail += over - ledger->delivered;
        over = ledger->delivered;
    }
    ledger->delivered -= over;
}

/* The file holds more than the ledger knows: the commit was the last that a killed gateway did. */
static void catch_up(struct lane *lane)
{
    const struct spool_ledger *spool = &lane->stream->ledger;
    uint64_t taken = spool->taken - lane->ledger.taken, moved;

    if (spool->next > lane->ledger.tail) {
        moved = spool->next - lane->ledger.tail;
        lane->ledger.tail = spool->next;
        /* What the batch stepped over was not there any more. */
        if (moved > taken)
            lane_count_dropped(lane, LAYOUT_DROP_OVERWRITTEN, moved - taken);
    }
    lane->ledger.taken = spool->taken;
    balance(lane);
    if (lane->source.next < lane->ledger.tail)
        lane->source.next = lane->ledger.tail;
}

/* The lane's stream; made when the lane has, or may come to have, something in the spool. NULL: there is none. */
static struct spool_stream *find_stream(const struct lane *lane)
{
    const struct publish_channel *channel = lane->source.channel;
    struct spool *spool = lane->publish->spool;
    struct spool_source source = {.channel = channel->name,
                                  .topic = lane->source.topic,
                                  .boot = replay_boot(lane->publish->replay),
                                  .qos = channel->qos,
                                  .retain = channel->retain,
                                  .source = channel->source,
                                  .generation = lane->source.generation,
                                  .lane = lane->source.lane};

    if (lane->source.topic && (lane->ledger.taken > 0 || channel->spool != PUBLISH_SPOOL_OFF))
        return spool_stream_for(spool, &source);
    return spool_find(spool, source.generation, source.lane);
}

int lane_reconcile_spool(struct lane *lane)
{
    struct spool *spool = lane->publish->spool;

    if (lane->stream && lane->stream->ledger.taken == lane->ledger.taken)
        return 0;
    if (!spool || !spool_ready(spool))
        return lane->stream ? 0 : -EAGAIN;
    if (!lane->stream && !(lane->stream = find_stream(lane)))
        return -EAGAIN;
    if (lane->stream->ledger.taken > lane->ledger.taken)
        catch_up(lane);
    else if (lane->stream->ledger.taken == 0)
        spool_restore(spool, lane->stream, &lane->spool_snapshot, lane->ledger.tail);
    else if (lane->stream->ledger.taken < lane->ledger.taken)
        spool_count_lost(spool, lane->stream, lane->ledger.taken - lane->stream->ledger.taken);
    lane->source.before = replay_source(lane->publish->replay, lane->stream);
    lane_mark_dirty(lane);
    return 0;
}
