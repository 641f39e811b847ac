/* retired_segments.c: the segments that were replaced, while they are being drained. See retired_segments.h. */
#include "publish/retired_segments.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/route.h"
#include "publish/publish_internal.h"
#include "shm/counters.h"

/* One of them. */
struct retired_segment {
    struct publish_segment lanes; /* segment NULL: it is finished */
    struct publish_channel *channels;
    char **topics;
};

struct retired_segments {
    struct publish *publish;
    int first, count;                  /* segments[first] to segments[count - 1] are still being drained */
    struct retired_segment segments[]; /* the oldest first */
};

/* The channel's topic as the segment has it; NULL when it is none that may be published to: the segment's members may
 * have changed it since. What a broker answers by closing the connection is not sent. *topic is to be freed. 0 or
 * -ENOMEM. */
static int copy_topic(const struct segment *segment, uint32_t index, char **topic)
{
    size_t size = segment->layout.channels[index].topic_size;
    char *copy = malloc(size + 1);

    *topic = NULL;
    if (!copy)
        return -ENOMEM;
    segment_topic(segment, index, copy);
    if (route_topic_valid(copy, strlen(copy), NULL) < 0) {
        free(copy);
        return 0;
    }
    *topic = copy;
    return 0;
}

static int copy_channels(struct retired_segment *retired, const struct publish *publish)
{
    const struct segment *segment = retired->lanes.segment;
    const struct layout *layout = &segment->layout;

    retired->channels = calloc(layout->channel_count, sizeof(retired->channels[0]));
    retired->topics = calloc(layout->channel_count, sizeof(retired->topics[0]));
    if (!retired->channels || !retired->topics)
        return -ENOMEM;
    for (uint32_t i = 0; i < layout->channel_count; i++) {
        const struct layout_channel_info *channel = &layout->channels[i];
        int same = segment_find(publish->segment, channel->name);

        if (copy_topic(segment, i, &retired->topics[i]) < 0)
            return -ENOMEM;
        /* What no segment describes is as the channel of that name has it now. */
        if (same >= 0)
            retired->channels[i] = publish->channels[same];
        retired->channels[i].name = channel->name;
        retired->channels[i].topic = retired->topics[i];
        retired->channels[i].qos = channel->qos;
        retired->channels[i].retain = (int)channel->retain;
    }
    return 0;
}

static void free_segment(struct retired_segment *retired)
{
    publish_end_lanes(&retired->lanes);
    for (uint32_t i = 0; retired->topics && i < retired->lanes.segment->layout.channel_count; i++)
        free(retired->topics[i]);
    free(retired->topics);
    free(retired->channels);
    memset(retired, 0, sizeof(*retired));
}

int retired_segments_create(struct retired_segments **out, struct publish *publish, struct segment_list *olds)
{
    struct retired_segments *retired;
    int rc = 0;

    *out = NULL;
    if (olds->count == 0)
        return 0;
    retired = calloc(1, sizeof(*retired) + olds->count * sizeof(retired->segments[0]));
    if (!retired)
        return -ENOMEM;
    retired->publish = publish;
    for (uint32_t i = 0; rc == 0 && i < olds->count; i++) {
        struct retired_segment *one = &retired->segments[retired->count++];

        one->lanes.segment = &olds->segments[i];
        if ((rc = copy_channels(one, publish)) == 0)
            rc = publish_start_lanes(publish, &one->lanes, one->channels, 1);
    }
    if (rc < 0) {
        retired_segments_destroy(retired);
        return rc;
    }
    *out = retired;
    return 0;
}

void retired_segments_destroy(struct retired_segments *retired)
{
    if (!retired)
        return;
    for (int i = retired->first; i < retired->count; i++)
        free_segment(&retired->segments[i]);
    free(retired);
}

void retired_segments_each(struct retired_segments *retired, void (*act)(struct publish_segment *of))
{
    for (int i = retired->first; i < retired->count; i++)
        act(&retired->segments[i].lanes);
}

/* The sums of the old channel, with what it carried itself. It is a replacement, not an addition: a gateway killed
 * anywhere does it again. */
static void carry_channel(const struct segment *from, uint32_t index, const struct segment *to, uint32_t target)
{
    struct ring_carried carried;

    counters_carry(from, index, &carried);
    ring_carried_store(segment_channel(to, target), &carried);
}

void retired_segments_carry(struct retired_segments *retired)
{
    for (int i = retired->first; i < retired->count; i++) {
        const struct segment *from = retired->segments[i].lanes.segment;
        const struct segment *next = i + 1 < retired->count ? retired->segments[i + 1].lanes.segment
                                                            : retired->publish->segment;

        for (uint32_t channel = 0; channel < from->layout.channel_count; channel++) {
            int target = segment_find(next, from->layout.channels[channel].name);

            if (target >= 0 && next->layout.channels[target].direction == from->layout.channels[channel].direction)
                carry_channel(from, channel, next, (uint32_t)target);
        }
    }
}

/* Whether it is drained and no writer holds a lane any more, so that nothing can follow. */
static int is_finished(const struct publish_segment *of)
{
    for (uint32_t i = 0; i < of->segment->layout.lane_count; i++)
        if (publish_has_lane(of->segment, i) && segment_lane_locked(of->segment, i) != 0)
            return 0;
    /* After the locks: what a writer wrote before it let go is seen now. */
    for (uint32_t i = 0; i < of->segment->layout.lane_count; i++)
        if (publish_has_lane(of->segment, i) && !lane_is_drained(&of->lanes[i]))
            return 0;
    return 1;
}

/* The lanes of the list whose ledgers are to be flushed, or that may have something for the spool, are gone with their
 * segment. */
static void forget_lanes(struct publish *publish, const struct publish_segment *of)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < publish->spill_count; i++)
        if (publish->spill[i]->segment != of->segment)
            publish->spill[kept++] = publish->spill[i];
    publish->spill_count = kept;
}

int retired_segments_finish(struct retired_segments *retired)
{
    /* In order: each carries its counters into the next. */
    while (retired->first < retired->count && is_finished(&retired->segments[retired->first].lanes)) {
        struct retired_segment *first = &retired->segments[retired->first];
        struct segment *segment = first->lanes.segment;

        /* What was dropped is reported with the next flush. */
        retired->publish->dropped |= publish_flush_ledgers(retired->publish);
        forget_lanes(retired->publish, &first->lanes);
        free_segment(first);
        segment_finish_old(segment);
        retired->first++;
    }
    return retired->first == retired->count;
}
