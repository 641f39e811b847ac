/* former.c: the segment that was replaced, while it is being drained. See former.h. */
#include "former.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "counters.h"

struct former {
    struct segment *segment;
    struct outward *outward;
    struct outward_channel *channels;
    char **topics;
};

static int copy_channels(struct former *former)
{
    const struct layout *layout = &former->segment->layout;

    former->channels = calloc(layout->channel_count, sizeof(former->channels[0]));
    former->topics = calloc(layout->channel_count, sizeof(former->topics[0]));
    if (!former->channels || !former->topics)
        return -ENOMEM;
    for (uint32_t i = 0; i < layout->channel_count; i++) {
        const struct layout_channel_info *channel = &layout->channels[i];

        former->topics[i] = malloc(channel->topic_size + (size_t)1);
        if (!former->topics[i])
            return -ENOMEM;
        segment_topic(former->segment, i, former->topics[i]);
        former->channels[i] = (struct outward_channel){.topic = former->topics[i], .qos = channel->qos, .retain = (int)channel->retain};
    }
    return 0;
}

int former_create(struct former **out, struct segment *old, struct flight *flight, outward_send send, void *context)
{
    struct former *former;
    int rc;

    *out = NULL;
    if (!old->base)
        return 0;
    former = calloc(1, sizeof(*former));
    if (!former)
        return -ENOMEM;
    former->segment = old;
    if ((rc = copy_channels(former)) < 0 ||
        (rc = outward_create(&former->outward, old, former->channels, flight, send, context)) < 0) {
        former_destroy(former);
        return rc;
    }
    *out = former;
    return 0;
}

void former_destroy(struct former *former)
{
    if (!former)
        return;
    outward_destroy(former->outward);
    for (uint32_t i = 0; former->topics && i < former->segment->layout.channel_count; i++)
        free(former->topics[i]);
    free(former->topics);
    free(former->channels);
    free(former);
}

int former_pump(struct former *former)
{
    /* Its writers may not know yet that they ring another bell: every lane is looked at. */
    outward_collect(former->outward);
    outward_collect_all(former->outward);
    return outward_pump(former->outward) > 0;
}

int former_drained(const struct former *former)
{
    return outward_drained(former->outward);
}

/* The sums of the old channel, with what it carried itself. It is a replacement, not an addition: a gateway killed anywhere does it again. */
static void carry(const struct segment *from, uint32_t index, const struct segment *to, uint32_t target)
{
    struct shared_memory_counters counters;
    struct ring_carried carried = {0};

    counters_collect(from, index, &counters);
    carried.written = counters.written;
    carried.delivered = counters.delivered;
    carried.rejected = counters.rejected;
    memcpy(carried.dropped, counters.dropped, sizeof(counters.dropped));
    ring_carried_store(segment_channel(to, target), &carried);
}

void former_settle(struct former *former, const struct segment *present)
{
    const struct layout *layout = &former->segment->layout;

    outward_settle(former->outward);
    for (uint32_t i = 0; i < layout->channel_count; i++) {
        int target = segment_find(present, layout->channels[i].name);

        if (target >= 0 && present->layout.channels[target].direction == layout->channels[i].direction)
            carry(former->segment, i, present, (uint32_t)target);
    }
}

int former_finished(const struct former *former)
{
    return outward_finished(former->outward);
}
