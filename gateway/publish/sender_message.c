/* sender_message.c: one message: read from its source, with others behind it where the channel batches, and handed to
 * the transport. See sender.h. */
#include <errno.h>

#include "publish/origin.h"
#include "publish/sender_internal.h"

uint32_t sender_batch_max(const struct source *source)
{
    return source->channel->batch_max > 1 ? source->channel->batch_max : 1;
}

void sender_count_in_flight(struct sender *sender, struct source *source, int change)
{
    source->in_flight += (unsigned)change;
    if (source->share != SOURCE_LIVE)
        sender->replay_in_flight += (unsigned)change;
    if (source->share == SOURCE_REPLAY_LIVE_FIRST)
        sender->live_first_in_flight += (unsigned)change;
}

/* Read message `sequence` of the source, or the one that follows, into the frame. Returns 1; 0 it does not go with
 * those before it; -errno. */
static int read_sample(struct sender *sender, struct source *source, uint64_t sequence, struct source_message *message)
{
    struct frame *frame = &sender->frame;
    size_t room;
    void *to = frame_room(frame, &room);
    int rc = to ? source->type->read(source, sequence, to, room, message) : -ENOBUFS;

    if (rc == -ENOBUFS && to && frame->count == 0) {
        if (frame_reserve(frame, message->size) < 0)
            return -ENOMEM;
        to = frame_room(frame, &room);
        rc = to ? source->type->read(source, sequence, to, room, message) : -ENOBUFS;
    }
    if (rc < 0)
        return rc == -ENOBUFS && frame->count > 0 ? 0 : rc;
    /* The frame says the number of its first sample, and counts on from there. */
    if (frame->count == 0 && message->sequence != sequence)
        frame_begin(frame, frame->format, message->sequence);
    else if (message->sequence != sequence)
        return 0;
    sender->times[frame->count] = message->time_ns;
    return frame_add(frame, message->size, message->time_ns);
}

/* Read up to `most` messages, from source->next on and below `end`, into the frame. Returns 0, and *first is the first
 * of them; or why there is none. */
static int gather_samples(struct sender *sender, struct source *source, uint64_t end, uint32_t most,
                          struct source_message *first)
{
    struct frame *frame = &sender->frame;
    struct source_message message;
    uint64_t sequence = source->next;
    int rc = 1;

    frame_begin(frame, sender_batch_max(source) > 1 ? source->channel->batch_format : FRAME_NONE, sequence);
    while (rc > 0 && frame->count < most && (frame->count == 0 || sequence < end)) {
        rc = read_sample(sender, source, sequence, &message);
        if (rc > 0 && frame->count == 1)
            *first = message;
        if (rc > 0)
            sequence = message.sequence + 1;
    }
    frame_end(frame);
    return frame->count > 0 ? 0 : rc < 0 ? rc : -EAGAIN;
}

/* Hand the frame to the transport. */
static int publish_frame(struct sender *sender, const struct source *source, const struct source_message *first,
                         uint64_t token)
{
    struct transport_message message = {.topic = source->topic,
                                        .payload = sender->frame.bytes,
                                        .size = sender->frame.size,
                                        .qos = source->channel->qos,
                                        .retain = source->channel->retain,
                                        .alias = 1};
    struct origin origin;

    if (!source->topic)
        return -EINVAL;
    if (source->channel->source) {
        origin_describe(&origin, source, first, sender->boot);
        message.properties = origin.properties;
        message.property_count = ORIGIN_PROPERTIES;
    }
    return sender->transport->type->publish(sender->transport, &message, token);
}

static void count_latency(struct sender *sender, struct source *source)
{
    uint64_t now_ns;

    if (!source->latency)
        return;
    now_ns = platform_time_ns();
    for (uint32_t i = 0; i < sender->frame.count; i++)
        latency_add(&source->latency->to_send, (int64_t)(now_ns - sender->times[i]), 1);
}

/* With half as many samples when that is more than the transport can take at once, and so on. */
int sender_send_message(struct sender *sender, struct source *source, uint64_t end, uint32_t most)
{
    struct source_message first = {0};
    uint64_t token;
    int rc;

    for (;; most = sender->frame.count / 2) {
        rc = gather_samples(sender, source, end, most, &first);
        if (rc < 0)
            return source->type->skip(source, rc);
        token = inflight_add(&sender->inflight, &source->chain, first.sequence, sender->frame.count,
                             source->latency ? platform_monotonic_ns() : 0);
        rc = publish_frame(sender, source, &first, token);
        if (rc == 0)
            break;
        inflight_cancel(&sender->inflight, &source->chain);
        if (rc == -EAGAIN)
            return rc;
        if (rc != -EMSGSIZE || sender->frame.count <= 1)
            return source->type->refuse(source, first.sequence);
    }
    count_latency(sender, source);
    sender_count_in_flight(sender, source, 1);
    source->next = first.sequence + sender->frame.count;
    return 1;
}
