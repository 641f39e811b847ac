/* test_group_lookup.c: a group is found, is not there, or nobody says: the question takes bounded time. */
#include <errno.h>
#include <grp.h>
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

#include "base/group_lookup.h"
#include "check.h"

static atomic_int is_deaf; /* 1: the name service does not answer */

int __real_getgrnam_r(const char *name, struct group *group, char *buffer, size_t size, struct group **found);
int __wrap_getgrnam_r(const char *name, struct group *group, char *buffer, size_t size, struct group **found);

int __wrap_getgrnam_r(const char *name, struct group *group, char *buffer, size_t size, struct group **found)
{
    while (atomic_load(&is_deaf))
        usleep(1000);
    return __real_getgrnam_r(name, group, buffer, size, found);
}

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* A group that there is, and one that there is not. */
static void test_group_is_found(void)
{
    long gid = -1;

    CHECK_EQUAL(group_lookup("root", &gid), 0);
    CHECK_EQUAL(gid, 0);
    CHECK_EQUAL(group_lookup("no-such-group-as-this", &gid), -ENOENT);
}

/* A name service that does not answer keeps nobody waiting for long; its late answer harms nobody. */
static void test_deaf_name_service_is_left(void)
{
    uint64_t begin_ms = now_ms();
    long gid = -1;

    atomic_store(&is_deaf, 1);
    CHECK_EQUAL(group_lookup("root", &gid), -ETIMEDOUT);
    CHECK(now_ms() - begin_ms < 2 * GROUP_LOOKUP_MS);
    atomic_store(&is_deaf, 0);
    CHECK_EQUAL(group_lookup("root", &gid), 0);
    CHECK_EQUAL(gid, 0);
}

static const struct check_test tests[] = {
    {"test_group_is_found", test_group_is_found},
    {"test_deaf_name_service_is_left", test_deaf_name_service_is_left},
};

CHECK_MAIN(tests)
