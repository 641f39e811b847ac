/* inward.c: from the broker into the rings of the subscribe channels. See inward.h. */
#include "inward.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "platform.h"
#include "route.h"

/* A subscribe channel. Its ring and ledger have one writer: the thread of the callback. */
struct entry {
    const char *filter;
    size_t filter_size;
    uint32_t channel;
    struct ring_writer writer;
    struct ring_ledger ledger;
};

struct inward {
    struct segment *segment;
    struct entry *entries;
    size_t count;
    atomic_uint dropped;
    _Atomic uint64_t unrouted;
};

int inward_create(struct inward **out, struct segment *segment, const char *const *filters)
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
        entry->filter = filters[i];
        entry->filter_size = strlen(filters[i]);
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

void inward_message(void *context, const char *topic, size_t topic_size, const void *payload, size_t size, unsigned qos, int retained)
{
    struct inward *inward = context;
    int taken = 0;

    (void)qos;
    for (size_t i = 0; i < inward->count; i++) {
        struct entry *entry = &inward->entries[i];
        int drop = size > entry->writer.ring.max_payload        ? LAYOUT_DROP_TOO_LARGE
                   : topic_size > entry->writer.ring.topic_max ? LAYOUT_DROP_TOPIC_TOO_LONG
                                                               : -1;
        struct ring_message message = {.payload = payload, .topic = topic, .time_ns = platform_time_ns()};

        if (!route_match(entry->filter, entry->filter_size, topic, topic_size))
            continue;
        taken = 1;
        if (drop < 0) {
            message.size = (uint32_t)size;
            message.topic_size = (uint16_t)topic_size;
            message.flags = retained ? LAYOUT_FLAG_RETAINED : 0;
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
