/* segment.h: a segment as one process holds it: its file, its mapping, its checked geometry, its locks and its
 * doorbell.
 *
 * An object under a segment's name is always complete: it is made without a name and named when it is ready. When the
 * geometry changes, the new object is first put beside the old one under NAME.next-RANDOM (nobody can guess it and take
 * it first), then the two names are exchanged and the old object is marked retired: at every instant the name has a
 * complete segment, and what is behind NAME.next-... is an old one to be drained, or, after a crash before the
 * exchange, a new one that nobody uses. Serial numbers in the headers tell them apart; whose they are, owner and lock.
 *
 * What is no segment, or a damaged one, is set aside as NAME.damaged-RANDOM, the last one only. One of layout version 1
 * is made into one of today's, under NAME.next-..., and drained like the others. One of a later version is left alone.
 *
 * Not thread-safe by itself, but for what segment_ring and segment_channel give access to.
 */
#ifndef SHMGATE_SEGMENT_H
#define SHMGATE_SEGMENT_H

#include "layout.h"
#include "reason.h"
#include "ring.h"

#define SEGMENT_NAME_MAX \
    200 /* characters of a segment's name with its slash; names beside it and "sem." fit NAME_MAX */
#define SEGMENT_NAME_SIZE (SEGMENT_NAME_MAX + 32) /* bytes for it, and for the names beside it, with the NUL */

/* Whom a client believes that it makes segments, beside root and its own user; and how it is told of others. */
#define SEGMENT_SERVICE_USER "shmgate"
#define SEGMENT_OWNER_VARIABLE "SHMGATE_OWNER"

struct platform_doorbell;

struct segment {
    char name[SEGMENT_NAME_SIZE];
    int fd;
    int serving;   /* 1: this process is its gateway; its own lock does not show in segment_served */
    int look_only; /* 1: mapped without the permission to write; there is no doorbell */
    unsigned char *base;
    uint64_t size;
    struct layout layout;
    struct layout_header *header;
    _Atomic uint64_t *dirty;
    struct platform_doorbell *doorbell;
};

/* Segments that were replaced, the oldest first. Empty when all zero; to be given to segment_list_close. */
struct segment_list {
    struct segment *segments; /* those that are finished have base NULL */
    uint32_t count;
};

/* How the gateway wants its segment. Strings are borrowed. */
struct segment_options {
    const char *name;
    unsigned mode; /* permission bits */
    long gid;      /* group, or -1 to leave the process's */
    const struct layout *plan;
    const char *const *topics; /* one a channel of the plan */
    /* Told of what was set aside or passed over, a line each. NULL: nobody wants to know. */
    void (*report)(void *context, const char *text);
    void *context;
    unsigned *set_aside; /* grows by one for each segment that was set aside; NULL: nobody counts */
};

/* How segment_serve came by its segment. */
enum segment_origin { SEGMENT_CREATED, SEGMENT_ADOPTED, SEGMENT_REPLACED };

/* Check a segment's name: a slash and 1 to 199 of A-Z a-z 0-9 _ - . Returns 0; -EINVAL with the reason. */
int segment_name_check(const char *name, struct reason *reason);

/* Gateway: become the one that serves the name. Creates the segment, adopts the one a former gateway left when its
 * geometry and topics are those of the plan, or replaces it; then `olds`, which begins empty, holds the former one, and
 * those that a former gateway had not drained. The caller drains them in that order and gives each to
 * segment_finish_old. On success *out must be given to segment_close, and *olds to segment_list_close. Returns an enum
 * segment_origin, or -errno with the reason and both empty: -EBUSY another gateway serves it, -EACCES, -ENOSPC /dev/shm
 * is full, -EPROTO of a later version, -ENOMEM. Leaves nothing behind when it fails. */
int segment_serve(struct segment *out, struct segment_list *olds, const struct segment_options *options,
                  struct reason *reason);

/* Unmap and close what is left in the list, and free it; the names stay. */
void segment_list_close(struct segment_list *list);

/* Gateway: whether the segment it serves, and its semaphore, still have their names. Two system calls. */
int segment_has_names(const struct segment *segment);

/* Gateway: the served segment has lost its name, or its semaphore has. What is in it is put beside the name, to be
 * found and drained by the next segment_serve, and whoever is attached is sent to the segment that has the name then.
 * `lost` is to be closed and served anew. 0, or -errno with the reason: then what was in it is lost with it. */
int segment_rescue(struct segment *lost, const struct segment_options *options, struct reason *reason);

/* Gateway: take the drained old segment's name away and close it. */
void segment_finish_old(struct segment *old);

/* Client: attach to the segment a gateway made. On success *out must be given to segment_close.
 * -ENOENT there is none (yet); -EACCES no permission, or it is somebody's whom this program has no reason to trust;
 * -EPROTO; -ENOMEM; the reason is in `reason`. */
int segment_attach(struct segment *out, const char *name, struct reason *reason);

/* The same to look only: the mapping cannot be written to, and read permission is enough. Only functions that take a
 * const segment and neither lock nor wake anybody may be called on it. */
int segment_attach_view(struct segment *out, const char *name, struct reason *reason);

/* Unmap, close, let all locks go. What was never opened (base NULL) is left alone. */
void segment_close(struct segment *segment);

/* Remove the names of a segment without a gateway. -ENOENT nothing there; -EBUSY; -EACCES; the reason is in `reason`.
 */
int segment_remove(const char *name, struct reason *reason);

/* Call `visit` with the name of each segment on this machine that this process may read, in no order, until it returns
 * other than 0. `name` is valid during the call. Returns what the last call returned; 0 without any; -errno. */
int segment_each(int (*visit)(void *context, const char *name), void *context);

/* Index of the channel of that name, or -ENOENT. */
int segment_find(const struct segment *segment, const char *channel);

/* The private view of a lane (index below layout.lane_count). */
struct ring segment_ring(const struct segment *segment, uint32_t lane);
struct layout_channel *segment_channel(const struct segment *segment, uint32_t index);

/* Gateway: wake the readers that sleep on the channel, if there are any. */
void segment_wake_readers(const struct segment *segment, uint32_t index);

/* Wake the gateway's loop, from any thread or signal handler of any process. */
void segment_wake_gateway(const struct segment *segment);

/* Copy a channel's topic with a NUL; `topic` has topic_size + 1 bytes. NULs inside a hostile topic become '?'. */
void segment_topic(const struct segment *segment, uint32_t index, char *topic);

/* Take, give back or look at a lane's lock. segment_lock_lane: -EBUSY when another attachment has it. */
int segment_lock_lane(const struct segment *segment, uint32_t lane);
void segment_unlock_lane(const struct segment *segment, uint32_t lane);
int segment_lane_locked(const struct segment *segment, uint32_t lane);

/* Whether a gateway holds the segment: 1 or 0, or -errno. */
int segment_served(const struct segment *segment);

#endif
