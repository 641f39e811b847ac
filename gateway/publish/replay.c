/* replay.c: the streams of the spool as sources, and the counters of those whose segment is gone. See replay.h. */
#include "publish/replay.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "publish/replay_internal.h"
#include "shm/counters.h"

const char *replay_boot(const struct replay *replay)
{
    return replay->boot;
}

/* ---- Streams ---- */

static const struct publish_channel *find_channel(const struct replay *replay, const char *name)
{
    int index = segment_find(replay->publish->segment, name);

    return index < 0 ? NULL : &replay->publish->channels[index];
}

static const struct segment *find_segment(const struct replay *replay, uint64_t generation)
{
    for (uint32_t i = 0; replay->olds && i < replay->olds->count; i++)
        if (replay->olds->segments[i].base && replay->olds->segments[i].layout.generation == generation)
            return &replay->olds->segments[i];
    return replay->publish->segment->layout.generation == generation ? replay->publish->segment : NULL;
}

/* When the stream's turn is: that of its segment, or, when that is gone, of the first stream that had the same. */
static uint64_t order_of(const struct replay *replay, const struct spool_source *of)
{
    const struct segment *segment = find_segment(replay, of->generation);

    if (segment)
        return source_order_of_segment(segment->layout.serial, 0);
    for (size_t i = 0; i < replay->count; i++)
        if (replay->streams[i]->source.generation == of->generation)
            return replay->streams[i]->source.order;
    return source_order_of_gone(replay->count);
}

static struct replay_stream *make_stream(struct replay *replay, struct spool_stream *stream)
{
    const struct spool_source *from = &stream->source;
    const struct publish_channel *now = find_channel(replay, from->channel);
    struct replay_stream *made = calloc(1, sizeof(*made));
    struct source_group *group = made ? publish_group(replay->publish, from->channel) : NULL;

    if (!group) {
        free(made);
        return NULL;
    }
    made->replay = replay;
    made->stream = stream;
    made->channel = (struct publish_channel){.name = from->channel,
                                             .topic = from->topic,
                                             .qos = from->qos,
                                             .retain = from->retain,
                                             .source = from->source,
                                             .live_first = now && now->live_first,
                                             .batch_max = now ? now->batch_max : 1,
                                             .batch_format = now ? now->batch_format : FRAME_NONE};
    made->source = (struct source){.type = &replay_stream_type,
                                   .channel = &made->channel,
                                   .topic = from->topic,
                                   .boot = from->boot,
                                   .generation = from->generation,
                                   .order = order_of(replay, from),
                                   .lane = from->lane,
                                   .share = made->channel.live_first ? SOURCE_REPLAY_LIVE_FIRST : SOURCE_REPLAY,
                                   .group = group,
                                   .goes_first = 1};
    return made;
}

/* Make a source for each stream that has none yet. 0 or -ENOMEM. */
static int refresh(struct replay *replay)
{
    size_t count = spool_stream_count(replay->spool);
    struct replay_stream **larger;

    if (count == replay->count)
        return 0;
    larger = realloc(replay->streams, count * sizeof(larger[0]));
    if (!larger)
        return -ENOMEM;
    replay->streams = larger;
    while (replay->count < count) {
        struct spool_stream *stream = spool_stream(replay->spool, replay->count);
        struct replay_stream *made = make_stream(replay, stream);

        if (!made || sender_reserve(replay->publish->sender, 0, made->channel.batch_max) < 0) {
            free(made);
            return -ENOMEM;
        }
        stream->replay = made;
        replay->streams[replay->count++] = made;
        sender_add(replay->publish->sender, &made->source);
        made->is_earlier = made->source.generation != replay->publish->segment->layout.generation;
        if (made->is_earlier)
            source_group_add_earlier(made->source.group, &made->source);
        sender_ready(replay->publish->sender, &made->source);
    }
    return 0;
}

struct source *replay_source(struct replay *replay, struct spool_stream *stream)
{
    if (!stream->replay)
        refresh(replay);
    return stream->replay ? &((struct replay_stream *)stream->replay)->source : NULL;
}

int replay_is_unsent(const struct spool_stream *stream)
{
    const struct replay_stream *replay = stream ? stream->replay : NULL;

    /* Without a source yet, nothing of it has been sent. */
    return stream && stream->ledger.held > 0 && (!replay || replay->source.next < stream->ledger.next);
}

void replay_ready(struct replay *replay, struct spool_stream *stream)
{
    struct source *source = replay_source(replay, stream);

    if (source)
        sender_ready(replay->publish->sender, source);
}

void replay_ready_all(struct replay *replay)
{
    refresh(replay);
    for (size_t i = 0; i < replay->count; i++)
        if (replay_is_unsent(replay->streams[i]->stream))
            sender_ready(replay->publish->sender, &replay->streams[i]->source);
}

/* Streams whose segment is gone get no more messages: nobody looks at them once the last is answered. */
static void leave_finished(struct replay *replay)
{
    for (size_t i = 0; i < replay->count; i++) {
        struct replay_stream *stream = replay->streams[i];

        if (!stream->is_earlier || stream->stream->ledger.held > 0 || stream->source.chain.first >= 0 ||
            find_segment(replay, stream->source.generation))
            continue;
        stream->is_earlier = 0;
        source_group_remove(stream->source.group, &stream->source);
        sender_unblock(replay->publish->sender, stream->source.group);
    }
}

/* ---- The counters ---- */

/* Whether the stream is of a segment that has lanes in memory: the present one, or one of those that are being drained.
 */
static int has_segment(const struct replay_stream *line, const struct segment_list *olds)
{
    for (uint32_t i = 0; olds && i < olds->count; i++)
        if (olds->segments[i].base && olds->segments[i].layout.generation == line->stream->source.generation)
            return 1;
    return line->source.generation == line->replay->publish->segment->layout.generation;
}

/* Sum up what the spool did with the messages of a channel from earlier segments, but for `olds`. Returns what was ever
 * taken of them. */
static uint64_t sum_earlier(const struct replay *replay, const char *channel, const struct segment_list *olds,
                            struct ring_spooled *sum)
{
    uint64_t taken = 0;

    memset(sum, 0, sizeof(*sum));
    for (size_t i = 0; i < replay->count; i++) {
        const struct replay_stream *line = replay->streams[i];
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

/* The segment that carries the counters of those that are no more: the oldest, which hands them on when its ledgers are
 * flushed.
 */
static const struct segment *find_oldest(const struct replay *replay)
{
    for (uint32_t i = 0; replay->olds && i < replay->olds->count; i++)
        if (replay->olds->segments[i].base)
            return &replay->olds->segments[i];
    return replay->publish->segment;
}

/* Once, when the file can be read: agree with the segments on what was ever taken of the messages of segments that are
 * no more. */
static void reconcile(struct replay *replay)
{
    const struct segment *oldest = find_oldest(replay);

    if (replay->reconciled || spool_state(replay->spool) != SPOOL_STATE_OK || refresh(replay) < 0)
        return;
    replay->reconciled = 1;
    if (replay->created)
        spool_begin_anew(replay->spool);
    for (uint32_t i = 0; i < oldest->layout.channel_count; i++) {
        struct layout_channel *channel = segment_channel(oldest, i);
        struct ring_carried carried;
        struct ring_spooled sum;
        uint64_t taken = sum_earlier(replay, oldest->layout.channels[i].name, replay->olds, &sum);

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

int replay_create(struct replay **out, const struct replay_options *options)
{
    struct replay *replay = calloc(1, sizeof(*replay));

    *out = NULL;
    if (!replay)
        return -ENOMEM;
    replay->publish = options->publish;
    replay->spool = options->spool;
    replay->olds = options->olds;
    replay->created = options->created;
    platform_boot_id(replay->boot);
    if (refresh(replay) < 0) {
        replay_destroy(replay);
        return -ENOMEM;
    }
    reconcile(replay);
    *out = replay;
    return 0;
}

void replay_destroy(struct replay *replay)
{
    if (!replay)
        return;
    for (size_t i = 0; i < replay->count; i++) {
        replay->streams[i]->stream->replay = NULL;
        sender_forget(replay->publish->sender, &replay->streams[i]->source);
        free(replay->streams[i]);
    }
    free(replay->streams);
    free(replay);
}

/* ---- Messages that were taken from a ring while they flew ---- */

void replay_skip(struct replay *replay, struct spool_stream *stream, uint64_t next)
{
    struct source *source = replay_source(replay, stream);

    if (source && next > source->next)
        source->next = next;
}

void replay_answer(struct replay *replay, struct spool_stream *stream, uint64_t sequence, uint32_t count,
                   enum inflight_answer answer)
{
    if (answer != INFLIGHT_FAILED) {
        spool_done(replay->spool, stream, sequence, count, answer == INFLIGHT_DELIVERED ? -1 : SPOOL_DROP_REFUSED);
    } else {
        struct source *source = replay_source(replay, stream);

        if (source && sequence < source->next)
            source->next = sequence;
        replay_ready(replay, stream);
    }
}

/* ---- The counters ---- */

_Static_assert((int)LAYOUT_SPOOL_DROPS == (int)SPOOL_DROP_REASONS, "the kinds of loss in the spool");

void replay_flush(struct replay *replay)
{
    static const enum layout_spool states[] = {[SPOOL_STATE_OFF] = LAYOUT_SPOOL_FAILED,
                                               [SPOOL_STATE_OK] = LAYOUT_SPOOL_OK,
                                               [SPOOL_STATE_FULL] = LAYOUT_SPOOL_FULL,
                                               [SPOOL_STATE_FAILED] = LAYOUT_SPOOL_FAILED};
    struct ring_spooled sum;

    ring_set_spool(replay->publish->segment->header, states[spool_state(replay->spool)], spool_bytes(replay->spool));
    /* While the file cannot be read, what the segment says of it stands. */
    if (spool_state(replay->spool) == SPOOL_STATE_FAILED)
        return;
    /* It may not have been readable before. */
    reconcile(replay);
    leave_finished(replay);
    for (uint32_t i = 0; i < replay->publish->segment->layout.channel_count; i++) {
        sum_earlier(replay, replay->publish->segment->layout.channels[i].name, NULL, &sum);
        ring_spooled_store(segment_channel(replay->publish->segment, i), &sum);
    }
}
