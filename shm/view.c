/* view.c: what one can see of a gateway and its channels without taking part: nothing here writes to the segment. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "counters.h"
#include "handles_internal.h"
#include "platform.h"

_Static_assert(LAYOUT_LATENCIES == 8, "two rows of the public struct");

int shared_memory_read_status(struct shared_memory *shm, struct shared_memory_status *status)
{
    static const char *const states[] = {[LAYOUT_SPOOL_OFF] = "off",
                                         [LAYOUT_SPOOL_OK] = "ok",
                                         [LAYOUT_SPOOL_FULL] = "full",
                                         [LAYOUT_SPOOL_FAILED] = "failed"};
    const struct layout_header *header;
    struct mapping *mapping;
    int rc = attachment_follow(shm, &mapping);

    memset(status, 0, sizeof(*status));
    if (rc < 0)
        return rc;
    header = mapping->segment.header;
    status->generation = mapping->segment.layout.generation;
    status->channels = (int)mapping->segment.layout.channel_count;
    status->gateway_pid = ring_gateway_pid(header);
    ring_times(header, &status->gateway_start_ns, &status->link_change_ns);
    status->link_up = ring_link(header);
    status->spool_state = states[ring_spool(header, &status->spool_bytes)];
    rc = segment_served(&mapping->segment);
    attachment_release(shm, mapping);
    status->gateway_alive = rc == 1;
    return rc < 0 ? handle_fail(rc, "look at the gateway's lock: %s", strerror(-rc)) : 0;
}

/* Follow the gateway, and find a channel of its present segment. On success *mapping must be released. */
static int follow_to_channel(struct shared_memory *shm, int index, struct mapping **mapping,
                             const struct layout_channel_info **info)
{
    int rc = attachment_follow(shm, mapping);

    *info = NULL;
    if (rc < 0)
        return rc;
    if (index < 0 || (uint32_t)index >= (*mapping)->segment.layout.channel_count) {
        attachment_release(shm, *mapping);
        return handle_fail(-ENOENT, "no channel number %d", index);
    }
    *info = &(*mapping)->segment.layout.channels[index];
    return 0;
}

int shared_memory_channel_gauges(struct shared_memory *shm, int index, struct shared_memory_gauges *gauges)
{
    const struct layout_channel_info *info;
    uint32_t us[LAYOUT_LATENCIES];
    struct mapping *mapping;
    int rc = follow_to_channel(shm, index, &mapping, &info);

    if (!info)
        return rc;
    *gauges = (struct shared_memory_gauges){.qos = info->qos,
                                            .retain = info->retain,
                                            .lanes = info->lane_count,
                                            .slots = info->slots,
                                            .max_payload = info->max_payload};
    ring_latency(segment_channel(&mapping->segment, (uint32_t)index), us);
    memcpy(gauges->write_to_send_us, us, sizeof(gauges->write_to_send_us));
    memcpy(gauges->send_to_ack_us, us + 4, sizeof(gauges->send_to_ack_us));
    attachment_release(shm, mapping);
    return 0;
}

int shared_memory_lane_counters(struct shared_memory *shm, int index, uint32_t lane,
                                struct shared_memory_counters *counters, int *has_writer)
{
    const struct layout_channel_info *info;
    struct mapping *mapping;
    int rc = follow_to_channel(shm, index, &mapping, &info);

    if (!info)
        return rc;
    if (lane < info->lane_count) {
        counters_collect_lane(&mapping->segment, info->lane_first + lane, counters);
        *has_writer = segment_lane_locked(&mapping->segment, info->lane_first + lane) == 1;
    } else {
        rc = handle_fail(-ENOENT, "channel %s has no lane %u", info->name, lane);
    }
    attachment_release(shm, mapping);
    return rc;
}

/* The lane whose newest message is the latest, with that message's number. -EAGAIN when there is none to be had. */
static int find_newest(const struct segment *segment, const struct layout_channel_info *info, uint32_t *lane,
                       uint64_t *sequence)
{
    uint64_t latest_ns = 0;
    int rc = -EAGAIN;

    for (uint32_t i = 0; i < info->lane_count; i++) {
        struct ring ring = segment_ring(segment, info->lane_first + i);
        uint64_t head = ring_head_found(&ring);
        struct ring_message message;

        if (head == 0 || ring_peek(&ring, head - 1, &message) < 0 || (rc == 0 && message.time_ns <= latest_ns))
            continue;
        latest_ns = message.time_ns;
        *lane = i;
        *sequence = head - 1;
        rc = 0;
    }
    return rc;
}

/* Read the newest message of a channel. `topic` has room for the channel's topics. */
static int read_newest(const struct segment *segment, uint32_t channel, const struct ring_space *space,
                       struct shared_memory_message *message)
{
    const struct layout_channel_info *info = &segment->layout.channels[channel];

    /* A try fails only when a whole ring was written during it; then the next one finds something newer. */
    for (int tries = 0; tries < 10; tries++) {
        struct ring_message found;
        uint32_t lane = 0;
        uint64_t sequence = 0;
        struct ring ring;

        if (find_newest(segment, info, &lane, &sequence) < 0)
            continue;
        ring = segment_ring(segment, info->lane_first + lane);
        if (ring_peek(&ring, sequence, &found) < 0)
            continue;
        /* Without a buffer only the size is asked for; memcpy(3) takes no NULL, not even for nothing. */
        if (space->size > 0)
            memcpy(space->payload, found.payload, found.size < space->size ? found.size : space->size);
        if (info->topic_max > 0) {
            memcpy(space->topic, found.topic, found.topic_size);
            space->topic[found.topic_size] = '\0';
        } else {
            segment_topic(segment, channel, space->topic);
        }
        if (!ring_validate(&ring, sequence))
            continue;
        if (found.expires_ns != 0 && platform_boot_ns() >= found.expires_ns)
            break;
        *message = (struct shared_memory_message){.payload = space->payload,
                                                  .size = found.size,
                                                  .topic = space->topic,
                                                  .topic_size = info->topic_max > 0 ? found.topic_size
                                                                                    : info->topic_size,
                                                  .sequence = sequence,
                                                  .time_ns = found.time_ns,
                                                  .lane = lane,
                                                  .retained = (found.flags & LAYOUT_FLAG_RETAINED) != 0};
        return 0;
    }
    return handle_fail_plain(-EAGAIN, "no message");
}

int shared_memory_channel_newest(struct shared_memory *shm, int index, void *buffer, size_t size,
                                 struct shared_memory_message *message)
{
    const struct layout_channel_info *info;
    struct mapping *mapping;
    char *topic;
    int rc = follow_to_channel(shm, index, &mapping, &info);

    if (!info)
        return rc;
    topic = handle_lend((info->topic_max > info->topic_size ? info->topic_max : info->topic_size) + (size_t)1);
    rc = topic ? read_newest(&mapping->segment, (uint32_t)index, &(struct ring_space){buffer, size, topic}, message)
               : -ENOMEM;
    attachment_release(shm, mapping);
    return rc;
}
