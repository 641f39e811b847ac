/* outward.c: from the lanes of a segment to the broker.
 *
 * The happy path of a message:
 *   1. its writer commits it and marks the lane dirty; outward_collect puts the lane into the ready queue
 *   2. outward_pump copies it out of the slot, checks that the copy is whole, and hands it to the MQTT client with a token
 *   3. the answer comes back by token; `answered` takes the lane's answered messages off the flight table, in order
 *   4. outward_settle writes the ledger: the slots below its tail are the writer's again
 * What can go wrong:
 *   - overwritten before step 2: counted when the messages sent before it are accounted for (account)
 *   - taken by the spool at any time (outward_take.c): from then on backlog.c sends it, and its answer, if it flew already, goes there
 *   - failed in step 3: sending begins again at that message when the lane's others are answered
 *   - the gateway is killed anywhere: the next one begins at the ledger's tail
 */
#include "outward.h"

#include <errno.h>
#include <stdlib.h>

#include "outward_lane.h"
#include "platform.h"

/* Messages a lane may send before the next one has its turn: long enough to keep a lane's slots in the cache, short enough that one busy
 * writer delays another by a fraction of the window. */
#define BURST 16

static int is_outward(const struct outward *outward, uint32_t lane)
{
    const struct layout *layout = &outward->segment->layout;

    return layout->channels[layout->lane_channel[lane]].direction == LAYOUT_PUBLISH;
}

static void answered(struct flight_lane *flight);

int outward_create(struct outward **out, struct segment *segment, const struct outward_channel *channels, struct flight *flight,
                   struct backlog *backlog, outward_send send, void *context)
{
    struct outward *outward = calloc(1, sizeof(*outward));
    uint32_t count = segment->layout.lane_count;

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
    for (uint32_t i = 0; i < segment->layout.channel_count; i++)
        if (segment->layout.channels[i].max_payload > outward->buffer_size)
            outward->buffer_size = segment->layout.channels[i].max_payload;
    outward->lanes = calloc(count, sizeof(outward->lanes[0]));
    outward->ready = calloc(count, sizeof(outward->ready[0]));
    outward->unsettled = calloc(count, sizeof(outward->unsettled[0]));
    outward->news = calloc(count, sizeof(outward->news[0]));
    outward->latencies = calloc(segment->layout.channel_count, sizeof(outward->latencies[0]));
    outward->buffer = malloc(outward->buffer_size);
    if (!outward->lanes || !outward->ready || !outward->unsettled || !outward->news || !outward->latencies || !outward->buffer) {
        outward_destroy(outward);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < count; i++)
        if (is_outward(outward, i))
            lane_start(&outward->lanes[i], outward, i, answered);
    outward_collect_all(outward);
    *out = outward;
    return 0;
}

void outward_destroy(struct outward *outward)
{
    if (!outward)
        return;
    free(outward->lanes);
    free(outward->ready);
    free(outward->unsettled);
    free(outward->news);
    free(outward->latencies);
    free(outward->buffer);
    free(outward);
}

static void make_ready(struct outward *outward, uint32_t number)
{
    lane_has_news(&outward->lanes[number]);
    if (outward->lanes[number].ready)
        return;
    outward->lanes[number].ready = 1;
    outward->ready[(outward->ready_first + outward->ready_count++) % outward->segment->layout.lane_count] = number;
}

static uint32_t next_ready(struct outward *outward)
{
    uint32_t number = outward->ready[outward->ready_first];

    outward->ready_first = (outward->ready_first + 1) % outward->segment->layout.lane_count;
    outward->ready_count--;
    outward->lanes[number].ready = 0;
    return number;
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
            if (number >= layout->lane_count || !is_outward(outward, number))
                continue;
            make_ready(outward, number);
            segment_wake_readers(outward->segment, layout->lane_channel[number]);
            any = 1;
        }
    }
    return any;
}

void outward_collect_all(struct outward *outward)
{
    for (uint32_t i = 0; i < outward->segment->layout.lane_count; i++)
        if (is_outward(outward, i))
            make_ready(outward, i);
}

/* Move the lane's tail over message `sequence`. What lies between was overwritten before it could be sent. */
static void account(struct lane *lane, uint64_t sequence)
{
    if (sequence > lane->ledger.tail)
        lane_count_dropped(lane, LAYOUT_DROP_OVERWRITTEN, sequence - lane->ledger.tail);
    lane->ledger.tail = sequence + 1;
    lane_changed(lane);
}

/* Nothing is in flight: what was skipped so far is accounted for now. */
static void account_skipped(struct lane *lane)
{
    if (lane->flight.first >= 0 || lane->next <= lane->ledger.tail)
        return;
    lane_count_dropped(lane, LAYOUT_DROP_OVERWRITTEN, lane->next - lane->ledger.tail);
    lane->ledger.tail = lane->next;
    lane_changed(lane);
}

/* A message that cannot be sent, for another reason than an overwrite: only when all before it are accounted for. */
static int drop_next(struct lane *lane, enum layout_drop reason)
{
    account_skipped(lane);
    if (lane->flight.first >= 0)
        return -EBUSY;
    lane_count_dropped(lane, reason, 1);
    lane->ledger.tail = ++lane->next;
    lane_changed(lane);
    return 0;
}

/* What is below the tail has gone to the spool while it flew: the spool is told. */
static void settle_taken(struct lane *lane, uint64_t sequence, enum flight_answer answer)
{
    if (lane->stream)
        backlog_answer(lane->outward->backlog, lane->stream, sequence, answer);
}

static void answered(struct flight_lane *flight)
{
    struct lane *lane = flight->owner;
    uint64_t sequence;
    enum flight_answer answer;

    while ((answer = flight_take(lane->outward->flight, flight, &sequence)) != FLIGHT_WAITING) {
        if (sequence < lane->ledger.tail)
            settle_taken(lane, sequence, answer);
        if (answer == FLIGHT_FAILED) {
            lane->next = sequence > lane->ledger.tail ? sequence : lane->ledger.tail;
            break;
        }
        if (sequence < lane->ledger.tail)
            continue;
        account(lane, sequence);
        if (answer == FLIGHT_DELIVERED)
            lane->ledger.delivered++;
        else
            lane_count_dropped(lane, LAYOUT_DROP_REFUSED, 1);
    }
    account_skipped(lane);
    make_ready(lane->outward, lane->number);
}

/* Send the lane's next message. Returns 1 sent, or stepped over; 0 nothing to send now; -EAGAIN the client takes no more. */
static int send_next(struct lane *lane)
{
    struct outward *outward = lane->outward;
    struct outward_message sent;
    struct ring_message message;
    uint64_t token, now_ns;
    int rc = ring_read(&lane->ring, lane->next, &message, outward->buffer, outward->buffer_size, NULL);

    if (rc == -EAGAIN) {
        rc = ring_stuck(&lane->ring, lane->next);
        if (rc == -ESTALE && lane->flight.first < 0) {
            /* Our place is beyond the head: the head was damaged and has been set right by its writer. */
            lane->next = lane->ledger.tail = ring_head(&lane->ring);
            lane_changed(lane);
            return 1;
        }
        return rc == -EBADMSG && drop_next(lane, LAYOUT_DROP_CORRUPT) == 0;
    }
    if (rc == -ESTALE) {
        lane->next = ring_resync(&lane->ring, lane->next);
        account_skipped(lane);
        return 1;
    }
    if (rc < 0)
        return drop_next(lane, LAYOUT_DROP_CORRUPT) == 0;
    sent = (struct outward_message){.payload = message.payload, .size = message.size, .sequence = lane->next, .time_ns = message.time_ns,
                                    .generation = outward->segment->layout.generation, .lane = lane->number};
    now_ns = platform_monotonic_ns();
    token = flight_add(outward->flight, &lane->flight, lane->next, now_ns);
    rc = outward->send(outward->context, &outward->channels[lane->channel], &sent, token);
    if (rc == 0) {
        latency_add(&outward->latencies[lane->channel].to_send, (int64_t)(platform_time_ns() - message.time_ns));
        lane->next++;
        return 1;
    }
    flight_cancel(outward->flight, &lane->flight);
    if (rc == -EAGAIN)
        return rc;
    return drop_next(lane, LAYOUT_DROP_REFUSED) == 0;
}

/* Send up to a burst from one lane. Returns the number of steps, or -EAGAIN. */
static int pump_lane(struct lane *lane)
{
    int steps = 0;

    if (lane_waits_for_spool(lane))
        return 0;
    while (steps < BURST && flight_has_room(lane->outward->flight) && !lane->flight.failed && lane->next < lane->bound) {
        int rc = send_next(lane);

        if (rc < 0)
            return rc;
        if (rc == 0)
            return steps;
        steps++;
    }
    return steps;
}

/* Whether the lane has something for another turn. Lanes that wait for answers are made ready by them. */
static int wants_more(const struct lane *lane)
{
    return !lane->flight.failed && lane->next < lane->bound && ring_head(&lane->ring) > lane->next && !lane_waits_for_spool(lane);
}

int outward_pump(struct outward *outward)
{
    int sent = 0;

    for (uint32_t visits = outward->ready_count; visits > 0 && flight_has_room(outward->flight); visits--) {
        uint32_t number = next_ready(outward);
        int rc = pump_lane(&outward->lanes[number]);

        if (rc < 0 || wants_more(&outward->lanes[number]))
            make_ready(outward, number);
        if (rc < 0)
            return sent > 0 ? sent : rc;
        sent += rc;
    }
    return sent;
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
                         (const uint32_t[]){send.p50_us, send.p99_us, send.p999_us, send.max_us, acknowledge.p50_us, acknowledge.p99_us,
                                            acknowledge.p999_us, acknowledge.max_us});
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
        if (is_outward(outward, i))
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

        if (is_outward(outward, i) && (lane->flight.first >= 0 || ring_head(&lane->ring) > lane->ledger.tail))
            return 0;
    }
    return 1;
}

int outward_finished(const struct outward *outward)
{
    for (uint32_t i = 0; i < outward->segment->layout.lane_count; i++)
        if (is_outward(outward, i) && segment_lane_locked(outward->segment, i) != 0)
            return 0;
    /* After the locks: what a writer wrote before it let go is seen now. */
    return outward_drained(outward);
}
