/* backlog.c: the streams of the spool that are on their way to the broker, and the counters of those whose segment is
 * gone. See backlog.h. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "publish/backlog_parts.h"
#include "shm/counters.h"

struct spool *backlog_spool(const struct backlog *backlog)
{
    return backlog->spool;
}

const char *backlog_boot(const struct backlog *backlog)
{
    return backlog->boot;
}

/* ---- Lines ---- */

static const struct outward_channel *find_channel(const struct backlog *backlog, const char *name)
{
    for (uint32_t i = 0; i < backlog->present->layout.channel_count; i++)
        if (strcmp(backlog->present->layout.channels[i].name, name) == 0)
            return &backlog->channels[i];
    return NULL;
}

int backlog_refresh(struct backlog *backlog)
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
        line->channel = (struct outward_channel){.name = stream->source.channel,
                                                 .topic = stream->source.topic,
                                                 .qos = stream->source.qos,
                                                 .retain = stream->source.retain,
                                                 .source = stream->source.source,
                                                 .live_first = now && now->live_first,
                                                 .batch_max = now ? now->batch_max : 1,
                                                 .batch_format = now ? now->batch_format : FRAME_NONE};
        backlog->earlier_unsent |= backlog_line_is_earlier(line);
        flight_lane_init(&line->flight, line, line->channel.qos, backlog_line_answered);
        stream->line = line;
        backlog->lines[backlog->line_count++] = line;
    }
    return 0;
}

/* Whether the stream is of a segment that has lanes in memory: the present one, or one of those that are being drained.
 */
static int has_segment(const struct line *line, const struct segment *olds)
{
    for (int i = 0; olds && i < SEGMENT_OLD_MAX; i++)
        if (olds[i].base && olds[i].layout.generation == line->stream->source.generation)
            return 1;
    return !backlog_line_is_earlier(line);
}

/* Sum up what the spool did with the messages of a channel from earlier segments, but for `olds`. Returns what was ever
 * taken of them. */
static uint64_t sum_earlier(const struct backlog *backlog, const char *channel, const struct segment *olds,
                            struct ring_spooled *sum)
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

/* The segment that carries the counters of those that are no more: the oldest, which hands them on when it is settled.
 */
static const struct segment *find_oldest(const struct backlog *backlog)
{
    for (int i = 0; i < SEGMENT_OLD_MAX; i++)
        if (backlog->olds[i].base)
            return &backlog->olds[i];
    return backlog->present;
}

/* Once, when the file can be read: agree with the segments on what was ever taken of the messages of segments that are
 * no more. */
static void agree(struct backlog *backlog)
{
    const struct segment *oldest = find_oldest(backlog);

    if (backlog->agreed || spool_state(backlog->spool) != SPOOL_STATE_OK || backlog_refresh(backlog) < 0)
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
        /* The file is right. Messages of before a reboot are as good as written and taken here; those that it has
         * forgotten are lost. */
        if (taken > carried.taken)
            carried.written += taken - carried.taken;
        else
            carried.dropped[LAYOUT_DROP_SPOOL_FAILED] += carried.taken - taken;
        carried.taken = taken;
        ring_carried_store(channel, &carried);
    }
}

int backlog_create(struct backlog **out, struct spool *spool, const struct segment *present,
                   const struct outward_channel *channels, const struct segment *olds, int created,
                   struct flight *flight, outward_send send, void *context)
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
    if (backlog_refresh(backlog) < 0) {
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
    frame_free(&backlog->frame);
    free(backlog);
}

/* ---- Messages that were taken from a ring while they flew ---- */

void backlog_skip(struct backlog *backlog, struct spool_stream *stream, uint64_t next)
{
    struct line *line;

    if (backlog_refresh(backlog) < 0)
        return;
    line = stream->line;
    if (next > line->next)
        line->next = next;
}

void backlog_answer(struct backlog *backlog, struct spool_stream *stream, uint64_t sequence, uint32_t count,
                    enum flight_answer answer)
{
    struct line *line = stream->line;

    if (answer != FLIGHT_FAILED)
        spool_done(backlog->spool, stream, sequence, count, answer == FLIGHT_DELIVERED ? -1 : SPOOL_DROP_REFUSED);
    else if (line && sequence < line->next)
        line->next = sequence;
}

/* ---- The counters ---- */

_Static_assert((int)LAYOUT_SPOOL_DROPS == (int)SPOOL_DROP_REASONS, "the kinds of loss in the spool");

void backlog_settle(struct backlog *backlog)
{
    static const enum layout_spool states[] = {[SPOOL_STATE_OFF] = LAYOUT_SPOOL_FAILED,
                                               [SPOOL_STATE_OK] = LAYOUT_SPOOL_OK,
                                               [SPOOL_STATE_FULL] = LAYOUT_SPOOL_FULL,
                                               [SPOOL_STATE_FAILED] = LAYOUT_SPOOL_FAILED};
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
