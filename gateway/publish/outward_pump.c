/* outward_pump.c: what is sent next, and when. See outward.h.
 *
 * The lanes that have something take turns. Without batching a message goes as soon as its lane's turn comes and the
 * window has room. With it, a lane's samples wait until there are batch_max of them, or batch_time is over, and go as
 * one; when the window is full they gather by themselves. A resend, or a former segment, need not make the same frames
 * again: each sample has its sequence number.
 */
#include <errno.h>

#include "publish/outward_lane.h"
#include "shm/platform.h"

/* Messages a lane may send before the next one has its turn: long enough to keep a lane's slots in the cache, short
 * enough that one busy writer delays another by a fraction of the window. */
#define BURST 16

static const struct outward_channel *channel_of(const struct lane *lane)
{
    return &lane->outward->channels[lane->channel];
}

/* ---- Samples that wait for others ---- */

/* How many make a frame. More than half a ring never wait: the other half is for what is written while they are on
 * their way. */
static uint64_t wanted(const struct lane *lane)
{
    uint64_t half = (lane->ring.mask + 1) / 2, most = channel_of(lane)->batch_max;

    return most < half ? most : half;
}

/* Whether what the lane has waits for more. */
static int is_held(struct lane *lane, uint64_t now_ms)
{
    uint64_t head = ring_head(&lane->ring), time_ms = channel_of(lane)->batch_time_ms;

    if (channel_of(lane)->batch_max <= 1 || time_ms == 0 || lane->bound != UINT64_MAX || head <= lane->next ||
        head - lane->next >= wanted(lane))
        return 0;
    if (lane->held_ms == 0 && now_ms != UINT64_MAX) {
        lane->held_ms = now_ms + time_ms;
        if (lane->held_ms < lane->outward->held_ms)
            lane->outward->held_ms = lane->held_ms;
    }
    return now_ms < lane->held_ms;
}

/* Make those ready that have waited long enough. */
static void release_held(struct outward *outward, uint64_t now_ms)
{
    uint64_t next = UINT64_MAX;

    if (now_ms < outward->held_ms)
        return;
    for (uint32_t i = 0; i < outward->segment->layout.lane_count; i++) {
        struct lane *lane = &outward->lanes[i];

        if (lane->held_ms == 0)
            continue;
        if (lane->held_ms <= now_ms)
            lane_make_ready(lane);
        else if (lane->held_ms < next)
            next = lane->held_ms;
    }
    outward->held_ms = next;
}

uint64_t outward_deadline_ms(const struct outward *outward)
{
    return outward->held_ms;
}

/* ---- One message ---- */

/* A message that cannot be sent, for another reason than an overwrite: only when all before it are accounted for. */
static int drop_next(struct lane *lane, enum layout_drop reason)
{
    lane_account_skipped(lane);
    if (lane->flight.first >= 0)
        return -EBUSY;
    lane_count_dropped(lane, reason, 1);
    lane->ledger.tail = ++lane->next;
    lane_changed(lane);
    return 0;
}

/* Message lane->next could not be read: `rc` says why. Returns 1 stepped over it; 0 nothing to do now. */
static int step_over(struct lane *lane, int rc)
{
    if (rc == -EAGAIN) {
        rc = ring_check_damage(&lane->ring, lane->next);
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
        lane_account_skipped(lane);
        return 1;
    }
    return drop_next(lane, LAYOUT_DROP_CORRUPT) == 0;
}

/* Copy up to `most` messages from lane->next on into the frame, and when they were written into outward->times. Returns
 * 0, or why there is none. */
static int gather(struct lane *lane, uint32_t most)
{
    struct outward *outward = lane->outward;
    struct frame *frame = &outward->frame;
    uint64_t head = ring_head(&lane->ring), end = head < lane->bound ? head : lane->bound;
    struct ring_message message;
    size_t room;
    void *to;
    int rc = 0;

    frame_begin(frame, channel_of(lane)->batch_max > 1 ? channel_of(lane)->batch_format : FRAME_NONE, lane->next);
    while (frame->count < most && (frame->count == 0 || lane->next + frame->count < end) &&
           (to = frame_room(frame, &room))) {
        if ((rc = ring_read(&lane->ring, lane->next + frame->count, &message, to, room, NULL)) < 0)
            break;
        outward->times[frame->count] = message.time_ns;
        if (!frame_add(frame, message.size, message.time_ns))
            break;
    }
    frame_end(frame);
    return frame->count > 0 ? 0 : rc;
}

static void count_latency(struct lane *lane)
{
    const struct outward *outward = lane->outward;
    struct latency *latency = &outward->latencies[lane->channel].to_send;
    uint64_t now_ns = platform_time_ns();

    for (uint32_t i = 0; i < outward->frame.count; i++)
        latency_add(latency, (int64_t)(now_ns - outward->times[i]), 1);
}

/* Send the lane's next message, with up to `most` samples. Returns 1 sent, or stepped over; 0 nothing to send now;
 * -EAGAIN the client takes no more. */
static int send_next(struct lane *lane, uint32_t most)
{
    struct outward *outward = lane->outward;
    const struct frame *frame = &outward->frame;
    struct outward_message message;
    uint64_t token;
    int rc = gather(lane, most);

    if (rc < 0)
        return step_over(lane, rc);
    message = (struct outward_message){.topic = lane_topic(lane),
                                       .payload = frame->bytes,
                                       .size = frame->size,
                                       .sequence = lane->next,
                                       .time_ns = outward->times[0],
                                       .generation = outward->segment->layout.generation,
                                       .lane = lane->number};
    token = flight_add(outward->flight, &lane->flight, lane->next, frame->count, platform_monotonic_ns());
    rc = outward->send(outward->context, channel_of(lane), &message, token);
    if (rc == 0) {
        count_latency(lane);
        lane->next += frame->count;
        return 1;
    }
    flight_cancel(outward->flight, &lane->flight);
    if (rc == -EAGAIN)
        return rc;
    if (rc == -EMSGSIZE && frame->count > 1)
        return send_next(lane, frame->count / 2);
    return drop_next(lane, LAYOUT_DROP_REFUSED) == 0;
}

/* ---- The lanes in turns ---- */

/* Send up to a burst from one lane. Returns the number of steps, or -EAGAIN. */
static int pump_lane(struct lane *lane, uint64_t now_ms)
{
    uint32_t most = channel_of(lane)->batch_max > 1 ? channel_of(lane)->batch_max : 1;
    int steps = 0;

    if (lane_waits_for_spool(lane))
        return 0;
    while (steps < BURST && flight_has_room(lane->outward->flight, &lane->flight) && !lane->flight.failed &&
           lane->next < lane->bound && !is_held(lane, now_ms)) {
        int rc = send_next(lane, most);

        if (rc < 0)
            return rc;
        lane->held_ms = 0;
        if (rc == 0)
            return steps;
        steps++;
    }
    return steps;
}

/* Whether the lane has something for another turn. Lanes that wait for answers are made ready by them, those that wait
 * for more samples by time. */
static int wants_more(struct lane *lane, uint64_t now_ms)
{
    return !lane->flight.failed && lane->next < lane->bound && ring_head(&lane->ring) > lane->next &&
           !is_held(lane, now_ms) && !lane_waits_for_spool(lane);
}

static struct lane *next_ready(struct outward *outward)
{
    struct lane *lane = &outward->lanes[outward->ready[outward->ready_first]];

    outward->ready_first = (outward->ready_first + 1) % outward->segment->layout.lane_count;
    outward->ready_count--;
    lane->ready = 0;
    return lane;
}

int outward_pump(struct outward *outward, uint64_t now_ms)
{
    int steps = 0;

    release_held(outward, now_ms);
    /* With the window full only lanes of QoS 0 are worth a visit. */
    for (uint32_t visits = outward->ready_count;
         visits > 0 && (outward->some_unacknowledged || !flight_is_full(outward->flight)); visits--) {
        struct lane *lane = next_ready(outward);
        int rc = pump_lane(lane, now_ms);

        if (rc < 0 || wants_more(lane, now_ms))
            lane_make_ready(lane);
        if (rc < 0)
            return steps > 0 ? steps : rc;
        steps += rc;
    }
    return steps;
}
