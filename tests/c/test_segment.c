/* test_segment.c: who serves a segment, what a new gateway makes of what it finds, and what is left behind. */
#include <dirent.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "fixture.h"

static char path[128];

/* The file of the name with `suffix`. */
static const char *file(const char *prefix, const char *suffix)
{
    snprintf(path, sizeof(path), "/dev/shm/%s%s%s", prefix, fixture_name + 1, suffix);
    return path;
}

static int exists(const char *prefix, const char *suffix)
{
    return access(file(prefix, suffix), F_OK) == 0;
}

static unsigned mode_of(const char *name)
{
    struct stat status;

    return stat(name, &status) == 0 ? status.st_mode & 07777 : 0;
}

/* The gateway in a child: serves, says how, and waits to be killed. */
static int serve_and_wait(void)
{
    int origin = fixture_serve_usual();

    if (origin < 0 || fixture_tell((char)('0' + origin)) != 0)
        return 1;
    for (;;)
        pause();
}

/* A served segment is complete, with mode 0660 whatever the umask, its semaphore too. */
static void test_serve_creates_a_complete_segment(void)
{
    mode_t mask = umask(077);
    struct segment client;
    char topic[8];
    int origin;

    fixture_begin();
    origin = fixture_serve_usual();
    umask(mask);
    CHECK_EQUAL(origin, SEGMENT_CREATED);
    CHECK(!fixture_old.base && !exists("", ".next"));
    CHECK_EQUAL(mode_of(file("", "")), 0660);
    CHECK_EQUAL(mode_of(file("sem.", "")), 0660);
    CHECK_EQUAL(segment_attach(&client, fixture_name, &fixture_reason), 0);
    CHECK(layout_same(&client.layout, &fixture_segment.layout));
    CHECK_EQUAL(segment_served(&client), 1);
    CHECK_EQUAL(segment_find(&client, "in"), CHANNEL_IN);
    CHECK_EQUAL(segment_find(&client, "im"), -ENOENT);
    segment_topic(&client, CHANNEL_OUT, topic);
    CHECK(strcmp(topic, "t/out") == 0);
    segment_close(&client);
}

/* A second gateway on the name is refused, and told what to do; the first one goes on. */
static void test_second_gateway_is_refused(void)
{
    struct segment first;

    fixture_begin();
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
    first = fixture_segment;
    CHECK_EQUAL(fixture_serve_usual(), -EBUSY);
    CHECK(strstr(fixture_reason.text, "another running gateway") && strstr(fixture_reason.text, fixture_name));
    CHECK(!fixture_segment.base && !fixture_old.base);
    fixture_segment = first;
    CHECK(exists("", "") && exists("sem.", ""));
}

/* The gateway after a killed one goes on with the segment as it is. */
static void test_killed_gateways_segment_is_adopted(void)
{
    struct fixture_child gateway;
    struct ring_message message;
    struct segment client;
    struct ring ring;
    char buffer[64];

    fixture_begin();
    CHECK_EQUAL(fixture_fork(&gateway, serve_and_wait), 0);
    CHECK_EQUAL(fixture_hear(&gateway), '0' + SEGMENT_CREATED);
    CHECK_EQUAL(segment_attach(&client, fixture_name, &fixture_reason), 0);
    CHECK_EQUAL(segment_served(&client), 1);
    CHECK_EQUAL(fixture_arrive(&client, "kept"), 0);
    CHECK_EQUAL(fixture_kill(&gateway), -SIGKILL);
    CHECK_EQUAL(segment_served(&client), 0);
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_ADOPTED);
    CHECK_EQUAL(segment_served(&client), 1);
    CHECK(fixture_segment.layout.generation == client.layout.generation && !ring_retired(client.header));
    ring = segment_ring(&fixture_segment, LANE_IN);
    CHECK_EQUAL(ring_read(&ring, 0, &message, buffer, sizeof(buffer), NULL), 0);
    CHECK(message.size == 4 && memcmp(buffer, "kept", 4) == 0);
    CHECK_EQUAL(ring_gateway_pid(client.header), getpid());
    segment_close(&client);
}

/* A stopped gateway still serves. */
static void test_stopped_gateway_keeps_its_segment(void)
{
    struct fixture_child gateway;
    int status, rc;

    fixture_begin();
    CHECK_EQUAL(fixture_fork(&gateway, serve_and_wait), 0);
    CHECK_EQUAL(fixture_hear(&gateway), '0' + SEGMENT_CREATED);
    kill(gateway.pid, SIGSTOP);
    waitpid(gateway.pid, &status, WUNTRACED);
    rc = fixture_serve_usual();
    fixture_kill(&gateway);
    CHECK(WIFSTOPPED(status));
    CHECK_EQUAL(rc, -EBUSY);
}

/* Another geometry, or another topic, gets a new segment; the old one is retired, and waits under ".next" to be
 * drained. */
static void test_other_geometry_replaces(void)
{
    struct layout_request request = fixture_usual[0];
    uint64_t serial;

    fixture_begin();
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
    serial = fixture_segment.layout.serial;
    fixture_stop();
    CHECK_EQUAL(fixture_serve_other(32), SEGMENT_REPLACED);
    CHECK(fixture_old.base && ring_retired(fixture_old.header) && !ring_retired(fixture_segment.header));
    CHECK(fixture_old.layout.serial == serial && fixture_segment.layout.serial == serial + 1);
    CHECK(fixture_old.layout.channels[0].slots == 8 && fixture_segment.layout.channels[0].slots == 32);
    CHECK(exists("", ".next"));
    segment_finish_old(&fixture_old);
    CHECK(!exists("", ".next") && exists("", ""));
    fixture_stop();
    CHECK_EQUAL(fixture_serve(&request, 1), SEGMENT_REPLACED);
    segment_finish_old(&fixture_old);
    fixture_stop();
    request.topic = "t/ouT";
    CHECK_EQUAL(fixture_serve(&request, 1), SEGMENT_REPLACED);
}

/* A gateway killed while it drained the old segment: the next one finds it again, also with a third geometry, and the
 * oldest stands first; only more of them than there are places for is refused. */
static void test_undrained_segment_is_found_again(void)
{
    fixture_begin();
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
    fixture_stop();
    CHECK_EQUAL(fixture_serve_other(32), SEGMENT_REPLACED);
    CHECK_EQUAL(fixture_arrive(&fixture_old, "left"), 0);
    fixture_stop();
    CHECK_EQUAL(fixture_serve_other(64), SEGMENT_REPLACED);
    CHECK(fixture_olds[0].base && fixture_olds[0].layout.channels[0].slots == 8);
    CHECK(fixture_olds[1].base && fixture_olds[1].layout.channels[0].slots == 32);
    CHECK_EQUAL(segment_ring(&fixture_old, LANE_IN).lane->head, 1);
    fixture_stop();
    for (int i = 2; i < SEGMENT_OLD_MAX; i++) {
        CHECK_EQUAL(fixture_serve_other(i % 2 ? 64 : 128), SEGMENT_REPLACED);
        fixture_stop();
    }
    CHECK_EQUAL(fixture_serve_other(8192), -EBUSY);
    CHECK(strstr(fixture_reason.text, "restart those"));
    CHECK_EQUAL(fixture_serve_other(64), SEGMENT_ADOPTED);
    for (int i = 0; i < SEGMENT_OLD_MAX; i++) {
        CHECK(fixture_olds[i].base && fixture_olds[i].layout.serial == (uint64_t)i + 1);
        segment_finish_old(&fixture_olds[i]);
    }
    CHECK(!exists("", ".next") && !exists("", ".next1") && !exists("", ".next7"));
}

/* A gateway killed between the exchange and the retirement: the next one retires the old segment. */
static void test_killed_before_the_retirement(void)
{
    fixture_begin();
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
    fixture_stop();
    CHECK_EQUAL(fixture_serve_other(32), SEGMENT_REPLACED);
    fixture_old.header->state = LAYOUT_LIVE;
    fixture_stop();
    CHECK_EQUAL(fixture_serve_other(32), SEGMENT_ADOPTED);
    CHECK(fixture_old.base && ring_retired(fixture_old.header));
}

/* A gateway killed before the exchange: what it made has never been used, and does not keep the next one from starting.
 * */
static void test_killed_before_the_exchange(void)
{
    char next[80];

    for (uint32_t slots = 8; slots <= 64; slots *= 2) {
        fixture_begin();
        snprintf(next, sizeof(next), "%s.next", fixture_name);
        CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
        fixture_stop();
        CHECK_EQUAL(fixture_serve_other(32), SEGMENT_REPLACED);
        fixture_old.header->state = LAYOUT_LIVE;
        fixture_stop();
        CHECK_EQUAL(platform_object_exchange(fixture_name, next), 0);
        CHECK_EQUAL(fixture_serve_other(slots), slots == 8 ? SEGMENT_ADOPTED : SEGMENT_REPLACED);
        CHECK(slots == 8 ? !fixture_old.base : fixture_old.layout.channels[0].slots == 8);
    }
}

/* Bytes that are no segment are refused with the command that removes them, and that command does. */
static void test_damaged_segment_is_refused(void)
{
    fixture_begin();
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
    ((struct layout_header *)fixture_segment.base)->channel_count = 0;
    fixture_stop();
    CHECK_EQUAL(fixture_serve_usual(), -EPROTO);
    CHECK(strstr(fixture_reason.text, "damaged"));
    CHECK_EQUAL(segment_remove(fixture_name, &fixture_reason), 0);
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
    fixture_stop();
    CHECK_EQUAL(truncate(file("", ""), 100), 0);
    CHECK_EQUAL(fixture_serve_usual(), -EPROTO);
    CHECK(strstr(fixture_reason.text, "shmgate release"));
}

/* Only a segment without a gateway can be removed, and then nothing is left. */
static void test_remove_leaves_nothing(void)
{
    struct segment client;

    fixture_begin();
    CHECK_EQUAL(segment_remove(fixture_name, &fixture_reason), -ENOENT);
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
    CHECK_EQUAL(segment_remove(fixture_name, &fixture_reason), -EBUSY);
    CHECK(strstr(fixture_reason.text, "stop shmgated"));
    fixture_stop();
    CHECK_EQUAL(fixture_serve_other(32), SEGMENT_REPLACED);
    fixture_stop();
    CHECK_EQUAL(segment_attach(&client, fixture_name, &fixture_reason), 0);
    CHECK_EQUAL(segment_remove(fixture_name, &fixture_reason), 0);
    CHECK(!exists("", "") && !exists("", ".next") && !exists("sem.", ""));
    CHECK(ring_retired(client.header));
    segment_close(&client);
    CHECK_EQUAL(segment_attach(&client, fixture_name, &fixture_reason), -ENOENT);
    CHECK(strstr(fixture_reason.text, "start shmgated"));
}

/* Names that a file in /dev/shm cannot have, or that would mean the file of another segment, are refused. */
static void test_names_are_checked(void)
{
    static char name[SEGMENT_NAME_MAX + 2];
    const char *const bad[] = {"", "/", "a", "a/b", "/a/b", "/.", "/..", "/a b", "/\xc3\xa4", "/sem.x", "/x.next"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (segment_name_check(bad[i], &fixture_reason) != -EINVAL) {
            printf("  accepted: %s\n", bad[i]);
            CHECK(0);
        }
    memset(name, 'n', sizeof(name) - 1);
    name[0] = '/';
    CHECK_EQUAL(segment_name_check(name, &fixture_reason), -EINVAL);
    name[SEGMENT_NAME_MAX] = '\0';
    CHECK_EQUAL(segment_name_check(name, &fixture_reason), 0);
}

/* In a mount namespace of its own, with a /dev/shm of 64 KiB: serve what does not fit. */
static int serve_in_a_full_directory(void)
{
    struct layout_request large = fixture_usual[0];
    DIR *directory;
    int entries = 0;

    if (unshare(CLONE_NEWNS | (geteuid() == 0 ? 0 : CLONE_NEWUSER)) < 0 ||
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("none", "/dev/shm", "tmpfs", 0, "size=64k") < 0) {
        printf("  cannot mount a small /dev/shm: %s\n", strerror(errno));
        fflush(stdout);
        return 2;
    }
    large.slots = 4096;
    if (fixture_serve(&large, 1) != -ENOSPC || !strstr(fixture_reason.text, "do not fit into /dev/shm"))
        return 3;
    if (!(directory = opendir("/dev/shm")))
        return 4;
    while (readdir(directory))
        entries++;
    closedir(directory);
    if (entries != 2)
        return 5;
    return fixture_serve_usual() == SEGMENT_CREATED ? 0 : 6;
}

/* A /dev/shm without room is an error at once, in clear words, and leaves nothing; a smaller segment then fits. */
static void test_full_shm_is_an_error(void)
{
    fixture_begin();
    CHECK_EQUAL(fixture_run(serve_in_a_full_directory), 0);
}

static const struct check_test tests[] = {
    {"test_serve_creates_a_complete_segment", test_serve_creates_a_complete_segment},
    {"test_second_gateway_is_refused", test_second_gateway_is_refused},
    {"test_killed_gateways_segment_is_adopted", test_killed_gateways_segment_is_adopted},
    {"test_stopped_gateway_keeps_its_segment", test_stopped_gateway_keeps_its_segment},
    {"test_other_geometry_replaces", test_other_geometry_replaces},
    {"test_undrained_segment_is_found_again", test_undrained_segment_is_found_again},
    {"test_killed_before_the_retirement", test_killed_before_the_retirement},
    {"test_killed_before_the_exchange", test_killed_before_the_exchange},
    {"test_damaged_segment_is_refused", test_damaged_segment_is_refused},
    {"test_remove_leaves_nothing", test_remove_leaves_nothing},
    {"test_names_are_checked", test_names_are_checked},
    {"test_full_shm_is_an_error", test_full_shm_is_an_error},
};

FIXTURE_MAIN(tests)
