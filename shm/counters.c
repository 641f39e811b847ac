/* counters.c: the ledger of a channel, read from the segment. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "counters.h"
#include "handles_internal.h"

_Static_assert((int)SHARED_MEMORY_DROP_REASONS == (int)LAYOUT_DROP_REASONS, "the public count of reasons");
_Static_assert((int)SHARED_MEMORY_DROP_SPACE == (int)LAYOUT_DROP_SPACE, "the public room for reasons");

const char *shared_memory_drop_name(unsigned drop)
{
    return layout_drop_name(drop);
}

static void add_lane(const struct segment *segment, uint32_t lane, struct shared_memory_counters *counters)
{
    struct ring ring = segment_ring(segment, lane);
    uint64_t head, queued, overwritten = 0;
    struct ring_ledger ledger;

    /* The ledger first: what it accounts for has been written. A writer killed between commit and head makes head one
     * too low. */
    ring_ledger_load_checked(&ring, &ledger);
    head = ring_head_checked(&ring, ledger.tail);
    if (head < ledger.tail)
        head = ledger.tail;
    queued = head - ledger.tail;
    /* What the writer has overwritten while no gateway looked is gone, although nobody has counted it yet. */
    if (queued > ring.mask + 1) {
        overwritten = queued - (ring.mask + 1);
        queued = ring.mask + 1;
    }
    counters->written += head;
    counters->delivered += ledger.delivered;
    counters->queued += queued;
    counters->spooled += ledger.spooled;
    counters->filtered += ledger.filtered;
    counters->rejected += ring_rejected(&ring);
    for (unsigned i = 0; i < LAYOUT_DROP_REASONS; i++)
        counters->dropped[i] += ledger.dropped[i];
    counters->dropped[LAYOUT_DROP_OVERWRITTEN] += overwritten;
}

/* Inwards the gateway does the writing: its ledger tells what arrived. */
static void add_inward(const struct segment *segment, uint32_t lane, struct shared_memory_counters *counters)
{
    struct ring_ledger ledger;

    ring_ledger_load(segment_ring(segment, lane).lane, &ledger);
    counters->delivered += ledger.delivered;
    counters->written += ledger.delivered;
    for (unsigned i = 0; i < LAYOUT_DROP_REASONS; i++) {
        counters->dropped[i] += ledger.dropped[i];
        counters->written += ledger.dropped[i];
    }
}

/* What the channel's messages came to in the segments before this one; what is still on its way there counts as queued.
 */
static void add_carried(const struct segment *segment, uint32_t channel, struct shared_memory_counters *counters)
{
    struct ring_carried carried;
    uint64_t done;

    ring_carried_load(segment_channel(segment, channel), &carried);
    done = carried.delivered + carried.taken + carried.filtered;
    for (unsigned i = 0; i < LAYOUT_DROP_REASONS; i++) {
        counters->dropped[i] += carried.dropped[i];
        done += carried.dropped[i];
    }
    counters->written += carried.written;
    counters->delivered += carried.delivered;
    counters->filtered += carried.filtered;
    counters->rejected += carried.rejected;
    counters->queued += carried.written > done ? carried.written - done : 0;
}

/* What was moved to the spool from the segments before this one. */
static void add_spooled(const struct segment *segment, uint32_t channel, struct shared_memory_counters *counters)
{
    struct ring_spooled spooled;

    ring_spooled_load(segment_channel(segment, channel), &spooled);
    counters->spooled += spooled.held;
    counters->delivered += spooled.delivered;
    for (unsigned i = 0; i < LAYOUT_SPOOL_DROPS; i++)
        counters->dropped[counters_spool_drop(i)] += spooled.dropped[i];
}

enum layout_drop counters_spool_drop(unsigned kind)
{
    static const enum layout_drop reasons[LAYOUT_SPOOL_DROPS] = {LAYOUT_DROP_SPOOL_SIZE, LAYOUT_DROP_SPOOL_AGE,
                                                                 LAYOUT_DROP_REFUSED, LAYOUT_DROP_SPOOL_FAILED};

    return reasons[kind];
}

void counters_carry(const struct segment *segment, uint32_t channel, struct ring_carried *carried)
{
    const struct layout_channel_info *info = &segment->layout.channels[channel];

    ring_carried_load(segment_channel(segment, channel), carried);
    for (uint32_t i = 0; i < info->lane_count; i++) {
        struct shared_memory_counters lane = {0};
        struct ring ring = segment_ring(segment, info->lane_first + i);
        struct ring_ledger ledger;

        if (info->direction == LAYOUT_SUBSCRIBE)
            add_inward(segment, info->lane_first + i, &lane);
        else
            add_lane(segment, info->lane_first + i, &lane);
        if (info->direction == LAYOUT_SUBSCRIBE)
            ring_ledger_load(ring.lane, &ledger);
        else
            ring_ledger_load_checked(&ring, &ledger);
        carried->written += lane.written;
        carried->delivered += lane.delivered - ledger.spool_delivered;
        carried->rejected += lane.rejected;
        carried->filtered += lane.filtered;
        carried->taken += ledger.taken;
        for (unsigned reason = 0; reason < LAYOUT_DROP_REASONS; reason++)
            carried->dropped[reason] += lane.dropped[reason];
        /* What happened in the spool is told by the spool. */
        carried->dropped[LAYOUT_DROP_SPOOL_SIZE] -= ledger.dropped[LAYOUT_DROP_SPOOL_SIZE];
        carried->dropped[LAYOUT_DROP_SPOOL_AGE] -= ledger.dropped[LAYOUT_DROP_SPOOL_AGE];
        carried->dropped[LAYOUT_DROP_SPOOL_FAILED] -= ledger.dropped[LAYOUT_DROP_SPOOL_FAILED];
        carried->dropped[LAYOUT_DROP_REFUSED] -= ledger.spool_refused;
    }
}

void counters_collect(const struct segment *segment, uint32_t channel, struct shared_memory_counters *counters)
{
    const struct layout_channel_info *info = &segment->layout.channels[channel];

    memset(counters, 0, sizeof(*counters));
    memcpy(counters->name, info->name, sizeof(counters->name));
    counters->is_subscribe = info->direction == LAYOUT_SUBSCRIBE;
    counters->lanes = info->lane_count;
    add_carried(segment, channel, counters);
    add_spooled(segment, channel, counters);
    if (counters->is_subscribe) {
        add_inward(segment, info->lane_first, counters);
        return;
    }
    for (uint32_t i = 0; i < info->lane_count; i++)
        add_lane(segment, info->lane_first + i, counters);
}

void counters_collect_lane(const struct segment *segment, uint32_t lane, struct shared_memory_counters *counters)
{
    memset(counters, 0, sizeof(*counters));
    counters->lanes = 1;
    add_lane(segment, lane, counters);
}

int shared_memory_channel_count(struct shared_memory *shm)
{
    struct mapping *mapping;
    int rc = attachment_follow(shm, &mapping);

    if (rc < 0)
        return rc;
    rc = (int)mapping->segment.layout.channel_count;
    attachment_release(shm, mapping);
    return rc;
}

int shared_memory_channel_counters(struct shared_memory *shm, int index, struct shared_memory_counters *counters)
{
    struct mapping *mapping;
    char *topic;
    int rc = attachment_follow(shm, &mapping);

    if (rc < 0)
        return rc;
    if (index < 0 || (uint32_t)index >= mapping->segment.layout.channel_count) {
        attachment_release(shm, mapping);
        return handle_fail(-ENOENT, "no channel number %d", index);
    }
    topic = handle_lend(mapping->segment.layout.channels[index].topic_size + (size_t)1);
    if (!topic) {
        attachment_release(shm, mapping);
        return -ENOMEM;
    }
    segment_topic(&mapping->segment, (uint32_t)index, topic);
    counters_collect(&mapping->segment, (uint32_t)index, counters);
    counters->topic = topic;
    attachment_release(shm, mapping);
    return 0;
}

ssize_t shared_memory_stats_json(struct shared_memory *shm, char *buffer, size_t size)
{
    struct mapping *mapping;
    ssize_t length;
    int rc = attachment_follow(shm, &mapping);

    if (rc < 0)
        return rc;
    length = (ssize_t)counters_json(&mapping->segment, shm->name, buffer, size);
    attachment_release(shm, mapping);
    return length;
}

int shared_memory_gateway_alive(struct shared_memory *shm)
{
    struct mapping *mapping;
    int rc = attachment_follow(shm, &mapping);

    if (rc < 0)
        return rc;
    rc = segment_served(&mapping->segment);
    attachment_release(shm, mapping);
    return rc < 0 ? handle_fail(rc, "look at the gateway's lock: %s", strerror(-rc)) : rc;
}

int shared_memory_remove(const char *segment)
{
    struct reason reason;
    int rc = segment_remove(segment ? segment : SHARED_MEMORY_DEFAULT_SEGMENT, &reason);

    return rc < 0 ? handle_fail(rc, "%s", reason.text) : 0;
}
