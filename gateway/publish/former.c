/* former.c: the segments that were replaced, while they are being drained. See former.h. */
#include "publish/former.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/route.h"
#include "shm/counters.h"

/* One of them. */
struct stage {
    struct segment *segment; /* base NULL: it is finished */
    struct outward *outward;
    struct outward_channel *channels;
    char **topics;
};

struct former {
    struct stage stages[SEGMENT_OLD_MAX]; /* the oldest first */
    int first, count;                     /* stages[first] to stages[count - 1] are still being drained */
    const struct segment *present;
};

static int copy_channels(struct stage *stage, const struct segment *present, const struct outward_channel *now)
{
    const struct layout *layout = &stage->segment->layout;

    stage->channels = calloc(layout->channel_count, sizeof(stage->channels[0]));
    stage->topics = calloc(layout->channel_count, sizeof(stage->topics[0]));
    if (!stage->channels || !stage->topics)
        return -ENOMEM;
    for (uint32_t i = 0; i < layout->channel_count; i++) {
        const struct layout_channel_info *channel = &layout->channels[i];
        int same, valid;

        stage->topics[i] = malloc(channel->topic_size + (size_t)1);
        if (!stage->topics[i])
            return -ENOMEM;
        segment_topic(stage->segment, i, stage->topics[i]);
        /* The segment's members may have changed it since. What a broker answers by closing the connection is not sent.
         */
        valid = route_topic_valid(stage->topics[i], strlen(stage->topics[i]), NULL) == 0;
        stage->channels[i] = (struct outward_channel){.name = channel->name,
                                                      .topic = valid ? stage->topics[i] : NULL,
                                                      .qos = channel->qos,
                                                      .retain = (int)channel->retain};
        /* What no segment describes is as the channel of that name has it now. */
        if ((same = segment_find(present, channel->name)) >= 0) {
            stage->channels[i].spool = now[same].spool;
            stage->channels[i].source = now[same].source;
        }
    }
    return 0;
}

static void stage_free(struct stage *stage)
{
    outward_destroy(stage->outward);
    for (uint32_t i = 0; stage->topics && i < stage->segment->layout.channel_count; i++)
        free(stage->topics[i]);
    free(stage->topics);
    free(stage->channels);
    memset(stage, 0, sizeof(*stage));
}

int former_create(struct former **out, struct segment *olds, const struct segment *present,
                  const struct outward_channel *channels, struct flight *flight, struct backlog *backlog,
                  outward_send send, void *context)
{
    struct former *former;
    int rc = 0;

    *out = NULL;
    if (!olds[0].base)
        return 0;
    former = calloc(1, sizeof(*former));
    if (!former)
        return -ENOMEM;
    former->present = present;
    for (int i = 0; rc == 0 && i < SEGMENT_OLD_MAX && olds[i].base; i++) {
        struct stage *stage = &former->stages[former->count++];

        stage->segment = &olds[i];
        if ((rc = copy_channels(stage, present, channels)) == 0)
            rc = outward_create(&stage->outward, &olds[i], stage->channels, flight, backlog, send, context);
    }
    if (rc < 0) {
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
    for (int i = former->first; i < former->count; i++)
        stage_free(&former->stages[i]);
    free(former);
}

int former_pump(struct former *former)
{
    int sent = 0;

    /* How far each is, is noted from the newest to the oldest: what a writer wrote into an earlier one before that is
     * in it by then. */
    for (int i = former->count - 1; i > former->first; i--)
        outward_bound(former->stages[i].outward);
    for (int i = former->first; i < former->count; i++) {
        struct outward *outward = former->stages[i].outward;

        /* Writers may not know yet that they ring another bell: every lane is looked at. */
        outward_collect(outward);
        outward_collect_all(outward);
        sent |= outward_pump(outward, UINT64_MAX) > 0;
        if (!outward_drained(outward))
            break;
    }
    return sent;
}

int former_take(struct former *former)
{
    int taken = 0;

    for (int i = former->first; i < former->count; i++) {
        outward_take_all(former->stages[i].outward);
        taken |= outward_take(former->stages[i].outward);
    }
    return taken;
}

void former_spool_changed(struct former *former)
{
    for (int i = former->first; i < former->count; i++)
        outward_spool_changed(former->stages[i].outward);
}

int former_drained(const struct former *former)
{
    for (int i = former->first; i < former->count; i++)
        if (!outward_drained(former->stages[i].outward))
            return 0;
    return 1;
}

/* The sums of the old channel, with what it carried itself. It is a replacement, not an addition: a gateway killed
 * anywhere does it again. */
static void carry(const struct segment *from, uint32_t index, const struct segment *to, uint32_t target)
{
    struct ring_carried carried;

    counters_carry(from, index, &carried);
    ring_carried_store(segment_channel(to, target), &carried);
}

void former_settle(struct former *former)
{
    for (int i = former->first; i < former->count; i++) {
        const struct stage *stage = &former->stages[i];
        const struct segment *next = i + 1 < former->count ? former->stages[i + 1].segment : former->present;
        const struct layout *layout = &stage->segment->layout;

        outward_settle(stage->outward);
        for (uint32_t channel = 0; channel < layout->channel_count; channel++) {
            int target = segment_find(next, layout->channels[channel].name);

            if (target >= 0 && next->layout.channels[target].direction == layout->channels[channel].direction)
                carry(stage->segment, channel, next, (uint32_t)target);
        }
    }
}

int former_finish(struct former *former)
{
    /* In order: each carries its counters into the next. */
    while (former->first < former->count && outward_finished(former->stages[former->first].outward)) {
        struct segment *segment = former->stages[former->first].segment;

        former_settle(former);
        stage_free(&former->stages[former->first]);
        segment_finish_old(segment);
        former->first++;
        if (former->first < former->count)
            outward_unbound(former->stages[former->first].outward);
    }
    return former->first == former->count;
}
