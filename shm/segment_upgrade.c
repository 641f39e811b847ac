/* segment_upgrade.c: taking over what a gateway of layout version 1 left, so that an upgrade loses no message.
 *
 * The old object is copied, message by message and counter by counter, into one of today's, with its generation, by
 * which the spool knows it, and its serial number; that is put beside the segment's name as if the gateway had just
 * replaced it, and is drained and finished by those who know nothing of this. The old object is taken away afterwards:
 * a gateway killed in between finds both, of one generation, and takes the old one away.
 *
 * Programs that still have the old library find the old object retired, cannot read the new one, and are told so. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform.h"
#include "segment_internal.h"

#define SETTLE_MS 20 /* a writer that has just looked whether the segment is retired finishes its message */
#define CARRIED_BYTES \
    (offsetof(struct layout_channel, carried_filtered) - offsetof(struct layout_channel, carried_written))
#define CELL_BYTES offsetof(struct layout_ledger, filtered)
#define WORDS_BYTES 16 /* head and rejected; tail and ledger_turn */

_Static_assert(CARRIED_BYTES == 240, "as version 1 has them");
_Static_assert(CELL_BYTES == 176, "as version 1 has it");

/* Nobody else has the new object yet, and the old one is read as bytes that may change: what comes of it is checked by
 * whoever drains it, as with any segment. */
static void copy_lane(const struct segment *to, const struct segment *from, uint32_t index)
{
    const struct layout_channel_info *channel = &to->layout.channels[to->layout.lane_channel[index]];
    const unsigned char *old = from->base + from->layout.lane_offset + (uint64_t)index * LAYOUT_OLD_LANE;
    struct layout_lane *lane = (struct layout_lane *)(to->base + to->layout.lane_offset) + index;

    memcpy((void *)&lane->head, old + offsetof(struct layout_lane, head), WORDS_BYTES);
    memcpy((void *)&lane->tail, old + offsetof(struct layout_lane, tail), WORDS_BYTES);
    for (size_t cell = 0; cell < 2; cell++)
        memcpy((void *)&lane->ledger[cell], old + LAYOUT_OLD_LEDGER + cell * LAYOUT_OLD_CELL, CELL_BYTES);
    memcpy(to->base + to->layout.slots_offset[index], from->base + from->layout.slots_offset[index],
           (uint64_t)channel->slots * channel->slot_stride);
}

static void copy_channel(const struct segment *to, const struct segment *from, uint32_t index)
{
    const unsigned char *old = from->base + from->layout.channel_offset + (uint64_t)index * LAYOUT_OLD_CHANNEL;

    memcpy((void *)&segment_channel(to, index)->carried_written, old + LAYOUT_OLD_CARRIED, CARRIED_BYTES);
}

/* Make the object, without a name. */
static int copy(struct segment *to, const struct segment *from, const struct segment_options *options,
                struct reason *reason)
{
    struct segment_options copied = *options;
    const char **topics = calloc(from->layout.channel_count, sizeof(topics[0]));
    struct layout plan;
    int rc;

    if (!topics)
        return reason_set(reason, -ENOMEM, "out of memory");
    for (uint32_t i = 0; i < from->layout.channel_count; i++)
        topics[i] = (const char *)from->base + from->layout.channels[i].topic_offset;
    if ((rc = layout_plan_again(&plan, &from->layout, reason)) == 0) {
        copied.plan = &plan;
        copied.topics = topics;
        rc = segment_make(to, &copied, from->layout.generation, from->layout.serial, reason);
        layout_free(&plan);
    }
    free(topics);
    if (rc != 0)
        return rc;
    for (uint32_t i = 0; i < to->layout.channel_count; i++)
        copy_channel(to, from, i);
    for (uint32_t i = 0; i < to->layout.lane_count; i++)
        copy_lane(to, from, i);
    ring_retire(to->header);
    return 0;
}

static int is_known(const struct segment_list *olds, uint64_t generation)
{
    for (uint32_t i = 0; i < olds->count; i++)
        if (olds->segments[i].layout.generation == generation)
            return 1;
    return 0;
}

int segment_upgrade(struct segment_list *olds, struct segment *old, const struct segment_options *options,
                    struct reason *reason)
{
    struct segment made;
    int known, rc = layout_load_old(&old->layout, old->base, old->size, reason);

    if (rc < 0)
        return reason_wrap(reason, rc, "segment %s", old->name);
    known = is_known(olds, old->layout.generation);
    if (!known) {
        ring_retire((struct layout_header *)old->base);
        platform_sleep_ms(SETTLE_MS);
        rc = copy(&made, old, options, reason);
    }
    /* Nobody else may take it for one of today's. */
    layout_free(&old->layout);
    if (known)
        return 0;
    if (rc < 0)
        return reason_wrap(reason, rc, "take over segment %s of an older version", old->name);
    segment_beside_name(made.name, options->name, SEGMENT_NEXT_SUFFIX);
    if ((rc = platform_object_publish(made.fd, made.name)) < 0) {
        segment_close(&made);
        return reason_set(reason, rc, "take over segment %s of an older version: %s", old->name, strerror(-rc));
    }
    segment_report(options,
                   "segment %s is an older version's: taken over, what is in it is published; programs that "
                   "were attached must be started again with this version",
                   old->name);
    rc = segment_list_add(olds, &made);
    return rc < 0 ? reason_set(reason, rc, "out of memory") : 0;
}
