/* segment_serve.c: make, adopt, replace and remove segments: the gateway's side. See segment.h for what is under which
 * name when. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "platform.h"
#include "segment_internal.h"

#define SERVE_TRIES 100 /* names that change hands while we look; each try is a whole open */

/* The name of the place beside the segment where its successor is put and its predecessor waits. */
static void next_name(char *next, size_t size, const char *name, unsigned place)
{
    if (place == 0)
        snprintf(next, size, "%s" SEGMENT_NEXT_SUFFIX, name);
    else
        snprintf(next, size, "%s" SEGMENT_NEXT_SUFFIX "%u", name, place);
}

/* What an error of giving the segment a group comes of; "" when it is another. */
static const char *explain_group(int rc)
{
    return rc == -EPERM    ? ": the gateway must be a member of the group it gives the segment"
           : rc == -EINVAL ? ": this user namespace does not map the group it gives the segment ([shm] group)"
                           : "";
}

/* Make a complete, served segment that has no name yet. */
static int create_object(struct segment *segment, const struct segment_options *options, uint64_t serial,
                         struct reason *reason)
{
    struct layout plan = *options->plan;
    void *base;
    int rc;

    segment_clear(segment);
    snprintf(segment->name, sizeof(segment->name), "%s", options->name);
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
    plan.generation = platform_random();
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

/* Open what is under the name and become its gateway. -ENOENT nothing there; -EAGAIN the name changed meanwhile. */
static int take_over(struct segment *segment, const char *name, struct reason *reason)
{
    int rc;

    segment_clear(segment);
    snprintf(segment->name, sizeof(segment->name), "%s", name);
    if ((rc = platform_object_open(name, &segment->fd)) < 0) {
        segment->fd = -1;
        return segment_explain_open(rc, name, reason);
    }
    if ((rc = platform_object_owned(segment->fd)) < 0) {
        segment_close(segment);
        return reason_set(
            reason, rc,
            "segment %s belongs to another user: choose another name, or have its owner run: shmgate release -S %s",
            name, name);
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
    if ((rc = segment_load(segment, reason)) < 0)
        segment_close(segment);
    return rc;
}

/* Whether the segment has just the geometry and the topics of the plan. */
static int as_planned(const struct segment *segment, const struct segment_options *options)
{
    if (!layout_same(&segment->layout, options->plan) || ring_retired(segment->header))
        return 0;
    for (uint32_t i = 0; i < segment->layout.channel_count; i++)
        if (memcmp(segment->base + segment->layout.channels[i].topic_offset, options->topics[i],
                   segment->layout.channels[i].topic_size) != 0)
            return 0;
    return 1;
}

/* Send everybody who is attached to the segment that now has its name. */
static void segment_retire(struct segment *segment)
{
    ring_retire(segment->header);
    for (uint32_t i = 0; i < segment->layout.channel_count; i++)
        segment_wake_readers(segment, i);
}

/* A place beside the segment that nothing has, with its name; -EBUSY when all are taken. */
static int free_place(const char *name, char *next, size_t size)
{
    for (unsigned place = 0; place < SEGMENT_OLD_MAX; place++) {
        int fd, rc;

        next_name(next, size, name, place);
        rc = platform_object_open(next, &fd);
        if (rc == -ENOENT)
            return 0;
        if (rc == 0)
            platform_close(fd);
    }
    return -EBUSY;
}

/* Put a new segment in the place of `old`, which moves to a name beside it. */
static int replace(struct segment *out, struct segment *old, const struct segment_options *options,
                   struct reason *reason)
{
    char next[SEGMENT_NAME_MAX + 8];
    int rc;

    if (free_place(options->name, next, sizeof(next)) < 0)
        return reason_set(reason, -EBUSY,
                          "segment %s: %d former ones still have writers that have not written since: restart those, "
                          "or go back to the former geometry",
                          options->name, SEGMENT_OLD_MAX);
    if ((rc = create_object(out, options, old->layout.serial + 1, reason)) < 0)
        return rc;
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

/* Take one former segment into the list, which is kept in the order of their making. */
static void insert_old(struct segment *olds, const struct segment *old)
{
    int at = 0, end = 0;

    while (end < SEGMENT_OLD_MAX - 1 && olds[end].base)
        end++;
    while (at < end && olds[at].layout.serial < old->layout.serial)
        at++;
    memmove(&olds[at + 1], &olds[at], (size_t)(end - at) * sizeof(olds[0]));
    olds[at] = *old;
}

/* Find what former gateways have left beside the segment `present`. */
static int find_leftovers(struct segment *olds, const struct segment *present, const char *name, struct reason *reason)
{
    for (unsigned place = 0; place < SEGMENT_OLD_MAX; place++) {
        char next[SEGMENT_NAME_MAX + 8];
        struct segment old;
        int rc;

        next_name(next, sizeof(next), name, place);
        rc = take_over(&old, next, reason);
        if (rc == -ENOENT)
            continue;
        if (rc < 0)
            return rc;
        if (old.layout.serial > present->layout.serial) {
            /* Its gateway died before the exchange: nobody has ever used this one. */
            platform_object_remove(next);
            segment_close(&old);
            continue;
        }
        segment_retire(&old);
        insert_old(olds, &old);
    }
    return 0;
}

static void close_olds(struct segment *olds)
{
    for (int i = 0; i < SEGMENT_OLD_MAX; i++)
        segment_close(&olds[i]);
}

/* One try to get hold of the name. */
static int serve_once(struct segment *out, struct segment *olds, const struct segment_options *options,
                      struct reason *reason)
{
    struct segment former;
    int rc = take_over(out, options->name, reason);

    if (rc == -ENOENT) {
        if ((rc = create_object(out, options, 1, reason)) < 0)
            return rc;
        if ((rc = platform_object_publish(out->fd, options->name)) < 0) {
            segment_close(out);
            return rc == -EEXIST
                       ? -EAGAIN
                       : reason_set(reason, rc, "create segment %s: %s", options->name, platform_object_explain(rc));
        }
        return SEGMENT_CREATED;
    }
    if (rc < 0)
        return rc;
    if ((rc = find_leftovers(olds, out, options->name, reason)) < 0) {
        segment_close(out);
        return rc;
    }
    if (as_planned(out, options)) {
        if ((rc = platform_object_permit(out->fd, options->mode, options->gid)) == 0)
            return SEGMENT_ADOPTED;
        segment_close(out);
        return reason_set(reason, rc, "segment %s: set mode and group: %s%s", options->name, strerror(-rc),
                          explain_group(rc));
    }
    former = *out;
    if ((rc = replace(out, &former, options, reason)) < 0) {
        segment_close(&former);
        return rc;
    }
    insert_old(olds, &former);
    return SEGMENT_REPLACED;
}

int segment_serve(struct segment *out, struct segment *olds, const struct segment_options *options,
                  struct reason *reason)
{
    int origin = -EAGAIN, rc;

    segment_clear(out);
    for (int i = 0; i < SEGMENT_OLD_MAX; i++)
        segment_clear(&olds[i]);
    if ((rc = segment_name_check(options->name, reason)) < 0)
        return rc;
    for (int i = 0; i < SERVE_TRIES && origin == -EAGAIN; i++) {
        close_olds(olds);
        origin = serve_once(out, olds, options, reason);
    }
    if (origin == -EAGAIN)
        origin = reason_set(reason, -EBUSY,
                            "segment %s keeps changing hands: is another gateway starting and stopping?",
                            options->name);
    if (origin < 0) {
        close_olds(olds);
        return origin;
    }
    if ((rc = platform_doorbell_open(options->name, 1, options->mode, options->gid, &out->doorbell)) < 0) {
        if (origin == SEGMENT_CREATED)
            platform_object_remove(options->name);
        segment_close(out);
        close_olds(olds);
        return reason_set(reason, rc, "create semaphore %s: %s: remove /dev/shm/sem.%s if it belongs to another user",
                          options->name, platform_object_explain(rc), options->name + 1);
    }
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

int segment_remove(const char *name, struct reason *reason)
{
    char next[SEGMENT_NAME_MAX + 8];
    int rc;

    if ((rc = segment_name_check(name, reason)) < 0)
        return rc;
    rc = remove_object(name, name, reason);
    if (rc < 0 && rc != -ENOENT)
        return rc;
    for (unsigned place = 0; place < SEGMENT_OLD_MAX; place++) {
        next_name(next, sizeof(next), name, place);
        remove_object(next, NULL, NULL);
    }
    /* A semaphore alone is what a removal that was killed, or somebody's rm, left. */
    return rc == -ENOENT && platform_doorbell_remove(name) == 0 ? 0 : rc;
}
