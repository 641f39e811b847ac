/* test_segment_upgrade.c: a gateway takes over what one of layout version 1 left. data/segment_layout_1 is a segment
 * that commit fc9d131 made: channel "out" of two lanes with 6 and 2 messages, 4 of the first accounted for; "strict"
 * with 4 and one that was rejected; "in" with one. */
#include <fcntl.h>
#include <sys/stat.h>

#include "counters.h"
#include "fixture.h"

#ifndef DATA
#error DATA is the folder of the file
#endif

static unsigned char image[1 << 16];
static size_t image_size;

static int load_image(void)
{
    int fd = open(DATA "/segment_layout_1", O_RDONLY);
    ssize_t size = fd < 0 ? -1 : read(fd, image, sizeof(image));

    if (fd >= 0)
        close(fd);
    image_size = size > 0 ? (size_t)size : 0;
    return size > 0 && image_size < sizeof(image) ? 0 : -1;
}

/* Put the image under the segment's name and what follows it. */
static int put_image(const char *suffix)
{
    char path[128];
    int fd, rc;

    snprintf(path, sizeof(path), "/dev/shm%s%s", fixture_name, suffix);
    fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0660);
    rc = fd >= 0 && write(fd, image, image_size) == (ssize_t)image_size ? 0 : -1;
    if (fd >= 0)
        close(fd);
    return rc;
}

static int count_name(void *count, const char *name)
{
    (void)name;
    ++*(int *)count;
    return 0;
}

static int beside(void)
{
    char prefix[100];
    int count = 0;

    snprintf(prefix, sizeof(prefix), "%s.", fixture_name);
    platform_object_each(prefix, count_name, &count);
    return count;
}

/* Whether message `sequence` of a lane is `text`. */
static int is(const struct segment *segment, uint32_t lane, uint64_t sequence, const char *text)
{
    struct ring ring = segment_ring(segment, lane);
    struct ring_message message;
    char buffer[64];

    return ring_read(&ring, sequence, &message, &(struct ring_space){buffer, sizeof(buffer), NULL}) == 0 &&
           message.size == strlen(text) && memcmp(buffer, text, message.size) == 0;
}

/* All of its messages, places and counters are in the segment that is to be drained. */
static int is_taken_over(const struct segment *old)
{
    struct shared_memory_counters counters;
    struct ring ring = segment_ring(old, 0);
    struct ring_ledger ledger;

    if (!old->base || !ring_retired(old->header) || old->layout.lane_count != 4 || !is(old, 0, 4, "first 4") ||
        !is(old, 0, 5, "first 5") || !is(old, 1, 1, "second 1") || !is(old, 2, 3, "s") || !is(old, 3, 0, "arrived"))
        return 0;
    ring_ledger_load_checked(&ring, &ledger);
    counters_collect(old, 0, &counters);
    return ring_head(&ring) == 6 && ledger.tail == 4 && ledger.taken == 2 && ledger.spool_delivered == 1 &&
           ring_rejected(&(struct ring){.lane = segment_ring(old, 2).lane}) == 1 && counters.written == 108 &&
           counters.delivered == 92 && counters.queued == 4 && counters.spooled == 1 && counters.dropped[0] == 5 &&
           counters.dropped[1] == 6;
}

static uint64_t generation_of_image(void)
{
    uint64_t generation;

    memcpy(&generation, image + offsetof(struct layout_header, generation), sizeof(generation));
    return generation;
}

/* What version 1 left under the name, and beside it, is drained like any replaced segment, and the spool knows it. */
static void test_old_layout_is_drained(void)
{
    fixture_begin();
    CHECK_EQUAL(load_image(), 0);
    CHECK_EQUAL(put_image(""), 0);
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_REPLACED);
    CHECK(strstr(fixture_reported, "older version"));
    CHECK_EQUAL(fixture_olds.count, 1);
    CHECK(is_taken_over(&fixture_old));
    CHECK(fixture_old.layout.generation == generation_of_image());
    CHECK(fixture_segment.layout.serial == fixture_old.layout.serial + 1);
    CHECK_EQUAL(beside(), 1);
    /* A gateway killed now: the next one finds it. */
    fixture_stop();
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_ADOPTED);
    CHECK_EQUAL(fixture_olds.count, 1);
    CHECK(is_taken_over(&fixture_old));
    segment_finish_old(&fixture_old);
    CHECK_EQUAL(beside(), 0);
    fixture_stop();
    CHECK_EQUAL(put_image(".next"), 0);
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_ADOPTED);
    CHECK_EQUAL(fixture_olds.count, 1);
    CHECK(is_taken_over(&fixture_old));
    CHECK_EQUAL(beside(), 1);
}

/* A gateway killed between taking it over and taking it away: nothing is drained twice. */
static void test_old_layout_is_taken_over_once(void)
{
    fixture_begin();
    CHECK_EQUAL(load_image(), 0);
    CHECK_EQUAL(put_image(""), 0);
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_REPLACED);
    fixture_stop();
    /* As if the exchange had been the last, or had not been reached. */
    CHECK_EQUAL(put_image(".next"), 0);
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_ADOPTED);
    CHECK_EQUAL(fixture_olds.count, 1);
    CHECK_EQUAL(beside(), 1);
    fixture_stop();
    CHECK_EQUAL(platform_object_remove(fixture_name), 0);
    CHECK_EQUAL(put_image(""), 0);
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_REPLACED);
    CHECK_EQUAL(fixture_olds.count, 1);
    CHECK(is_taken_over(&fixture_old));
    CHECK_EQUAL(beside(), 1);
}

/* Any byte of its tables may be wrong: then it is set aside, or drained as far as it goes, and a new one is begun. */
static void test_damaged_old_layout(void)
{
    uint64_t lanes;
    size_t end;

    CHECK_EQUAL(load_image(), 0);
    memcpy(&lanes, image + offsetof(struct layout_header, lane_offset), sizeof(lanes));
    end = (size_t)lanes + 4 * LAYOUT_OLD_LANE;
    for (size_t at = 8; at < end; at += 3) {
        int rc;

        /* Only the fields are of interest, not their reserved bytes. */
        if (image[at] == 0 && at % 16 != 0)
            continue;
        fixture_begin();
        image[at] ^= 0xff;
        CHECK_EQUAL(put_image(""), 0);
        image[at] ^= 0xff;
        rc = fixture_serve_usual();
        /* A major version that is not there yet is left alone. */
        if (at == 11 && rc == -EPROTO)
            continue;
        CHECK(rc == SEGMENT_CREATED || rc == SEGMENT_REPLACED);
    }
}

static const struct check_test tests[] = {
    {"test_old_layout_is_drained", test_old_layout_is_drained},
    {"test_old_layout_is_taken_over_once", test_old_layout_is_taken_over_once},
    {"test_damaged_old_layout", test_damaged_old_layout},
};

FIXTURE_MAIN(tests)
