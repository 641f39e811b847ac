/* platform_linux.c: platform.h on Linux, but for waiting (platform_linux_wait.c). POSIX shared memory objects are files
 * in /dev/shm (shm_overview(7)), which is what makes unnamed creation, exchange and locks possible. */
#ifndef _FILE_OFFSET_BITS
#define _FILE_OFFSET_BITS 64 /* where a long has 32 bits: segments of 2 GiB, and locks in them */
#endif

#include "platform.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <pwd.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SHM_DIRECTORY "/dev/shm"
#define NANOSECONDS UINT64_C(1000000000)

#ifndef RENAME_EXCHANGE
#define RENAME_NOREPLACE 1 /* linux/fs.h */
#define RENAME_EXCHANGE 2
#endif

_Static_assert(sizeof(off_t) == 8, "segments can be larger than 2 GiB");

/* Move a descriptor out of the way of the standard streams: in a program that was started without them, its next line
 * of output would go into the segment. Returns the descriptor, or -errno with none left open. */
static int above_streams(int fd)
{
    int moved;

    if (fd < 0)
        return -errno;
    if (fd > STDERR_FILENO)
        return fd;
    moved = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    moved = moved < 0 ? -errno : moved;
    close(fd);
    return moved;
}

int platform_object_open(const char *name, int *fd)
{
    *fd = above_streams(shm_open(name, O_RDWR | O_CLOEXEC, 0));
    return *fd < 0 ? *fd : 0;
}

int platform_object_open_to_look(const char *name, int *fd)
{
    *fd = above_streams(shm_open(name, O_RDONLY | O_CLOEXEC, 0));
    return *fd < 0 ? *fd : 0;
}

int platform_object_permit(int fd, unsigned mode, long gid)
{
    struct stat status;

    if (fstat(fd, &status) < 0)
        return -errno;
    if (gid >= 0 && status.st_gid != (gid_t)gid && fchown(fd, (uid_t)-1, (gid_t)gid) < 0)
        return -errno;
    /* After fchown, which may clear bits; and past the umask. */
    if ((status.st_mode & 07777) != mode && fchmod(fd, mode) < 0)
        return -errno;
    return 0;
}

int platform_object_create(uint64_t size, unsigned mode, long gid, int *fd)
{
    int rc;

    *fd = above_streams(open(SHM_DIRECTORY, O_TMPFILE | O_RDWR | O_CLOEXEC, mode));
    if (*fd < 0)
        return *fd;
    rc = platform_object_permit(*fd, mode, gid);
    while (rc == 0) {
        rc = -posix_fallocate(*fd, 0, (off_t)size);
        if (rc != -EINTR)
            break;
        rc = 0;
    }
    if (rc < 0) {
        close(*fd);
        *fd = -1;
    }
    return rc;
}

/* SHM_DIRECTORY followed by the name with its slash. */
static int object_path(char *path, size_t size, const char *name)
{
    int length = snprintf(path, size, SHM_DIRECTORY "%s", name);

    return length < 0 || (size_t)length >= size ? -ENAMETOOLONG : 0;
}

int platform_object_publish(int fd, const char *name)
{
    char path[PATH_MAX], self[64];
    int rc = object_path(path, sizeof(path), name);

    if (rc < 0)
        return rc;
    /* linkat(2): a file made with O_TMPFILE is named by way of /proc without any privilege. */
    snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
    return linkat(AT_FDCWD, self, AT_FDCWD, path, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

int platform_object_exchange(const char *a, const char *b)
{
    char path_a[PATH_MAX], path_b[PATH_MAX];
    int rc;

    if ((rc = object_path(path_a, sizeof(path_a), a)) < 0 || (rc = object_path(path_b, sizeof(path_b), b)) < 0)
        return rc;
    /* As a call of the system: not every C library has renameat2(2). */
    return syscall(SYS_renameat2, AT_FDCWD, path_a, AT_FDCWD, path_b, RENAME_EXCHANGE) < 0 ? -errno : 0;
}

int platform_object_rename(const char *from, const char *to)
{
    char path_from[PATH_MAX], path_to[PATH_MAX];
    int rc;

    if ((rc = object_path(path_from, sizeof(path_from), from)) < 0 ||
        (rc = object_path(path_to, sizeof(path_to), to)) < 0)
        return rc;
    return syscall(SYS_renameat2, AT_FDCWD, path_from, AT_FDCWD, path_to, RENAME_NOREPLACE) < 0 ? -errno : 0;
}

int platform_object_each(const char *prefix, int (*each)(void *context, const char *name), void *context)
{
    DIR *directory = opendir(SHM_DIRECTORY);
    char name[NAME_MAX + 2] = "/";
    struct dirent *entry;
    int rc = 0;

    if (!directory)
        return -errno;
    while (rc == 0 && (entry = readdir(directory)) != NULL) {
        if (strncmp(entry->d_name, prefix + 1, strlen(prefix) - 1) != 0)
            continue;
        snprintf(name + 1, sizeof(name) - 1, "%s", entry->d_name);
        rc = each(context, name);
    }
    closedir(directory);
    return rc;
}

int platform_object_remove(const char *name)
{
    return shm_unlink(name) < 0 ? -errno : 0;
}

int platform_object_size(int fd, uint64_t *size)
{
    struct stat status;

    if (fstat(fd, &status) < 0)
        return -errno;
    *size = (uint64_t)status.st_size;
    return 0;
}

int platform_object_owned(int fd)
{
    struct stat status;

    if (fstat(fd, &status) < 0)
        return -errno;
    return S_ISREG(status.st_mode) && status.st_uid == geteuid() ? 0 : -EACCES;
}

const char *platform_object_owner(int fd, char *owner)
{
    struct passwd entry, *found = NULL;
    struct stat status;
    char room[4096];

    if (fstat(fd, &status) < 0)
        return memcpy(owner, "?", 2);
    if (getpwuid_r(status.st_uid, &entry, room, sizeof(room), &found) == 0 && found)
        snprintf(owner, PLATFORM_OWNER_SIZE, "%s", found->pw_name);
    else
        snprintf(owner, PLATFORM_OWNER_SIZE, "%lu", (unsigned long)status.st_uid);
    return owner;
}

/* Whether `uid` is the user of that name or number. */
static int is_user(uid_t uid, const char *user)
{
    struct passwd entry, *found = NULL;
    char room[4096], *end;
    unsigned long number;

    if (!user || !user[0])
        return 0;
    number = strtoul(user, &end, 10);
    if (*end == '\0')
        return number == uid;
    return getpwnam_r(user, &entry, room, sizeof(room), &found) == 0 && found && found->pw_uid == uid;
}

int platform_object_trusted(int fd, const char *service, const char *variable)
{
    struct stat status;

    if (fstat(fd, &status) < 0)
        return -errno;
    if (!S_ISREG(status.st_mode))
        return -EACCES;
    if (status.st_uid == 0 || status.st_uid == geteuid() || is_user(status.st_uid, getenv(variable)) ||
        is_user(status.st_uid, service))
        return 0;
    return -EACCES;
}

int platform_object_is(int fd, const char *name)
{
    struct stat here, there;
    char path[PATH_MAX];

    return object_path(path, sizeof(path), name) == 0 && fstat(fd, &here) == 0 && stat(path, &there) == 0 &&
           here.st_dev == there.st_dev && here.st_ino == there.st_ino;
}

const char *platform_object_explain(int rc)
{
    switch (rc) {
    case -EROFS:
        return "/dev/shm is mounted read-only here: mount it read-write";
    case -ENOENT:
        if (access(SHM_DIRECTORY, F_OK) < 0)
            return "there is no /dev/shm: mount a tmpfs there";
        if (access("/proc/self/fd", F_OK) < 0)
            return "there is no /proc: mount a procfs there";
        break;
    case -EOPNOTSUPP:
    case -EISDIR:
        /* open(2), O_TMPFILE: not every file system has it, and an old kernel takes it for the opening of a folder. */
        return "the file system at /dev/shm has no O_TMPFILE: mount a tmpfs there";
    default:
        break;
    }
    return strerror(-rc);
}

int platform_object_begins(const char *name, const void *bytes, size_t size)
{
    char path[PATH_MAX], found[64];
    int fd, begins;

    if (size > sizeof(found) || object_path(path, sizeof(path), name) < 0)
        return 0;
    /* What lies there may be a pipe: its open must not wait for somebody. Reading such a thing fails. */
    fd = open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    begins = pread(fd, found, size, 0) == (ssize_t)size && memcmp(found, bytes, size) == 0;
    close(fd);
    return begins;
}

int platform_object_group(const char *name, long *gid, unsigned *mode)
{
    char path[PATH_MAX];
    struct stat status;
    int rc = object_path(path, sizeof(path), name);

    if (rc < 0)
        return rc;
    if (stat(path, &status) < 0)
        return -errno;
    *gid = (long)status.st_gid;
    *mode = status.st_mode & 07777;
    return 0;
}

void platform_group_name(long gid, char *out, size_t out_size)
{
    /* Read here and not by getgrgid(3): that asks over the network where a machine is set up so, and makes trouble in
     * static programs. */
    FILE *file = fopen("/etc/group", "re");
    char *line = NULL;
    size_t room = 0;
    int found = 0;

    /* group(5): NAME:PASSWORD:GID:MEMBERS */
    while (file && !found && getline(&line, &room, file) > 0) {
        char *password = strchr(line, ':'), *number = password ? strchr(password + 1, ':') : NULL, *end;

        if (!number || strtol(number + 1, &end, 10) != gid || end == number + 1 || *end != ':')
            continue;
        *password = '\0';
        found = snprintf(out, out_size, "%s", line) < (int)out_size;
    }
    if (!found)
        snprintf(out, out_size, "group %ld", gid);
    free(line);
    if (file)
        fclose(file);
}

static int map(int fd, uint64_t size, int protection, void **base)
{
    *base = NULL;
    if (size > SIZE_MAX)
        return -EFBIG;
    *base = mmap(NULL, size, protection, MAP_SHARED, fd, 0);
    if (*base == MAP_FAILED) {
        *base = NULL;
        return -errno;
    }
    return 0;
}

int platform_map(int fd, uint64_t size, void **base)
{
    return map(fd, size, PROT_READ | PROT_WRITE, base);
}

int platform_map_to_look(int fd, uint64_t size, void **base)
{
    return map(fd, size, PROT_READ, base);
}

void platform_unmap(void *base, uint64_t size)
{
    munmap(base, size);
}

void platform_unmap_to_nothing(void *base, uint64_t size)
{
    /* Memory that nobody touches costs nothing. Where even that cannot be had, the object stays. */
    if (mmap(base, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) ==
        MAP_FAILED)
        return;
}

void platform_close(int fd)
{
    close(fd);
}

static int byte_lock(int fd, int command, short type, uint64_t byte, struct flock *lock)
{
    memset(lock, 0, sizeof(*lock));
    lock->l_type = type;
    lock->l_whence = SEEK_SET;
    lock->l_start = (off_t)byte;
    lock->l_len = 1;
    return fcntl(fd, command, lock) < 0 ? -errno : 0;
}

int platform_lock(int fd, uint64_t byte)
{
    struct flock lock;
    int rc = byte_lock(fd, F_OFD_SETLK, F_WRLCK, byte, &lock);

    return rc == -EACCES ? -EAGAIN : rc;
}

int platform_unlock(int fd, uint64_t byte)
{
    struct flock lock;

    return byte_lock(fd, F_OFD_SETLK, F_UNLCK, byte, &lock);
}

int platform_locked(int fd, uint64_t byte)
{
    struct flock lock;
    int rc = byte_lock(fd, F_OFD_GETLK, F_WRLCK, byte, &lock);

    return rc < 0 ? rc : lock.l_type != F_UNLCK;
}

uint64_t platform_object_space(void)
{
    struct statvfs status;

    /* Where shm_open(3) of both C libraries has its objects. */
    return statvfs("/dev/shm", &status) == 0 && status.f_blocks > 0 ? (uint64_t)status.f_blocks * status.f_frsize
                                                                    : UINT64_MAX;
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;

    /* Cannot fail for the clocks used here (clock_gettime(2)); no system call either: vdso(7). */
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * NANOSECONDS + (uint64_t)now.tv_nsec;
}

uint64_t platform_time_ns(void)
{
    return clock_ns(CLOCK_REALTIME);
}

uint64_t platform_monotonic_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

uint64_t platform_boot_ns(void)
{
    return clock_ns(CLOCK_BOOTTIME);
}

void platform_yield(void)
{
    sched_yield(); /* never fails on Linux, sched_yield(2) */
}

int platform_sleep_ms(unsigned ms)
{
    struct timespec time = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};

    return nanosleep(&time, NULL) < 0 ? -errno : 0;
}

uint64_t platform_random(void)
{
    uint64_t value = 0;

    /* Without the system's entropy the value is merely unlikely to repeat, which is all that is asked of it. */
    if (getrandom(&value, sizeof(value), GRND_NONBLOCK) != (ssize_t)sizeof(value))
        value = platform_time_ns() ^ platform_monotonic_ns() << 20 ^ platform_pid();
    return value;
}

void platform_boot_id(char *id)
{
    /* proc_sys_kernel(5): random/boot_id. */
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t length = fd >= 0 ? read(fd, id, PLATFORM_BOOT_ID_SIZE - 1) : -1;

    if (fd >= 0)
        close(fd);
    id[length > 0 ? length : 0] = '\0';
    id[strspn(id, "0123456789abcdef-")] = '\0';
    if (!id[0])
        memcpy(id, "unknown", sizeof("unknown"));
}

uint32_t platform_pid(void)
{
    return (uint32_t)getpid();
}

static atomic_uint fork_count;
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

static void fork_in_child(void)
{
    atomic_fetch_add(&fork_count, 1);
}

static void fork_watch(void)
{
    pthread_atfork(NULL, NULL, fork_in_child);
}

unsigned platform_fork_count(void)
{
    pthread_once(&fork_once, fork_watch);
    return atomic_load_explicit(&fork_count, memory_order_relaxed);
}
