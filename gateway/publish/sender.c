/* sender.c: from sources to a transport. See sender.h.
 *
 * Without batching a message goes as soon as its source's turn comes and the window has room. With it, samples wait
 * until there are batch_max of them, or batch_time is over, and go as one; when the window is full they gather by
 * themselves. A resend, or what is replayed, need not make the same frames again: each sample has its sequence number.
 */
#include "publish/sender.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "publish/sender_internal.h"

/* Messages a source may send before the next one has its turn: long enough to keep a lane's slots in the cache, short
 * enough that one busy writer delays another by a fraction of the window. */
#define BURST 16
#define RETRY_MS 20 /* when the transport takes no more for reasons of its own */

int sender_create(struct sender **out)
{
    struct sender *sender = calloc(1, sizeof(*sender));

    *out = NULL;
    if (!sender)
        return -ENOMEM;
    inflight_init(&sender->inflight);
    sender->held_ms = UINT64_MAX;
    platform_boot_id(sender->boot);
    if (sender_reserve(sender, 0, 1) < 0) {
        sender_destroy(sender);
        return -ENOMEM;
    }
    *out = sender;
    return 0;
}

void sender_destroy(struct sender *sender)
{
    if (!sender)
        return;
    frame_free(&sender->frame);
    free(sender->times);
    free(sender);
}

void sender_set_transport(struct sender *sender, struct transport *transport)
{
    sender->transport = transport;
    sender_transport_changed(sender);
}

int sender_reserve(struct sender *sender, size_t payload, uint32_t samples)
{
    uint64_t *larger;

    if (frame_reserve(&sender->frame, payload) < 0)
        return -ENOMEM;
    if (samples <= sender->times_size)
        return 0;
    larger = realloc(sender->times, samples * sizeof(larger[0]));
    if (!larger)
        return -ENOMEM;
    sender->times = larger;
    sender->times_size = samples;
    return 0;
}

void *sender_scratch(struct sender *sender, size_t *size)
{
    *size = sender->frame.capacity;
    return sender->frame.bytes;
}

/* ---- Which sources there are ---- */

void sender_add(struct sender *sender, struct source *source)
{
    inflight_chain_init(&source->chain, source, source->channel->qos);
    source->chain.latency = source->latency ? &source->latency->to_acknowledge : NULL;
    sender->some_unacknowledged |= source->chain.unacknowledged;
}

/* Take the source out of the queue. */
static void unqueue_ready(struct sender *sender, const struct source *source)
{
    struct source *before = NULL;

    for (struct source *at = sender->ready_first; at; before = at, at = at->ready_next) {
        if (at != source)
            continue;
        if (before)
            before->ready_next = at->ready_next;
        else
            sender->ready_first = at->ready_next;
        if (sender->ready_last == at)
            sender->ready_last = before;
        sender->ready_count--;
        return;
    }
}

void sender_forget(struct sender *sender, struct source *source)
{
    inflight_forget(&sender->inflight, &source->chain);
    sender_count_in_flight(sender, source, -(int)source->in_flight);
    unqueue_ready(sender, source);
    for (struct source **at = &sender->held; *at; at = &(*at)->held_next) {
        if (*at == source) {
            *at = source->held_next;
            break;
        }
    }
    source->ready = source->is_held = 0;
    source_group_remove(source->group, source);
}

void sender_ready(struct sender *sender, struct source *source)
{
    if (source->ready)
        return;
    source->ready = 1;
    source->ready_next = NULL;
    if (sender->ready_last)
        sender->ready_last->ready_next = source;
    else
        sender->ready_first = source;
    sender->ready_last = source;
    sender->ready_count++;
}

static struct source *take_ready(struct sender *sender)
{
    struct source *source = sender->ready_first;

    sender->ready_first = source->ready_next;
    if (!sender->ready_first)
        sender->ready_last = NULL;
    sender->ready_count--;
    source->ready = 0;
    return source;
}

/* ---- Sources that wait for others ---- */

static void block_source(struct source *source)
{
    if (source->is_blocked)
        return;
    source->is_blocked = 1;
    source->blocked_next = source->group->blocked;
    source->group->blocked = source;
}

void sender_unblock(struct sender *sender, struct source_group *group)
{
    while (group->blocked) {
        struct source *source = group->blocked;

        group->blocked = source->blocked_next;
        source->is_blocked = 0;
        sender_ready(sender, source);
    }
}

/* ---- Samples that wait for others ---- */

/* Whether the `waiting` samples that the source has wait for more. Only new ones do: what is replayed has waited. */
static int hold_source(struct sender *sender, struct source *source, uint64_t waiting, uint64_t now_ms)
{
    if (source->batch_wanted <= 1 || source->channel->batch_time_ms == 0 || waiting >= source->batch_wanted)
        return 0;
    if (source->held_ms == 0 && now_ms != UINT64_MAX)
        source->held_ms = now_ms + source->channel->batch_time_ms;
    if (now_ms >= source->held_ms)
        return 0;
    if (!source->is_held) {
        source->is_held = 1;
        source->held_next = sender->held;
        sender->held = source;
    }
    if (source->held_ms < sender->held_ms)
        sender->held_ms = source->held_ms;
    return 1;
}

/* Make those ready that have waited long enough. */
static void release_held(struct sender *sender, uint64_t now_ms)
{
    struct source **at = &sender->held;

    if (now_ms < sender->held_ms)
        return;
    sender->held_ms = UINT64_MAX;
    while (*at) {
        struct source *source = *at;

        if (source->held_ms != 0 && source->held_ms > now_ms) {
            if (source->held_ms < sender->held_ms)
                sender->held_ms = source->held_ms;
            at = &source->held_next;
            continue;
        }
        *at = source->held_next;
        source->is_held = 0;
        if (source->held_ms != 0)
            sender_ready(sender, source);
    }
}

/* ---- The window ---- */

/* A quarter of the window is for messages that need not wait. */
static unsigned quarter(const struct sender *sender)
{
    return sender->inflight.limit > 4 ? sender->inflight.limit / 4 : 1;
}

int sender_replay_is_full(const struct sender *sender)
{
    return sender->replay_in_flight > 0 && sender->replay_in_flight >= sender->inflight.limit - quarter(sender);
}

int sender_window_is_full(const struct sender *sender)
{
    return inflight_is_full(&sender->inflight);
}

/* Whether one more message of the source may fly. */
static int has_room(const struct sender *sender, const struct source *source)
{
    if (!inflight_has_room(&sender->inflight, &source->chain))
        return 0;
    if (source->share == SOURCE_REPLAY_LIVE_FIRST && sender->live_first_in_flight >= quarter(sender))
        return 0;
    return source->share == SOURCE_LIVE || !sender_replay_is_full(sender);
}

/* ---- The sources in turns ---- */

/* Send up to a burst from one source. *steps grows by those made. Returns 1: it may have more, and wants another turn;
 * 0: it waits for answers, for messages, for time or for other sources, which make it ready; -EAGAIN. */
static int visit_source(struct sender *sender, struct source *source, uint64_t now_ms, int *steps)
{
    /* How far it is, is noted before it is asked whether others come first: what a writer wrote elsewhere before that
     * is there by then. */
    uint64_t end = source->type->end(source);

    if (end <= source->next || (source->type->waits && source->type->waits(source)))
        return 0;
    if (source_is_behind(source)) {
        block_source(source);
        return 0;
    }
    for (int burst = 0; end > source->next; burst++) {
        int rc;

        if (source->chain.failed || hold_source(sender, source, end - source->next, now_ms))
            return 0;
        if (burst == BURST || !has_room(sender, source))
            return 1;
        rc = sender_send_message(sender, source, end, sender_batch_max(source));
        if (rc < 0)
            return rc;
        source->held_ms = 0;
        if (rc == 0)
            return 0;
        (*steps)++;
    }
    return source_is_unsent(source);
}

int sender_send_ready(struct sender *sender, uint64_t now_ms)
{
    int steps = 0;

    if (!sender->transport || !sender->transport->type->is_up(sender->transport) || now_ms < sender->retry_ms)
        return 0;
    release_held(sender, now_ms);
    /* With the window full only sources of QoS 0 are worth a visit. */
    for (unsigned visits = sender->ready_count;
         visits > 0 && (sender->some_unacknowledged || !inflight_is_full(&sender->inflight)); visits--) {
        struct source *source = take_ready(sender);
        int rc = visit_source(sender, source, now_ms, &steps);

        if (rc != 0)
            sender_ready(sender, source);
        else if (source->goes_first && !source->is_blocked)
            sender_unblock(sender, source->group);
        if (rc < 0) {
            sender->retry_ms = now_ms == UINT64_MAX ? 0 : now_ms + RETRY_MS;
            break;
        }
    }
    return steps;
}

uint64_t sender_deadline_ms(const struct sender *sender, uint64_t now_ms)
{
    if (!sender->transport || !sender->transport->type->is_up(sender->transport))
        return UINT64_MAX;
    return sender->retry_ms > now_ms ? sender->retry_ms : sender->held_ms;
}

/* ---- Answers ---- */

/* Tell the source of what can be accounted for, oldest first. */
static void take_answers(struct sender *sender, struct source *source)
{
    enum inflight_answer answer;
    uint64_t sequence;
    uint32_t count;

    while ((answer = inflight_take(&sender->inflight, &source->chain, &sequence, &count)) != INFLIGHT_WAITING) {
        if (answer == INFLIGHT_FAILED) {
            sender_count_in_flight(sender, source, -(int)source->in_flight);
            source->type->rewind(source, sequence);
            break;
        }
        sender_count_in_flight(sender, source, -1);
        source->type->answered(source, sequence, count, answer);
    }
    if (source->type->answers_taken)
        source->type->answers_taken(source);
}

void sender_answered(struct sender *sender, uint64_t token, enum transport_answer answer, uint64_t time_ns)
{
    static const enum inflight_answer answers[] = {[TRANSPORT_DELIVERED] = INFLIGHT_DELIVERED,
                                                   [TRANSPORT_REFUSED] = INFLIGHT_REFUSED,
                                                   [TRANSPORT_FAILED] = INFLIGHT_FAILED};
    struct inflight_chain *chain = inflight_answer(&sender->inflight, token, answers[answer], time_ns);
    struct source *source;

    if (!chain)
        return;
    source = chain->owner;
    take_answers(sender, source);
    sender_ready(sender, source);
}

void sender_transport_changed(struct sender *sender)
{
    if (!sender->transport)
        return;
    inflight_set_limit(&sender->inflight, sender->transport->type->window(sender->transport));
    sender->retry_ms = 0;
}

unsigned sender_in_flight(const struct sender *sender)
{
    return sender->inflight.used;
}
