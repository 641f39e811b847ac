/* test_segment.c: who serves a segment, what a new gateway makes of what it finds, and what is left behind. */
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>

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

static int count_name(void *count, const char *name)
{
    (void)name;
    ++*(int *)count;
    return 0;
}

/* How many names there are beside the segment's that go on with `suffix`. */
static int beside(const char *suffix)
{
    char prefix[100];
    int count = 0;

    snprintf(prefix, sizeof(prefix), "%s%s", fixture_name, suffix);
    platform_object_each(prefix, count_name, &count);
    return count;
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
    CHECK(!fixture_old.base && beside(".next") == 0);
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
    CHECK_EQUAL(ring_read(&ring, 0, &message, &(struct ring_space){buffer, sizeof(buffer), NULL}), 0);
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
    CHECK_EQUAL(beside(".next"), 1);
    segment_finish_old(&fixture_old);
    CHECK(beside(".next") == 0 && exists("", ""));
    fixture_stop();
    CHECK_EQUAL(fixture_serve(&request, 1), SEGMENT_REPLACED);
    segment_finish_old(&fixture_old);
    fixture_stop();
    request.topic = "t/ouT";
    CHECK_EQUAL(fixture_serve(&request, 1), SEGMENT_REPLACED);
}

/* A gateway killed while it drained the old segment: the next one finds it again, also with a third geometry, and the
 * oldest stands first, however many there are. */
static void test_undrained_segment_is_found_again(void)
{
    const int many = 40;

    fixture_begin();
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
    fixture_stop();
    CHECK_EQUAL(fixture_serve_other(32), SEGMENT_REPLACED);
    CHECK_EQUAL(fixture_arrive(&fixture_old, "left"), 0);
    fixture_stop();
    CHECK_EQUAL(fixture_serve_other(64), SEGMENT_REPLACED);
    CHECK(fixture_old_at(0)->base && fixture_old_at(0)->layout.channels[0].slots == 8);
    CHECK(fixture_old_at(1)->base && fixture_old_at(1)->layout.channels[0].slots == 32);
    CHECK_EQUAL(segment_ring(&fixture_old, LANE_IN).lane->head, 1);
    fixture_stop();
    for (int i = 2; i < many; i++) {
        CHECK_EQUAL(fixture_serve_other(i % 2 ? 64 : 128), SEGMENT_REPLACED);
        fixture_stop();
    }
    CHECK_EQUAL(fixture_serve_other(64), SEGMENT_ADOPTED);
    CHECK_EQUAL(fixture_olds.count, many);
    for (int i = 0; i < many; i++) {
        CHECK(fixture_old_at(i)->base && fixture_old_at(i)->layout.serial == (uint64_t)i + 1);
        segment_finish_old(fixture_old_at(i));
    }
    CHECK_EQUAL(beside(".next"), 0);
}

/* The name taken away while former segments wait: they are drained, and the new one comes after them. */
static void test_name_that_vanished_leaves_the_former_ones(void)
{
    fixture_begin();
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
    fixture_stop();
    CHECK_EQUAL(fixture_serve_other(32), SEGMENT_REPLACED);
    fixture_stop();
    CHECK_EQUAL(platform_object_remove(fixture_name), 0);
    CHECK_EQUAL(fixture_serve_other(32), SEGMENT_REPLACED);
    CHECK(fixture_olds.count == 1 && fixture_old.layout.serial == 1 && fixture_segment.layout.serial == 2);
}

/* What somebody has removed under a serving gateway is copied beside the name: its messages and counters are drained by
 * whoever serves next, the attached go on in that, and nothing is left. */
static void test_removed_name_is_rescued(void)
{
    struct segment_options options = {.name = fixture_name, .mode = 0660, .gid = -1};
    struct shared_memory *shm;
    struct shared_memory_writer *writer;
    struct ring_message message;
    struct ring ring;
    char text[64];

    for (int what = 1; what <= 3; what++) {
        fixture_begin();
        CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
        CHECK_EQUAL(shared_memory_attach(&shm, fixture_name, 0), 0);
        CHECK_EQUAL(shared_memory_writer_open(shm, "out", &writer), 0);
        CHECK_EQUAL(shared_memory_writer_write(writer, "kept", 4), 0);
        CHECK_EQUAL(segment_has_names(&fixture_segment), 1);
        if (what & 1)
            CHECK_EQUAL(platform_object_remove(fixture_name), 0);
        if (what & 2)
            CHECK_EQUAL(platform_doorbell_remove(fixture_name), 0);
        CHECK_EQUAL(segment_has_names(&fixture_segment), 0);
        CHECK_EQUAL(segment_rescue(&fixture_segment, &options, &fixture_reason), 0);
        fixture_stop();
        CHECK_EQUAL(fixture_serve_usual(), SEGMENT_REPLACED);
        CHECK_EQUAL(fixture_olds.count, 1);
        ring = segment_ring(&fixture_old, LANE_OUT);
        CHECK_EQUAL(ring_read(&ring, 0, &message, &(struct ring_space){text, sizeof(text), NULL}), 0);
        CHECK(message.size == 4 && memcmp(text, "kept", 4) == 0);
        CHECK_EQUAL(shared_memory_writer_write(writer, "new", 3), 0);
        ring = segment_ring(&fixture_segment, LANE_OUT);
        CHECK_EQUAL(ring_head(&ring), 1);
        segment_finish_old(&fixture_old);
        CHECK_EQUAL(beside("."), 0);
        shared_memory_writer_close(writer);
        shared_memory_detach(shm);
    }
}

/* A writer whose segment nobody serves, and which has lost its name, does not write into it for ever with success; nor
 * does a reader wait in it for ever. */
static void test_orphan_is_left(void)
{
    const struct timespec pause = {.tv_nsec = 20000000};
    struct shared_memory *shm;
    struct shared_memory_writer *writer;
    struct shared_memory_reader *reader;
    struct shared_memory_message message;
    uint64_t begin_ns = platform_monotonic_ns();
    char text[64];
    int rc;

    fixture_begin();
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
    CHECK_EQUAL(shared_memory_attach(&shm, fixture_name, 0), 0);
    CHECK_EQUAL(shared_memory_writer_open(shm, "out", &writer), 0);
    CHECK_EQUAL(shared_memory_reader_open(shm, "in", SHARED_MEMORY_FROM_OLDEST, &reader), 0);
    fixture_stop();
    fixture_remove_names();
    while ((rc = shared_memory_writer_write(writer, "x", 1)) == 0 && platform_monotonic_ns() - begin_ns < 10000000000)
        nanosleep(&pause, NULL);
    CHECK_EQUAL(rc, -ENOENT);
    CHECK_EQUAL(shared_memory_reader_read(reader, text, sizeof(text), &message, 10), -ETIMEDOUT);
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
    CHECK_EQUAL(fixture_arrive(&fixture_segment, "hello"), 0);
    CHECK_EQUAL(shared_memory_reader_read(reader, text, sizeof(text), &message, LIMIT_MS), 0);
    while ((rc = shared_memory_writer_write(writer, "x", 1)) == -ENOENT &&
           platform_monotonic_ns() - begin_ns < 20000000000)
        nanosleep(&pause, NULL);
    CHECK_EQUAL(rc, 0);
    CHECK_EQUAL(segment_ring(&fixture_segment, LANE_OUT).lane->head, 1);
    shared_memory_reader_close(reader);
    shared_memory_writer_close(writer);
    shared_memory_detach(shm);
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
    char next[SEGMENT_NAME_SIZE];

    for (uint32_t slots = 8; slots <= 64; slots *= 2) {
        fixture_begin();
        CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
        fixture_stop();
        CHECK_EQUAL(fixture_serve_other(32), SEGMENT_REPLACED);
        fixture_old.header->state = LAYOUT_LIVE;
        snprintf(next, sizeof(next), "%s", fixture_old.name);
        fixture_stop();
        CHECK_EQUAL(platform_object_exchange(fixture_name, next), 0);
        CHECK_EQUAL(fixture_serve_other(slots), slots == 8 ? SEGMENT_ADOPTED : SEGMENT_REPLACED);
        CHECK(slots == 8 ? !fixture_old.base : fixture_old.layout.channels[0].slots == 8);
    }
}

/* Put a file of `size` bytes under the segment's name and what follows it. */
static int put_file(const char *suffix, off_t size)
{
    int fd = open(file("", suffix), O_CREAT | O_EXCL | O_RDWR, 0600), rc = fd < 0 ? -1 : ftruncate(fd, size);

    if (fd >= 0)
        close(fd);
    return rc;
}

/* Bytes that are no segment are set aside, once, with one word about it, and a new one is begun; who is attached to
 * what was there is sent to that. Only the last that was set aside is kept. */
static void test_damaged_segment_is_set_aside(void)
{
    struct segment client;

    fixture_begin();
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
    CHECK_EQUAL(segment_attach(&client, fixture_name, &fixture_reason), 0);
    ((struct layout_header *)fixture_segment.base)->channel_count = 0;
    fixture_stop();
    fixture_reports = 0;
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
    CHECK_EQUAL(fixture_reports, 1);
    CHECK(strstr(fixture_reported, "set aside") && strstr(fixture_reported, "damaged"));
    CHECK(ring_retired(client.header));
    CHECK_EQUAL(beside(".damaged"), 1);
    segment_close(&client);
    for (off_t size = 0; size <= 8192; size = size ? size * 2 : 100) {
        fixture_stop();
        CHECK_EQUAL(platform_object_remove(fixture_name), 0);
        CHECK_EQUAL(put_file("", size), 0);
        fixture_reports = 0;
        CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
        CHECK_EQUAL(fixture_reports, 1);
        CHECK_EQUAL(beside(".damaged"), 1);
    }
    fixture_stop();
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_ADOPTED);
    fixture_stop();
    CHECK_EQUAL(segment_remove(fixture_name, &fixture_reason), 0);
    CHECK_EQUAL(beside(""), 0);
}

/* One that a later version made is left alone, and so is one beside it. */
static void test_later_version_is_left_alone(void)
{
    struct layout_header *header;

    fixture_begin();
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
    fixture_stop();
    CHECK_EQUAL(fixture_serve_other(32), SEGMENT_REPLACED);
    ((struct layout_header *)fixture_old.base)->format += 1 << 24;
    fixture_stop();
    fixture_reports = 0;
    CHECK_EQUAL(fixture_serve_other(32), SEGMENT_ADOPTED);
    CHECK(fixture_reports == 1 && strstr(fixture_reported, "a newer version"));
    CHECK(fixture_olds.count == 0 && beside(".next") == 1);
    header = (struct layout_header *)fixture_segment.base;
    header->format += 1 << 24;
    fixture_stop();
    CHECK_EQUAL(fixture_serve_other(32), -EPROTO);
    CHECK(strstr(fixture_reason.text, "a newer version") && strstr(fixture_reason.text, "shmgate release"));
    CHECK_EQUAL(beside(".damaged"), 0);
}

/* Whatever has a name like those beside a segment's keeps no gateway from starting, nor from replacing. */
static void test_strangers_beside_are_passed_over(void)
{
    static const char *const names[] = {".next",   ".next1",    ".next-0123456789abcdef",
                                        ".next-x", ".next.old", ".nextone"};
    const int foreign = geteuid() == 0;

    fixture_begin();
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        CHECK_EQUAL(put_file(names[i], 0), 0);
        if (foreign)
            CHECK_EQUAL(chown(file("", names[i]), 65534, 65534), 0);
    }
    fixture_reports = 0;
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
    if (foreign)
        CHECK(fixture_reports == 1 && strstr(fixture_reported, "passed over 3 objects"));
    fixture_stop();
    CHECK_EQUAL(fixture_serve_other(32), SEGMENT_REPLACED);
    CHECK(fixture_olds.count == 1 && exists("", ".next-x") && exists("", ".next.old") && exists("", ".nextone"));
    if (foreign)
        CHECK(exists("", ".next") && exists("", ".next1"));
}

/* A retired flag that somebody set is no reason to begin anew, for a gateway, nor to stop, for those attached. */
static void test_forged_retirement(void)
{
    struct shared_memory *shm;
    struct shared_memory_writer *writer;
    struct shared_memory_reader *reader;
    struct shared_memory_message message;
    char buffer[64];

    fixture_begin();
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
    CHECK_EQUAL(shared_memory_attach(&shm, fixture_name, 0), 0);
    CHECK_EQUAL(shared_memory_writer_open(shm, "out", &writer), 0);
    CHECK_EQUAL(shared_memory_reader_open(shm, "out", SHARED_MEMORY_FROM_OLDEST, &reader), 0);
    ring_retire(fixture_segment.header);
    for (int i = 0; i < 100; i++) {
        CHECK_EQUAL(shared_memory_writer_write(writer, "x", 1), 0);
        CHECK_EQUAL(shared_memory_reader_read(reader, buffer, sizeof(buffer), &message, i % 2 ? 1000 : 0), 0);
        CHECK_EQUAL(shared_memory_reader_read(reader, buffer, sizeof(buffer), &message, 0), -EAGAIN);
        CHECK_EQUAL(shared_memory_reader_latest(reader, buffer, sizeof(buffer), &message), 0);
        CHECK_EQUAL(shared_memory_channel_count(shm), FIXTURE_USUAL);
    }
    CHECK_EQUAL(shared_memory_reader_read(reader, buffer, sizeof(buffer), &message, 10), -ETIMEDOUT);
    fixture_stop();
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_ADOPTED);
    CHECK(!ring_retired(fixture_segment.header));
    CHECK_EQUAL(shared_memory_writer_write(writer, "x", 1), 0);
    shared_memory_reader_close(reader);
    shared_memory_writer_close(writer);
    shared_memory_detach(shm);
}

/* Whose segments a program takes: its own user's, root's, the service's, and those of whom it was told. */
static int attach_as_a_user(void)
{
    struct segment client;
    char number[16];

    unsetenv(SEGMENT_OWNER_VARIABLE);
    if (chown(file("", ""), 65534, 0) < 0 || chown(file("sem.", ""), 65534, 0) < 0)
        return 2;
    if (segment_attach(&client, fixture_name, &fixture_reason) != -EACCES ||
        !strstr(fixture_reason.text, SEGMENT_OWNER_VARIABLE) ||
        segment_attach_view(&client, fixture_name, NULL) != -EACCES)
        return 3;
    snprintf(number, sizeof(number), "%d", 65534);
    setenv(SEGMENT_OWNER_VARIABLE, number, 1);
    if (segment_attach(&client, fixture_name, &fixture_reason) < 0)
        return 4;
    segment_close(&client);
    unsetenv(SEGMENT_OWNER_VARIABLE);
    if (chmod(file("", ""), 0666) < 0 || chmod(file("sem.", ""), 0666) < 0 || setuid(65534) < 0)
        return 5;
    if (segment_attach(&client, fixture_name, &fixture_reason) < 0)
        return 6;
    segment_close(&client);
    return 0;
}

static void test_owner_is_checked(void)
{
    fixture_begin();
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
    /* Without the right to give a file away there is nothing to try. */
    if (geteuid() == 0)
        CHECK_EQUAL(fixture_run(attach_as_a_user), 0);
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
    CHECK(!exists("", "") && beside(".next") == 0 && !exists("sem.", ""));
    CHECK(ring_retired(client.header));
    segment_close(&client);
    CHECK_EQUAL(segment_attach(&client, fixture_name, &fixture_reason), -ENOENT);
    CHECK(strstr(fixture_reason.text, "start shmgated"));
}

/* Names that a file in /dev/shm cannot have, or that would mean the file of another segment, are refused. */
static void test_names_are_checked(void)
{
    static char name[SEGMENT_NAME_MAX + 2];
    const char *const bad[] = {"",
                               "/",
                               "a",
                               "a/b",
                               "/a/b",
                               "/.",
                               "/..",
                               "/a b",
                               "/\xc3\xa4",
                               "/sem.x",
                               "/x.next",
                               "/x.next7",
                               "/x.next-0123456789abcdef",
                               "/x.damaged-0123456789abcdef"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (segment_name_check(bad[i], &fixture_reason) != -EINVAL) {
            printf("  accepted: %s\n", bad[i]);
            CHECK(0);
        }
    CHECK_EQUAL(segment_name_check("/x.nextone", &fixture_reason), 0);
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
    {"test_name_that_vanished_leaves_the_former_ones", test_name_that_vanished_leaves_the_former_ones},
    {"test_removed_name_is_rescued", test_removed_name_is_rescued},
    {"test_orphan_is_left", test_orphan_is_left},
    {"test_damaged_segment_is_set_aside", test_damaged_segment_is_set_aside},
    {"test_later_version_is_left_alone", test_later_version_is_left_alone},
    {"test_strangers_beside_are_passed_over", test_strangers_beside_are_passed_over},
    {"test_forged_retirement", test_forged_retirement},
    {"test_owner_is_checked", test_owner_is_checked},
    {"test_remove_leaves_nothing", test_remove_leaves_nothing},
    {"test_names_are_checked", test_names_are_checked},
    {"test_full_shm_is_an_error", test_full_shm_is_an_error},
};

FIXTURE_MAIN(tests)
