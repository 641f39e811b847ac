/* segment_serve.c: make, adopt, replace and remove segments: the gateway's side. See segment.h for what is under which
 * name when. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform.h"
#include "segment_internal.h"

#define SERVE_TRIES 100 /* names that change hands while we look; each try is a whole open */

/* What an error of giving the segment a group comes of; "" when it is another. */
static const char *explain_group(int rc)
{
    return rc == -EPERM    ? ": the gateway must be a member of the group it gives the segment"
           : rc == -EINVAL ? ": this user namespace does not map the group it gives the segment ([shm] group)"
                           : "";
}

int segment_make(struct segment *segment, const struct segment_options *options, uint64_t generation, uint64_t serial,
                 struct reason *reason)
{
    struct layout plan = *options->plan;
    void *base;
    int rc;

    segment_clear(segment);
    snprintf(segment->name, sizeof(segment->name), "%s", options->name);
    rc = platform_object_create(plan.segment_size, options->mode, options->gid, &segment->fd);
    /* What was set aside is worth less than a gateway that serves. */
    if (rc == -ENOSPC && segment_drop_asides(options->name))
        rc = platform_object_create(plan.segment_size, options->mode, options->gid, &segment->fd);
    if (rc == -ENOSPC)
        return reason_set(
            reason, rc,
            "create segment %s: %llu KiB do not fit into /dev/shm: lower slots, max_payload or writers, or enlarge it",
            options->name, (unsigned long long)(plan.segment_size / 1024));
    if (rc < 0)
        return reason_set(reason, rc, "create segment %s: %s%s", options->name, platform_object_explain(rc),
                          explain_group(rc));
    segment->size = plan.segment_size;
    rc = platform_map(segment->fd, segment->size, &base);
    if (rc == 0) {
        segment->base = base;
        rc = platform_lock(segment->fd, LAYOUT_LOCK_GATEWAY);
    }
    if (rc < 0) {
        segment_close(segment);
        return reason_set(reason, rc, "create segment %s: %s", options->name, platform_object_explain(rc));
    }
    plan.generation = generation;
    plan.serial = serial;
    layout_store(&plan, options->topics, base);
    ring_publish_magic(base);
    if ((rc = layout_load(&segment->layout, base, segment->size, reason)) < 0) {
        segment_close(segment);
        return rc;
    }
    segment_set_pointers(segment);
    return 0;
}

int segment_take_over(struct segment *segment, const char *name, struct reason *reason)
{
    char owner[PLATFORM_OWNER_SIZE];
    int rc;

    segment_clear(segment);
    snprintf(segment->name, sizeof(segment->name), "%s", name);
    if ((rc = platform_object_open(name, &segment->fd)) < 0) {
        segment->fd = -1;
        return segment_explain_open(rc, name, reason);
    }
    if ((rc = platform_object_owned(segment->fd)) < 0) {
        reason_set(
            reason, rc,
            "segment %s belongs to another user, %s: choose another name, or have its owner run: shmgate release "
            "-S %s",
            name, platform_object_owner(segment->fd, owner), name);
        segment_close(segment);
        return rc;
    }
    if ((rc = platform_lock(segment->fd, LAYOUT_LOCK_GATEWAY)) < 0) {
        rc = rc == -EAGAIN ? reason_set(reason, -EBUSY,
                                        "segment %s is served by another running gateway: stop that one, or give "
                                        "this one another segment",
                                        name)
                           : reason_set(reason, rc, "lock segment %s: %s", name, strerror(-rc));
        segment_close(segment);
        return rc;
    }
    if (!platform_object_is(segment->fd, name)) {
        segment_close(segment);
        return -EAGAIN;
    }
    if ((rc = segment_load(segment, reason)) < 0 && rc != -EPROTO)
        segment_close(segment);
    return rc;
}

/* Whether the segment has just the geometry and the topics of the plan. */
static int as_planned(const struct segment *segment, const struct segment_options *options)
{
    if (!layout_same(&segment->layout, options->plan))
        return 0;
    for (uint32_t i = 0; i < segment->layout.channel_count; i++)
        if (memcmp(segment->base + segment->layout.channels[i].topic_offset, options->topics[i],
                   segment->layout.channels[i].topic_size) != 0)
            return 0;
    return 1;
}

void segment_retire(struct segment *segment)
{
    /* Into what is no segment nothing is written. */
    if (!segment->base || layout_major(segment->base, segment->size) == 0)
        return;
    ring_retire((struct layout_header *)segment->base);
    for (uint32_t i = 0; i < segment->layout.channel_count; i++)
        segment_wake_readers(segment, i);
}

/* One more than the serial numbers of all that is to be drained. */
static uint64_t next_serial(const struct segment_list *olds)
{
    uint64_t serial = 0;

    for (uint32_t i = 0; i < olds->count; i++)
        if (olds->segments[i].layout.serial > serial)
            serial = olds->segments[i].layout.serial;
    return serial + 1;
}

/* Put the new segment `out` in the place of `old`, which moves to a name beside it, by which it is known from then on.
 */
static int take_place(struct segment *out, struct segment *old, const char *suffix,
                      const struct segment_options *options, struct reason *reason)
{
    char next[SEGMENT_NAME_SIZE];
    int rc;

    segment_beside_name(next, options->name, suffix);
    if ((rc = platform_object_publish(out->fd, next)) == 0 && (rc = platform_object_exchange(options->name, next)) < 0)
        platform_object_remove(next);
    if (rc < 0) {
        segment_close(out);
        return reason_set(reason, rc, "replace segment %s: %s", options->name, strerror(-rc));
    }
    snprintf(old->name, sizeof(old->name), "%s", next);
    segment_retire(old);
    return 0;
}

static int replace(struct segment *out, struct segment *old, uint64_t serial, const struct segment_options *options,
                   struct reason *reason)
{
    int rc = segment_make(out, options, platform_random(), serial, reason);

    return rc < 0 ? rc : take_place(out, old, SEGMENT_NEXT_SUFFIX, options, reason);
}

/* Set what has the name aside, and put a new one in its place. */
static int replace_damaged(struct segment *out, struct segment *found, struct segment_list *olds,
                           const struct segment_options *options, struct reason *reason)
{
    struct reason why = *reason;
    int rc = segment_find_leftovers(olds, NULL, options, reason);

    if (rc < 0)
        return rc;
    segment_drop_asides(options->name);
    rc = segment_make(out, options, platform_random(), next_serial(olds), reason);
    if (rc == -ENOSPC) {
        /* There is no room for both: the name is free for a moment, and then what was there goes. */
        rc = segment_set_aside(found, options, why.text, reason);
        return rc < 0 ? rc : -EAGAIN;
    }
    if (rc < 0 || (rc = take_place(out, found, SEGMENT_ASIDE_SUFFIX, options, reason)) < 0)
        return rc;
    segment_report_aside(options, options->name, found->name, why.text);
    return olds->count > 0 ? SEGMENT_REPLACED : SEGMENT_CREATED;
}

/* Nothing has the name. */
static int serve_new(struct segment *out, struct segment_list *olds, const struct segment_options *options,
                     struct reason *reason)
{
    int rc = segment_find_leftovers(olds, NULL, options, reason);

    if (rc < 0 || (rc = segment_make(out, options, platform_random(), next_serial(olds), reason)) < 0)
        return rc;
    if ((rc = platform_object_publish(out->fd, options->name)) < 0) {
        segment_close(out);
        return rc == -EEXIST
                   ? -EAGAIN
                   : reason_set(reason, rc, "create segment %s: %s", options->name, platform_object_explain(rc));
    }
    return olds->count > 0 ? SEGMENT_REPLACED : SEGMENT_CREATED;
}

/* Something that is ours, and no segment of this version, has the name. */
static int serve_other(struct segment *out, struct segment *found, struct segment_list *olds,
                       const struct segment_options *options, struct reason *reason)
{
    uint32_t major = found->base ? layout_major(found->base, found->size) : 0;
    struct reason why = *reason;
    int rc;

    if (major > LAYOUT_MAJOR)
        return reason_wrap(reason, -EPROTO, "it is left alone; to begin anew: shmgate release -S %s", options->name);
    if (major == LAYOUT_OLD_MAJOR) {
        if ((rc = segment_find_leftovers(olds, NULL, options, reason)) < 0)
            return rc;
        if ((rc = segment_upgrade(olds, found, options, &why)) == 0) {
            if ((rc = replace(out, found, next_serial(olds), options, reason)) < 0)
                return rc;
            platform_object_remove(found->name);
            return SEGMENT_REPLACED;
        }
        if (rc != -EPROTO) {
            *reason = why;
            return rc;
        }
    }
    *reason = why;
    return replace_damaged(out, found, olds, options, reason);
}

/* `found` has the name, and is the list's when it was replaced. */
static int serve_present(struct segment *out, struct segment *found, struct segment_list *olds,
                         const struct segment_options *options, struct reason *reason)
{
    int rc = segment_find_leftovers(olds, found, options, reason);

    if (rc < 0)
        return rc;
    if (as_planned(found, options)) {
        if ((rc = platform_object_permit(found->fd, options->mode, options->gid)) < 0)
            return reason_set(reason, rc, "segment %s: set mode and group: %s%s", options->name, strerror(-rc),
                              explain_group(rc));
        /* What has the name was not replaced, whatever it says. */
        ring_revive(found->header);
        *out = *found;
        segment_clear(found);
        return SEGMENT_ADOPTED;
    }
    if ((rc = replace(out, found, found->layout.serial + 1, options, reason)) < 0)
        return rc;
    if ((rc = segment_list_add(olds, found)) < 0) {
        segment_close(out);
        return reason_set(reason, rc, "out of memory");
    }
    return SEGMENT_REPLACED;
}

/* One try to get hold of the name. */
static int serve_once(struct segment *out, struct segment_list *olds, const struct segment_options *options,
                      struct reason *reason)
{
    struct segment found;
    int rc = segment_take_over(&found, options->name, reason);

    if (rc == -ENOENT)
        return serve_new(out, olds, options, reason);
    if (rc == 0)
        rc = serve_present(out, &found, olds, options, reason);
    else if (rc == -EPROTO)
        rc = serve_other(out, &found, olds, options, reason);
    segment_close(&found);
    return rc;
}

int segment_serve(struct segment *out, struct segment_list *olds, const struct segment_options *options,
                  struct reason *reason)
{
    struct reason own;
    int origin = -EAGAIN, rc;

    /* What is wrong with a segment is told to whoever asks to be told, too. */
    reason = reason ? reason : &own;
    segment_clear(out);
    *olds = (struct segment_list){0};
    if ((rc = segment_name_check(options->name, reason)) < 0)
        return rc;
    for (int i = 0; i < SERVE_TRIES && origin == -EAGAIN; i++) {
        segment_list_close(olds);
        origin = serve_once(out, olds, options, reason);
    }
    if (origin == -EAGAIN)
        origin = reason_set(reason, -EBUSY,
                            "segment %s keeps changing hands: is another gateway starting and stopping?",
                            options->name);
    if (origin < 0) {
        segment_list_close(olds);
        return origin;
    }
    if ((rc = platform_doorbell_open(options->name, 1, options->mode, options->gid, &out->doorbell)) < 0) {
        if (origin == SEGMENT_CREATED)
            platform_object_remove(options->name);
        segment_close(out);
        segment_list_close(olds);
        return reason_set(reason, rc, "create semaphore %s: %s: remove /dev/shm/sem.%s if it belongs to another user",
                          options->name, platform_object_explain(rc), options->name + 1);
    }
    segment_retire_asides(options->name);
    out->serving = 1;
    ring_set_gateway(out->header, platform_pid(), platform_time_ns());
    return origin;
}

void segment_finish_old(struct segment *old)
{
    if (!old->base)
        return;
    platform_object_remove(old->name);
    segment_close(old);
}

/* Tell whoever still has the removed object mapped that it is gone. */
static void retire_removed(int fd, const char *name)
{
    struct segment segment;

    segment_clear(&segment);
    snprintf(segment.name, sizeof(segment.name), "%s", name);
    segment.fd = fd;
    if (segment_load(&segment, NULL) == 0)
        segment_retire(&segment);
    segment.fd = -1;
    segment_close(&segment);
}

/* Remove one name, if no gateway holds the object behind it, and the semaphore of that name (NULL: none) before it:
 * while the name stands and we hold the gateway's lock, no gateway can start in between. */
static int remove_object(const char *name, const char *semaphore, struct reason *reason)
{
    int fd, rc = platform_object_open(name, &fd);

    if (rc < 0)
        return segment_explain_open(rc, name, reason);
    if ((rc = platform_lock(fd, LAYOUT_LOCK_GATEWAY)) < 0) {
        platform_close(fd);
        return rc == -EAGAIN
                   ? reason_set(reason, -EBUSY, "segment %s is in use by a running gateway: stop shmgated first", name)
                   : reason_set(reason, rc, "lock segment %s: %s", name, strerror(-rc));
    }
    /* Between the open and the lock the name may have come to mean another object. */
    if (!platform_object_is(fd, name)) {
        platform_close(fd);
        return reason_set(reason, -EBUSY, "segment %s was replaced meanwhile: another gateway has started", name);
    }
    rc = semaphore ? platform_doorbell_remove(semaphore) : 0;
    if (rc == 0 || rc == -ENOENT)
        rc = platform_object_remove(name);
    if (rc == 0)
        retire_removed(fd, name);
    platform_close(fd);
    return rc < 0 ? reason_set(reason, rc, "remove segment %s: %s%s", name, strerror(-rc),
                               rc == -EACCES || rc == -EPERM ? ": run as its user" : "")
                  : 0;
}

/* Remove what stands beside the name, as far as it is this user's and no gateway holds it. */
static int remove_beside(void *context, const char *beside)
{
    const char *name = context;

    if (segment_is_beside(beside, name, SEGMENT_NEXT_SUFFIX) || segment_is_beside(beside, name, SEGMENT_ASIDE_SUFFIX))
        remove_object(beside, NULL, NULL);
    return 0;
}

int segment_remove(const char *name, struct reason *reason)
{
    char owned[SEGMENT_NAME_SIZE];
    int rc;

    if ((rc = segment_name_check(name, reason)) < 0)
        return rc;
    rc = remove_object(name, name, reason);
    if (rc < 0 && rc != -ENOENT)
        return rc;
    snprintf(owned, sizeof(owned), "%s", name);
    platform_object_each(name, remove_beside, owned);
    /* A semaphore alone is what a removal that was killed, or somebody's rm, left. */
    return rc == -ENOENT && platform_doorbell_remove(name) == 0 ? 0 : rc;
}
