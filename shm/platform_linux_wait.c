/* platform_linux_wait.c: platform.h on Linux: sleeping on words, the doorbell, and a descriptor for poll(2). */
#include "platform.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NANOSECONDS INT64_C(1000000000)

/* ---- Words ---- */

/* The kernel's two kinds of time where a long has 32 bits (linux/time_types.h). The C library's struct timespec is the
 * one or the other, as it was built; the call must be the one that takes what it is given. */
struct time64 {
    int64_t seconds, nanoseconds;
};
struct time_long {
    long seconds, nanoseconds;
};

#ifdef SYS_futex
static long futex_wait_long(_Atomic uint32_t *word, uint32_t expected, const struct time64 *deadline)
{
    struct time_long time = {.seconds = LONG_MAX};

    if (deadline && deadline->seconds < LONG_MAX)
        time = (struct time_long){(long)deadline->seconds, (long)deadline->nanoseconds};
    return syscall(SYS_futex, word, FUTEX_WAIT_BITSET, expected, deadline ? &time : NULL, NULL, FUTEX_BITSET_MATCH_ANY);
}
#else
static long futex_wait_long(_Atomic uint32_t *word, uint32_t expected, const struct time64 *deadline)
{
    (void)word, (void)expected, (void)deadline;
    errno = ENOSYS;
    return -1;
}
#endif

/* futex(2): FUTEX_WAIT_BITSET takes an absolute time of the monotonic clock; without FUTEX_PRIVATE_FLAG it works across
 * processes. */
static long futex_wait(_Atomic uint32_t *word, uint32_t expected, const struct time64 *deadline)
{
#ifdef SYS_futex_time64
    /* Linux 5.1 has it; older ones only know the other. */
    long rc = syscall(SYS_futex_time64, word, FUTEX_WAIT_BITSET, expected, deadline, NULL, FUTEX_BITSET_MATCH_ANY);

    if (rc == 0 || errno != ENOSYS)
        return rc;
#endif
    return futex_wait_long(word, expected, deadline);
}

static void futex_wake(_Atomic uint32_t *word, int count)
{
#ifdef SYS_futex
    syscall(SYS_futex, word, FUTEX_WAKE, count, NULL, NULL, 0);
#else
    syscall(SYS_futex_time64, word, FUTEX_WAKE, count, NULL, NULL, 0);
#endif
}

int platform_word_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t deadline_ns)
{
    struct time64 deadline = {(int64_t)(deadline_ns / NANOSECONDS), (int64_t)(deadline_ns % NANOSECONDS)};

    if (futex_wait(word, expected, deadline_ns == UINT64_MAX ? NULL : &deadline) < 0 && errno != EAGAIN)
        return -errno;
    return 0;
}

void platform_word_wake(_Atomic uint32_t *word)
{
    futex_wake(word, INT_MAX);
}

/* ---- The doorbell ---- */

/* layout.h says what is where: it is what a 64-bit glibc has as a sem_t. The C library's own functions are not used, so
 * that it does not matter which one this program has. */
struct platform_doorbell {
    _Atomic uint64_t posts; /* and waiters, in the upper half */
    uint32_t shared;
    uint32_t unused[5];
};
_Static_assert(sizeof(struct platform_doorbell) == 32, "sem_t of a 64-bit glibc");

#define POSTS_MAX INT32_MAX /* SEM_VALUE_MAX */
#define ONE_WAITER (UINT64_C(1) << 32)
#define SHARED 128 /* FUTEX_PRIVATE_FLAG, which glibc takes away again: sem_init(3) with pshared */

static _Atomic uint32_t *posts_word(struct platform_doorbell *doorbell)
{
    return (_Atomic uint32_t *)&doorbell->posts + (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__);
}

/* sem_open(3) puts "sem." before the name. */
static int doorbell_object(char *object, size_t size, const char *name)
{
    int length = snprintf(object, size, "/sem.%s", name + 1);

    return length < 0 || (size_t)length >= size ? -ENAMETOOLONG : 0;
}

static void doorbell_init(struct platform_doorbell *doorbell)
{
    memset(doorbell->unused, 0, sizeof(doorbell->unused));
    doorbell->shared = SHARED;
    atomic_store(&doorbell->posts, 0);
}

/* Make the semaphore, if it is not there. Returns 1: made, 0: it was there, or -errno. Like a segment it is made
 * without a name until it is complete. */
static int doorbell_make(const char *object, unsigned mode, long gid)
{
    void *base;
    int fd, rc;

    if ((rc = platform_object_create(sizeof(struct platform_doorbell), mode, gid, &fd)) < 0)
        return rc;
    if ((rc = platform_map(fd, sizeof(struct platform_doorbell), &base)) == 0) {
        doorbell_init(base);
        platform_unmap(base, sizeof(struct platform_doorbell));
        rc = platform_object_publish(fd, object);
    }
    platform_close(fd);
    return rc == 0 ? 1 : rc == -EEXIST ? 0 : rc;
}

/* Map the semaphore behind `fd`; with `own` only if it is this user's, with its permissions set and its count begun
 * afresh. */
static int doorbell_map(int fd, int own, unsigned mode, long gid, struct platform_doorbell **doorbell)
{
    uint64_t size;
    void *base;
    int rc;

    if (own && ((rc = platform_object_owned(fd)) < 0 || (rc = platform_object_permit(fd, mode, gid)) < 0))
        return rc;
    if ((rc = platform_object_size(fd, &size)) < 0)
        return rc;
    if (size < sizeof(**doorbell))
        return -EPROTO;
    if ((rc = platform_map(fd, sizeof(**doorbell), &base)) < 0)
        return rc;
    *doorbell = base;
    if (own)
        doorbell_init(*doorbell);
    return 0;
}

/* Under `object`, its name as the system knows it; `own`: for the gateway, which makes it if need be. */
static int doorbell_open(const char *object, int own, unsigned mode, long gid, struct platform_doorbell **doorbell)
{
    int fd, rc, made = own ? doorbell_make(object, mode, gid) : 0;

    if (made < 0)
        return made;
    if ((rc = platform_object_open(object, &fd)) == 0) {
        rc = doorbell_map(fd, own, mode, gid, doorbell);
        platform_close(fd);
    }
    if (rc < 0 && made)
        platform_object_remove(object);
    return rc;
}

int platform_doorbell_open(const char *name, int create, unsigned mode, long gid, struct platform_doorbell **doorbell)
{
    char object[NAME_MAX + 1];
    int rc = doorbell_object(object, sizeof(object), name);

    if (rc < 0)
        return rc;
    rc = doorbell_open(object, create, mode, gid, doorbell);
    /* One of another C library, or what somebody's hand made. */
    if (rc == -EPROTO && create) {
        rc = platform_doorbell_remove(name);
        if (rc == 0 || rc == -ENOENT)
            rc = doorbell_open(object, create, mode, gid, doorbell);
    }
    return rc;
}

void platform_doorbell_close(struct platform_doorbell *doorbell)
{
    if (doorbell)
        platform_unmap(doorbell, sizeof(*doorbell));
}

int platform_doorbell_remove(const char *name)
{
    char object[NAME_MAX + 1];
    int rc = doorbell_object(object, sizeof(object), name);

    return rc < 0 ? rc : platform_object_remove(object);
}

int platform_doorbell_exists(const char *name)
{
    char object[NAME_MAX + 1];
    int fd;

    if (doorbell_object(object, sizeof(object), name) < 0 || platform_object_open(object, &fd) < 0)
        return 0;
    platform_close(fd);
    return 1;
}

void platform_doorbell_post(struct platform_doorbell *doorbell)
{
    uint64_t posts = atomic_load_explicit(&doorbell->posts, memory_order_relaxed);
    int saved = errno;

    do {
        if ((uint32_t)posts >= POSTS_MAX)
            return;
        /* Release: pairs with the acquire in platform_doorbell_wait. */
    } while (!atomic_compare_exchange_weak_explicit(&doorbell->posts, &posts, posts + 1, memory_order_release,
                                                    memory_order_relaxed));
    if (posts >= ONE_WAITER)
        futex_wake(posts_word(doorbell), 1);
    errno = saved;
}

/* Take a post if there is one, and `with` off with it. */
static int doorbell_take(struct platform_doorbell *doorbell, uint64_t with)
{
    uint64_t posts = atomic_load_explicit(&doorbell->posts, memory_order_relaxed);

    while ((uint32_t)posts > 0)
        if (atomic_compare_exchange_weak_explicit(&doorbell->posts, &posts, posts - 1 - with, memory_order_acquire,
                                                  memory_order_relaxed))
            return 1;
    return 0;
}

void platform_doorbell_wait(struct platform_doorbell *doorbell, uint64_t deadline_ns)
{
    int rc = 0;

    if (doorbell_take(doorbell, 0))
        return;
    /* From here on whoever posts wakes us. */
    atomic_fetch_add_explicit(&doorbell->posts, ONE_WAITER, memory_order_relaxed);
    while (rc == 0) {
        if (doorbell_take(doorbell, ONE_WAITER))
            return;
        rc = platform_word_wait(posts_word(doorbell), 0, deadline_ns);
    }
    atomic_fetch_sub_explicit(&doorbell->posts, ONE_WAITER, memory_order_relaxed);
}

/* ---- A descriptor ---- */

int platform_event_open(int *fd)
{
    int low = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    if (low < 0)
        return -errno;
    /* Out of the way of the standard streams, as in platform_linux.c. */
    *fd = low > STDERR_FILENO ? low : fcntl(low, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (*fd < 0)
        *fd = -errno;
    if (*fd != low)
        close(low);
    return *fd < 0 ? *fd : 0;
}

void platform_event_set(int fd)
{
    uint64_t one = 1;

    /* eventfd(2): fails only when the count is full, and then it is readable. */
    if (write(fd, &one, sizeof(one)) < 0)
        return;
}

void platform_event_clear(int fd)
{
    uint64_t count;

    if (read(fd, &count, sizeof(count)) < 0)
        return;
}
