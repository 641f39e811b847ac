/* test_reader.c: the reader handle: waiting, latest, peek and advance, and what a damaged segment may not do to it. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

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

/* Begin a test: serve the usual channels and open a reader of `channel`. */
static int start(const char *channel, enum shared_memory_start from)
{
    int rc;

    clean_up();
    fixture_begin();
    if ((rc = fixture_serve_usual()) < 0 || (rc = shared_memory_attach(&shm, fixture_name, 0)) < 0)
        return rc;
    return shared_memory_reader_open(shm, channel, from, &reader);
}

static int next(int timeout_ms)
{
    return shared_memory_reader_read(reader, buffer, sizeof(buffer), &message, timeout_ms);
}

static int is(const char *text)
{
    return message.size == strlen(text) && memcmp(message.payload, text, message.size) == 0;
}

/* A message comes with all that is known of it, and with the topic it was sent to. */
static void test_message_is_described(void)
{
    CHECK_EQUAL(start("in", SHARED_MEMORY_FROM_OLDEST), 0);
    CHECK_EQUAL(next(0), -EAGAIN);
    CHECK_EQUAL(next(1), -ETIMEDOUT);
    CHECK_EQUAL(fixture_arrive(&fixture_segment, "one"), 0);
    CHECK_EQUAL(next(0), 0);
    CHECK(is("one") && strcmp(message.topic, "t/a") == 0 && message.topic_size == 3 && message.time_ns == 5);
    CHECK(message.sequence == 0 && message.missed == 0 && message.lane == 0 && message.retained == 0 &&
          message.expired == 0);
    CHECK_EQUAL(shared_memory_reader_max_payload(reader), 64);
}

/* In a publish channel the topic is the channel's, and messages of all lanes come, in order in each. */
static void test_publish_channel_is_read(void)
{
    struct shared_memory_writer *second;
    unsigned lanes = 0;

    CHECK_EQUAL(start("out", SHARED_MEMORY_FROM_OLDEST), 0);
    CHECK_EQUAL(shared_memory_writer_open(shm, "out", &writer), 0);
    CHECK_EQUAL(shared_memory_writer_open(shm, "out", &second), 0);
    for (int i = 0; i < 4; i++)
        CHECK_EQUAL(shared_memory_writer_write(i % 2 ? second : writer, &"0123"[i], 1), 0);
    shared_memory_writer_close(second);
    for (int i = 0; i < 4; i++) {
        CHECK_EQUAL(next(0), 0);
        CHECK(strcmp(message.topic, "t/out") == 0);
        CHECK_EQUAL(buffer[0], '0' + 2 * (int)message.sequence + (int)message.lane);
        lanes |= 1u << message.lane;
    }
    CHECK(lanes == 3 && next(0) == -EAGAIN);
}

/* A lapped reader is told exactly how many it missed, once. */
static void test_missed_is_exact(void)
{
    CHECK_EQUAL(start("in", SHARED_MEMORY_FROM_OLDEST), 0);
    for (int i = 0; i < 21; i++)
        CHECK_EQUAL(fixture_arrive(&fixture_segment, "m"), 0);
    CHECK_EQUAL(next(0), 0);
    CHECK(message.missed == 13 && message.sequence == 13);
    CHECK_EQUAL(next(0), 0);
    CHECK(message.missed == 0 && message.sequence == 14);
}

/* FROM_OLDEST gives what the ring still holds, FROM_NOW only what comes later. */
static void test_start_places(void)
{
    struct shared_memory_reader *now;

    CHECK_EQUAL(start("in", SHARED_MEMORY_FROM_OLDEST), 0);
    CHECK_EQUAL(fixture_arrive(&fixture_segment, "old"), 0);
    CHECK_EQUAL(shared_memory_reader_open(shm, "in", SHARED_MEMORY_FROM_NOW, &now), 0);
    CHECK_EQUAL(fixture_arrive(&fixture_segment, "new"), 0);
    CHECK_EQUAL(shared_memory_reader_read(now, buffer, sizeof(buffer), &message, 0), 0);
    shared_memory_reader_close(now);
    CHECK(is("new"));
    CHECK_EQUAL(next(0), 0);
    CHECK(is("old"));
    CHECK_EQUAL(shared_memory_reader_open(shm, "in", (enum shared_memory_start)7, &now), -EINVAL);
    CHECK_EQUAL(shared_memory_reader_open(shm, "none", SHARED_MEMORY_FROM_NOW, &now), -ENOENT);
}

/* A message too large for the buffer tells its size and stays; without a buffer only an empty one fits. */
static void test_small_buffer_keeps_the_place(void)
{
    CHECK_EQUAL(start("in", SHARED_MEMORY_FROM_OLDEST), 0);
    CHECK_EQUAL(fixture_arrive(&fixture_segment, "12345"), 0);
    CHECK_EQUAL(fixture_arrive(&fixture_segment, ""), 0);
    CHECK_EQUAL(shared_memory_reader_read(reader, buffer, 4, &message, 0), -EMSGSIZE);
    CHECK_EQUAL(message.size, 5);
    CHECK_EQUAL(shared_memory_reader_read(reader, NULL, 0, &message, 0), -EMSGSIZE);
    CHECK_EQUAL(shared_memory_reader_latest(reader, NULL, 0, &message), 0);
    CHECK_EQUAL(next(0), 0);
    CHECK(is("12345"));
    CHECK_EQUAL(shared_memory_reader_read(reader, NULL, 0, &message, 0), 0);
    CHECK_EQUAL(message.size, 0);
}

/* The latest message is the newest of all lanes; looking at it leaves the reader's place and its count of missed ones.
 * */
static void test_latest(void)
{
    struct shared_memory_writer *second;

    CHECK_EQUAL(start("out", SHARED_MEMORY_FROM_OLDEST), 0);
    CHECK_EQUAL(shared_memory_reader_latest(reader, buffer, sizeof(buffer), &message), -EAGAIN);
    CHECK_EQUAL(shared_memory_writer_open(shm, "out", &writer), 0);
    CHECK_EQUAL(shared_memory_writer_open(shm, "out", &second), 0);
    for (int i = 0; i < 10; i++)
        CHECK_EQUAL(shared_memory_writer_write(writer, "first", 5), 0);
    /* Time stamps may be equal on a coarse clock: make the order plain. */
    CHECK_EQUAL(shared_memory_writer_write(second, "second", 6), 0);
    shared_memory_writer_close(second);
    ((struct layout_slot *)segment_ring(&fixture_segment, LANE_OUT + 1).slots)->time_ns = UINT64_MAX;
    CHECK_EQUAL(shared_memory_reader_latest(reader, buffer, sizeof(buffer), &message), 0);
    CHECK(is("second") && message.lane == 1 && message.sequence == 0 && message.missed == 0);
    ((struct layout_slot *)segment_ring(&fixture_segment, LANE_OUT + 1).slots)->time_ns = 0;
    CHECK_EQUAL(shared_memory_reader_latest(reader, buffer, 4, &message), -EMSGSIZE);
    CHECK_EQUAL(shared_memory_reader_latest(reader, buffer, sizeof(buffer), &message), 0);
    CHECK(is("first") && message.lane == 0 && message.sequence == 9);
    CHECK_EQUAL(next(0), 0);
    CHECK(message.lane == 0 && message.sequence == 2 && message.missed == 2);
}

/* A peek shows the message where it lies; advance steps over it, and only once. */
static void test_peek_and_advance(void)
{
    CHECK_EQUAL(start("in", SHARED_MEMORY_FROM_OLDEST), 0);
    CHECK_EQUAL(shared_memory_reader_advance(reader), -EINVAL);
    CHECK_EQUAL(shared_memory_reader_peek(reader, &message, 0), -EAGAIN);
    CHECK_EQUAL(fixture_arrive(&fixture_segment, "one"), 0);
    CHECK_EQUAL(fixture_arrive(&fixture_segment, "two"), 0);
    for (int i = 0; i < 2; i++) {
        CHECK_EQUAL(shared_memory_reader_peek(reader, &message, 0), 0);
        CHECK(is("one") && (uintptr_t)message.payload % 8 == 0 && strcmp(message.topic, "t/a") == 0);
    }
    CHECK_EQUAL(shared_memory_reader_advance(reader), 0);
    CHECK_EQUAL(shared_memory_reader_advance(reader), -EINVAL);
    CHECK_EQUAL(shared_memory_reader_peek(reader, &message, 0), 0);
    CHECK(is("two"));
    CHECK_EQUAL(next(0), 0);
    CHECK(is("two"));
    CHECK_EQUAL(shared_memory_reader_advance(reader), -EINVAL);
}

/* A message that was overwritten under the peek is refused by advance, and counted as missed. */
static void test_overwritten_peek_is_stale(void)
{
    CHECK_EQUAL(start("in", SHARED_MEMORY_FROM_OLDEST), 0);
    CHECK_EQUAL(fixture_arrive(&fixture_segment, "one"), 0);
    CHECK_EQUAL(shared_memory_reader_peek(reader, &message, 0), 0);
    for (int i = 0; i < 9; i++)
        CHECK_EQUAL(fixture_arrive(&fixture_segment, "more"), 0);
    CHECK_EQUAL(shared_memory_reader_advance(reader), -ESTALE);
    CHECK_EQUAL(next(0), 0);
    CHECK(message.sequence == 2 && message.missed == 2);
}

/* ---- Sleeping readers ---- */

#define SLEEPERS 3
#define ROUNDS 200

static atomic_int wrong, seen[SLEEPERS];

static void *read_rounds(void *number)
{
    struct shared_memory_reader *own;
    struct shared_memory_message got;
    char text[64];

    if (shared_memory_reader_open(shm, "in", SHARED_MEMORY_FROM_OLDEST, &own) < 0) {
        atomic_fetch_add(&wrong, 1);
        atomic_store(&seen[(size_t)number], ROUNDS);
        return NULL;
    }
    for (int i = 0; i < ROUNDS; i++) {
        if (shared_memory_reader_read(own, text, sizeof(text), &got, -1) != 0 || got.sequence != (uint64_t)i ||
            got.missed != 0)
            atomic_fetch_add(&wrong, 1);
        atomic_store(&seen[(size_t)number], i + 1);
    }
    shared_memory_reader_close(own);
    return NULL;
}

/* Every message wakes all sleeping readers. Were it left to their own looking, once a second, this would outlast the
 * limit. */
static void test_all_sleepers_are_woken(void)
{
    uint64_t begin = platform_monotonic_ns();
    pthread_t threads[SLEEPERS];

    CHECK_EQUAL(start("in", SHARED_MEMORY_FROM_NOW), 0);
    atomic_store(&wrong, 0);
    for (size_t i = 0; i < SLEEPERS; i++) {
        atomic_store(&seen[i], 0);
        CHECK_EQUAL(pthread_create(&threads[i], NULL, read_rounds, (void *)i), 0);
    }
    for (int round = 0; round < ROUNDS; round++) {
        while (atomic_load(&segment_channel(&fixture_segment, CHANNEL_IN)->reader_sleeps) == 0)
            sched_yield();
        fixture_arrive(&fixture_segment, "round");
        for (size_t i = 0; i < SLEEPERS; i++)
            while (atomic_load(&seen[i]) <= round)
                sched_yield();
    }
    for (size_t i = 0; i < SLEEPERS; i++)
        pthread_join(threads[i], NULL);
    CHECK_EQUAL(wrong, 0);
    CHECK(platform_monotonic_ns() - begin < (uint64_t)LIMIT_MS * 1000000);
}

/* ---- Damage ---- */

/* Damaged heads, states and sizes in a mapped segment keep no call for ever, and the next messages are read. */
static void test_damaged_lane_is_survived(void)
{
    const uint64_t values[] = {0, 1, 7, 8, 9, 100, UINT64_C(1) << 32, UINT64_C(1) << 62, UINT64_MAX};
    struct shared_memory_counters counters;
    char json[4096];

    for (size_t field = 0; field < 4; field++)
        for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
            struct layout_slot *slot;
            struct ring ring;

            CHECK_EQUAL(start("out", SHARED_MEMORY_FROM_OLDEST), 0);
            CHECK_EQUAL(shared_memory_writer_open(shm, "out", &writer), 0);
            ring = segment_ring(&fixture_segment, LANE_OUT);
            slot = (struct layout_slot *)ring.slots;
            for (int n = 0; n < 5; n++)
                CHECK_EQUAL(shared_memory_writer_write(writer, "before", 6), 0);
            if (field == 0)
                ring.lane->head = values[i];
            else if (field == 1)
                slot->state = values[i];
            else if (field == 2)
                slot->size = (uint32_t)values[i];
            else
                ring.lane->tail = ring.lane->ledger_turn = values[i];
            for (int n = 0; n < 50; n++)
                shared_memory_reader_read(reader, buffer, sizeof(buffer), &message, 0);
            shared_memory_reader_latest(reader, buffer, sizeof(buffer), &message);
            CHECK_EQUAL(shared_memory_channel_counters(shm, CHANNEL_OUT, &counters), 0);
            CHECK(shared_memory_stats_json(shm, json, sizeof(json)) > 0);
            for (int n = 0; n < 20; n++) {
                CHECK_EQUAL(shared_memory_writer_write(writer, "after", 5), 0);
                while (next(0) == 0)
                    ;
            }
            CHECK(is("after") && message.sequence == 24);
        }
    clean_up();
}

static int read_from_a_false_retirement(void)
{
    struct shared_memory_writer *own;
    int rc;

    alarm(LIMIT_MS / 1000);
    if (start("in", SHARED_MEMORY_FROM_OLDEST) < 0 || shared_memory_writer_open(shm, "strict", &own) < 0)
        return 1;
    ring_retire(fixture_segment.header);
    if (next(0) != -EAGAIN || next(1) != -ETIMEDOUT)
        return 2;
    fixture_arrive(&fixture_segment, "x");
    if (next(0) != 0 || next(0) != -EAGAIN)
        return 4;
    rc = shared_memory_writer_write(own, "x", 1);
    return rc == 0 ? 0 : 3;
}

/* A segment that says it is retired although nothing took its place is used on: no call turns for ever or fails, and no
 * message comes twice. */
static void test_false_retirement_ends_each_call(void)
{
    clean_up();
    fixture_begin();
    CHECK_EQUAL(fixture_run(read_from_a_false_retirement), 0);
}

/* A program that polls asks nobody to wake it, which would cost the gateway a system call a message; and steps over a
 * damaged slot after some polls, though it does not look for damage each time. */
static void test_polling_reader_is_cheap_and_still_careful(void)
{
    struct ring ring;
    int rc = -EAGAIN;

    CHECK_EQUAL(start("in", SHARED_MEMORY_FROM_OLDEST), 0);
    ring = segment_ring(&fixture_segment, LANE_IN);
    for (int i = 0; i < 1000; i++)
        CHECK_EQUAL(next(0), -EAGAIN);
    CHECK_EQUAL(segment_channel(&fixture_segment, CHANNEL_IN)->reader_sleeps, 0);
    CHECK_EQUAL(fixture_arrive(&fixture_segment, "one"), 0);
    CHECK_EQUAL(fixture_arrive(&fixture_segment, "two"), 0);
    atomic_store((_Atomic uint64_t *)ring.slots, 0);
    for (int i = 0; i < 1000 && rc == -EAGAIN; i++)
        rc = next(0);
    CHECK_EQUAL(rc, 0);
    CHECK(is("two") && message.missed == 1);
}

/* A damaged slot is stepped over in a polled channel even while another lane always has something. */
static void test_damage_is_found_beside_a_lane_that_flows(void)
{
    const struct ring_message one = {.payload = "one", .size = 3}, two = {.payload = "two", .size = 3};
    struct ring_writer beside;
    struct ring ring;
    int found = 0;

    CHECK_EQUAL(start("out", SHARED_MEMORY_FROM_OLDEST), 0);
    CHECK_EQUAL(shared_memory_writer_open(shm, "out", &writer), 0);
    ring = segment_ring(&fixture_segment, LANE_OUT + 1);
    ring_writer_start(&beside, &ring, 0);
    CHECK_EQUAL(ring_write(&beside, &one), 0);
    CHECK_EQUAL(ring_write(&beside, &two), 0);
    atomic_store((_Atomic uint64_t *)ring.slots, 0);
    for (int i = 0; i < 1000 && !found; i++) {
        CHECK_EQUAL(shared_memory_writer_write(writer, "flow", 4), 0);
        CHECK_EQUAL(next(0), 0);
        found = is("two") && message.missed == 1;
    }
    CHECK(found);
}

static const struct check_test tests[] = {
    {"test_message_is_described", test_message_is_described},
    {"test_publish_channel_is_read", test_publish_channel_is_read},
    {"test_missed_is_exact", test_missed_is_exact},
    {"test_start_places", test_start_places},
    {"test_small_buffer_keeps_the_place", test_small_buffer_keeps_the_place},
    {"test_latest", test_latest},
    {"test_peek_and_advance", test_peek_and_advance},
    {"test_overwritten_peek_is_stale", test_overwritten_peek_is_stale},
    {"test_all_sleepers_are_woken", test_all_sleepers_are_woken},
    {"test_damaged_lane_is_survived", test_damaged_lane_is_survived},
    {"test_polling_reader_is_cheap_and_still_careful", test_polling_reader_is_cheap_and_still_careful},
    {"test_damage_is_found_beside_a_lane_that_flows", test_damage_is_found_beside_a_lane_that_flows},
    {"test_false_retirement_ends_each_call", test_false_retirement_ends_each_call},
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
