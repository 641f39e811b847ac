/* inward.c: from the broker into the rings of the subscribe channels. See inward.h. */
#include "inward.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "age.h"
#include "mqtt.h"
#include "platform.h"
#include "rate.h"
#include "route.h"

/* A subscribe channel. Its ring and ledger have one writer: the thread of the callback. */
struct entry {
    const char *filter;
    size_t filter_size;
    uint32_t identifier;           /* of its subscription */
    uint32_t channel;
    struct ring_writer writer;
    struct ring_ledger ledger;
    struct rate rate;
    uint64_t max_age_ms;
    int ignore_retained;
};

struct inward {
    struct segment *segment;
    struct entry *entries;
    size_t count;
    atomic_uint dropped;
    _Atomic uint64_t unrouted;
};

int inward_create(struct inward **out, struct segment *segment, const struct inward_channel *channels)
{
    struct inward *inward = calloc(1, sizeof(*inward));
    const struct layout *layout = &segment->layout;

    *out = NULL;
    if (!inward)
        return -ENOMEM;
    inward->segment = segment;
    inward->entries = calloc(layout->channel_count, sizeof(inward->entries[0]));
    if (!inward->entries) {
        free(inward);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < layout->channel_count; i++) {
        struct entry *entry = &inward->entries[inward->count];
        struct ring ring;

        if (layout->channels[i].direction != LAYOUT_SUBSCRIBE)
            continue;
        ring = segment_ring(segment, layout->channels[i].lane_first);
        entry->filter = channels[i].filter;
        entry->filter_size = strlen(entry->filter);
        entry->identifier = inward_identifier(entry->filter);
        entry->max_age_ms = channels[i].max_age_ms;
        entry->ignore_retained = channels[i].ignore_retained;
        rate_init(&entry->rate, channels[i].max_rate, platform_monotonic_ns());
        entry->channel = i;
        ring_writer_start(&entry->writer, &ring, 0);
        ring_ledger_load(ring.lane, &entry->ledger);
        inward->count++;
    }
    *out = inward;
    return 0;
}

void inward_destroy(struct inward *inward)
{
    if (!inward)
        return;
    free(inward->entries);
    free(inward);
}

static void deliver(struct inward *inward, struct entry *entry, const struct ring_message *message, int drop)
{
    if (drop < 0 && ring_write(&entry->writer, message) < 0)
        drop = LAYOUT_DROP_CORRUPT; /* cannot be: the sizes were checked */
    if (drop < 0) {
        entry->ledger.delivered++;
        entry->ledger.tail = entry->writer.next;
        ring_ledger_store(entry->writer.ring.lane, &entry->ledger);
        segment_wake_readers(inward->segment, entry->channel);
        return;
    }
    entry->ledger.dropped[drop]++;
    ring_ledger_store(entry->writer.ring.lane, &entry->ledger);
    atomic_fetch_or(&inward->dropped, 1u << drop);
    segment_summon_gateway(inward->segment);
}

uint32_t inward_identifier(const char *filter)
{
    /* FNV-1a (Fowler, Noll, Vo; RFC 9923), folded into the range of an identifier. Two filters with one hash share their messages, no worse
     * than without identifiers. */
    uint32_t hash = 2166136261u;

    for (; *filter; filter++)
        hash = (hash ^ (unsigned char)*filter) * 16777619u;
    return hash % 268435455u + 1;
}

/* Whether the entry is one that the message is meant for. */
static int takes(const struct entry *entry, const struct mqtt_message *message)
{
    int named = message->identifier_count == 0;

    for (size_t i = 0; i < message->identifier_count && !named; i++)
        named = message->identifiers[i] == entry->identifier;
    return named && route_match(entry->filter, entry->filter_size, message->topic, message->topic_size);
}

/* Why the channel cannot have the message: an enum layout_drop; or -1: it can. */
static int unfit(struct entry *entry, const struct mqtt_message *message, uint64_t now_ns, uint64_t expires_ns)
{
    if (message->size > entry->writer.ring.max_payload)
        return LAYOUT_DROP_TOO_LARGE;
    if (message->topic_size > entry->writer.ring.topic_max)
        return LAYOUT_DROP_TOPIC_TOO_LONG;
    if (expires_ns > 0 && expires_ns <= now_ns)
        return LAYOUT_DROP_EXPIRED;
    /* Last, so that what is dropped anyway does not use up the rate of what is not. */
    if (entry->rate.per_second > 0 && !rate_take(&entry->rate, platform_monotonic_ns()))
        return LAYOUT_DROP_RATE;
    return -1;
}

/* What the message says of its age. A publisher's time that is no time counts as none. */
static struct age age_of(const struct mqtt_message *message, uint64_t now_ns)
{
    struct age age = {.arrival_ns = now_ns, .expires = message->expires, .expiry_s = message->expiry_s};

    if (message->made)
        age_parse_time(message->made, message->made_size, &age.made_ns);
    return age;
}

void inward_message(void *context, const struct mqtt_message *from)
{
    struct inward *inward = context;
    uint64_t now_ns = platform_time_ns();
    struct age age = age_of(from, now_ns);
    int taken = 0;

    for (size_t i = 0; i < inward->count; i++) {
        struct entry *entry = &inward->entries[i];
        struct ring_message message = {.payload = from->payload, .topic = from->topic, .time_ns = now_ns,
                                       .expires_ns = age_expires_ns(&age, entry->max_age_ms)};
        int drop;

        if (!takes(entry, from))
            continue;
        taken = 1;
        /* A broker of MQTT 3.1.1 sends them whether they are wanted or not. */
        if (from->retained && entry->ignore_retained)
            continue;
        drop = unfit(entry, from, now_ns, message.expires_ns);
        if (drop < 0) {
            message.size = (uint32_t)from->size;
            message.topic_size = (uint16_t)from->topic_size;
            message.flags = from->retained ? LAYOUT_FLAG_RETAINED : 0;
        }
        deliver(inward, entry, &message, drop);
    }
    if (!taken)
        atomic_fetch_add(&inward->unrouted, 1);
}

unsigned inward_dropped(struct inward *inward)
{
    return atomic_exchange(&inward->dropped, 0);
}

uint64_t inward_unrouted(const struct inward *inward)
{
    return atomic_load(&inward->unrouted);
}
