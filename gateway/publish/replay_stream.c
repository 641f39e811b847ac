/* replay_stream.c: a stream of the spool as a source. See replay.h, and source.h for what a source must do. */
#include <errno.h>
#include <string.h>

#include "publish/replay_internal.h"

static struct replay_stream *stream_of(const struct source *source)
{
    return (struct replay_stream *)source;
}

static uint64_t stream_end(const struct source *source)
{
    const struct replay_stream *replay = stream_of(source);
    const struct spool_ledger *ledger = &replay->stream->ledger;

    /* A spool that cannot be drained holds nobody up: then order gives way. */
    if (ledger->held == 0 || ledger->next <= source->next || !spool_can_drain(replay->replay->spool))
        return source->next;
    return ledger->next;
}

static int stream_read(struct source *source, uint64_t sequence, void *to, size_t room, struct source_message *message)
{
    struct replay_stream *replay = stream_of(source);
    struct spool_message stored = {0};
    int rc = spool_next(replay->replay->spool, replay->stream, sequence, &stored);

    if (rc == 0 && (stored.sequence >= replay->stream->ledger.next || stored.size > LAYOUT_PAYLOAD_MAX))
        rc = -EBADMSG;
    if (rc < 0) {
        replay->bad_sequence = rc == -EBADMSG ? stored.sequence : UINT64_MAX;
        return rc;
    }
    *message = (struct source_message){.sequence = stored.sequence, .time_ns = stored.time_ns, .size = stored.size};
    if (stored.size > room)
        return -ENOBUFS;
    if (stored.size > 0)
        memcpy(to, stored.payload, stored.size);
    return 0;
}

static void give_up_message(struct replay_stream *replay, uint64_t sequence, enum spool_drop reason)
{
    spool_done(replay->replay->spool, replay->stream, sequence, 1, (int)reason);
    replay->source.next = sequence + 1;
}

static int stream_skip(struct source *source, int rc)
{
    struct replay_stream *replay = stream_of(source);

    /* All there is has been dropped by a limit. */
    if (rc == -ENOENT)
        source->next = replay->stream->ledger.next;
    if (rc != -EBADMSG || replay->bad_sequence < source->next || replay->bad_sequence == UINT64_MAX)
        return 0;
    give_up_message(replay, replay->bad_sequence, SPOOL_DROP_LOST);
    return 1;
}

static int stream_refuse(struct source *source, uint64_t sequence)
{
    give_up_message(stream_of(source), sequence, SPOOL_DROP_REFUSED);
    return 1;
}

static void stream_answered(struct source *source, uint64_t sequence, uint32_t count, enum inflight_answer answer)
{
    struct replay_stream *replay = stream_of(source);

    spool_done(replay->replay->spool, replay->stream, sequence, count,
               answer == INFLIGHT_DELIVERED ? -1 : SPOOL_DROP_REFUSED);
}

static void stream_rewind(struct source *source, uint64_t sequence)
{
    if (sequence < source->next)
        source->next = sequence;
}

const struct source_type replay_stream_type = {
    .end = stream_end,
    .read = stream_read,
    .skip = stream_skip,
    .refuse = stream_refuse,
    .answered = stream_answered,
    .rewind = stream_rewind,
};
