/* outward.c: from the lanes of a segment to the broker: which have news, and what becomes of what was sent.
 *
 * The happy path of a message:
 *   1. its writer commits it and marks the lane dirty; outward_collect puts the lane into the ready queue
 *   2. outward_pump (outward_pump.c) copies it out of the slot, checks that the copy is whole, and hands it to the MQTT
 * client with a token, perhaps with others behind it in one frame
 *   3. the answer comes back by token; `answered` takes the lane's answered messages off the flight table, in order
 *   4. outward_settle writes the ledger: the slots below its tail are the writer's again
 * What can go wrong:
 *   - overwritten before step 2: counted when the messages sent before it are accounted for (account)
 *   - taken by the spool at any time (outward_take.c): from then on backlog.c sends it, and its answer, if it flew
 * already, goes there
 *   - failed in step 3: sending begins again at that message when the lane's others are answered
 *   - the gateway is killed anywhere: the next one begins at the ledger's tail
 */
#include "publish/outward.h"

#include <errno.h>
#include <stdlib.h>

#include "publish/outward_lane.h"
#include "shm/platform.h"

int outward_has_lane(const struct outward *outward, uint32_t lane)
{
    const struct layout *layout = &outward->segment->layout;

    return layout->channels[layout->lane_channel[lane]].direction == LAYOUT_PUBLISH;
}

static void answered(struct flight_lane *flight);

int outward_create(struct outward **out, struct segment *segment, const struct outward_channel *channels,
                   struct flight *flight, struct backlog *backlog, outward_send send, void *context)
{
    struct outward *outward = calloc(1, sizeof(*outward));
    uint32_t count = segment->layout.lane_count, batch_max = 1;
    int rc = 0;

    *out = NULL;
    if (!outward)
        return -ENOMEM;
    outward->segment = segment;
    outward->channels = channels;
    outward->flight = flight;
    outward->backlog = backlog;
    outward->spool = backlog ? backlog_spool(backlog) : NULL;
    outward->send = send;
    outward->context = context;
    outward->held_ms = UINT64_MAX;
    for (uint32_t i = 0; i < segment->layout.channel_count; i++)
        if (channels[i].batch_max > batch_max)
            batch_max = channels[i].batch_max;
    outward->times = calloc(batch_max, sizeof(outward->times[0]));
    for (uint32_t i = 0; rc == 0 && i < segment->layout.channel_count; i++)
        rc = frame_reserve(&outward->frame, segment->layout.channels[i].max_payload);
    outward->lanes = calloc(count, sizeof(outward->lanes[0]));
    outward->ready = calloc(count, sizeof(outward->ready[0]));
    outward->unsettled = calloc(count, sizeof(outward->unsettled[0]));
    outward->news = calloc(count, sizeof(outward->news[0]));
    outward->latencies = calloc(segment->layout.channel_count, sizeof(outward->latencies[0]));
    if (rc < 0 || !outward->lanes || !outward->ready || !outward->unsettled || !outward->news || !outward->latencies ||
        !outward->times) {
        outward_destroy(outward);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!outward_has_lane(outward, i) || lane_start(&outward->lanes[i], outward, i, answered) == 0)
            continue;
        outward_destroy(outward);
        return -ENOMEM;
    }
    outward_collect_all(outward);
    *out = outward;
    return 0;
}

void outward_destroy(struct outward *outward)
{
    if (!outward)
        return;
    for (uint32_t i = 0; outward->lanes && i < outward->segment->layout.lane_count; i++)
        free(outward->lanes[i].own_topic);
    free(outward->lanes);
    free(outward->ready);
    free(outward->unsettled);
    free(outward->news);
    free(outward->latencies);
    free(outward->times);
    frame_free(&outward->frame);
    free(outward);
}

void lane_make_ready(struct lane *lane)
{
    struct outward *outward = lane->outward;

    lane_has_news(lane);
    if (lane->ready)
        return;
    lane->ready = 1;
    outward->ready[(outward->ready_first + outward->ready_count++) % outward->segment->layout.lane_count] =
        lane->number;
}

int outward_collect(struct outward *outward)
{
    const struct layout *layout = &outward->segment->layout;
    int any = 0;

    for (uint32_t word = 0; word < layout->dirty_words; word++) {
        uint64_t bits = ring_take_dirty(outward->segment->dirty, word);

        for (; bits != 0; bits &= bits - 1) {
            uint32_t number = word * 64 + (uint32_t)__builtin_ctzll(bits);

            /* Anybody can set bits that stand for no lane, or for one that only we write. */
            if (number >= layout->lane_count || !outward_has_lane(outward, number))
                continue;
            lane_make_ready(&outward->lanes[number]);
            segment_wake_readers(outward->segment, layout->lane_channel[number]);
            any = 1;
        }
    }
    return any;
}

void outward_collect_all(struct outward *outward)
{
    for (uint32_t i = 0; i < outward->segment->layout.lane_count; i++)
        if (outward_has_lane(outward, i))
            lane_make_ready(&outward->lanes[i]);
}

/* Move the lane's tail over `count` messages from `sequence` on. What lies before them was overwritten before it could
 * be sent. */
static void account(struct lane *lane, uint64_t sequence, uint32_t count)
{
    if (sequence > lane->ledger.tail)
        lane_count_dropped(lane, LAYOUT_DROP_OVERWRITTEN, sequence - lane->ledger.tail);
    lane->ledger.tail = sequence + count;
    lane_changed(lane);
}

void lane_account_skipped(struct lane *lane)
{
    if (lane->flight.first >= 0 || lane->next <= lane->ledger.tail)
        return;
    lane_count_dropped(lane, LAYOUT_DROP_OVERWRITTEN, lane->next - lane->ledger.tail);
    lane->ledger.tail = lane->next;
    lane_changed(lane);
}

/* What is below the tail has gone to the spool while it flew: the spool is told. Returns how many of the messages these
 * are. */
static uint32_t settle_taken(struct lane *lane, uint64_t sequence, uint32_t count, enum flight_answer answer)
{
    uint32_t taken = 0;

    if (sequence < lane->ledger.tail)
        taken = lane->ledger.tail - sequence < count ? (uint32_t)(lane->ledger.tail - sequence) : count;
    if (taken > 0 && lane->stream)
        backlog_answer(lane->outward->backlog, lane->stream, sequence, taken, answer);
    return taken;
}

static void answered(struct flight_lane *flight)
{
    struct lane *lane = flight->owner;
    uint64_t sequence;
    uint32_t count, taken;
    enum flight_answer answer;

    while ((answer = flight_take(lane->outward->flight, flight, &sequence, &count)) != FLIGHT_WAITING) {
        taken = settle_taken(lane, sequence, count, answer);
        if (answer == FLIGHT_FAILED) {
            lane->next = sequence > lane->ledger.tail ? sequence : lane->ledger.tail;
            break;
        }
        if (taken == count)
            continue;
        account(lane, sequence + taken, count - taken);
        if (answer == FLIGHT_DELIVERED)
            lane->ledger.delivered += count - taken;
        else
            lane_count_dropped(lane, LAYOUT_DROP_REFUSED, count - taken);
    }
    lane_account_skipped(lane);
    lane_make_ready(lane);
}

void outward_show_latency(struct outward *outward, int clear)
{
    for (uint32_t i = 0; i < outward->segment->layout.channel_count; i++) {
        struct outward_latency *latency = &outward->latencies[i];
        struct latency_summary send, acknowledge;

        if (latency->to_send.total + latency->to_acknowledge.total == latency->shown && !clear)
            continue;
        latency_summarise(&latency->to_send, &send);
        latency_summarise(&latency->to_acknowledge, &acknowledge);
        ring_set_latency(segment_channel(outward->segment, i),
                         (const uint32_t[]){send.p50_us, send.p99_us, send.p999_us, send.max_us, acknowledge.p50_us,
                                            acknowledge.p99_us, acknowledge.p999_us, acknowledge.max_us});
        if (clear) {
            latency_clear(&latency->to_send);
            latency_clear(&latency->to_acknowledge);
        }
        latency->shown = latency->to_send.total + latency->to_acknowledge.total;
    }
}

unsigned outward_settle(struct outward *outward)
{
    unsigned dropped = outward->dropped;
    struct ring_ledger ledger;

    for (uint32_t i = 0; i < outward->unsettled_count; i++) {
        struct lane *lane = &outward->lanes[outward->unsettled[i]];

        lane->unsettled = 0;
        lane_ledger(lane, &ledger);
        ring_ledger_store(lane->ring.lane, &ledger);
    }
    outward->unsettled_count = 0;
    outward->dropped = 0;
    return dropped;
}

void outward_bound(struct outward *outward)
{
    for (uint32_t i = 0; i < outward->segment->layout.lane_count; i++)
        if (outward_has_lane(outward, i))
            outward->lanes[i].bound = ring_head(&outward->lanes[i].ring);
}

void outward_unbound(struct outward *outward)
{
    for (uint32_t i = 0; i < outward->segment->layout.lane_count; i++)
        outward->lanes[i].bound = UINT64_MAX;
    outward_collect_all(outward);
}

int outward_drained(const struct outward *outward)
{
    for (uint32_t i = 0; i < outward->segment->layout.lane_count; i++) {
        const struct lane *lane = &outward->lanes[i];

        if (outward_has_lane(outward, i) && (lane->flight.first >= 0 || ring_head(&lane->ring) > lane->ledger.tail))
            return 0;
    }
    return 1;
}

int outward_finished(const struct outward *outward)
{
    for (uint32_t i = 0; i < outward->segment->layout.lane_count; i++)
        if (outward_has_lane(outward, i) && segment_lane_locked(outward->segment, i) != 0)
            return 0;
    /* After the locks: what a writer wrote before it let go is seen now. */
    return outward_drained(outward);
}
