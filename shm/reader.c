/* reader.c: the public reader handle: one cursor in each lane of a channel. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "platform.h"
#include "reader_internal.h"

/* When a wait was shorter than this, more is probably on its way: before it asks to be woken again, which costs whoever
 * writes a system call, a reader lets others run. A gateway that gets messages as fast as it can was slowed down to two
 * thirds by the wake-ups. */
#define BURST_NS 200000

/* Looks at an empty slot. */
#define POLLS_THOROUGH 64

/* Set the reader up in `mapping`. It is changed only on success. */
static int reader_enter(struct shared_memory_reader *reader, struct mapping *mapping, enum shared_memory_start start)
{
    int channel = segment_find(&mapping->segment, reader->name);
    const struct layout_channel_info *info;
    struct cursor *cursors;
    char *topic;

    if (channel < 0)
        return handle_fail_channel(reader->shm, mapping, reader->name);
    info = &mapping->segment.layout.channels[channel];
    cursors = calloc(info->lane_count, sizeof(*cursors));
    topic = malloc((info->topic_max > info->topic_size ? info->topic_max : info->topic_size) + (size_t)1);
    if (!cursors || !topic) {
        free(cursors);
        free(topic);
        return handle_fail_plain(-ENOMEM, "out of memory");
    }
    for (uint32_t i = 0; i < info->lane_count; i++) {
        cursors[i].ring = segment_ring(&mapping->segment, info->lane_first + i);
        cursors[i].next = start == SHARED_MEMORY_FROM_NOW ? ring_head_found(&cursors[i].ring)
                                                          : ring_oldest(&cursors[i].ring);
    }
    segment_topic(&mapping->segment, (uint32_t)channel, topic);
    free(reader->cursors);
    free(reader->topic);
    reader->cursors = cursors;
    reader->topic = topic;
    reader->channel_topic_size = info->topic_size;
    reader->mapping = mapping;
    reader->channel = (uint32_t)channel;
    reader->lanes = info->lane_count;
    reader->turn = 0;
    reader->peeked = -1;
    return 0;
}

int shared_memory_reader_open(struct shared_memory *shm, const char *channel, enum shared_memory_start start,
                              struct shared_memory_reader **out)
{
    struct shared_memory_reader *reader;
    struct mapping *mapping;
    int rc;

    *out = NULL;
    /* A reader that waits asks to be woken, which is a write. */
    if ((rc = handle_check_fork(shm)) < 0 || (rc = handle_check_writable(shm)) < 0)
        return rc;
    if (start != SHARED_MEMORY_FROM_OLDEST && start != SHARED_MEMORY_FROM_NOW)
        return handle_fail(-EINVAL, "unknown start %d", (int)start);
    if (strlen(channel) >= LAYOUT_NAME_SIZE)
        return handle_fail(-ENOENT, "no channel %.63s...: names have at most %d characters", channel,
                           LAYOUT_NAME_SIZE - 1);
    reader = calloc(1, sizeof(*reader));
    if (!reader)
        return handle_fail_plain(-ENOMEM, "out of memory");
    reader->shm = shm;
    memcpy(reader->name, channel, strlen(channel) + 1);
    if ((rc = attachment_live(shm, &mapping)) < 0) {
        free(reader);
        return rc;
    }
    if ((rc = reader_enter(reader, mapping, start)) < 0) {
        attachment_release(shm, mapping);
        free(reader);
        return rc;
    }
    attachment_hold(shm);
    *out = reader;
    return 0;
}

void shared_memory_reader_close(struct shared_memory_reader *reader)
{
    if (!reader)
        return;
    reader_watch_close(reader);
    reader_await_cancels(reader);
    attachment_release(reader->shm, reader->mapping);
    attachment_drop(reader->shm);
    free(reader->cursors);
    free(reader->topic);
    free(reader);
}

/* The gateway has replaced the segment and nothing is left in the old one: go on in the new one. */
static int reader_move(struct shared_memory_reader *reader)
{
    struct mapping *stale = reader->mapping, *fresh;
    int rc = attachment_renew(reader->shm, stale, &fresh);

    if (rc < 0)
        return rc;
    if (fresh == stale) {
        attachment_release(reader->shm, fresh);
        return 0;
    }
    if ((rc = reader_enter(reader, fresh, SHARED_MEMORY_FROM_OLDEST)) < 0) {
        attachment_release(reader->shm, fresh);
        return rc;
    }
    reader_watch_leave(reader);
    reader_await_cancels(reader);
    attachment_release(reader->shm, stale);
    return 0;
}

/* Step to `next`, counting what is left behind. */
static void cursor_skip(struct shared_memory_reader *reader, struct cursor *cursor, uint64_t next)
{
    reader->missed += next - cursor->next;
    cursor->next = next;
}

/* Whether a message that was read or looked at is too old to be given out. */
static int is_expired(const struct ring_message *message)
{
    return message->expires_ns != 0 && platform_boot_ns() >= message->expires_ns;
}

/* Step over a message that is too old. -ETIME; -ESTALE when it was being overwritten, so that what was seen of it may
 * not have been its own. */
static int cursor_expire(struct shared_memory_reader *reader, struct cursor *cursor)
{
    if (!ring_validate(&cursor->ring, cursor->next))
        return -ESTALE;
    cursor->next++;
    reader->expired++;
    return -ETIME;
}

/* Fill the caller's view of a message. */
static void deliver(struct shared_memory_reader *reader, uint32_t lane, const struct ring_message *from,
                    struct shared_memory_message *to)
{
    const struct cursor *cursor = &reader->cursors[lane];

    if (cursor->ring.topic_max > 0)
        reader->topic[from->topic_size] = '\0';
    *to = (struct shared_memory_message){
        .payload = from->payload,
        .size = from->size,
        .topic = reader->topic,
        .topic_size = cursor->ring.topic_max > 0 ? from->topic_size : reader->channel_topic_size,
        .sequence = cursor->next,
        .time_ns = from->time_ns,
        .missed = reader->missed,
        .lane = lane,
        .retained = (from->flags & LAYOUT_FLAG_RETAINED) != 0,
        .expired = reader->expired,
    };
}

/* Look where nothing is for what only a damaged segment shows. -EAGAIN: nothing is wrong; -ESTALE: the cursor has
 * moved. */
static int cursor_mend(struct shared_memory_reader *reader, struct cursor *cursor)
{
    switch (ring_check_damage(&cursor->ring, cursor->next)) {
    case -EBADMSG:
        cursor_skip(reader, cursor, cursor->next + 1);
        return -ESTALE;
    case -ESTALE:
        /* A damaged head had led it astray. */
        cursor->next = ring_head_found(&cursor->ring);
        return -ESTALE;
    default:
        return -EAGAIN;
    }
}

/* Get the next message of one lane: into `buffer`, or, without one, where it lies. -EAGAIN when there is none.
 * `polling`: a program that spins asks millions of times; only one look of POLLS_THOROUGH at an empty slot looks for
 * damage, as that takes from the writer a cache line that it needs for itself. */
static int cursor_take(struct shared_memory_reader *reader, uint32_t lane, struct ring_space *space,
                       struct shared_memory_message *message, int polling)
{
    struct cursor *cursor = &reader->cursors[lane];
    struct ring_message found;
    /* Each turn steps over one message at least; a writer that laps us more often than this while we look gets its way.
     */
    uint64_t tries = 2 * (cursor->ring.mask + 1);
    int rc;

    do {
        space->topic = cursor->ring.topic_max > 0 ? reader->topic : NULL;
        rc = space->payload ? ring_read(&cursor->ring, cursor->next, &found, space)
                            : ring_peek(&cursor->ring, cursor->next, &found);
        if ((rc == 0 || rc == -EMSGSIZE) && is_expired(&found))
            rc = cursor_expire(reader, cursor);
        if (rc == -ESTALE)
            cursor_skip(reader, cursor, ring_resync(&cursor->ring, cursor->next));
        else if (rc == -EBADMSG)
            cursor_skip(reader, cursor, cursor->next + 1);
        else if (rc == -EAGAIN && polling && ++cursor->polls % POLLS_THOROUGH != 0)
            ring_prefetch(&cursor->ring, cursor->next);
        else if (rc == -EAGAIN)
            rc = cursor_mend(reader, cursor);
    } while ((rc == -ESTALE || rc == -EBADMSG || rc == -ETIME) && --tries > 0);
    if (rc == -EMSGSIZE) {
        message->size = found.size;
        return handle_fail(rc, "channel %s: message of %u bytes, buffer of %zu: enlarge the buffer", reader->name,
                           found.size, space->size);
    }
    if (rc < 0)
        return -EAGAIN;
    if (!space->payload && cursor->ring.topic_max > 0)
        memcpy(reader->topic, found.topic, found.topic_size);
    deliver(reader, lane, &found, message);
    if (space->payload) {
        cursor->next++;
        reader->missed = reader->expired = 0;
    } else {
        reader->peeked = (int)lane;
    }
    reader->turn = lane + 1 < reader->lanes ? lane + 1 : 0;
    return 0;
}

/* Get the next message of any lane, without waiting. */
static int take(struct shared_memory_reader *reader, void *buffer, size_t size, struct shared_memory_message *message,
                int polling)
{
    struct ring_space space = {.payload = buffer, .size = size};
    uint32_t lane = reader->turn;
    int rc = -EAGAIN;

    for (uint32_t i = 0; i < reader->lanes && rc == -EAGAIN; i++) {
        rc = cursor_take(reader, lane, &space, message, polling);
        lane = lane + 1 < reader->lanes ? lane + 1 : 0;
    }
    return rc;
}

/* Get the next message if there is one. */
static int take_polling(struct shared_memory_reader *reader, void *buffer, size_t size,
                        struct shared_memory_message *message)
{
    for (;;) {
        int retired = mapping_retired(reader->mapping);
        int rc = take(reader, buffer, size, message, !retired);

        if (rc == -EAGAIN && !retired && reader->watch && reader_watch_arm(reader)) {
            rc = take(reader, buffer, size, message, 0);
            if (rc != -EAGAIN)
                reader_watch_found(reader);
        }
        if (rc != -EAGAIN)
            return rc;
        /* That there is no other segment yet is for the next look. */
        if (!retired &&
            (++reader->idle % POLLS_THOROUGH != 0 || !reader_is_left_behind(reader) || reader_move(reader) < 0))
            return handle_fail_plain(-EAGAIN, "no message");
        if (retired && (rc = reader_move(reader)) < 0)
            return rc;
    }
}

/* Get the next message, waiting for one. `buffer` NULL: peek. */
static int take_waiting(struct shared_memory_reader *reader, void *buffer, size_t size,
                        struct shared_memory_message *message, int timeout_ms)
{
    uint64_t begin_ns, deadline = UINT64_MAX;
    int rc = handle_check_fork(reader->shm);

    if (rc < 0)
        return rc;
    if (timeout_ms == 0)
        return take_polling(reader, buffer, size, message);
    if ((rc = take(reader, buffer, size, message, 0)) != -EAGAIN)
        return rc;
    if (reader->in_burst) {
        platform_yield();
        if ((rc = take(reader, buffer, size, message, 0)) != -EAGAIN)
            return rc;
    }
    begin_ns = platform_monotonic_ns();
    if (timeout_ms > 0)
        deadline = begin_ns + (uint64_t)timeout_ms * 1000000;
    for (;;) {
        int retired = mapping_retired(reader->mapping);
        uint32_t word = ring_reader_sleep(segment_channel(&reader->mapping->segment, reader->channel));

        if ((rc = take(reader, buffer, size, message, 0)) != -EAGAIN) {
            reader->in_burst = platform_monotonic_ns() - begin_ns < BURST_NS;
            return rc;
        }
        if (retired) {
            if ((rc = reader_move(reader)) < 0)
                return rc;
            continue;
        }
        if (reader_is_left_behind(reader) && reader_move(reader) == 0)
            continue;
        if (platform_monotonic_ns() >= deadline)
            return handle_fail_plain(-ETIMEDOUT, "no message in time");
        rc = reader_sleep(reader, word, deadline);
        if (rc == -ECANCELED)
            return handle_fail_plain(rc, "the wait was cancelled");
        if (rc < 0)
            return handle_fail(rc, "wait for a message: %s", strerror(-rc));
    }
}

int shared_memory_reader_read(struct shared_memory_reader *reader, void *buffer, size_t size,
                              struct shared_memory_message *message, int timeout_ms)
{
    unsigned char none;

    reader->peeked = -1;
    /* Without a buffer only empty messages fit. */
    return take_waiting(reader, buffer ? buffer : &none, buffer ? size : 0, message, timeout_ms);
}

int shared_memory_reader_peek(struct shared_memory_reader *reader, struct shared_memory_message *message,
                              int timeout_ms)
{
    reader->peeked = -1;
    return take_waiting(reader, NULL, 0, message, timeout_ms);
}

int shared_memory_reader_advance(struct shared_memory_reader *reader)
{
    struct cursor *cursor;
    int whole;

    if ((whole = handle_check_fork(reader->shm)) < 0)
        return whole;
    if (reader->peeked < 0)
        return handle_fail_plain(-EINVAL, "advance without a peek before it");
    cursor = &reader->cursors[reader->peeked];
    whole = ring_validate(&cursor->ring, cursor->next);
    reader->peeked = -1;
    cursor->next++;
    reader->missed = whole ? 0 : reader->missed + 1;
    reader->expired = whole ? 0 : reader->expired;
    return whole ? 0
                 : handle_fail_plain(-ESTALE,
                                     "the message was overwritten while it was looked at: discard what was seen");
}

/* The lane whose newest message is the latest, with that message's number. -ENOENT when no lane ever had one; -EAGAIN
 * when all that were looked at were being overwritten. */
static int newest(const struct shared_memory_reader *reader, uint32_t *lane, uint64_t *sequence)
{
    uint64_t latest_ns = 0;
    int found = 0, written = 0;

    for (uint32_t i = 0; i < reader->lanes; i++) {
        struct ring_message message;
        uint64_t head = ring_head_found(&reader->cursors[i].ring);

        written |= head > 0;
        if (head == 0 || ring_peek(&reader->cursors[i].ring, head - 1, &message) < 0 ||
            (found && message.time_ns <= latest_ns))
            continue;
        latest_ns = message.time_ns;
        *lane = i;
        *sequence = head - 1;
        found = 1;
    }
    return found ? 0 : written ? -EAGAIN : -ENOENT;
}

/* Go to the new segment at once, counting what was not read in the old one as missed. */
static int latest_move(struct shared_memory_reader *reader)
{
    uint64_t unread = 0;
    int rc;

    for (uint32_t i = 0; i < reader->lanes; i++) {
        uint64_t head = ring_head_checked(&reader->cursors[i].ring, reader->cursors[i].next);
        unread += head > reader->cursors[i].next ? head - reader->cursors[i].next : 0;
    }
    rc = reader_move(reader);
    if (rc == 0)
        reader->missed += unread;
    return rc;
}

int shared_memory_reader_latest(struct shared_memory_reader *reader, void *buffer, size_t size,
                                struct shared_memory_message *message)
{
    struct ring_message found;
    uint64_t sequence = 0;
    uint32_t lane = 0;
    int rc = handle_check_fork(reader->shm);

    reader->peeked = -1;
    if (rc < 0)
        return rc;
    if (mapping_retired(reader->mapping) && (rc = latest_move(reader)) < 0)
        return rc;
    /* A try fails only when a whole ring was written during it; then the next one finds something newer. */
    for (uint32_t tries = 0; tries < 100; tries++) {
        struct cursor *cursor;
        uint64_t next;

        rc = newest(reader, &lane, &sequence);
        if (rc == -ENOENT)
            break;
        if (rc < 0)
            continue;
        cursor = &reader->cursors[lane];
        rc = ring_read(&cursor->ring, sequence, &found,
                       &(struct ring_space){buffer, size, cursor->ring.topic_max > 0 ? reader->topic : NULL});
        if ((rc == 0 || rc == -EMSGSIZE) && is_expired(&found))
            break;
        if (rc == -EMSGSIZE) {
            message->size = found.size;
            return handle_fail(rc, "channel %s: message of %u bytes, buffer of %zu: enlarge the buffer", reader->name,
                               found.size, size);
        }
        if (rc < 0)
            continue;
        next = cursor->next;
        cursor->next = sequence;
        deliver(reader, lane, &found, message);
        message->missed = message->expired = 0;
        cursor->next = next;
        return 0;
    }
    return handle_fail_plain(-EAGAIN, "no message");
}

size_t shared_memory_reader_max_payload(const struct shared_memory_reader *reader)
{
    return reader->cursors[0].ring.max_payload;
}
