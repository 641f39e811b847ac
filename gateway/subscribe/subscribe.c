/* subscribe.c: from the broker into the rings of the subscribe channels. See subscribe.h. */
#include "subscribe/subscribe.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/expiry.h"
#include "base/rate_limiter.h"
#include "base/route.h"
#include "shm/platform.h"

/* A subscribe channel. Its ring and ledger have one writer: the thread of the callback. */
struct entry {
    const char *filter;
    size_t filter_size;
    uint32_t identifier; /* of its subscription */
    uint32_t channel;
    struct ring_writer writer;
    struct ring_ledger ledger;
    struct rate_limiter rate;
    uint64_t max_age_ms;
    int ignore_retained;
    enum frame_format unpack;
};

struct subscribe {
    pthread_mutex_t lock; /* held by an arrival, and by the loop from subscribe_suspend to subscribe_serve */
    struct segment *segment;
    struct entry *entries;
    size_t count;
    int suspended; /* for the loop's thread only */
    atomic_uint dropped;
    _Atomic uint64_t unrouted;
};

int subscribe_create(struct subscribe **out)
{
    struct subscribe *subscribe = calloc(1, sizeof(*subscribe));
    int rc;

    *out = NULL;
    if (!subscribe)
        return -ENOMEM;
    if ((rc = -pthread_mutex_init(&subscribe->lock, NULL)) < 0) {
        free(subscribe);
        return rc;
    }
    subscribe_suspend(subscribe);
    *out = subscribe;
    return 0;
}

void subscribe_destroy(struct subscribe *subscribe)
{
    if (!subscribe)
        return;
    if (subscribe->suspended)
        pthread_mutex_unlock(&subscribe->lock);
    pthread_mutex_destroy(&subscribe->lock);
    free(subscribe->entries);
    free(subscribe);
}

void subscribe_suspend(struct subscribe *subscribe)
{
    if (subscribe->suspended)
        return;
    pthread_mutex_lock(&subscribe->lock);
    subscribe->suspended = 1;
    free(subscribe->entries);
    subscribe->entries = NULL;
    subscribe->count = 0;
    subscribe->segment = NULL;
}

void subscribe_let_go(struct subscribe *subscribe)
{
    if (!subscribe->suspended)
        return;
    subscribe->suspended = 0;
    pthread_mutex_unlock(&subscribe->lock);
}

/* Take up one channel. */
static void start_entry(struct entry *entry, const struct segment *segment, uint32_t index,
                        const struct subscribe_channel *channel)
{
    struct ring ring = segment_ring(segment, segment->layout.channels[index].lane_first);

    entry->filter = channel->filter;
    entry->filter_size = strlen(entry->filter);
    entry->identifier = route_filter_identifier(entry->filter);
    entry->max_age_ms = channel->max_age_ms;
    entry->ignore_retained = channel->ignore_retained;
    entry->unpack = channel->unpack;
    rate_limiter_init(&entry->rate, channel->max_rate, platform_monotonic_ns());
    entry->channel = index;
    ring_writer_start(&entry->writer, &ring, 0);
    ring_ledger_load(ring.lane, &entry->ledger);
}

int subscribe_serve(struct subscribe *subscribe, struct segment *segment, const struct subscribe_channel *channels)
{
    const struct layout *layout = &segment->layout;
    int rc = 0;

    subscribe_suspend(subscribe);
    subscribe->segment = segment;
    subscribe->entries = calloc(layout->channel_count, sizeof(subscribe->entries[0]));
    if (!subscribe->entries)
        rc = -ENOMEM;
    for (uint32_t i = 0; rc == 0 && i < layout->channel_count; i++)
        if (layout->channels[i].direction == LAYOUT_SUBSCRIBE)
            start_entry(&subscribe->entries[subscribe->count++], segment, i, &channels[i]);
    subscribe->suspended = 0;
    pthread_mutex_unlock(&subscribe->lock);
    return rc;
}

static void subscribe_drop(struct subscribe *subscribe, struct entry *entry, enum layout_drop reason)
{
    entry->ledger.dropped[reason]++;
    atomic_fetch_or(&subscribe->dropped, 1u << reason);
}

/* The channel's ledger as it is now, and its readers woken: once a message, however many samples it had. */
static void subscribe_flush_ledger(struct subscribe *subscribe, struct entry *entry)
{
    uint64_t before = entry->ledger.tail;

    entry->ledger.tail = entry->writer.next;
    ring_ledger_store(entry->writer.ring.lane, &entry->ledger);
    if (entry->ledger.tail != before)
        segment_wake_readers(subscribe->segment, entry->channel);
    if (atomic_load(&subscribe->dropped) != 0)
        segment_wake_gateway(subscribe->segment);
}

/* Whether the entry is one that the message is meant for. */
static int takes(const struct entry *entry, const struct transport_arrival *message)
{
    int named = message->identifier_count == 0;

    for (size_t i = 0; i < message->identifier_count && !named; i++)
        named = message->identifiers[i] == entry->identifier;
    return named && route_match(entry->filter, entry->filter_size, message->topic, message->topic_size);
}

/* Why the channel cannot have a message of that size: an enum layout_drop; or -1: it can. */
static int unfit(struct entry *entry, uint64_t left_ns, size_t size, size_t topic_size)
{
    if (size > entry->writer.ring.max_payload)
        return LAYOUT_DROP_TOO_LARGE;
    if (topic_size > entry->writer.ring.topic_max)
        return LAYOUT_DROP_TOPIC_TOO_LONG;
    if (left_ns == 0)
        return LAYOUT_DROP_EXPIRED;
    /* Last, so that what is dropped anyway does not use up the rate of what is not. */
    if (entry->rate.per_second > 0 && !rate_limiter_take(&entry->rate, platform_monotonic_ns()))
        return LAYOUT_DROP_RATE;
    return -1;
}

/* What the message says of its age. A publisher's time that is no time counts as none. */
static struct expiry age_of(const struct transport_arrival *message, uint64_t now_ns)
{
    struct expiry age = {.arrival_ns = now_ns, .expires = message->expires, .expiry_s = message->expiry_s};

    if (message->made)
        expiry_parse_time(message->made, message->made_size, &age.made_ns);
    return age;
}

/* Put one sample into the channel's ring, if it is fit for it. */
static void subscribe_put(struct subscribe *subscribe, struct entry *entry, const struct transport_arrival *from,
                          const struct frame_sample *sample, struct expiry age)
{
    struct ring_message message = {.payload = sample->payload,
                                   .topic = from->topic,
                                   .time_ns = age.arrival_ns,
                                   .flags = from->retained ? LAYOUT_FLAG_RETAINED : 0};
    uint64_t left_ns;
    int reason;

    if (sample->time_ns > 0)
        age.made_ns = sample->time_ns;
    left_ns = expiry_left_ns(&age, entry->max_age_ms);
    if (left_ns != EXPIRY_NEVER)
        message.expires_ns = platform_boot_ns() + left_ns;
    reason = unfit(entry, left_ns, sample->size, from->topic_size);
    if (reason < 0) {
        message.size = (uint32_t)sample->size;
        message.topic_size = (uint16_t)from->topic_size;
        if (ring_write(&entry->writer, &message) < 0)
            reason = LAYOUT_DROP_CORRUPT; /* cannot be: the sizes were checked */
    }
    if (reason < 0)
        entry->ledger.delivered++;
    else
        subscribe_drop(subscribe, entry, (enum layout_drop)reason);
}

void subscribe_arrival(void *context, const struct transport_arrival *from)
{
    struct subscribe *subscribe = context;
    struct expiry age = age_of(from, platform_time_ns());
    int taken = 0;

    pthread_mutex_lock(&subscribe->lock);
    for (size_t i = 0; i < subscribe->count; i++) {
        struct entry *entry = &subscribe->entries[i];
        struct frame_reader reader;
        struct frame_sample sample;

        if (!takes(entry, from))
            continue;
        taken = 1;
        /* A broker of MQTT 3.1.1 sends them whether they are wanted or not. */
        if (from->retained && entry->ignore_retained)
            continue;
        if (frame_open(&reader, entry->unpack, from->payload, from->size) < 0)
            subscribe_drop(subscribe, entry, LAYOUT_DROP_CORRUPT);
        else
            while (frame_next(&reader, &sample))
                subscribe_put(subscribe, entry, from, &sample, age);
        subscribe_flush_ledger(subscribe, entry);
    }
    pthread_mutex_unlock(&subscribe->lock);
    if (!taken)
        atomic_fetch_add(&subscribe->unrouted, 1);
}

unsigned subscribe_dropped(struct subscribe *subscribe)
{
    return atomic_exchange(&subscribe->dropped, 0);
}

uint64_t subscribe_unrouted(const struct subscribe *subscribe)
{
    return atomic_load(&subscribe->unrouted);
}
