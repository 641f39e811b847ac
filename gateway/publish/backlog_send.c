/* backlog_send.c: what is sent from the spool next, and when. See backlog.h.
 *
 * The happy path of a message:
 *   1. pump_line reads it from the file, with others behind it where the channel batches, and hands it to the MQTT
 * client with a token
 *   2. the answer comes back by token; backlog_line_answered tells the spool, which deletes it with the next batch
 * What can go wrong:
 *   - failed in step 1 or 2: sending begins again at that message
 *   - dropped by a limit while it is in flight: the spool counted it; the answer then counts nothing
 *   - the gateway is killed anywhere: what the file still has is sent again
 */
#include <errno.h>
#include <string.h>

#include "publish/backlog_parts.h"

#define BURST 16 /* messages of a stream until the next one has its turn; as in outward_pump.c */

int backlog_line_is_earlier(const struct line *line)
{
    return line->stream->source.generation != line->backlog->present->layout.generation;
}

int backlog_line_unsent(const struct line *line)
{
    return line->stream->ledger.held > 0 && line->next < line->stream->ledger.next;
}

static void left_flight(struct line *line, unsigned count)
{
    line->in_flight -= count;
    line->backlog->in_flight -= count;
    if (line->channel.live_first)
        line->backlog->live_first_in_flight -= count;
}

void backlog_line_answered(struct flight_lane *flight)
{
    struct line *line = flight->owner;
    struct backlog *backlog = line->backlog;
    enum flight_answer answer;
    uint64_t sequence;
    uint32_t count;

    while ((answer = flight_take(backlog->flight, flight, &sequence, &count)) != FLIGHT_WAITING) {
        if (answer == FLIGHT_FAILED) {
            left_flight(line, line->in_flight);
            if (sequence < line->next)
                line->next = sequence;
            return;
        }
        left_flight(line, 1);
        spool_done(backlog->spool, line->stream, sequence, count, answer == FLIGHT_DELIVERED ? -1 : SPOOL_DROP_REFUSED);
    }
}

/* A quarter of the window is for messages that need not wait. */
static unsigned quarter(const struct backlog *backlog)
{
    return backlog->flight->limit > 4 ? backlog->flight->limit / 4 : 1;
}

int backlog_is_full(const struct backlog *backlog)
{
    return backlog->in_flight > 0 && backlog->in_flight >= backlog->flight->limit - quarter(backlog);
}

/* Whether one more message of this line may fly. */
static int has_room(const struct line *line)
{
    const struct backlog *backlog = line->backlog;

    if (!flight_has_room(backlog->flight, &line->flight) || line->flight.failed || !spool_can_drain(backlog->spool))
        return 0;
    if (line->channel.live_first && backlog->live_first_in_flight >= quarter(backlog))
        return 0;
    return !backlog_is_full(backlog);
}

static void give_up(struct line *line, uint64_t sequence, enum spool_drop reason)
{
    spool_done(line->backlog->spool, line->stream, sequence, 1, (int)reason);
    line->next = sequence + 1;
}

/* Copy one message into the frame. Returns 1; 0: it does not go with those before it; -ENOMEM. */
static int add(struct frame *frame, const struct spool_message *stored)
{
    size_t room;
    void *to;

    if (frame->count == 0 && frame_reserve(frame, stored->size) < 0)
        return -ENOMEM;
    to = frame_room(frame, &room);
    if (!to || stored->size > room)
        return 0;
    memcpy(to, stored->payload, stored->size);
    return frame_add(frame, stored->size, stored->time_ns);
}

/* Read up to `most` messages into the frame: the first at or above line->next, which is noted in *first, and those that
 * follow it without a gap. Returns 0; -ENOENT there is none; -EBADMSG it cannot be one of ours; another -errno: not
 * now. */
static int gather(struct line *line, uint32_t most, struct spool_message *first)
{
    struct backlog *backlog = line->backlog;
    struct frame *frame = &backlog->frame;
    struct spool_message stored;
    int rc = 0, added = 1;

    if ((rc = frame_reserve(frame, 0)) < 0)
        return rc;
    frame_begin(frame, FRAME_NONE, 0);
    while (added > 0 && frame->count < most) {
        rc = spool_next(backlog->spool, line->stream, frame->count == 0 ? line->next : first->sequence + frame->count,
                        &stored);
        if (rc < 0 || stored.sequence >= line->stream->ledger.next || stored.size > LAYOUT_PAYLOAD_MAX) {
            rc = rc < 0 ? rc : -EBADMSG;
            break;
        }
        if (frame->count == 0) {
            *first = stored;
            frame_begin(frame, line->channel.batch_max > 1 ? line->channel.batch_format : FRAME_NONE, stored.sequence);
        } else if (stored.sequence != first->sequence + frame->count) {
            break;
        }
        added = add(frame, &stored);
        rc = added < 0 ? added : 0;
    }
    frame_end(frame);
    if (rc == -EBADMSG && frame->count == 0)
        *first = stored;
    return frame->count > 0 ? 0 : rc;
}

/* Send the line's next message, with up to `most` samples. Returns 1 sent or stepped over; 0 nothing to send now;
 * -EAGAIN the client takes no more. */
static int send_next(struct line *line, uint32_t most)
{
    struct backlog *backlog = line->backlog;
    const struct spool_source *source = &line->stream->source;
    const struct frame *frame = &backlog->frame;
    struct spool_message first = {0};
    struct outward_message message;
    uint64_t token;
    int rc = gather(line, most, &first);

    if (rc == -ENOENT)
        line->next = line->stream->ledger.next;
    if (rc == -EBADMSG) {
        give_up(line, first.sequence, SPOOL_DROP_LOST);
        return 1;
    }
    if (rc < 0)
        return 0;
    message = (struct outward_message){.topic = line->channel.topic,
                                       .payload = frame->bytes,
                                       .size = frame->size,
                                       .sequence = first.sequence,
                                       .time_ns = first.time_ns,
                                       .generation = source->generation,
                                       .lane = source->lane,
                                       .boot = source->boot};
    token = flight_add(backlog->flight, &line->flight, first.sequence, frame->count, 0);
    rc = backlog->send(backlog->context, &line->channel, &message, token);
    if (rc < 0) {
        flight_cancel(backlog->flight, &line->flight);
        if (rc == -EAGAIN)
            return rc;
        if (rc == -EMSGSIZE && frame->count > 1)
            return send_next(line, frame->count / 2);
        give_up(line, first.sequence, SPOOL_DROP_REFUSED);
        return 1;
    }
    line->in_flight++;
    backlog->in_flight++;
    backlog->live_first_in_flight += (unsigned)line->channel.live_first;
    line->next = first.sequence + frame->count;
    return 1;
}

static int pump_line(struct line *line)
{
    uint32_t most = line->channel.batch_max > 1 ? line->channel.batch_max : 1;
    int steps = 0, rc;

    while (steps < BURST && backlog_line_unsent(line) && has_room(line)) {
        if ((rc = send_next(line, most)) < 0)
            return rc;
        if (rc == 0)
            break;
        steps++;
    }
    return steps;
}

/* The generation whose turn it is: that of the first stream of an earlier segment that has something to send; otherwise
 * the present one. */
static uint64_t generation_in_turn(struct backlog *backlog)
{
    backlog->earlier_unsent = 1;
    for (size_t i = 0; i < backlog->line_count; i++)
        if (backlog_line_is_earlier(backlog->lines[i]) && backlog_line_unsent(backlog->lines[i]))
            return backlog->lines[i]->stream->source.generation;
    backlog->earlier_unsent = 0;
    return backlog->present->layout.generation;
}

static int pump_generation(struct backlog *backlog, uint64_t generation)
{
    int sent = 0;

    for (size_t i = 0; i < backlog->line_count; i++) {
        struct line *line = backlog->lines[(backlog->turn + i) % backlog->line_count];
        int rc;

        if (line->stream->source.generation != generation || !backlog_line_unsent(line))
            continue;
        if ((rc = pump_line(line)) < 0)
            return sent > 0 ? sent : rc;
        sent += rc;
    }
    if (backlog->line_count > 0)
        backlog->turn = (backlog->turn + 1) % backlog->line_count;
    return sent;
}

int backlog_pump_earlier(struct backlog *backlog)
{
    uint64_t generation;

    if (backlog_refresh(backlog) < 0)
        return 0;
    generation = generation_in_turn(backlog);
    return generation == backlog->present->layout.generation ? 0 : pump_generation(backlog, generation);
}

int backlog_pump(struct backlog *backlog)
{
    return backlog_refresh(backlog) < 0 ? 0 : pump_generation(backlog, generation_in_turn(backlog));
}

int backlog_earlier_sent(struct backlog *backlog)
{
    /* A spool that cannot be drained holds nobody up: then order gives way. */
    return !spool_can_drain(backlog->spool) || generation_in_turn(backlog) == backlog->present->layout.generation;
}

int backlog_unsent(const struct spool_stream *stream)
{
    /* Without a line yet, nothing of it has been sent. */
    return stream->line ? backlog_line_unsent(stream->line) : stream->ledger.held > 0;
}

int backlog_before(const struct backlog *backlog, const char *channel, const struct spool_stream *stream)
{
    if (!spool_can_drain(backlog->spool))
        return 0;
    if (stream && backlog_unsent(stream))
        return 1;
    for (size_t i = 0; backlog->earlier_unsent && i < backlog->line_count; i++)
        if (backlog_line_is_earlier(backlog->lines[i]) && backlog_line_unsent(backlog->lines[i]) &&
            strcmp(backlog->lines[i]->channel.name, channel) == 0)
            return 1;
    return 0;
}
