/* handles_internal.h: what the public handles share: an attachment, the segments its handles are on, and the reason of
 * a failure. */
#ifndef SHMGATE_HANDLES_INTERNAL_H
#define SHMGATE_HANDLES_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "segment.h"
#include "shared_memory.h"

/* A mapped segment, shared by the handles of one attachment. */
struct mapping {
    struct segment segment;
    unsigned fork_count;          /* platform_fork_count() of the process that opened it */
    unsigned references;          /* guarded by the attachment's lock, like all below */
    _Atomic uint64_t believed_ns; /* the monotonic clock until when it is not looked whether the segment has been
                                     replaced: its flag says so, and its name says otherwise */
    unsigned char *lane_held; /* a lane: 1 when a writer of this attachment has it; a lock does not tell, it is the same
                                 holder */
};

struct shared_memory {
    char name[SEGMENT_NAME_SIZE];
    int look_only;          /* 1: made by shared_memory_attach_view */
    unsigned fork_count;    /* platform_fork_count() of the process that attached */
    atomic_uint references; /* the caller's, and one a handle */
    pthread_mutex_t lock;
    struct mapping *current; /* the segment that has the name, as far as this attachment knows */
};

/* A child of fork is to let go of this segment's file and memory before fork returns in it; or not any more. Any
 * thread, without a lock. */
void fork_note(const struct segment *segment);
void fork_forget(const struct segment *segment);

/* Keep the reason of a failure for shared_memory_error. Returns rc. handle_fail_plain takes a text that lives for ever
 * and is cheap enough for a control loop. */
int handle_fail(int rc, const char *format, ...) __attribute__((format(printf, 2, 3)));
int handle_fail_plain(int rc, const char *text);

/* The segment has no channel of that name: -ENOENT, and the reason has those that there are. */
int handle_fail_channel(const struct shared_memory *shm, const struct mapping *mapping, const char *channel);

/* -EPERM with the reason when the handle was inherited by a fork. */
int handle_check_fork(const struct shared_memory *shm);

/* Memory of `size` bytes for a text that is lent to the caller: this thread's own, until its next call of this
 * function or its end. NULL with the reason when there is none. */
char *handle_lend(size_t size);

/* Count one more, or one fewer, user of the attachment. */
void attachment_hold(struct shared_memory *shm);
void attachment_drop(struct shared_memory *shm);

/* Whether the segment says that it was replaced, and it has not been seen just now that this is not true: then
 * attachment_renew is due. No system call. */
int mapping_retired(const struct mapping *mapping);

/* The segment that has the name now, with one more reference: the current one, or what came after it. -errno when that
 * cannot be attached. */
int attachment_live(struct shared_memory *shm, struct mapping **mapping);

/* The same for a call that begins with it: -EPERM after a fork. */
int attachment_follow(struct shared_memory *shm, struct mapping **mapping);

/* -EROFS with the reason when the attachment is for looking only. */
int handle_check_writable(const struct shared_memory *shm);

/* The segment that came after `stale`, which mapping_retired, or whose name has been seen to vanish, with one more
 * reference; `stale` itself when it still has the name, which a flag that somebody forged does not change. -errno when
 * what has the name cannot be attached. */
int attachment_renew(struct shared_memory *shm, const struct mapping *stale, struct mapping **fresh);

/* Whether the name still means the segment: 1 or 0. A system call or two. */
int attachment_has_name(const struct shared_memory *shm, const struct mapping *mapping);

/* Give a reference back. */
void attachment_release(struct shared_memory *shm, struct mapping *mapping);

/* Take a free lane of the channel, the `first` of it (from 0) if that can be had: its number in the segment, or -EBUSY.
 */
int attachment_take_lane(struct shared_memory *shm, struct mapping *mapping, uint32_t channel, uint32_t first);
void attachment_give_lane(struct shared_memory *shm, struct mapping *mapping, uint32_t lane);

#endif
