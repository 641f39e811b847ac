/* platform.h: what the library needs of the operating system. One implementation a system: platform_linux.c here; a
 * Windows one (file mappings, LockFileEx, named semaphores, named events) belongs beside it as platform_windows.c.
 *
 * All functions return 0 or -errno unless said otherwise. None allocates but platform_doorbell_*.
 */
#ifndef SHMGATE_PLATFORM_H
#define SHMGATE_PLATFORM_H

#include <stddef.h>
#include <stdint.h>

/* ---- The segment's object ---- */

/* Open the object of that name ("/shmgate") for reading and writing. *fd is the caller's. -ENOENT, -EACCES. */
int platform_object_open(const char *name, int *fd);

/* The same for reading only. */
int platform_object_open_to_look(const char *name, int *fd);

/* Make an object without a name: it vanishes with its last descriptor until platform_object_publish names it, so that a
 * crash in between leaves nothing. All `size` bytes are allocated now: -ENOSPC here rather than SIGBUS later. `gid` of
 * -1 leaves the group. */
int platform_object_create(uint64_t size, unsigned mode, long gid, int *fd);

/* Give the object its name. -EEXIST when something has it. */
int platform_object_publish(int fd, const char *name);

/* Swap the objects of two names in one step. */
int platform_object_exchange(const char *a, const char *b);

/* Give the object behind a name another one. -EEXIST when something has that. */
int platform_object_rename(const char *from, const char *to);

/* Call `each` with every name that begins with `prefix` (with its slash; "/" for all), names of semaphores included, in
 * no order, until it returns other than 0, which is returned. It may take names away and add some. -errno when the
 * system does not tell. */
int platform_object_each(const char *prefix, int (*each)(void *context, const char *name), void *context);

/* Take the name away; the memory lives on where it is mapped. -ENOENT. */
int platform_object_remove(const char *name);

/* Size in bytes. */
int platform_object_size(int fd, uint64_t *size);

/* Whether the object is a plain one and belongs to this process's user: 0, or -EACCES. */
int platform_object_owned(int fd);

/* The user whom the object belongs to, by name where it has one. Returns `owner`. */
#define PLATFORM_OWNER_SIZE 64
const char *platform_object_owner(int fd, char *owner);

/* Whether a program of this user may trust whoever made the object: root, the user itself, the user `service`, or the
 * one that the environment variable `variable` names. 0, or -EACCES. */
int platform_object_trusted(int fd, const char *service, const char *variable);

/* Set mode and group of an object that exists already. `gid` of -1 leaves the group. */
int platform_object_permit(int fd, unsigned mode, long gid);

/* Whether `name` still means the object behind `fd`: 1 or 0. */
int platform_object_is(int fd, const char *name);

int platform_map(int fd, uint64_t size, void **base);

/* The same, and the processor refuses every write. */
int platform_map_to_look(int fd, uint64_t size, void **base);
void platform_unmap(void *base, uint64_t size);

/* Let the object go, and leave memory of zeros in its place, to be unmapped like it. Safe in a child of fork. */
void platform_unmap_to_nothing(void *base, uint64_t size);
void platform_close(int fd);

/* ---- Locks that die with their holder (fcntl(2), open file description locks) ---- */

/* Lock one byte of the object, without waiting. -EAGAIN when another holder has it. */
int platform_lock(int fd, uint64_t byte);
int platform_unlock(int fd, uint64_t byte);

/* Whether somebody else holds the byte: 1 or 0, or -errno. */
int platform_locked(int fd, uint64_t byte);

/* Whether the object begins with these bytes and we may read it: 1 or 0. Whatever has the name, this does not wait. */
int platform_object_begins(const char *name, const void *bytes, size_t size);

/* What an error of the functions above comes of, in words: as strerror(3), or what of the system is missing or in the
 * way. `rc` is -errno. The text lives for ever. */
const char *platform_object_explain(int rc);

/* Whose group and permission bits the object of that name has. Returns 0 or -errno. */
int platform_object_group(const char *name, long *gid, unsigned *mode);

/* The name of a group, as /etc/group has it; `out` gets "group GID" when that has none. */
void platform_group_name(long gid, char *out, size_t out_size);

/* Bytes that all shared memory of this machine together may have; UINT64_MAX when the system does not say. */
uint64_t platform_object_space(void);

/* ---- The doorbell: one named semaphore (layout.h: LAYOUT_DOORBELL_SEMAPHORE) ---- */

struct platform_doorbell;

/* Open the semaphore of that name, or make it with mode and group when `create`; then it is also reset: a former waiter
 * that was killed inside sem_wait leaves the semaphore's own count of waiters too high, which makes every post a system
 * call. */
int platform_doorbell_open(const char *name, int create, unsigned mode, long gid, struct platform_doorbell **doorbell);
void platform_doorbell_close(struct platform_doorbell *doorbell);
int platform_doorbell_remove(const char *name);
int platform_doorbell_exists(const char *name); /* 1 or 0 */

/* Post. Safe in a signal handler. A full semaphore is no error: the waiter has enough to wake up for. */
void platform_doorbell_post(struct platform_doorbell *doorbell);

/* Wait for a post, at most until the monotonic clock reads deadline_ns (UINT64_MAX: no limit). Returns 0 also when a
 * signal or the deadline ended the wait: the caller looks at everything anyway. */
void platform_doorbell_wait(struct platform_doorbell *doorbell, uint64_t deadline_ns);

/* ---- Waiting for a word in the segment to change ---- */

/* Sleep while *word == expected, at most until the monotonic clock reads deadline_ns (UINT64_MAX: no limit). Returns 0
 * when woken or changed; -ETIMEDOUT; -EINTR. Works across processes. */
int platform_word_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t deadline_ns);

/* Wake all who sleep on *word. */
void platform_word_wake(_Atomic uint32_t *word);

/* ---- A descriptor for poll(2) ---- */

/* One that is readable after platform_event_set, until platform_event_clear. *fd is the caller's, for platform_close.
 */
int platform_event_open(int *fd);
void platform_event_set(int fd);
void platform_event_clear(int fd);

/* ---- Time, identity, forks ---- */

uint64_t platform_time_ns(void); /* Unix time */
uint64_t platform_monotonic_ns(void);
uint64_t platform_boot_ns(void);    /* since the machine's start, also while it slept: nobody sets that clock */
void platform_yield(void);          /* lets whoever else wants this CPU have it first */
int platform_sleep_ms(unsigned ms); /* -EINTR: a signal has ended it early */
uint64_t platform_random(void);
uint32_t platform_pid(void);

/* What tells this boot of the machine from any other, as text; "unknown" when the system does not say. */
#define PLATFORM_BOOT_ID_SIZE 40
void platform_boot_id(char *id);

unsigned platform_fork_count(void); /* grows in the child at each fork; no system call */

#endif
