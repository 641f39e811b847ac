/* test_reader_moves.c: attached writers and readers follow the gateway into a segment of another geometry: nothing is
 * lost on the way, nothing comes twice. */
#include "fixture.h"

static struct shared_memory *shm;
static struct shared_memory_reader *reader;
static struct shared_memory_writer *writer;
static struct shared_memory_message message;
static char buffer[64];

static void clean_up(void)
{
    shared_memory_reader_close(reader);
    shared_memory_writer_close(writer);
    shared_memory_detach(shm);
    shm = NULL;
    reader = NULL;
    writer = NULL;
}

/* Begin a test: serve the usual channels, with a reader of `channel` and a writer of "out". */
static int start(const char *channel)
{
    int rc;

    clean_up();
    fixture_begin();
    if ((rc = fixture_serve_usual()) < 0 || (rc = shared_memory_attach(&shm, fixture_name, 0)) < 0 ||
        (rc = shared_memory_writer_open(shm, "out", &writer)) < 0)
        return rc;
    return shared_memory_reader_open(shm, channel, SHARED_MEMORY_FROM_OLDEST, &reader);
}

/* Another gateway takes over with `slots` in "out"; the old segment is drained for good. */
static int replace(uint32_t slots)
{
    int rc;

    fixture_stop();
    rc = fixture_serve_other(slots);
    segment_finish_old(&fixture_old);
    return rc;
}

static int write_number(int number)
{
    return shared_memory_writer_write(writer, &number, sizeof(number));
}

/* The number in the next message, or the error. */
static int read_number(void)
{
    int number, rc = shared_memory_reader_read(reader, buffer, sizeof(buffer), &message, 0);

    memcpy(&number, buffer, sizeof(number));
    return rc < 0 ? rc : number;
}

/* A reader finishes the old ring before it goes on in the new one, over several replacements. */
static void test_nothing_is_lost_or_doubled(void)
{
    int written = 0, got = 0;

    CHECK_EQUAL(start("out"), 0);
    for (uint32_t slots = 16; slots <= 256; slots *= 2) {
        for (int i = 0; i < 5; i++)
            CHECK_EQUAL(write_number(written++), 0);
        CHECK_EQUAL(read_number(), got++);
        CHECK_EQUAL(replace(slots), SEGMENT_REPLACED);
        for (int i = 0; i < 3; i++)
            CHECK_EQUAL(write_number(written++), 0);
        CHECK_EQUAL(ring_head(&(struct ring){.lane = segment_ring(&fixture_segment, LANE_OUT).lane}), 3);
        while (got < written) {
            CHECK_EQUAL(read_number(), got++);
            CHECK_EQUAL(message.missed, 0);
        }
        CHECK_EQUAL(read_number(), -EAGAIN);
    }
}

/* The old segment's lane is given back when its writer has moved, so that the gateway sees that nobody writes there any
 * more. */
static void test_writer_lets_the_old_lane_go(void)
{
    CHECK_EQUAL(start("out"), 0);
    fixture_stop();
    CHECK_EQUAL(fixture_serve_other(32), SEGMENT_REPLACED);
    CHECK_EQUAL(segment_lane_locked(&fixture_old, LANE_OUT), 1);
    CHECK_EQUAL(write_number(1), 0);
    CHECK_EQUAL(segment_lane_locked(&fixture_old, LANE_OUT), 0);
    CHECK_EQUAL(segment_lane_locked(&fixture_segment, LANE_OUT), 1);
    CHECK_EQUAL(segment_ring(&fixture_old, LANE_OUT).lane->head, 0);
}

/* Latest is the newest of the new segment at once, and what was unread in the old one counts as missed. */
static void test_latest_moves_at_once(void)
{
    CHECK_EQUAL(start("in"), 0);
    CHECK_EQUAL(fixture_arrive(&fixture_segment, "old1"), 0);
    CHECK_EQUAL(fixture_arrive(&fixture_segment, "old2"), 0);
    CHECK_EQUAL(replace(32), SEGMENT_REPLACED);
    CHECK_EQUAL(fixture_arrive(&fixture_segment, "new1"), 0);
    CHECK_EQUAL(shared_memory_reader_latest(reader, buffer, sizeof(buffer), &message), 0);
    CHECK(memcmp(buffer, "new1", 4) == 0);
    CHECK_EQUAL(shared_memory_reader_read(reader, buffer, sizeof(buffer), &message, 0), 0);
    CHECK(memcmp(buffer, "new1", 4) == 0);
    CHECK_EQUAL(message.missed, 2);
}

static int sleep_through_the_move(void)
{
    if (shared_memory_init(fixture_name, LIMIT_MS) != 0 || fixture_tell('a') != 0)
        return 1;
    return shared_memory_read("in", buffer, sizeof(buffer), LIMIT_MS) == 3 && memcmp(buffer, "new", 3) == 0 ? 0 : 2;
}

/* A reader that sleeps while the segment is replaced wakes up in the new one. */
static void test_sleeping_reader_is_sent_over(void)
{
    struct fixture_child child;

    CHECK_EQUAL(start("in"), 0);
    CHECK_EQUAL(fixture_fork(&child, sleep_through_the_move), 0);
    CHECK_EQUAL(fixture_hear(&child), 'a');
    while (!segment_channel(&fixture_segment, CHANNEL_IN)->reader_sleeps)
        platform_sleep_ms(1);
    CHECK_EQUAL(replace(32), SEGMENT_REPLACED);
    CHECK_EQUAL(fixture_arrive(&fixture_segment, "new"), 0);
    CHECK_EQUAL(fixture_join(&child), 0);
}

/* A channel that the new configuration no longer has answers -ENOENT, again and again; when it is back its handles go
 * on. */
static void test_channel_that_is_gone(void)
{
    CHECK_EQUAL(start("out"), 0);
    CHECK_EQUAL(write_number(0), 0);
    fixture_stop();
    CHECK_EQUAL(fixture_serve(&fixture_usual[2], 1), SEGMENT_REPLACED);
    segment_finish_old(&fixture_old);
    for (int i = 0; i < 3; i++)
        CHECK_EQUAL(write_number(1), -ENOENT);
    CHECK(strstr(shared_memory_error(), "no channel out"));
    CHECK_EQUAL(read_number(), 0);
    CHECK_EQUAL(read_number(), -ENOENT);
    CHECK_EQUAL(replace(16), SEGMENT_REPLACED);
    CHECK_EQUAL(write_number(2), 0);
    CHECK_EQUAL(read_number(), 2);
}

/* Handles of a channel that came with the new segment can be opened from an attachment that is older. */
static void test_new_channel_can_be_opened(void)
{
    struct shared_memory_reader *in;
    struct shared_memory_writer *strict;

    clean_up();
    fixture_begin();
    CHECK_EQUAL(fixture_serve(&fixture_usual[0], 1), SEGMENT_CREATED);
    CHECK_EQUAL(shared_memory_attach(&shm, fixture_name, 0), 0);
    CHECK_EQUAL(shared_memory_reader_open(shm, "out", SHARED_MEMORY_FROM_OLDEST, &reader), 0);
    CHECK_EQUAL(replace(8), SEGMENT_REPLACED);
    CHECK_EQUAL(shared_memory_reader_open(shm, "in", SHARED_MEMORY_FROM_OLDEST, &in), 0);
    shared_memory_reader_close(in);
    CHECK_EQUAL(shared_memory_writer_open(shm, "strict", &strict), 0);
    shared_memory_writer_close(strict);
    CHECK_EQUAL(shared_memory_channel_count(shm), FIXTURE_USUAL);
    CHECK_EQUAL(read_number(), -EAGAIN);
}

/* After `shmgate release` a writer is told that the segment is gone, and goes on when a gateway has made it anew. */
static void test_released_segment_comes_back(void)
{
    CHECK_EQUAL(start("out"), 0);
    fixture_stop();
    CHECK_EQUAL(shared_memory_remove(fixture_name), 0);
    CHECK_EQUAL(write_number(1), -ENOENT);
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
    CHECK_EQUAL(write_number(2), 0);
    CHECK_EQUAL(read_number(), 2);
    CHECK_EQUAL(shared_memory_gateway_alive(shm), 1);
}

static const struct check_test tests[] = {
    {"test_nothing_is_lost_or_doubled", test_nothing_is_lost_or_doubled},
    {"test_writer_lets_the_old_lane_go", test_writer_lets_the_old_lane_go},
    {"test_latest_moves_at_once", test_latest_moves_at_once},
    {"test_sleeping_reader_is_sent_over", test_sleeping_reader_is_sent_over},
    {"test_channel_that_is_gone", test_channel_that_is_gone},
    {"test_new_channel_can_be_opened", test_new_channel_can_be_opened},
    {"test_released_segment_comes_back", test_released_segment_comes_back},
};

int main(int argc, char **argv)
{
    int code;

    fixture_begin();
    code = check_main(tests, sizeof(tests) / sizeof(tests[0]), argc, argv);
    clean_up();
    fixture_end();
    return code;
}
