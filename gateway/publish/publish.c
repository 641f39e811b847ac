/* publish.c: the lanes of the segments, and what the loop does with all of them. See publish.h. */
#include "publish/publish.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "publish/publish_internal.h"

int publish_has_lane(const struct segment *segment, uint32_t number)
{
    const struct layout *layout = &segment->layout;

    return layout->channels[layout->lane_channel[number]].direction == LAYOUT_PUBLISH;
}

/* ---- Lanes ---- */

struct source_group *publish_group(struct publish *publish, const char *channel)
{
    struct source_group **at = &publish->groups, *made;

    for (; *at; at = &(*at)->next)
        if (strcmp((*at)->channel, channel) == 0)
            return *at;
    made = calloc(1, sizeof(*made));
    if (!made || !(made->channel = strdup(channel))) {
        free(made);
        return NULL;
    }
    *at = made;
    return made;
}

/* Start the lanes of one channel. 0 or -ENOMEM. */
static int start_channel(struct publish_segment *of, uint32_t index, const struct lane_options *like)
{
    const struct layout_channel_info *channel = &of->segment->layout.channels[index];
    struct lane_options options = *like;

    if (channel->direction != LAYOUT_PUBLISH)
        return 0;
    options.group = publish_group(options.publish, options.channel->name);
    if (!options.group || sender_reserve(options.publish->sender, channel->max_payload, options.channel->batch_max) < 0)
        return -ENOMEM;
    for (uint32_t i = 0; i < channel->lane_count; i++) {
        options.number = channel->lane_first + i;
        if (lane_start(&of->lanes[options.number], &options) < 0)
            return -ENOMEM;
    }
    return 0;
}

int publish_start_lanes(struct publish *publish, struct publish_segment *of, const struct publish_channel *channels,
                        int is_retired)
{
    const struct layout *layout = &of->segment->layout;
    int rc = 0;

    of->lanes = calloc(layout->lane_count, sizeof(of->lanes[0]));
    if (!of->lanes)
        return -ENOMEM;
    for (uint32_t i = 0; rc == 0 && i < layout->channel_count; i++) {
        struct lane_options options = {.publish = publish,
                                       .segment = of->segment,
                                       .channel = &channels[i],
                                       .latency = is_retired ? NULL : &publish->latencies[i],
                                       .is_retired = is_retired};

        rc = start_channel(of, i, &options);
    }
    return rc;
}

void publish_end_lanes(struct publish_segment *of)
{
    for (uint32_t i = 0; of->lanes && i < of->segment->layout.lane_count; i++)
        lane_end(&of->lanes[i]);
    free(of->lanes);
    of->lanes = NULL;
}

void publish_ready_lanes(struct publish_segment *of)
{
    for (uint32_t i = 0; i < of->segment->layout.lane_count; i++)
        if (publish_has_lane(of->segment, i))
            lane_ready(&of->lanes[i]);
}

/* ---- Its life ---- */

static uint32_t count_lanes(const struct publish_options *options)
{
    uint32_t count = options->segment->layout.lane_count;

    for (uint32_t i = 0; options->olds && i < options->olds->count; i++)
        count += options->olds->segments[i].layout.lane_count;
    return count;
}

/* In the order of dependence: streams of the spool, lanes of replaced segments, those of the present one. */
static int start_parts(struct publish *publish, const struct publish_options *options)
{
    struct replay_options replay = {
        .publish = publish, .spool = options->spool, .olds = options->olds, .created = options->created};
    int rc = 0;

    if (options->spool)
        rc = replay_create(&publish->replay, &replay);
    if (rc == 0 && options->olds)
        rc = retired_segments_create(&publish->retired, publish, options->olds);
    if (rc == 0)
        rc = publish_start_lanes(publish, &publish->present, options->channels, 0);
    return rc;
}

int publish_create(struct publish **out, const struct publish_options *options)
{
    struct publish *publish = calloc(1, sizeof(*publish));
    int rc = -ENOMEM;

    *out = NULL;
    if (!publish)
        return rc;
    publish->sender = options->sender;
    publish->segment = publish->present.segment = options->segment;
    publish->channels = options->channels;
    publish->spool = options->spool;
    publish->latencies = calloc(options->segment->layout.channel_count, sizeof(publish->latencies[0]));
    publish->spill = calloc(count_lanes(options), sizeof(publish->spill[0]));
    if (publish->latencies && publish->spill)
        rc = start_parts(publish, options);
    if (rc < 0) {
        publish_destroy(publish);
        return rc;
    }
    publish_ready_all(publish);
    *out = publish;
    return 0;
}

void publish_destroy(struct publish *publish)
{
    if (!publish)
        return;
    publish_end_lanes(&publish->present);
    retired_segments_destroy(publish->retired);
    replay_destroy(publish->replay);
    while (publish->groups) {
        struct source_group *group = publish->groups;

        publish->groups = group->next;
        free(group->channel);
        free(group);
    }
    free(publish->latencies);
    free(publish->spill);
    free(publish);
}

/* ---- What is new ---- */

static int poll_segment(struct publish_segment *of)
{
    const struct layout *layout = &of->segment->layout;
    int any = 0;

    for (uint32_t word = 0; word < layout->dirty_words; word++) {
        uint64_t bits = ring_take_dirty(of->segment->dirty, word);

        for (; bits != 0; bits &= bits - 1) {
            uint32_t number = word * 64 + (uint32_t)__builtin_ctzll(bits);

            /* Anybody can set bits that stand for no lane, or for one that only we write. */
            if (number >= layout->lane_count || !publish_has_lane(of->segment, number))
                continue;
            lane_ready(&of->lanes[number]);
            segment_wake_readers(of->segment, layout->lane_channel[number]);
            any = 1;
        }
    }
    return any;
}

/* Writers of a replaced segment may not know yet that they ring another bell: every lane is looked at. */
static void poll_retired(struct publish_segment *of)
{
    poll_segment(of);
    publish_ready_lanes(of);
}

int publish_poll_dirty(struct publish *publish)
{
    if (publish->retired)
        retired_segments_each(publish->retired, poll_retired);
    return poll_segment(&publish->present);
}

void publish_ready_all(struct publish *publish)
{
    if (publish->retired)
        retired_segments_each(publish->retired, publish_ready_lanes);
    publish_ready_lanes(&publish->present);
}

/* The lanes' ledgers have the spool's counts in them. */
static void mark_lanes_dirty(struct publish_segment *of)
{
    for (uint32_t i = 0; i < of->segment->layout.lane_count; i++)
        if (publish_has_lane(of->segment, i) && of->lanes[i].stream)
            lane_mark_dirty(&of->lanes[i]);
}

void publish_spool_changed(struct publish *publish)
{
    if (!publish->replay)
        return;
    mark_lanes_dirty(&publish->present);
    if (publish->retired)
        retired_segments_each(publish->retired, mark_lanes_dirty);
    replay_flush(publish->replay);
    /* Lanes may have waited for it. */
    replay_ready_all(publish->replay);
    publish_ready_all(publish);
}

/* ---- What is shown ---- */

void publish_show_latency(struct publish *publish, int clear)
{
    for (uint32_t i = 0; i < publish->segment->layout.channel_count; i++) {
        struct publish_latency *latency = &publish->latencies[i];
        struct latency_summary send, acknowledge;

        if (latency->to_send.total + latency->to_acknowledge.total == latency->shown && !clear)
            continue;
        latency_summarise(&latency->to_send, &send);
        latency_summarise(&latency->to_acknowledge, &acknowledge);
        ring_set_latency(segment_channel(publish->segment, i),
                         (const uint32_t[]){send.p50_us, send.p99_us, send.p999_us, send.max_us, acknowledge.p50_us,
                                            acknowledge.p99_us, acknowledge.p999_us, acknowledge.max_us});
        if (clear) {
            latency_clear(&latency->to_send);
            latency_clear(&latency->to_acknowledge);
        }
        latency->shown = latency->to_send.total + latency->to_acknowledge.total;
    }
}

unsigned publish_flush_ledgers(struct publish *publish)
{
    unsigned dropped = publish->dropped;

    while (publish->dirty) {
        struct lane *lane = publish->dirty;

        publish->dirty = lane->dirty_next;
        lane->dirty = 0;
        lane_flush_ledger(lane);
    }
    if (publish->retired)
        retired_segments_carry(publish->retired);
    publish->dropped = 0;
    return dropped;
}

void publish_check_tails(struct publish *publish)
{
    for (uint32_t i = 0; i < publish->segment->layout.lane_count; i++) {
        struct lane *lane = &publish->present.lanes[i];

        if (publish_has_lane(publish->segment, i) && ring_tail(&lane->ring) != lane->ledger.tail)
            lane_mark_dirty(lane);
    }
}

int publish_has_retired(const struct publish *publish)
{
    return publish->retired != NULL;
}

int publish_finish_retired(struct publish *publish)
{
    if (!publish->retired || !retired_segments_finish(publish->retired))
        return 0;
    retired_segments_destroy(publish->retired);
    publish->retired = NULL;
    publish_ready_all(publish);
    return 1;
}

int publish_is_drained(const struct publish *publish)
{
    for (uint32_t i = 0; i < publish->segment->layout.lane_count; i++)
        if (publish_has_lane(publish->segment, i) && !lane_is_drained(&publish->present.lanes[i]))
            return 0;
    return 1;
}
