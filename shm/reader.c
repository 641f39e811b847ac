/* reader.c: the public reader handle: one place in each lane of a channel. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "handles.h"
#include "platform.h"

/* How long a sleeping reader goes without looking for itself. A message normally wakes it; the look is for a publish channel whose
 * gateway has gone (writers do not wake readers), and for a gateway that was killed on the point of waking us. */
#define RECHECK_MS 1000
#define RECHECK_ALONE_MS 50

/* When a wait was shorter than this, more is probably on its way: before it asks to be woken again, which costs whoever writes a system call, a reader lets
 * others run. A gateway that gets messages as fast as it can was slowed down to two thirds by the wake-ups. */
#define BURST_NS 200000

/* Looks at an empty slot. */
#define POLLS_THOROUGH 64

/* One lane, as this reader follows it. */
struct place {
    struct ring ring;
    uint64_t next;
    uint32_t polls;                /* looks that found nothing */
};

struct shared_memory_reader {
    struct shared_memory *shm;
    struct holding *holding;
    uint32_t channel;              /* index in the segment */
    uint32_t lanes;
    struct place *places;          /* one a lane */
    uint32_t turn;                 /* lane to look at first, so that none waits for another for ever */
    int in_burst;                  /* the last wait was short */
    int peeked;                    /* lane of the peek that waits for its advance, or -1 */
    uint64_t missed, expired;      /* since the last message given out */
    char *topic;                   /* of the last message, terminated */
    size_t channel_topic_size;
    char name[LAYOUT_NAME_SIZE];
};

/* Set the reader up in `holding`. It is changed only on success. */
static int reader_enter(struct shared_memory_reader *reader, struct holding *holding, enum shared_memory_start start)
{
    int channel = segment_find(&holding->segment, reader->name);
    const struct layout_channel_info *info;
    struct place *places;
    char *topic;

    if (channel < 0)
        return handle_fail(-ENOENT, "no channel %s in segment %s: add [channel %s] to gateway.ini", reader->name, reader->shm->name,
                           reader->name);
    info = &holding->segment.layout.channels[channel];
    places = calloc(info->lane_count, sizeof(*places));
    topic = malloc((info->topic_max > info->topic_size ? info->topic_max : info->topic_size) + (size_t)1);
    if (!places || !topic) {
        free(places);
        free(topic);
        return handle_fail_plain(-ENOMEM, "out of memory");
    }
    for (uint32_t i = 0; i < info->lane_count; i++) {
        places[i].ring = segment_ring(&holding->segment, info->lane_first + i);
        places[i].next = start == SHARED_MEMORY_FROM_NOW ? ring_head(&places[i].ring) : ring_oldest(&places[i].ring);
    }
    segment_topic(&holding->segment, (uint32_t)channel, topic);
    free(reader->places);
    free(reader->topic);
    reader->places = places;
    reader->topic = topic;
    reader->channel_topic_size = info->topic_size;
    reader->holding = holding;
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
    struct holding *holding;
    int rc;

    *out = NULL;
    /* A reader that waits asks to be woken, which is a write. */
    if ((rc = handle_check_fork(shm)) < 0 || (rc = handle_check_writable(shm)) < 0)
        return rc;
    if (start != SHARED_MEMORY_FROM_OLDEST && start != SHARED_MEMORY_FROM_NOW)
        return handle_fail(-EINVAL, "unknown start %d", (int)start);
    if (strlen(channel) >= LAYOUT_NAME_SIZE)
        return handle_fail(-ENOENT, "no channel %.63s...: names have at most %d characters", channel, LAYOUT_NAME_SIZE - 1);
    reader = calloc(1, sizeof(*reader));
    if (!reader)
        return handle_fail_plain(-ENOMEM, "out of memory");
    reader->shm = shm;
    memcpy(reader->name, channel, strlen(channel) + 1);
    if ((rc = attachment_live(shm, &holding)) < 0) {
        free(reader);
        return rc;
    }
    if ((rc = reader_enter(reader, holding, start)) < 0) {
        attachment_release(shm, holding);
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
    attachment_release(reader->shm, reader->holding);
    attachment_drop(reader->shm);
    free(reader->places);
    free(reader->topic);
    free(reader);
}

/* The gateway has replaced the segment and nothing is left in the old one: go on in the new one. */
static int reader_move(struct shared_memory_reader *reader)
{
    struct holding *stale = reader->holding, *fresh;
    int rc = attachment_renew(reader->shm, stale, &fresh);

    if (rc < 0)
        return rc;
    if ((rc = reader_enter(reader, fresh, SHARED_MEMORY_FROM_OLDEST)) < 0) {
        attachment_release(reader->shm, fresh);
        return rc;
    }
    attachment_release(reader->shm, stale);
    return 0;
}

/* Step to `next`, counting what is left behind. */
static void place_skip(struct shared_memory_reader *reader, struct place *place, uint64_t next)
{
    reader->missed += next - place->next;
    place->next = next;
}

/* Whether a message that was read or looked at is too old to be given out. */
static int is_expired(const struct ring_message *message)
{
    return message->expires_ns != 0 && platform_time_ns() >= message->expires_ns;
}

/* Step over a message that is too old. -ETIME; -ESTALE when it was being overwritten, so that what was seen of it may not have been its own. */
static int place_expire(struct shared_memory_reader *reader, struct place *place)
{
    if (!ring_still(&place->ring, place->next))
        return -ESTALE;
    place->next++;
    reader->expired++;
    return -ETIME;
}

/* Fill the caller's view of a message. */
static void deliver(struct shared_memory_reader *reader, uint32_t lane, const struct ring_message *from, struct shared_memory_message *to)
{
    const struct place *place = &reader->places[lane];

    if (place->ring.topic_max > 0)
        reader->topic[from->topic_size] = '\0';
    *to = (struct shared_memory_message){
        .payload = from->payload,
        .size = from->size,
        .topic = reader->topic,
        .topic_size = place->ring.topic_max > 0 ? from->topic_size : reader->channel_topic_size,
        .sequence = place->next,
        .time_ns = from->time_ns,
        .missed = reader->missed,
        .lane = lane,
        .retained = (from->flags & LAYOUT_FLAG_RETAINED) != 0,
        .expired = reader->expired,
    };
}

/* Look where nothing is for what only a damaged segment shows. -EAGAIN: nothing is wrong; -ESTALE: the place has moved. */
static int place_mend(struct shared_memory_reader *reader, struct place *place)
{
    switch (ring_stuck(&place->ring, place->next)) {
    case -EBADMSG:
        place_skip(reader, place, place->next + 1);
        return -ESTALE;
    case -ESTALE:
        /* A damaged head had led it astray. */
        place->next = ring_head(&place->ring);
        return -ESTALE;
    default:
        return -EAGAIN;
    }
}

/* Get the next message of one lane: into `buffer`, or, without one, where it lies. -EAGAIN when there is none. `polling`: a program that spins asks millions
 * of times; only one look of POLLS_THOROUGH at an empty slot looks for damage, as that takes from the writer a cache line that it needs for itself. */
static int place_take(struct shared_memory_reader *reader, uint32_t lane, void *buffer, size_t size, struct shared_memory_message *message, int polling)
{
    struct place *place = &reader->places[lane];
    struct ring_message found;
    /* Each turn steps over one message at least; a writer that laps us more often than this while we look gets its way. */
    uint64_t tries = 2 * (place->ring.mask + 1);
    int rc;

    do {
        char *topic = place->ring.topic_max > 0 ? reader->topic : NULL;

        rc = buffer ? ring_read(&place->ring, place->next, &found, buffer, size, topic) : ring_peek(&place->ring, place->next, &found);
        if ((rc == 0 || rc == -EMSGSIZE) && is_expired(&found))
            rc = place_expire(reader, place);
        if (rc == -ESTALE)
            place_skip(reader, place, ring_resync(&place->ring, place->next));
        else if (rc == -EBADMSG)
            place_skip(reader, place, place->next + 1);
        else if (rc == -EAGAIN && polling && ++place->polls % POLLS_THOROUGH != 0)
            ring_await(&place->ring, place->next);
        else if (rc == -EAGAIN)
            rc = place_mend(reader, place);
    } while ((rc == -ESTALE || rc == -EBADMSG || rc == -ETIME) && --tries > 0);
    if (rc == -EMSGSIZE) {
        message->size = found.size;
        return handle_fail(rc, "channel %s: message of %u bytes, buffer of %zu: enlarge the buffer", reader->name, found.size, size);
    }
    if (rc < 0)
        return -EAGAIN;
    if (!buffer && place->ring.topic_max > 0)
        memcpy(reader->topic, found.topic, found.topic_size);
    deliver(reader, lane, &found, message);
    if (buffer) {
        place->next++;
        reader->missed = reader->expired = 0;
    } else {
        reader->peeked = (int)lane;
    }
    reader->turn = lane + 1 < reader->lanes ? lane + 1 : 0;
    return 0;
}

/* Get the next message of any lane, without waiting. */
static int take(struct shared_memory_reader *reader, void *buffer, size_t size, struct shared_memory_message *message, int polling)
{
    uint32_t lane = reader->turn;
    int rc = -EAGAIN;

    for (uint32_t i = 0; i < reader->lanes && rc == -EAGAIN; i++) {
        rc = place_take(reader, lane, buffer, size, message, polling);
        lane = lane + 1 < reader->lanes ? lane + 1 : 0;
    }
    return rc;
}

/* Sleep until a message may be there, or the time has come to look. */
static int wait_once(struct shared_memory_reader *reader, uint32_t word, uint64_t deadline)
{
    const struct segment *segment = &reader->holding->segment;
    unsigned recheck_ms = segment_served(segment) == 1 ? RECHECK_MS : RECHECK_ALONE_MS;
    uint64_t look = platform_monotonic_ns() + recheck_ms * UINT64_C(1000000);
    int rc = platform_word_wait(&segment_channel(segment, reader->channel)->wake_word, word, look < deadline ? look : deadline);

    return rc == -ETIMEDOUT ? 0 : rc;
}

/* Get the next message if there is one. */
static int take_polling(struct shared_memory_reader *reader, void *buffer, size_t size, struct shared_memory_message *message)
{
    for (;;) {
        int retired = ring_retired(reader->holding->segment.header);
        int rc = take(reader, buffer, size, message, !retired);

        if (rc != -EAGAIN)
            return rc;
        if (!retired)
            return handle_fail_plain(-EAGAIN, "no message");
        if ((rc = reader_move(reader)) < 0)
            return rc;
    }
}

/* Get the next message, waiting for one. `buffer` NULL: peek. */
static int take_waiting(struct shared_memory_reader *reader, void *buffer, size_t size, struct shared_memory_message *message, int timeout_ms)
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
        int retired = ring_retired(reader->holding->segment.header);
        uint32_t word = ring_reader_sleep(segment_channel(&reader->holding->segment, reader->channel));

        if ((rc = take(reader, buffer, size, message, 0)) != -EAGAIN) {
            reader->in_burst = platform_monotonic_ns() - begin_ns < BURST_NS;
            return rc;
        }
        if (retired) {
            if ((rc = reader_move(reader)) < 0)
                return rc;
            continue;
        }
        if (platform_monotonic_ns() >= deadline)
            return handle_fail_plain(-ETIMEDOUT, "no message in time");
        if ((rc = wait_once(reader, word, deadline)) < 0)
            return handle_fail(rc, "wait for a message: %s", strerror(-rc));
    }
}

int shared_memory_reader_read(struct shared_memory_reader *reader, void *buffer, size_t size, struct shared_memory_message *message,
                              int timeout_ms)
{
    unsigned char none;

    reader->peeked = -1;
    /* Without a buffer only empty messages fit. */
    return take_waiting(reader, buffer ? buffer : &none, buffer ? size : 0, message, timeout_ms);
}

int shared_memory_reader_peek(struct shared_memory_reader *reader, struct shared_memory_message *message, int timeout_ms)
{
    reader->peeked = -1;
    return take_waiting(reader, NULL, 0, message, timeout_ms);
}

int shared_memory_reader_advance(struct shared_memory_reader *reader)
{
    struct place *place;
    int whole;

    if (reader->peeked < 0)
        return handle_fail_plain(-EINVAL, "advance without a peek before it");
    place = &reader->places[reader->peeked];
    whole = ring_still(&place->ring, place->next);
    reader->peeked = -1;
    place->next++;
    reader->missed = whole ? 0 : reader->missed + 1;
    reader->expired = whole ? 0 : reader->expired;
    return whole ? 0 : handle_fail_plain(-ESTALE, "the message was overwritten while it was looked at: discard what was seen");
}

/* The lane whose newest message is the latest, with that message's number. -ENOENT when no lane ever had one; -EAGAIN when all that were
 * looked at were being overwritten. */
static int newest(const struct shared_memory_reader *reader, uint32_t *lane, uint64_t *sequence)
{
    uint64_t latest_ns = 0;
    int found = 0, written = 0;

    for (uint32_t i = 0; i < reader->lanes; i++) {
        struct ring_message message;
        uint64_t head = ring_head(&reader->places[i].ring);

        written |= head > 0;
        if (head == 0 || ring_peek(&reader->places[i].ring, head - 1, &message) < 0 || (found && message.time_ns <= latest_ns))
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
        uint64_t head = ring_head(&reader->places[i].ring);
        unread += head > reader->places[i].next ? head - reader->places[i].next : 0;
    }
    rc = reader_move(reader);
    if (rc == 0)
        reader->missed += unread;
    return rc;
}

int shared_memory_reader_latest(struct shared_memory_reader *reader, void *buffer, size_t size, struct shared_memory_message *message)
{
    struct ring_message found;
    uint64_t sequence = 0;
    uint32_t lane = 0;
    int rc = handle_check_fork(reader->shm);

    reader->peeked = -1;
    if (rc < 0)
        return rc;
    if (ring_retired(reader->holding->segment.header) && (rc = latest_move(reader)) < 0)
        return rc;
    /* A try fails only when a whole ring was written during it; then the next one finds something newer. */
    for (uint32_t tries = 0; tries < 100; tries++) {
        struct place *place;
        uint64_t next;

        rc = newest(reader, &lane, &sequence);
        if (rc == -ENOENT)
            break;
        if (rc < 0)
            continue;
        place = &reader->places[lane];
        rc = ring_read(&place->ring, sequence, &found, buffer, size, place->ring.topic_max > 0 ? reader->topic : NULL);
        if ((rc == 0 || rc == -EMSGSIZE) && is_expired(&found))
            break;
        if (rc == -EMSGSIZE) {
            message->size = found.size;
            return handle_fail(rc, "channel %s: message of %u bytes, buffer of %zu: enlarge the buffer", reader->name, found.size, size);
        }
        if (rc < 0)
            continue;
        next = place->next;
        place->next = sequence;
        deliver(reader, lane, &found, message);
        message->missed = message->expired = 0;
        place->next = next;
        return 0;
    }
    return handle_fail_plain(-EAGAIN, "no message");
}

size_t shared_memory_reader_max_payload(const struct shared_memory_reader *reader)
{
    return reader->places[0].ring.max_payload;
}
