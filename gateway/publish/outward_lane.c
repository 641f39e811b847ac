/* outward_lane.c: one lane's ledger, and its agreement with the spool. See outward_lane.h.
 *
 * A lane's messages leave the ring by three ways: delivered, dropped, or taken by the spool. What happens to the last
 * is counted by the spool, in the file, together with the messages themselves; the segment's ledger shows the sum of
 * both. When a gateway starts, the two may differ by what a killed one had committed to the file and not yet written
 * into the segment: the file is right.
 */
#include "publish/outward_lane.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config_fill.h"
#include "shm/counters.h"

void lane_changed(struct lane *lane)
{
    struct outward *outward = lane->outward;

    if (lane->unsettled)
        return;
    lane->unsettled = 1;
    outward->unsettled[outward->unsettled_count++] = lane->number;
}

void lane_count_dropped(struct lane *lane, enum layout_drop reason, uint64_t count)
{
    if (count == 0)
        return;
    lane->ledger.dropped[reason] += count;
    lane->outward->dropped |= 1u << reason;
}

/* Take the spool's part out of a ledger as it was stored. */
static void split(struct lane *lane)
{
    struct ring_ledger *ledger = &lane->ledger;

    lane->unread = (struct spool_ledger){
        .taken = ledger->taken, .held = ledger->spooled, .delivered = ledger->spool_delivered};
    ledger->delivered -= ledger->spool_delivered;
    for (unsigned kind = 0; kind < LAYOUT_SPOOL_DROPS; kind++) {
        uint64_t *total = &ledger->dropped[counters_spool_drop(kind)];

        lane->unread.dropped[kind] = kind == SPOOL_DROP_REFUSED ? ledger->spool_refused : *total;
        *total -= lane->unread.dropped[kind];
    }
}

void lane_ledger(const struct lane *lane, struct ring_ledger *ledger)
{
    const struct spool_ledger *spool = lane->stream ? &lane->stream->ledger : &lane->unread;

    *ledger = lane->ledger;
    ledger->spooled = spool->held;
    ledger->delivered += spool->delivered;
    ledger->spool_delivered = spool->delivered;
    ledger->spool_refused = spool->dropped[SPOOL_DROP_REFUSED];
    for (unsigned kind = 0; kind < LAYOUT_SPOOL_DROPS; kind++)
        ledger->dropped[counters_spool_drop(kind)] += spool->dropped[kind];
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
    if (lane->next < lane->ledger.tail)
        lane->next = lane->ledger.tail;
    lane_changed(lane);
}

/* The lane's stream; made when the lane has, or may come to have, something in the spool. NULL: there is none. */
static struct spool_stream *find_stream(const struct lane *lane)
{
    struct outward *outward = lane->outward;
    const struct outward_channel *channel = &outward->channels[lane->channel];
    struct spool_source source = {.channel = channel->name,
                                  .topic = lane_topic(lane),
                                  .boot = backlog_boot(outward->backlog),
                                  .qos = channel->qos,
                                  .retain = channel->retain,
                                  .source = channel->source,
                                  .generation = outward->segment->layout.generation,
                                  .lane = lane->number};

    if (lane->ledger.taken > 0 || channel->spool != OUTWARD_SPOOL_OFF)
        return spool_stream_for(outward->spool, &source);
    return spool_find(outward->spool, source.generation, source.lane);
}

int lane_meet_spool(struct lane *lane)
{
    struct spool *spool = lane->outward->spool;

    if (lane->stream && lane->stream->ledger.taken == lane->ledger.taken)
        return 0;
    if (!spool || !spool_ready(spool))
        return lane->stream ? 0 : -EAGAIN;
    if (!lane->stream && !(lane->stream = find_stream(lane)))
        return -EAGAIN;
    if (lane->stream->ledger.taken > lane->ledger.taken)
        catch_up(lane);
    else if (lane->stream->ledger.taken == 0)
        spool_restore(spool, lane->stream, &lane->unread, lane->ledger.tail);
    else if (lane->stream->ledger.taken < lane->ledger.taken)
        spool_count_lost(spool, lane->stream, lane->ledger.taken - lane->stream->ledger.taken);
    lane_changed(lane);
    return 0;
}

const char *lane_topic(const struct lane *lane)
{
    return lane->own_topic ? lane->own_topic : lane->outward->channels[lane->channel].topic;
}

/* Put the lane's number, from 0 in its channel, into a topic that asks for it. 0 or -ENOMEM. */
static int make_own_topic(struct lane *lane)
{
    const char *topic = lane->outward->channels[lane->channel].topic,
               *at = topic ? strstr(topic, CONFIG_FILL_LANE) : NULL, *from = topic;
    uint32_t number = lane->number - lane->outward->segment->layout.channels[lane->channel].lane_first;
    char *own, *to;
    size_t places = 0;

    if (!at)
        return 0;
    for (; at; at = strstr(at + 1, CONFIG_FILL_LANE))
        places++;
    /* A number has at most 10 digits, the place that it takes 6 characters. */
    own = to = malloc(strlen(topic) + 4 * places + 1);
    if (!own)
        return -ENOMEM;
    for (at = strstr(topic, CONFIG_FILL_LANE); at; at = strstr(from, CONFIG_FILL_LANE)) {
        memcpy(to, from, (size_t)(at - from));
        to += at - from;
        to += sprintf(to, "%u", number);
        from = at + strlen(CONFIG_FILL_LANE);
    }
    strcpy(to, from);
    lane->own_topic = own;
    return 0;
}

int lane_start(struct lane *lane, struct outward *outward, uint32_t number,
               void (*answered)(struct flight_lane *flight))
{
    struct ring_ledger ledger;

    lane->outward = outward;
    lane->number = number;
    lane->ring = segment_ring(outward->segment, number);
    lane->channel = outward->segment->layout.lane_channel[number];
    ring_ledger_load(lane->ring.lane, &lane->ledger);
    split(lane);
    /* A tail beyond the head is nothing a gateway writes: a damaged ledger must not make us wait for ever. */
    if (lane->ledger.tail > ring_head(&lane->ring) + 1)
        lane->ledger.tail = ring_head(&lane->ring);
    lane->next = lane->ledger.tail;
    lane->bound = UINT64_MAX;
    if (make_own_topic(lane) < 0)
        return -ENOMEM;
    flight_lane_init(&lane->flight, lane, outward->channels[lane->channel].qos, answered);
    outward->some_unacknowledged |= lane->flight.unacknowledged;
    lane->flight.latency = &outward->latencies[lane->channel].to_acknowledge;
    lane_meet_spool(lane);
    /* A gateway killed between the ledger and the tail leaves slots taken that are accounted for: with overflow =
     * reject and a full ring nothing would ever change again. */
    lane_ledger(lane, &ledger);
    ring_ledger_store(lane->ring.lane, &ledger);
    return 0;
}

int lane_waits_for_spool(const struct lane *lane)
{
    const struct outward *outward = lane->outward;
    const struct outward_channel *channel = &outward->channels[lane->channel];

    if (!outward->spool)
        return 0;
    if (channel->spool == OUTWARD_SPOOL_ALWAYS && spool_state(outward->spool) == SPOOL_STATE_OK)
        return 1;
    return !channel->live_first && backlog_before(outward->backlog, channel->name, lane->stream);
}

void lane_has_news(struct lane *lane)
{
    struct outward *outward = lane->outward;

    if (lane->news || !outward->spool || outward->channels[lane->channel].spool == OUTWARD_SPOOL_OFF)
        return;
    lane->news = 1;
    outward->news[outward->news_count++] = lane->number;
}
