/* test_reader_age.c: messages that have become too old in the ring are passed over, by every way to read. */
#include "fixture.h"

#define PAST 1 /* a long time ago, in nanoseconds since the boot */
#define FUTURE (UINT64_MAX - 1)

static struct shared_memory *shm;
static struct shared_memory_reader *reader;
static struct shared_memory_message message;
static char buffer[64];

static void clean_up(void)
{
    shared_memory_reader_close(reader);
    shared_memory_detach(shm);
    shm = NULL;
    reader = NULL;
}

/* Begin a test: serve the usual channels and open a reader of "in". */
static int start(void)
{
    int rc;

    clean_up();
    fixture_begin();
    if ((rc = fixture_serve_usual()) < 0 || (rc = shared_memory_attach(&shm, fixture_name, 0)) < 0)
        return rc;
    return shared_memory_reader_open(shm, "in", SHARED_MEMORY_FROM_OLDEST, &reader);
}

static int next(int timeout_ms)
{
    return shared_memory_reader_read(reader, buffer, sizeof(buffer), &message, timeout_ms);
}

static int is(const char *text)
{
    return message.size == strlen(text) && memcmp(message.payload, text, message.size) == 0;
}

/* A message whose time is over is passed over and counted, whatever lies before and behind it; one whose time has not
 * come is not. */
static void test_expired_message_is_passed_over(void)
{
    CHECK_EQUAL(start(), 0);
    CHECK_EQUAL(fixture_arrive_until(&fixture_segment, "old", PAST), 0);
    CHECK_EQUAL(next(0), -EAGAIN);
    CHECK_EQUAL(next(1), -ETIMEDOUT);
    CHECK_EQUAL(fixture_arrive_until(&fixture_segment, "old too", platform_boot_ns()), 0);
    CHECK_EQUAL(fixture_arrive_until(&fixture_segment, "good", FUTURE), 0);
    CHECK_EQUAL(fixture_arrive_until(&fixture_segment, "old again", PAST), 0);
    CHECK_EQUAL(fixture_arrive(&fixture_segment, "for ever"), 0);
    CHECK_EQUAL(next(0), 0);
    CHECK(is("good") && message.expired == 2 && message.missed == 0 && message.sequence == 2);
    CHECK_EQUAL(next(0), 0);
    CHECK(is("for ever") && message.expired == 1);
    CHECK_EQUAL(fixture_arrive(&fixture_segment, "next"), 0);
    CHECK_EQUAL(next(0), 0);
    CHECK(is("next") && message.expired == 0);
}

/* Messages that were overwritten and messages that are too old are counted apart, also when a whole ring is too old. */
static void test_expired_and_missed_are_counted_apart(void)
{
    CHECK_EQUAL(start(), 0);
    for (int i = 0; i < 19; i++)
        CHECK_EQUAL(fixture_arrive_until(&fixture_segment, "old", PAST), 0);
    CHECK_EQUAL(next(0), -EAGAIN);
    CHECK_EQUAL(fixture_arrive(&fixture_segment, "good"), 0);
    CHECK_EQUAL(next(0), 0);
    CHECK(is("good") && message.missed == 11 && message.expired == 8);
}

/* A message too large for the buffer does not hold the reader up once it is too old. */
static void test_expired_message_needs_no_buffer(void)
{
    CHECK_EQUAL(start(), 0);
    CHECK_EQUAL(fixture_arrive_until(&fixture_segment, "12345", PAST), 0);
    CHECK_EQUAL(shared_memory_reader_latest(reader, buffer, 4, &message), -EAGAIN);
    CHECK_EQUAL(shared_memory_reader_read(reader, buffer, 4, &message, 0), -EAGAIN);
}

/* The latest message is not given when it is too old, and no older one in its place. */
static void test_expired_latest_is_none(void)
{
    CHECK_EQUAL(start(), 0);
    CHECK_EQUAL(fixture_arrive_until(&fixture_segment, "good", FUTURE), 0);
    CHECK_EQUAL(shared_memory_reader_latest(reader, buffer, sizeof(buffer), &message), 0);
    CHECK(is("good"));
    CHECK_EQUAL(fixture_arrive_until(&fixture_segment, "old", PAST), 0);
    CHECK_EQUAL(shared_memory_reader_latest(reader, buffer, sizeof(buffer), &message), -EAGAIN);
    CHECK_EQUAL(next(0), 0);
    CHECK(is("good"));
}

/* A peek passes over what is too old and counts it; what was counted is told until the advance. */
static void test_peek_passes_over_expired_messages(void)
{
    CHECK_EQUAL(start(), 0);
    CHECK_EQUAL(fixture_arrive_until(&fixture_segment, "old", PAST), 0);
    CHECK_EQUAL(shared_memory_reader_peek(reader, &message, 0), -EAGAIN);
    CHECK_EQUAL(fixture_arrive_until(&fixture_segment, "good", FUTURE), 0);
    for (int i = 0; i < 2; i++) {
        CHECK_EQUAL(shared_memory_reader_peek(reader, &message, 0), 0);
        CHECK(is("good") && message.expired == 1);
    }
    CHECK_EQUAL(shared_memory_reader_advance(reader), 0);
    CHECK_EQUAL(fixture_arrive(&fixture_segment, "next"), 0);
    CHECK_EQUAL(shared_memory_reader_peek(reader, &message, 0), 0);
    CHECK(is("next") && message.expired == 0);
}

static const struct check_test tests[] = {
    {"test_expired_message_is_passed_over", test_expired_message_is_passed_over},
    {"test_expired_and_missed_are_counted_apart", test_expired_and_missed_are_counted_apart},
    {"test_expired_message_needs_no_buffer", test_expired_message_needs_no_buffer},
    {"test_expired_latest_is_none", test_expired_latest_is_none},
    {"test_peek_passes_over_expired_messages", test_peek_passes_over_expired_messages},
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
