/* top_sample.c: look at a segment without touching it, and compare two looks. See top_sample.h. */
#include "tool/top_sample.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TRIES 5 /* to look at all channels of one and the same segment, while it is being replaced */

static uint64_t sample_clock_ns(clockid_t clock)
{
    struct timespec now = {0};

    /* Both clocks always exist. */
    (void)clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void top_sample_free(struct top_sample *sample)
{
    free(sample->channels);
    free(sample->lanes);
    memset(sample, 0, sizeof(*sample));
}

/* ---- A look ---- */

static uint64_t sample_sum_dropped(const struct shared_memory_counters *counters)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < SHARED_MEMORY_DROP_REASONS; i++)
        sum += counters->dropped[i];
    return sum;
}

/* Copy what fits, with a NUL. Returns the bytes without it. */
static size_t keep_topic(char *to, const char *topic, size_t size)
{
    size_t kept = size < TOP_TOPIC_BYTES - 1 ? size : TOP_TOPIC_BYTES - 1;

    memcpy(to, topic, kept);
    to[kept] = '\0';
    return kept;
}

static int look_at_newest(struct top_newest *newest, struct shared_memory *shm, int index)
{
    struct shared_memory_message message;
    int rc = shared_memory_channel_newest(shm, index, newest->payload, sizeof(newest->payload), &message);

    if (rc < 0)
        return rc == -EAGAIN ? 0 : rc;
    newest->there = 1;
    newest->lane = message.lane;
    newest->sequence = message.sequence;
    newest->time_ns = message.time_ns;
    newest->size = message.size;
    newest->kept = message.size < sizeof(newest->payload) ? message.size : sizeof(newest->payload);
    newest->topic_kept = keep_topic(newest->topic, message.topic, message.topic_size);
    return 0;
}

static int look_at_channel(struct top_channel *channel, struct shared_memory *shm, int index)
{
    int rc = shared_memory_channel_counters(shm, index, &channel->counters);
    double slots;

    if (rc < 0)
        return rc;
    keep_topic(channel->topic, channel->counters.topic, strlen(channel->counters.topic));
    channel->counters.topic = NULL;
    channel->dropped = sample_sum_dropped(&channel->counters);
    if ((rc = shared_memory_channel_gauges(shm, index, &channel->gauges)) < 0)
        return rc;
    slots = (double)channel->gauges.slots * channel->gauges.lanes;
    channel->fill = slots > 0 ? (double)channel->counters.queued / slots : 0;
    if (channel->fill > 1)
        channel->fill = 1; /* what waits in replaced segments is queued as well */
    return look_at_newest(&channel->newest, shm, index);
}

static int look_at_lanes(struct top_sample *sample, struct shared_memory *shm, const char *name)
{
    size_t index = 0, count;
    int rc;

    while (index < sample->channel_count && strcmp(sample->channels[index].counters.name, name) != 0)
        index++;
    if (index == sample->channel_count || sample->channels[index].counters.is_subscribe)
        return 0;
    count = sample->channels[index].gauges.lanes;
    if (count == 0)
        return 0;
    sample->lanes = calloc(count, sizeof(*sample->lanes));
    if (!sample->lanes)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        struct top_lane *lane = &sample->lanes[i];

        if ((rc = shared_memory_lane_counters(shm, (int)index, (uint32_t)i, &lane->counters, &lane->has_writer)) < 0)
            return rc;
        lane->dropped = sample_sum_dropped(&lane->counters);
    }
    snprintf(sample->lanes_of, sizeof(sample->lanes_of), "%s", name);
    sample->lane_count = count;
    return 0;
}

/* Look at everything. -ESTALE: the segment was replaced meanwhile. */
static int look_once(struct top_sample *sample, struct shared_memory *shm, const char *lanes_of)
{
    struct shared_memory_status after;
    int rc = shared_memory_read_status(shm, &sample->status);

    if (rc < 0)
        return rc;
    sample->channels = calloc((size_t)sample->status.channels + 1, sizeof(*sample->channels));
    if (!sample->channels)
        return -ENOMEM;
    sample->channel_count = (size_t)sample->status.channels;
    for (size_t i = 0; i < sample->channel_count && rc == 0; i++)
        rc = look_at_channel(&sample->channels[i], shm, (int)i);
    if (rc == 0 && lanes_of)
        rc = look_at_lanes(sample, shm, lanes_of);
    if (rc == -ENOMEM)
        return rc;
    /* An index means another channel in another segment. */
    if (shared_memory_read_status(shm, &after) == 0 && after.generation != sample->status.generation)
        return -ESTALE;
    return rc;
}

static int look(struct top_sample *sample, struct shared_memory *shm, const char *lanes_of)
{
    int rc = -ESTALE;

    for (int i = 0; i < TRIES && rc == -ESTALE; i++) {
        top_sample_free(sample);
        sample->time_ns = sample_clock_ns(CLOCK_REALTIME);
        sample->monotonic_ns = sample_clock_ns(CLOCK_MONOTONIC);
        rc = look_once(sample, shm, lanes_of);
    }
    sample->there = rc == 0;
    return rc;
}

/* ---- Two looks ---- */

/* Messages a second. */
static double rate(uint64_t now, uint64_t before, double seconds)
{
    return now < before || seconds <= 0 ? TOP_UNKNOWN : (double)(now - before) / seconds;
}

static void compare(struct top_rates *rates, const struct shared_memory_counters *now,
                    const struct shared_memory_counters *before, double seconds)
{
    rates->in = rate(now->written, before->written, seconds);
    rates->out = rate(now->delivered, before->delivered, seconds);
    rates->dropped = rate(sample_sum_dropped(now), sample_sum_dropped(before), seconds);
    /* One counter that has become less tells that they all began anew. */
    if (rates->in < 0 || rates->out < 0 || rates->dropped < 0)
        *rates = (struct top_rates){TOP_UNKNOWN, TOP_UNKNOWN, TOP_UNKNOWN};
}

/* The channel of that name and direction, or NULL. `hint` is where it probably is. */
static const struct top_channel *find(const struct top_sample *sample, const struct shared_memory_counters *wanted,
                                      size_t hint)
{
    for (size_t i = 0; i < sample->channel_count; i++) {
        const struct top_channel *channel = &sample->channels[(hint + i) % sample->channel_count];

        if (strcmp(channel->counters.name, wanted->name) == 0)
            return channel->counters.is_subscribe == wanted->is_subscribe ? channel : NULL;
    }
    return NULL;
}

void top_sample_compare(struct top_sample *now, const struct top_sample *before)
{
    static const struct top_rates unknown = {TOP_UNKNOWN, TOP_UNKNOWN, TOP_UNKNOWN};
    int same = now->there && before->there && now->status.generation == before->status.generation;
    double seconds = now->monotonic_ns > before->monotonic_ns ? (double)(now->monotonic_ns - before->monotonic_ns) / 1e9
                                                              : 0;

    for (size_t i = 0; i < now->channel_count; i++) {
        const struct top_channel *former = same ? find(before, &now->channels[i].counters, i) : NULL;

        now->channels[i].rates = unknown;
        if (former)
            compare(&now->channels[i].rates, &now->channels[i].counters, &former->counters, seconds);
    }
    same = same && strcmp(now->lanes_of, before->lanes_of) == 0 && now->lane_count == before->lane_count;
    for (size_t i = 0; i < now->lane_count; i++) {
        now->lanes[i].rates = unknown;
        if (same)
            compare(&now->lanes[i].rates, &now->lanes[i].counters, &before->lanes[i].counters, seconds);
    }
}

/* ---- Order ---- */

struct sorting {
    const struct top_sample *sample;
    enum top_order by;
};

/* What is sorted by, the largest first. */
static double weight(const struct top_channel *channel, enum top_order by)
{
    switch (by) {
    case TOP_ORDER_IN:
        return channel->rates.in;
    case TOP_ORDER_QUEUED:
        return (double)channel->counters.queued + (double)channel->counters.spooled;
    case TOP_ORDER_DROPPED:
        return (double)channel->dropped;
    default:
        return 0;
    }
}

static int compare_numbers(const void *a, const void *b, void *context)
{
    const struct sorting *sorting = context;
    size_t left = *(const size_t *)a, right = *(const size_t *)b;
    const struct top_channel *channels = sorting->sample->channels;
    double heavier = weight(&channels[right], sorting->by) - weight(&channels[left], sorting->by);
    int order = sorting->by == TOP_ORDER_NAME ? strcmp(channels[left].counters.name, channels[right].counters.name)
                                              : (heavier > 0) - (heavier < 0);

    return order != 0 ? order : (left > right) - (left < right);
}

void top_sample_sort(const struct top_sample *sample, enum top_order by, size_t *order)
{
    struct sorting sorting = {sample, by};

    for (size_t i = 0; i < sample->channel_count; i++)
        order[i] = i;
    if (by != TOP_ORDER_FILE && sample->channel_count > 1)
        qsort_r(order, sample->channel_count, sizeof(*order), compare_numbers, &sorting);
}

/* ---- Following ---- */

int top_source_open(struct top_source *source, const char *segment)
{
    *source = (struct top_source){.segment = segment};
    return shared_memory_attach_view(&source->shm, segment, 0);
}

void top_source_close(struct top_source *source)
{
    shared_memory_detach(source->shm);
    top_sample_free(&source->before);
    top_sample_free(&source->now);
    source->shm = NULL;
}

static void let_go(struct top_source *source, const char *reason)
{
    snprintf(source->now.reason, sizeof(source->now.reason), "%s", reason);
    shared_memory_detach(source->shm);
    source->shm = NULL;
}

/* A segment that no gateway serves may have been removed, and made anew by a gateway that does not know ours: look what
 * has the name now. */
static void renew(struct top_source *source)
{
    struct shared_memory *fresh;

    if (shared_memory_attach_view(&fresh, source->segment, 0) < 0) {
        let_go(source, shared_memory_error());
        return;
    }
    shared_memory_detach(source->shm);
    source->shm = fresh;
}

int top_source_look(struct top_source *source, const char *lanes_of)
{
    int rc = 0;

    top_sample_free(&source->before);
    source->before = source->now;
    memset(&source->now, 0, sizeof(source->now));
    if (!source->shm || !source->before.there || !source->before.status.gateway_alive)
        renew(source);
    if (source->shm && (rc = look(&source->now, source->shm, lanes_of)) < 0) {
        top_sample_free(&source->now);
        let_go(source, shared_memory_error());
    }
    source->now.time_ns = sample_clock_ns(CLOCK_REALTIME);
    top_sample_compare(&source->now, &source->before);
    return rc == -ENOMEM ? rc : 0;
}
