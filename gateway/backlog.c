/* backlog.c: from the spool to the broker. See backlog.h.
 *
 * The happy path of a message:
 *   1. pump_line reads it from the file and hands it to the MQTT client with a token
 *   2. the answer comes back by token; line_answered tells the spool, which deletes it with the next batch
 * What can go wrong:
 *   - failed in step 1 or 2: sending begins again at that message
 *   - dropped by a limit while it is in flight: the spool counted it; the answer then counts nothing
 *   - the gateway is killed anywhere: what the file still has is sent again
 */
#include "backlog.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "counters.h"
#include "platform.h"

#define BURST 16 /* messages of a stream until the next one has its turn; as in outward.c */

struct line {
    struct backlog *backlog;
    struct spool_stream *stream;
    struct outward_channel channel; /* as it was when the messages were written */
    struct flight_lane flight;
    uint64_t next;                 /* sequence number to send next */
    unsigned in_flight;
};

struct backlog {
    struct spool *spool;
    const struct segment *present;
    const struct outward_channel *channels;
    const struct segment *olds;    /* SEGMENT_OLD_MAX that are being drained, the oldest first; the others' base is NULL */
    int created;                   /* 1: the present segment was made by this gateway */
    int agreed;                    /* 1: the segments' counters have been brought into agreement with the file */
    struct flight *flight;
    outward_send send;
    void *context;
    struct line **lines;           /* one a stream of the spool, in its order */
    size_t line_count, turn;
    unsigned in_flight, live_first_in_flight;
    int earlier_unsent;            /* 1: there may be unsent messages of earlier segments */
    char boot[PLATFORM_BOOT_ID_SIZE];
};

struct spool *backlog_spool(const struct backlog *backlog)
{
    return backlog->spool;
}

const char *backlog_boot(const struct backlog *backlog)
{
    return backlog->boot;
}

static int is_earlier(const struct line *line)
{
    return line->stream->source.generation != line->backlog->present->layout.generation;
}

static int unsent(const struct line *line)
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

static void line_answered(struct flight_lane *flight)
{
    struct line *line = flight->owner;
    struct backlog *backlog = line->backlog;
    enum flight_answer answer;
    uint64_t sequence;

    while ((answer = flight_take(backlog->flight, flight, &sequence)) != FLIGHT_WAITING) {
        if (answer == FLIGHT_FAILED) {
            left_flight(line, line->in_flight);
            if (sequence < line->next)
                line->next = sequence;
            return;
        }
        left_flight(line, 1);
        spool_done(backlog->spool, line->stream, sequence, answer == FLIGHT_DELIVERED ? -1 : SPOOL_DROP_REFUSED);
    }
}

/* ---- Lines ---- */

static const struct outward_channel *find_channel(const struct backlog *backlog, const char *name)
{
    for (uint32_t i = 0; i < backlog->present->layout.channel_count; i++)
        if (strcmp(backlog->present->layout.channels[i].name, name) == 0)
            return &backlog->channels[i];
    return NULL;
}

/* Make a line for each stream that has none yet. */
static int refresh(struct backlog *backlog)
{
    size_t count = spool_stream_count(backlog->spool);
    struct line **larger;

    if (count == backlog->line_count)
        return 0;
    larger = realloc(backlog->lines, count * sizeof(larger[0]));
    if (!larger)
        return -ENOMEM;
    backlog->lines = larger;
    while (backlog->line_count < count) {
        struct spool_stream *stream = spool_stream(backlog->spool, backlog->line_count);
        const struct outward_channel *now = find_channel(backlog, stream->source.channel);
        struct line *line = calloc(1, sizeof(*line));

        if (!line)
            return -ENOMEM;
        line->backlog = backlog;
        line->stream = stream;
        line->channel = (struct outward_channel){.name = stream->source.channel, .topic = stream->source.topic, .qos = stream->source.qos,
                                                 .retain = stream->source.retain, .source = stream->source.source,
                                                 .live_first = now && now->live_first};
        backlog->earlier_unsent |= is_earlier(line);
        flight_lane_init(&line->flight, line, line_answered);
        stream->line = line;
        backlog->lines[backlog->line_count++] = line;
    }
    return 0;
}

/* Whether the stream is of a segment that has lanes in memory: the present one, or one of those that are being drained. */
static int has_segment(const struct line *line, const struct segment *olds)
{
    for (int i = 0; olds && i < SEGMENT_OLD_MAX; i++)
        if (olds[i].base && olds[i].layout.generation == line->stream->source.generation)
            return 1;
    return !is_earlier(line);
}

/* Sum up what the spool did with the messages of a channel from earlier segments, but for `olds`. Returns what was ever taken of them. */
static uint64_t sum_earlier(const struct backlog *backlog, const char *channel, const struct segment *olds, struct ring_spooled *sum)
{
    uint64_t taken = 0;

    memset(sum, 0, sizeof(*sum));
    for (size_t i = 0; i < backlog->line_count; i++) {
        const struct line *line = backlog->lines[i];
        const struct spool_ledger *ledger = &line->stream->ledger;

        if (has_segment(line, olds) || strcmp(line->channel.name, channel) != 0)
            continue;
        taken += ledger->taken;
        sum->held += ledger->held;
        sum->delivered += ledger->delivered;
        for (unsigned kind = 0; kind < LAYOUT_SPOOL_DROPS; kind++)
            sum->dropped[kind] += ledger->dropped[kind];
    }
    return taken;
}

/* The segment that carries the counters of those that are no more: the oldest, which hands them on when it is settled. */
static const struct segment *find_oldest(const struct backlog *backlog)
{
    for (int i = 0; i < SEGMENT_OLD_MAX; i++)
        if (backlog->olds[i].base)
            return &backlog->olds[i];
    return backlog->present;
}

/* Once, when the file can be read: agree with the segments on what was ever taken of the messages of segments that are no more. */
static void agree(struct backlog *backlog)
{
    const struct segment *oldest = find_oldest(backlog);

    if (backlog->agreed || spool_state(backlog->spool) != SPOOL_STATE_OK || refresh(backlog) < 0)
        return;
    backlog->agreed = 1;
    if (backlog->created)
        spool_begin_anew(backlog->spool);
    for (uint32_t i = 0; i < oldest->layout.channel_count; i++) {
        struct layout_channel *channel = segment_channel(oldest, i);
        struct ring_carried carried;
        struct ring_spooled sum;
        uint64_t taken = sum_earlier(backlog, oldest->layout.channels[i].name, backlog->olds, &sum);

        ring_carried_load(channel, &carried);
        /* The file is right. Messages of before a reboot are as good as written and taken here; those that it has forgotten are lost. */
        if (taken > carried.taken)
            carried.written += taken - carried.taken;
        else
            carried.dropped[LAYOUT_DROP_SPOOL_FAILED] += carried.taken - taken;
        carried.taken = taken;
        ring_carried_store(channel, &carried);
    }
}

int backlog_create(struct backlog **out, struct spool *spool, const struct segment *present, const struct outward_channel *channels,
                   const struct segment *olds, int created, struct flight *flight, outward_send send, void *context)
{
    struct backlog *backlog = calloc(1, sizeof(*backlog));

    *out = NULL;
    if (!backlog)
        return -ENOMEM;
    backlog->spool = spool;
    backlog->present = present;
    backlog->channels = channels;
    backlog->olds = olds;
    backlog->created = created;
    backlog->flight = flight;
    backlog->send = send;
    backlog->context = context;
    platform_boot_id(backlog->boot);
    backlog->earlier_unsent = 1;
    if (refresh(backlog) < 0) {
        backlog_destroy(backlog);
        return -ENOMEM;
    }
    agree(backlog);
    *out = backlog;
    return 0;
}

void backlog_destroy(struct backlog *backlog)
{
    if (!backlog)
        return;
    for (size_t i = 0; i < backlog->line_count; i++) {
        backlog->lines[i]->stream->line = NULL;
        free(backlog->lines[i]);
    }
    free(backlog->lines);
    free(backlog);
}

/* ---- Sending ---- */

/* Whether one more message of this line may fly. */
static int has_room(const struct line *line)
{
    const struct backlog *backlog = line->backlog;
    unsigned quarter = backlog->flight->limit > 4 ? backlog->flight->limit / 4 : 1;

    if (!flight_has_room(backlog->flight) || line->flight.failed || !spool_can_drain(backlog->spool))
        return 0;
    if (line->channel.live_first && backlog->live_first_in_flight >= quarter)
        return 0;
    return backlog->in_flight == 0 || backlog->in_flight < backlog->flight->limit - quarter;
}

static void give_up(struct line *line, uint64_t sequence, enum spool_drop reason)
{
    spool_done(line->backlog->spool, line->stream, sequence, (int)reason);
    line->next = sequence + 1;
}

/* Send the line's next message. Returns 1 sent or stepped over; 0 nothing to send now; -EAGAIN the client takes no more. */
static int send_next(struct line *line)
{
    struct backlog *backlog = line->backlog;
    const struct spool_source *source = &line->stream->source;
    struct spool_message stored;
    struct outward_message message;
    uint64_t token;
    int rc = spool_next(backlog->spool, line->stream, line->next, &stored);

    if (rc == -ENOENT)
        line->next = line->stream->ledger.next;
    if (rc < 0)
        return 0;
    if (stored.sequence >= line->stream->ledger.next || stored.size > LAYOUT_PAYLOAD_MAX) {
        give_up(line, stored.sequence, SPOOL_DROP_LOST);
        return 1;
    }
    message = (struct outward_message){.payload = stored.payload, .size = stored.size, .sequence = stored.sequence, .time_ns = stored.time_ns,
                                       .generation = source->generation, .lane = source->lane, .boot = source->boot};
    token = flight_add(backlog->flight, &line->flight, stored.sequence, 0);
    rc = backlog->send(backlog->context, &line->channel, &message, token);
    if (rc < 0) {
        flight_cancel(backlog->flight, &line->flight);
        if (rc == -EAGAIN)
            return rc;
        give_up(line, stored.sequence, SPOOL_DROP_REFUSED);
        return 1;
    }
    line->in_flight++;
    backlog->in_flight++;
    backlog->live_first_in_flight += (unsigned)line->channel.live_first;
    line->next = stored.sequence + 1;
    return 1;
}

static int pump_line(struct line *line)
{
    int steps = 0, rc;

    while (steps < BURST && unsent(line) && has_room(line)) {
        if ((rc = send_next(line)) < 0)
            return rc;
        if (rc == 0)
            break;
        steps++;
    }
    return steps;
}

/* The generation whose turn it is: that of the first stream of an earlier segment that has something to send; otherwise the present one. */
static uint64_t generation_in_turn(struct backlog *backlog)
{
    backlog->earlier_unsent = 1;
    for (size_t i = 0; i < backlog->line_count; i++)
        if (is_earlier(backlog->lines[i]) && unsent(backlog->lines[i]))
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

        if (line->stream->source.generation != generation || !unsent(line))
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

    if (refresh(backlog) < 0)
        return 0;
    generation = generation_in_turn(backlog);
    return generation == backlog->present->layout.generation ? 0 : pump_generation(backlog, generation);
}

int backlog_pump(struct backlog *backlog)
{
    return refresh(backlog) < 0 ? 0 : pump_generation(backlog, generation_in_turn(backlog));
}

int backlog_earlier_sent(struct backlog *backlog)
{
    /* A spool that cannot be drained holds nobody up: then order gives way. */
    return !spool_can_drain(backlog->spool) || generation_in_turn(backlog) == backlog->present->layout.generation;
}

int backlog_unsent(const struct spool_stream *stream)
{
    /* Without a line yet, nothing of it has been sent. */
    return stream->line ? unsent(stream->line) : stream->ledger.held > 0;
}

int backlog_before(const struct backlog *backlog, const char *channel, const struct spool_stream *stream)
{
    if (!spool_can_drain(backlog->spool))
        return 0;
    if (stream && backlog_unsent(stream))
        return 1;
    for (size_t i = 0; backlog->earlier_unsent && i < backlog->line_count; i++)
        if (is_earlier(backlog->lines[i]) && unsent(backlog->lines[i]) && strcmp(backlog->lines[i]->channel.name, channel) == 0)
            return 1;
    return 0;
}

/* ---- Messages that were taken from a ring while they flew ---- */

void backlog_skip(struct backlog *backlog, struct spool_stream *stream, uint64_t next)
{
    struct line *line;

    if (refresh(backlog) < 0)
        return;
    line = stream->line;
    if (next > line->next)
        line->next = next;
}

void backlog_answer(struct backlog *backlog, struct spool_stream *stream, uint64_t sequence, enum flight_answer answer)
{
    struct line *line = stream->line;

    if (answer != FLIGHT_FAILED)
        spool_done(backlog->spool, stream, sequence, answer == FLIGHT_DELIVERED ? -1 : SPOOL_DROP_REFUSED);
    else if (line && sequence < line->next)
        line->next = sequence;
}

/* ---- The counters ---- */

_Static_assert((int)LAYOUT_SPOOL_DROPS == (int)SPOOL_DROP_REASONS, "the kinds of loss in the spool");

void backlog_settle(struct backlog *backlog)
{
    static const enum layout_spool states[] = {[SPOOL_STATE_OFF] = LAYOUT_SPOOL_FAILED, [SPOOL_STATE_OK] = LAYOUT_SPOOL_OK,
                                               [SPOOL_STATE_FULL] = LAYOUT_SPOOL_FULL, [SPOOL_STATE_FAILED] = LAYOUT_SPOOL_FAILED};
    struct ring_spooled sum;

    ring_set_spool(backlog->present->header, states[spool_state(backlog->spool)], spool_bytes(backlog->spool));
    /* While the file cannot be read, what the segment says of it stands. */
    if (spool_state(backlog->spool) == SPOOL_STATE_FAILED)
        return;
    /* It may not have been readable before. */
    agree(backlog);
    for (uint32_t i = 0; i < backlog->present->layout.channel_count; i++) {
        sum_earlier(backlog, backlog->present->layout.channels[i].name, NULL, &sum);
        ring_spooled_store(segment_channel(backlog->present, i), &sum);
    }
}
