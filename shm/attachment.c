/* attachment.c: attaching a process to a segment, and following it when the gateway replaces it. */
#include "handles_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform.h"
#include "suggest.h"

#define ATTACH_POLL_MS 20 /* how often to look for a segment that is not there yet: there is nothing to be woken by */

/* How long a segment that says it was replaced, and was not, is left in peace. */
#define BELIEVE_NS UINT64_C(1000000000)

static _Thread_local char text_buffer[REASON_SIZE];
static _Thread_local const char *last_text = "";

const char *shared_memory_error(void)
{
    return last_text;
}

int handle_fail(int rc, const char *format, ...)
{
    char text[sizeof(text_buffer)]; /* an argument may be the former reason */
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    memcpy(text_buffer, text, sizeof(text));
    last_text = text_buffer;
    return rc;
}

int handle_fail_plain(int rc, const char *text)
{
    last_text = text;
    return rc;
}

int handle_fail_channel(const struct shared_memory *shm, const struct mapping *mapping, const char *channel)
{
    char hint[SUGGEST_SIZE];

    suggest_channel(&mapping->segment, channel, hint, sizeof(hint));
    return handle_fail(-ENOENT, "no channel %s in segment %s: %s", channel, shm->name, hint);
}

int handle_check_fork(const struct shared_memory *shm)
{
    if (shm->fork_count == platform_fork_count())
        return 0;
    return handle_fail_plain(-EPERM, "this handle was opened before fork(): attach again in the child");
}

int handle_check_writable(const struct shared_memory *shm)
{
    return shm->look_only ? handle_fail_plain(-EROFS, "this attachment is for looking only: use shared_memory_attach")
                          : 0;
}

/* Take and give back the attachment's lock. In a child of fork there is no other thread, and one that the child does
 * not have may hold it for ever. */
static void lock(struct shared_memory *shm)
{
    if (shm->fork_count == platform_fork_count())
        pthread_mutex_lock(&shm->lock);
}

static void unlock(struct shared_memory *shm)
{
    if (shm->fork_count == platform_fork_count())
        pthread_mutex_unlock(&shm->lock);
}

static void mapping_free(struct mapping *mapping)
{
    /* In a child the descriptor is closed already, and may be another one by now. */
    if (mapping->fork_count == platform_fork_count())
        fork_forget(&mapping->segment);
    else
        mapping->segment.fd = -1;
    segment_close(&mapping->segment);
    free(mapping->lane_held);
    free(mapping);
}

/* There is no segment of that name, or none came in time. */
static int no_segment(const char *name, int timeout_ms)
{
    char hint[SUGGEST_SIZE];

    suggest_segment(name, hint, sizeof(hint));
    if (timeout_ms == 0)
        return handle_fail(-ETIMEDOUT, "no segment %s: %s", name, hint);
    return handle_fail(-ETIMEDOUT, "no segment %s within %d ms: %s", name, timeout_ms, hint);
}

/* Attach once. */
static int mapping_open(const char *name, int look_only, struct mapping **out)
{
    struct reason reason;
    struct mapping *mapping = calloc(1, sizeof(*mapping));
    int rc;

    if (!mapping)
        return handle_fail_plain(-ENOMEM, "out of memory");
    mapping->fork_count = platform_fork_count();
    rc = look_only ? segment_attach_view(&mapping->segment, name, &reason)
                   : segment_attach(&mapping->segment, name, &reason);
    if (rc < 0) {
        free(mapping);
        return handle_fail(rc, "%s", reason.text);
    }
    mapping->lane_held = calloc(mapping->segment.layout.lane_count, 1);
    if (!mapping->lane_held) {
        mapping_free(mapping);
        return handle_fail_plain(-ENOMEM, "out of memory");
    }
    mapping->references = 1;
    fork_note(&mapping->segment);
    *out = mapping;
    return 0;
}

/* Attach, trying again until the deadline while there is no segment. */
static int mapping_await(const char *name, int look_only, int timeout_ms, struct mapping **out)
{
    uint64_t deadline = platform_monotonic_ns() + (uint64_t)(timeout_ms > 0 ? timeout_ms : 0) * 1000000;
    int rc;

    while ((rc = mapping_open(name, look_only, out)) == -ENOENT && timeout_ms != 0) {
        if (timeout_ms > 0 && platform_monotonic_ns() >= deadline)
            break;
        if (platform_sleep_ms(ATTACH_POLL_MS) == -EINTR)
            return handle_fail_plain(-EINTR, "a signal arrived while there was no segment yet");
    }
    return rc == -ENOENT ? no_segment(name, timeout_ms) : rc;
}

static int attach(struct shared_memory **out, const char *segment, int look_only, int timeout_ms)
{
    const char *name = segment ? segment : SHARED_MEMORY_DEFAULT_SEGMENT;
    struct reason reason;
    struct shared_memory *shm;
    int rc;

    *out = NULL;
    if ((rc = segment_name_check(name, &reason)) < 0)
        return handle_fail(rc, "%s", reason.text);
    shm = calloc(1, sizeof(*shm));
    if (!shm)
        return handle_fail_plain(-ENOMEM, "out of memory");
    snprintf(shm->name, sizeof(shm->name), "%s", name);
    shm->look_only = look_only;
    shm->fork_count = platform_fork_count();
    atomic_init(&shm->references, 1);
    if ((rc = mapping_await(name, look_only, timeout_ms, &shm->current)) < 0) {
        free(shm);
        return rc;
    }
    if ((rc = -pthread_mutex_init(&shm->lock, NULL)) < 0) {
        mapping_free(shm->current);
        free(shm);
        return handle_fail(rc, "make a lock: %s", strerror(-rc));
    }
    *out = shm;
    return 0;
}

int shared_memory_attach(struct shared_memory **out, const char *segment, int timeout_ms)
{
    return attach(out, segment, 0, timeout_ms);
}

int shared_memory_attach_view(struct shared_memory **out, const char *segment, int timeout_ms)
{
    return attach(out, segment, 1, timeout_ms);
}

void attachment_hold(struct shared_memory *shm)
{
    atomic_fetch_add(&shm->references, 1);
}

void attachment_drop(struct shared_memory *shm)
{
    if (atomic_fetch_sub(&shm->references, 1) != 1)
        return;
    attachment_release(shm, shm->current);
    pthread_mutex_destroy(&shm->lock);
    free(shm);
}

void shared_memory_detach(struct shared_memory *shm)
{
    if (shm)
        attachment_drop(shm);
}

static struct mapping *current(struct shared_memory *shm)
{
    struct mapping *mapping;

    lock(shm);
    mapping = shm->current;
    mapping->references++;
    unlock(shm);
    return mapping;
}

/* Count one reference fewer; the lock is held. */
static void release_locked(struct mapping *mapping)
{
    if (--mapping->references == 0)
        mapping_free(mapping);
}

void attachment_release(struct shared_memory *shm, struct mapping *mapping)
{
    lock(shm);
    release_locked(mapping);
    unlock(shm);
}

int mapping_retired(const struct mapping *mapping)
{
    return ring_retired(mapping->segment.header) &&
           platform_monotonic_ns() >= atomic_load_explicit(&mapping->believed_ns, memory_order_relaxed);
}

int attachment_has_name(const struct shared_memory *shm, const struct mapping *mapping)
{
    return platform_object_is(mapping->segment.fd, shm->name);
}

int attachment_renew(struct shared_memory *shm, const struct mapping *stale, struct mapping **fresh)
{
    struct mapping *next = NULL;
    int rc = 0;

    lock(shm);
    if (shm->current != stale && !ring_retired(shm->current->segment.header)) {
        /* Another handle was here before. */
    } else if (attachment_has_name(shm, shm->current)) {
        /* A segment is retired only after another has taken its name: this one was not. */
        atomic_store_explicit(&shm->current->believed_ns, platform_monotonic_ns() + BELIEVE_NS, memory_order_relaxed);
    } else {
        rc = mapping_open(shm->name, shm->look_only, &next);
        if (next) {
            struct mapping *left = shm->current;

            /* In this order, as a fork may copy it at any instant. */
            shm->current = next;
            release_locked(left);
        }
    }
    if (rc == 0) {
        *fresh = shm->current;
        (*fresh)->references++;
    }
    unlock(shm);
    return rc;
}

int attachment_live(struct shared_memory *shm, struct mapping **mapping)
{
    struct mapping *stale = current(shm);
    int rc;

    *mapping = stale;
    if (!mapping_retired(stale))
        return 0;
    rc = attachment_renew(shm, stale, mapping);
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): what is freed there has no reference; this one has ours */
    attachment_release(shm, stale);
    return rc;
}

int attachment_follow(struct shared_memory *shm, struct mapping **mapping)
{
    int rc = handle_check_fork(shm);

    return rc < 0 ? rc : attachment_live(shm, mapping);
}

int attachment_take_lane(struct shared_memory *shm, struct mapping *mapping, uint32_t channel, uint32_t first)
{
    const struct layout_channel_info *info = &mapping->segment.layout.channels[channel];
    int rc = -EBUSY;

    lock(shm);
    for (uint32_t i = 0; i < info->lane_count && rc == -EBUSY; i++) {
        uint32_t lane = info->lane_first + (first + i) % info->lane_count;

        if (mapping->lane_held[lane])
            continue;
        rc = segment_lock_lane(&mapping->segment, lane);
        if (rc == 0) {
            mapping->lane_held[lane] = 1;
            rc = (int)lane;
        }
    }
    unlock(shm);
    if (rc == -EBUSY)
        return handle_fail(rc, "channel %s: all %u lanes have a living writer: raise `writers` in gateway.ini",
                           info->name, info->lane_count);
    return rc < 0 ? handle_fail(rc, "channel %s: lock a lane: %s", info->name, strerror(-rc)) : rc;
}

void attachment_give_lane(struct shared_memory *shm, struct mapping *mapping, uint32_t lane)
{
    lock(shm);
    segment_unlock_lane(&mapping->segment, lane);
    mapping->lane_held[lane] = 0;
    unlock(shm);
}
