/* segment.c: open a segment, check it, and give access to what is in it. See segment.h. */
#include "segment.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "platform.h"
#include "segment_internal.h"
#include "suggest.h"

static int is_name(const char *name)
{
    size_t length = strlen(name);

    return length >= 2 && length <= SEGMENT_NAME_MAX && name[0] == '/' && name[1] != '.' &&
           strncmp(name, "/sem.", 5) != 0 && !segment_is_beside(name, NULL, NULL) &&
           strspn(name + 1, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.") == length - 1;
}

int segment_name_check(const char *name, struct reason *reason)
{
    char with_slash[SEGMENT_NAME_MAX + 2], hint[sizeof(with_slash) + 32] = "";

    if (is_name(name))
        return 0;
    snprintf(with_slash, sizeof(with_slash), "/%s", name);
    if (name[0] != '/' && is_name(with_slash))
        snprintf(hint, sizeof(hint), ": did you mean %s?", with_slash);
    return reason_set(reason, -EINVAL,
                      "expected a slash and 1 to %d characters of A-Z a-z 0-9 _ - . (not /.NAME, /sem.NAME, "
                      "NAME" SEGMENT_NEXT_SUFFIX ", NAME" SEGMENT_ASIDE_SUFFIX " and what follows them)%s",
                      SEGMENT_NAME_MAX - 1, hint);
}

void segment_clear(struct segment *segment)
{
    memset(segment, 0, sizeof(*segment));
    segment->fd = -1;
}

void segment_close(struct segment *segment)
{
    if (segment->base)
        platform_unmap(segment->base, segment->size);
    if (segment->fd >= 0)
        platform_close(segment->fd);
    platform_doorbell_close(segment->doorbell);
    layout_free(&segment->layout);
    segment_clear(segment);
}

void segment_set_pointers(struct segment *segment)
{
    segment->header = (struct layout_header *)segment->base;
    segment->dirty = (_Atomic uint64_t *)(segment->base + segment->layout.dirty_offset);
}

int segment_explain_open(int rc, const char *name, struct reason *reason)
{
    char hint[SUGGEST_SIZE];

    switch (rc) {
    case -ENOENT:
        return reason_set(reason, rc, "no segment %s: start shmgated, or check the segment's name", name);
    case -EACCES:
        suggest_group(name, hint, sizeof(hint));
        return reason_set(reason, rc, "no permission on segment %s: %s", name, hint);
    default:
        return reason_set(reason, rc, "open segment %s: %s", name, platform_object_explain(rc));
    }
}

/* Map what segment->fd is open on and check it. */
int segment_load(struct segment *segment, struct reason *reason)
{
    void *base;
    int rc = platform_object_size(segment->fd, &segment->size);

    if (rc < 0)
        return reason_set(reason, rc, "segment %s: %s", segment->name, strerror(-rc));
    if (segment->size < sizeof(struct layout_header) || segment->size > LAYOUT_SEGMENT_MAX)
        return reason_set(reason, -EPROTO,
                          "segment %s: its size is not that of a segment: remove it with: shmgate release -S %s",
                          segment->name, segment->name);
    rc = segment->look_only ? platform_map_to_look(segment->fd, segment->size, &base)
                            : platform_map(segment->fd, segment->size, &base);
    if (rc == -EAGAIN)
        return reason_set(
            reason, rc,
            "map segment %s: the %llu KiB are more than the limit of locked memory (RLIMIT_MEMLOCK, after "
            "mlockall) leaves: raise it with LimitMEMLOCK= in the unit, or ulimit -l",
            segment->name, (unsigned long long)(segment->size / 1024));
    if (rc < 0)
        return reason_set(reason, rc, "map segment %s: %s", segment->name, platform_object_explain(rc));
    segment->base = base;
    rc = layout_load(&segment->layout, base, segment->size, reason);
    if (rc < 0)
        return reason_wrap(reason, rc == -ENOMEM ? rc : -EPROTO, "segment %s", segment->name);
    segment_set_pointers(segment);
    return 0;
}

/* Open the object under `name` without its doorbell. */
static int open_object(struct segment *segment, const char *name, int look_only, struct reason *reason)
{
    char owner[PLATFORM_OWNER_SIZE];
    int rc;

    segment_clear(segment);
    segment->look_only = look_only;
    snprintf(segment->name, sizeof(segment->name), "%s", name);
    rc = look_only ? platform_object_open_to_look(name, &segment->fd) : platform_object_open(name, &segment->fd);
    if (rc < 0) {
        segment->fd = -1;
        return segment_explain_open(rc, name, reason);
    }
    if ((rc = platform_object_trusted(segment->fd, SEGMENT_SERVICE_USER, SEGMENT_OWNER_VARIABLE)) < 0)
        reason_set(
            reason, rc,
            "segment %s belongs to user %s, who is not root, shmgate or this program's user: if its gateway runs as "
            "that user, set SHMGATE_OWNER=%s",
            name, platform_object_owner(segment->fd, owner), owner);
    else
        rc = segment_load(segment, reason);
    if (rc < 0)
        segment_close(segment);
    return rc;
}

int segment_attach(struct segment *out, const char *name, struct reason *reason)
{
    int rc;

    segment_clear(out);
    if ((rc = segment_name_check(name, reason)) < 0 || (rc = open_object(out, name, 0, reason)) < 0)
        return rc;
    if ((rc = platform_doorbell_open(name, 0, 0, -1, &out->doorbell)) < 0) {
        segment_close(out);
        return rc == -ENOENT
                   ? reason_set(reason, rc, "segment %s has no semaphore: restart shmgated, which makes it anew", name)
                   : reason_set(reason, rc, "open semaphore %s: %s", name, strerror(-rc));
    }
    return 0;
}

int segment_attach_view(struct segment *out, const char *name, struct reason *reason)
{
    int rc;

    segment_clear(out);
    if ((rc = segment_name_check(name, reason)) < 0)
        return rc;
    return open_object(out, name, 1, reason);
}

int segment_find(const struct segment *segment, const char *channel)
{
    for (uint32_t i = 0; i < segment->layout.channel_count; i++)
        if (strcmp(segment->layout.channels[i].name, channel) == 0)
            return (int)i;
    return -ENOENT;
}

struct ring segment_ring(const struct segment *segment, uint32_t lane)
{
    const struct layout_channel_info *channel = &segment->layout.channels[segment->layout.lane_channel[lane]];

    return (struct ring){
        .lane = (struct layout_lane *)(segment->base + segment->layout.lane_offset) + lane,
        .slots = segment->base + segment->layout.slots_offset[lane],
        .mask = channel->slots - 1,
        .stride = channel->slot_stride,
        .max_payload = channel->max_payload,
        .topic_max = channel->topic_max,
    };
}

struct layout_channel *segment_channel(const struct segment *segment, uint32_t index)
{
    return (struct layout_channel *)(segment->base + segment->layout.channel_offset) + index;
}

void segment_wake_readers(const struct segment *segment, uint32_t index)
{
    struct layout_channel *channel = segment_channel(segment, index);

    if (ring_wake_readers(channel))
        platform_word_wake(&channel->wake_word);
}

void segment_wake_gateway(const struct segment *segment)
{
    uint32_t sleep = ring_notify_event(segment->header);

    if (sleep != 0) {
        platform_doorbell_post(segment->doorbell);
        ring_posted(segment->header, sleep);
    }
}

void segment_topic(const struct segment *segment, uint32_t index, char *topic)
{
    const struct layout_channel_info *channel = &segment->layout.channels[index];

    memcpy(topic, segment->base + channel->topic_offset, channel->topic_size);
    topic[channel->topic_size] = '\0';
    for (uint32_t i = 0; i < channel->topic_size; i++)
        if (topic[i] == '\0')
            topic[i] = '?';
}

int segment_lock_lane(const struct segment *segment, uint32_t lane)
{
    int rc = platform_lock(segment->fd, LAYOUT_LOCK_LANE + (uint64_t)lane);

    return rc == -EAGAIN ? -EBUSY : rc;
}

void segment_unlock_lane(const struct segment *segment, uint32_t lane)
{
    platform_unlock(segment->fd, LAYOUT_LOCK_LANE + (uint64_t)lane);
}

int segment_lane_locked(const struct segment *segment, uint32_t lane)
{
    return platform_locked(segment->fd, LAYOUT_LOCK_LANE + (uint64_t)lane);
}

int segment_served(const struct segment *segment)
{
    return platform_locked(segment->fd, LAYOUT_LOCK_GATEWAY);
}
