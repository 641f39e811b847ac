/* layout.c: plan a segment's geometry, write it, and check one that somebody else wrote. */
#include "layout.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 4096 /* bytes; the planned size is a multiple, so that no allocated page is partly outside the segment */

static const char *const drop_names[LAYOUT_DROP_REASONS] = {
    [LAYOUT_DROP_OVERWRITTEN] = "overwritten",
    [LAYOUT_DROP_TOO_LARGE] = "too_large",
    [LAYOUT_DROP_TOPIC_TOO_LONG] = "topic_too_long",
    [LAYOUT_DROP_REFUSED] = "refused",
    [LAYOUT_DROP_CORRUPT] = "corrupt",
    [LAYOUT_DROP_SPOOL_SIZE] = "spool_size",
    [LAYOUT_DROP_SPOOL_AGE] = "spool_age",
    [LAYOUT_DROP_SPOOL_FAILED] = "spool_failed",
    [LAYOUT_DROP_EXPIRED] = "expired",
    [LAYOUT_DROP_RATE] = "rate",
};

static uint64_t round_up(uint64_t value, uint64_t unit)
{
    return (value + unit - 1) / unit * unit;
}

static int is_power_of_two(uint32_t value)
{
    return value != 0 && (value & (value - 1)) == 0;
}

static uint32_t next_power_of_two(uint32_t value)
{
    uint32_t power = LAYOUT_SLOTS_MIN;

    while (power < value)
        power *= 2;
    return power;
}

uint32_t layout_slot_stride(uint32_t max_payload, uint32_t topic_max, uint32_t properties_max)
{
    uint64_t bytes = topic_max ? layout_topic_offset(max_payload) + (uint64_t)topic_max
                               : sizeof(struct layout_slot) + (uint64_t)max_payload;

    if (properties_max > 0)
        bytes = round_up(bytes, 8) + sizeof(uint32_t) + properties_max;
    return (uint32_t)round_up(bytes, 64);
}

uint32_t layout_topic_offset(uint32_t max_payload)
{
    return (uint32_t)(sizeof(struct layout_slot) + round_up(max_payload, 8));
}

const char *layout_drop_name(unsigned reason)
{
    return reason < LAYOUT_DROP_REASONS ? drop_names[reason] : NULL;
}

/* Whether a fixed-size field holds a proper channel name, NUL-padded to its end. */
static int name_valid(const char name[LAYOUT_NAME_SIZE])
{
    size_t length = strnlen(name, LAYOUT_NAME_SIZE);

    if (length == 0 || length == LAYOUT_NAME_SIZE)
        return 0;
    for (size_t i = 0; i < length; i++) {
        char c = name[i];
        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
              c == '.'))
            return 0;
    }
    return 1;
}

static int request_check(const struct layout_request *request, struct reason *reason)
{
    size_t name_size = request->name ? strlen(request->name) : 0;
    size_t topic_size = request->topic ? strlen(request->topic) : 0;
    char name[LAYOUT_NAME_SIZE] = "";

    if (name_size < sizeof(name))
        memcpy(name, request->name ? request->name : "", name_size);
    if (name_size >= sizeof(name) || !name_valid(name))
        return reason_set(reason, -EINVAL, "channel name: expected 1 to %d characters of A-Z a-z 0-9 _ - .",
                          LAYOUT_NAME_SIZE - 1);
    if (topic_size < 1 || topic_size > LAYOUT_TOPIC_MAX)
        return reason_set(reason, -EINVAL, "channel %s: topic: expected 1 to %d bytes", name, LAYOUT_TOPIC_MAX);
    if (request->direction != LAYOUT_PUBLISH && request->direction != LAYOUT_SUBSCRIBE)
        return reason_set(reason, -EINVAL, "channel %s: direction: expected publish or subscribe", name);
    if (request->overflow != LAYOUT_DROP_OLDEST && request->overflow != LAYOUT_REJECT)
        return reason_set(reason, -EINVAL, "channel %s: overflow: expected drop-oldest or reject", name);
    if (request->qos > 2)
        return reason_set(reason, -EINVAL, "channel %s: qos: expected 0, 1 or 2", name);
    if (request->max_payload < 1 || request->max_payload > LAYOUT_PAYLOAD_MAX)
        return reason_set(reason, -EINVAL, "channel %s: max_payload: expected 1 to %u bytes", name, LAYOUT_PAYLOAD_MAX);
    if (request->slots < LAYOUT_SLOTS_MIN || request->slots > LAYOUT_SLOTS_MAX)
        return reason_set(reason, -EINVAL, "channel %s: slots: expected %u to %u", name, LAYOUT_SLOTS_MIN,
                          LAYOUT_SLOTS_MAX);
    if (request->writers < 1 || request->writers > LAYOUT_LANES_MAX)
        return reason_set(reason, -EINVAL, "channel %s: writers: expected 1 to %u", name, LAYOUT_LANES_MAX);
    if (request->direction == LAYOUT_SUBSCRIBE && (request->topic_max < 1 || request->topic_max > LAYOUT_TOPIC_MAX))
        return reason_set(reason, -EINVAL, "channel %s: topic_max: expected 1 to %d bytes", name, LAYOUT_TOPIC_MAX);
    return 0;
}

static int allocate(struct layout *layout)
{
    layout->channels = calloc(layout->channel_count, sizeof(layout->channels[0]));
    layout->slots_offset = calloc(layout->lane_count, sizeof(layout->slots_offset[0]));
    layout->lane_channel = calloc(layout->lane_count, sizeof(layout->lane_channel[0]));
    if (layout->channels && layout->slots_offset && layout->lane_channel)
        return 0;
    layout_free(layout);
    return -ENOMEM;
}

void layout_free(struct layout *layout)
{
    free(layout->channels);
    free(layout->slots_offset);
    free(layout->lane_channel);
    memset(layout, 0, sizeof(*layout));
}

/* Fill the channel table; lanes are numbered in the order of the channels. */
static void plan_channels(struct layout *out, const struct layout_request *requests)
{
    uint32_t lane = 0;

    for (uint32_t i = 0; i < out->channel_count; i++) {
        struct layout_channel_info *channel = &out->channels[i];
        int subscribe = requests[i].direction == LAYOUT_SUBSCRIBE;

        memcpy(channel->name, requests[i].name, strlen(requests[i].name));
        channel->direction = requests[i].direction;
        channel->overflow = subscribe ? LAYOUT_DROP_OLDEST : requests[i].overflow;
        channel->lane_first = lane;
        channel->lane_count = subscribe ? 1 : requests[i].writers;
        channel->slots = next_power_of_two(requests[i].slots);
        channel->max_payload = requests[i].max_payload;
        channel->topic_max = subscribe ? requests[i].topic_max : 0;
        channel->slot_stride = layout_slot_stride(channel->max_payload, channel->topic_max, channel->properties_max);
        channel->topic_size = (uint32_t)strlen(requests[i].topic);
        channel->qos = requests[i].qos;
        channel->retain = !subscribe && requests[i].retain;
        lane += channel->lane_count;
    }
}

/* Give every part its place. Returns the end. */
static uint64_t plan_offsets(struct layout *out)
{
    uint64_t at = sizeof(struct layout_header);

    out->channel_offset = at;
    at += (uint64_t)out->channel_count * sizeof(struct layout_channel);
    out->lane_offset = at;
    at += (uint64_t)out->lane_count * sizeof(struct layout_lane);
    out->dirty_offset = at;
    at = round_up(at + (uint64_t)out->dirty_words * 8, LAYOUT_ALIGN);
    for (uint32_t i = 0; i < out->channel_count; i++) {
        out->channels[i].topic_offset = at;
        at += out->channels[i].topic_size;
    }
    for (uint32_t i = 0; i < out->channel_count; i++) {
        const struct layout_channel_info *channel = &out->channels[i];
        for (uint32_t lane = channel->lane_first; lane < channel->lane_first + channel->lane_count; lane++) {
            at = round_up(at, LAYOUT_ALIGN);
            out->slots_offset[lane] = at;
            out->lane_channel[lane] = i;
            at += (uint64_t)channel->slots * channel->slot_stride;
        }
    }
    return round_up(at, PAGE);
}

int layout_plan(struct layout *out, const struct layout_request *requests, uint32_t count, struct reason *reason)
{
    uint64_t lanes = 0;
    int rc;

    memset(out, 0, sizeof(*out));
    if (count < 1 || count > LAYOUT_CHANNELS_MAX)
        return reason_set(reason, -EINVAL, "%u channels: expected 1 to %u", count, LAYOUT_CHANNELS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        if ((rc = request_check(&requests[i], reason)) < 0)
            return rc;
        for (uint32_t j = 0; j < i; j++)
            if (strcmp(requests[i].name, requests[j].name) == 0)
                return reason_set(reason, -EINVAL, "channel %s: the name stands twice", requests[i].name);
        lanes += requests[i].direction == LAYOUT_SUBSCRIBE ? 1 : requests[i].writers;
    }
    if (lanes > LAYOUT_LANES_MAX)
        return reason_set(reason, -EINVAL, "%llu writers in all channels together: expected at most %u",
                          (unsigned long long)lanes, LAYOUT_LANES_MAX);
    out->channel_count = count;
    out->lane_count = (uint32_t)lanes;
    out->dirty_words = (out->lane_count + 63) / 64;
    if ((rc = allocate(out)) < 0)
        return reason_set(reason, rc, "out of memory");
    plan_channels(out, requests);
    out->segment_size = plan_offsets(out);
    if (out->segment_size > LAYOUT_SEGMENT_MAX) {
        layout_free(out);
        return reason_set(reason, -EINVAL, "the channels need more than 1 TiB: lower slots, max_payload or writers");
    }
    return 0;
}

void layout_store(const struct layout *plan, const char *const *topics, void *memory)
{
    unsigned char *base = memory;
    struct layout_header *header = memory;

    header->format = LAYOUT_FORMAT;
    header->header_size = sizeof(*header);
    header->segment_size = plan->segment_size;
    header->generation = plan->generation;
    header->channel_count = plan->channel_count;
    header->channel_stride = sizeof(struct layout_channel);
    header->channel_offset = plan->channel_offset;
    header->lane_count = plan->lane_count;
    header->lane_stride = sizeof(struct layout_lane);
    header->lane_offset = plan->lane_offset;
    header->dirty_offset = plan->dirty_offset;
    header->dirty_words = plan->dirty_words;
    header->doorbell = LAYOUT_DOORBELL_SEMAPHORE;
    header->serial = plan->serial;
    for (uint32_t i = 0; i < plan->channel_count; i++) {
        const struct layout_channel_info *info = &plan->channels[i];
        struct layout_channel *channel = (struct layout_channel *)(base + plan->channel_offset) + i;

        memcpy(channel->name, info->name, sizeof(channel->name));
        channel->direction = info->direction;
        channel->overflow = info->overflow;
        channel->lane_first = info->lane_first;
        channel->lane_count = info->lane_count;
        channel->slots = info->slots;
        channel->slot_stride = info->slot_stride;
        channel->max_payload = info->max_payload;
        channel->topic_max = info->topic_max;
        channel->topic_offset = info->topic_offset;
        channel->topic_size = info->topic_size;
        channel->qos = info->qos;
        channel->retain = info->retain;
        channel->properties_max = info->properties_max;
        channel->type_offset = info->type_offset;
        channel->type_size = info->type_size;
        memcpy(base + info->topic_offset, topics[i], info->topic_size);
    }
    for (uint32_t i = 0; i < plan->lane_count; i++) {
        struct layout_lane *lane = (struct layout_lane *)(base + plan->lane_offset) + i;

        lane->channel = plan->lane_channel[i];
        lane->slots_offset = plan->slots_offset[i];
    }
}

/* Whether `count` pieces of `stride` bytes at `offset` lie inside `size` bytes; every product fits: both factors are 32
 * bits. */
static int inside(uint64_t offset, uint64_t count, uint64_t stride, uint64_t size)
{
    return offset <= size && count * stride <= size - offset;
}

static int channel_check(const struct layout *layout, const struct layout_channel_info *channel, uint32_t lane)
{
    return name_valid(channel->name) &&
           (channel->direction == LAYOUT_PUBLISH || channel->direction == LAYOUT_SUBSCRIBE) &&
           (channel->overflow == LAYOUT_DROP_OLDEST || channel->overflow == LAYOUT_REJECT) &&
           channel->lane_first == lane && channel->lane_count >= 1 &&
           channel->lane_count <= layout->lane_count - lane &&
           (channel->direction == LAYOUT_PUBLISH ? channel->topic_max == 0
                                                 : channel->lane_count == 1 && channel->topic_max >= 1) &&
           is_power_of_two(channel->slots) && channel->slots >= LAYOUT_SLOTS_MIN &&
           channel->slots <= LAYOUT_SLOTS_MAX && channel->max_payload >= 1 &&
           channel->max_payload <= LAYOUT_PAYLOAD_MAX && channel->topic_max <= LAYOUT_TOPIC_MAX &&
           channel->properties_max <= LAYOUT_PROPERTIES_MAX &&
           channel->slot_stride ==
               layout_slot_stride(channel->max_payload, channel->topic_max, channel->properties_max) &&
           channel->qos <= 2 && channel->retain <= 1 && channel->topic_size >= 1 &&
           channel->topic_size <= LAYOUT_TOPIC_MAX &&
           inside(channel->topic_offset, channel->topic_size, 1, layout->segment_size) &&
           channel->type_size <= LAYOUT_TYPE_MAX &&
           inside(channel->type_offset, channel->type_size, 1, layout->segment_size);
}

/* Bytes from channel to channel and from lane to lane. */
struct strides {
    uint32_t channel, lane;
};

static const struct strides strides_now = {sizeof(struct layout_channel), sizeof(struct layout_lane)};
static const struct strides strides_old = {LAYOUT_OLD_CHANNEL, LAYOUT_OLD_LANE};

/* Copy the channel and lane tables and check the copies. */
static int load_tables(struct layout *out, const unsigned char *base, const struct strides *strides,
                       struct reason *reason)
{
    uint32_t lane = 0;

    for (uint32_t i = 0; i < out->channel_count; i++) {
        struct layout_channel copy;
        struct layout_channel_info *channel = &out->channels[i];

        memcpy(&copy, base + out->channel_offset + (uint64_t)i * strides->channel, LAYOUT_OLD_CARRIED);
        memcpy(channel->name, copy.name, sizeof(channel->name));
        channel->direction = copy.direction;
        channel->overflow = copy.overflow;
        channel->lane_first = copy.lane_first;
        channel->lane_count = copy.lane_count;
        channel->slots = copy.slots;
        channel->slot_stride = copy.slot_stride;
        channel->max_payload = copy.max_payload;
        channel->topic_max = copy.topic_max;
        channel->topic_offset = copy.topic_offset;
        channel->topic_size = copy.topic_size;
        channel->qos = copy.qos;
        channel->retain = copy.retain;
        if (strides == &strides_now) {
            channel->properties_max = copy.properties_max;
            channel->type_offset = copy.type_offset;
            channel->type_size = copy.type_size;
        }
        if (!channel_check(out, channel, lane))
            return reason_set(reason, -EPROTO, "its channel %u is damaged", i);
        for (uint32_t end = lane + channel->lane_count; lane < end; lane++) {
            struct layout_lane lane_copy;

            memcpy(&lane_copy, base + out->lane_offset + (uint64_t)lane * strides->lane, 16);
            out->lane_channel[lane] = i;
            out->slots_offset[lane] = lane_copy.slots_offset;
            if (lane_copy.channel != i || lane_copy.slots_offset % LAYOUT_ALIGN != 0 ||
                !inside(lane_copy.slots_offset, channel->slots, channel->slot_stride, out->segment_size))
                return reason_set(reason, -EPROTO, "its lane %u is damaged", lane);
        }
    }
    if (lane != out->lane_count)
        return reason_set(reason, -EPROTO, "its lane count is damaged");
    return 0;
}

uint32_t layout_major(const void *memory, uint64_t size)
{
    const struct layout_header *header = memory;

    /* Acquire: pairs with the release store of the magic in ring_publish_magic; the header is complete behind it. */
    if (size < sizeof(*header) || atomic_load_explicit(&header->magic, memory_order_acquire) != LAYOUT_MAGIC)
        return 0;
    return header->format >> 24;
}

/* See whether this build knows what a segment of the present version means. */
static int check_version(const void *memory, uint64_t size, struct reason *reason)
{
    const struct layout_header *header = memory;
    uint32_t major = layout_major(memory, size);

    if (size >= sizeof(*header) &&
        atomic_load_explicit(&header->magic, memory_order_relaxed) == __builtin_bswap64(LAYOUT_MAGIC))
        return reason_set(reason, -EPROTO, "a program of the other byte order made it");
    if (major == 0)
        return reason_set(reason, -EAGAIN, "it is not ready");
    if (major != LAYOUT_MAJOR)
        return reason_set(reason, -EPROTO,
                          "%s version of shmgate made it (layout %u, this program's is %u): use the same everywhere",
                          major < LAYOUT_MAJOR ? "an older" : "a newer", major, (unsigned)LAYOUT_MAJOR);
    if ((header->format & 0xffff) != (LAYOUT_FORMAT & 0xffff))
        return reason_set(reason, -EPROTO,
                          "it has format %#x, this build reads %#x: use the same version of shmgate everywhere",
                          header->format, LAYOUT_FORMAT);
    if (header->doorbell != LAYOUT_DOORBELL_SEMAPHORE)
        return reason_set(reason, -EPROTO,
                          "it has a doorbell (%u) that this version of shmgate cannot ring: use the same everywhere",
                          header->doorbell);
    return 0;
}

/* Copy header and tables, and check the copies. */
static int load(struct layout *out, const void *memory, uint64_t size, const struct strides *strides,
                struct reason *reason)
{
    struct layout_header header;
    int rc;

    memcpy(&header, memory, offsetof(struct layout_header, state));
    out->segment_size = header.segment_size;
    out->generation = header.generation;
    out->serial = header.serial;
    out->channel_count = header.channel_count;
    out->lane_count = header.lane_count;
    out->dirty_words = header.dirty_words;
    out->channel_offset = header.channel_offset;
    out->lane_offset = header.lane_offset;
    out->dirty_offset = header.dirty_offset;
    if (header.segment_size != size || header.header_size != sizeof(header) ||
        header.channel_stride != strides->channel || header.lane_stride != strides->lane || out->channel_count < 1 ||
        out->channel_count > LAYOUT_CHANNELS_MAX || out->lane_count < 1 || out->lane_count > LAYOUT_LANES_MAX ||
        out->dirty_words != (out->lane_count + 63) / 64 || out->channel_offset % LAYOUT_ALIGN != 0 ||
        out->lane_offset % LAYOUT_ALIGN != 0 || out->dirty_offset % 8 != 0 ||
        !inside(out->channel_offset, out->channel_count, strides->channel, size) ||
        !inside(out->lane_offset, out->lane_count, strides->lane, size) ||
        !inside(out->dirty_offset, out->dirty_words, 8, size))
        rc = reason_set(reason, -EPROTO, "its header is damaged");
    else if ((rc = allocate(out)) < 0)
        rc = reason_set(reason, rc, "out of memory");
    else
        rc = load_tables(out, memory, strides, reason);
    if (rc < 0)
        layout_free(out);
    return rc;
}

int layout_load(struct layout *out, const void *memory, uint64_t size, struct reason *reason)
{
    int rc = check_version(memory, size, reason);

    memset(out, 0, sizeof(*out));
    return rc < 0 ? rc : load(out, memory, size, &strides_now, reason);
}

int layout_load_old(struct layout *out, const void *memory, uint64_t size, struct reason *reason)
{
    memset(out, 0, sizeof(*out));
    if (layout_major(memory, size) != LAYOUT_OLD_MAJOR)
        return reason_set(reason, -EPROTO, "it is not of layout %d", LAYOUT_OLD_MAJOR);
    return load(out, memory, size, &strides_old, reason);
}

int layout_plan_again(struct layout *out, const struct layout *from, struct reason *reason)
{
    int rc;

    *out = (struct layout){.generation = from->generation,
                           .serial = from->serial,
                           .channel_count = from->channel_count,
                           .lane_count = from->lane_count,
                           .dirty_words = from->dirty_words};
    if ((rc = allocate(out)) < 0)
        return reason_set(reason, rc, "out of memory");
    memcpy(out->channels, from->channels, from->channel_count * sizeof(out->channels[0]));
    out->segment_size = plan_offsets(out);
    /* In a hostile one the lanes may lie on top of each other, many times what the file can hold. */
    if (out->segment_size > 2 * from->segment_size + LAYOUT_TYPE_MAX) {
        layout_free(out);
        return reason_set(reason, -EPROTO, "its lanes are damaged");
    }
    return 0;
}

int layout_same(const struct layout *a, const struct layout *b)
{
    return a->segment_size == b->segment_size && a->channel_count == b->channel_count &&
           a->lane_count == b->lane_count && a->dirty_words == b->dirty_words &&
           a->channel_offset == b->channel_offset && a->lane_offset == b->lane_offset &&
           a->dirty_offset == b->dirty_offset &&
           memcmp(a->channels, b->channels, a->channel_count * sizeof(a->channels[0])) == 0 &&
           memcmp(a->slots_offset, b->slots_offset, a->lane_count * sizeof(a->slots_offset[0])) == 0;
}
