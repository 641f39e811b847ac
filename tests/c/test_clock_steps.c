/* test_clock_steps.c: the clock is set while messages lie in the ring: none of them becomes older or younger by it. */
#include <time.h>

#include "fixture.h"
#include "subscribe/subscribe.h"

#define SECOND INT64_C(1000000000)
#define YEAR (31557600 * SECOND)

static int64_t step_ns; /* how far somebody has set the clock */
static struct subscribe *subscribe;
static struct shared_memory *shm;
static struct shared_memory_reader *reader;
static struct shared_memory_message message;
static char buffer[64];

int __real_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);

/* The clock as it has been set; those that nobody can set go on as they do. */
int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
    int rc = __real_clock_gettime(clock, now);
    int64_t time_ns = (int64_t)now->tv_sec * SECOND + now->tv_nsec + step_ns;

    if (rc == 0 && clock == CLOCK_REALTIME) {
        now->tv_sec = time_ns / SECOND;
        now->tv_nsec = time_ns % SECOND;
    }
    return rc;
}

/* Serve the usual channels with `max_age_ms` for "in", with the clock `ahead_ns` from the right time. */
static int start(uint64_t max_age_ms, int64_t ahead_ns)
{
    struct subscribe_channel channels[FIXTURE_USUAL] = {[CHANNEL_IN] = {.filter = "t/#", .max_age_ms = max_age_ms}};
    int rc;

    step_ns = ahead_ns;
    shared_memory_reader_close(reader);
    shared_memory_detach(shm);
    subscribe_destroy(subscribe);
    subscribe = NULL;
    shm = NULL;
    reader = NULL;
    fixture_begin();
    if ((rc = fixture_serve_usual()) < 0 || (rc = subscribe_create(&subscribe)) < 0 ||
        (rc = subscribe_serve(subscribe, &fixture_segment, channels)) < 0 ||
        (rc = shared_memory_attach(&shm, fixture_name, 0)) < 0)
        return rc;
    return shared_memory_reader_open(shm, "in", SHARED_MEMORY_FROM_OLDEST, &reader);
}

static void arrive(const char *text, int expires, uint32_t expiry_s)
{
    struct transport_arrival arrival = {.topic = "t/a",
                                        .topic_size = 3,
                                        .payload = text,
                                        .size = strlen(text),
                                        .expires = expires,
                                        .expiry_s = expiry_s};

    subscribe_arrival(subscribe, &arrival);
}

static int is_next(const char *text)
{
    return shared_memory_reader_read(reader, buffer, sizeof(buffer), &message, 0) == 0 &&
           message.size == strlen(text) && memcmp(buffer, text, message.size) == 0 && message.expired == 0;
}

/* A machine without a battery for its clock starts in the past; the clock is set after a command has come. */
static void test_clock_set_ahead_expires_nothing(void)
{
    CHECK_EQUAL(start(3600000, -6 * YEAR), 0);
    arrive("aged", 0, 0);
    arrive("expiring", 1, 3600);
    step_ns = 0;
    CHECK(is_next("aged"));
    CHECK_EQUAL(shared_memory_reader_latest(reader, buffer, sizeof(buffer), &message), 0);
    CHECK(is_next("expiring"));
    arrive("later", 0, 0);
    CHECK(is_next("later"));
}

/* A clock that was far ahead, and is set back, keeps no command for years. */
static void test_clock_set_back_keeps_nothing(void)
{
    CHECK_EQUAL(start(20, 10 * YEAR), 0);
    arrive("aged", 0, 0);
    step_ns = 0;
    for (uint64_t end_ns = platform_boot_ns() + 20000000; platform_boot_ns() < end_ns;)
        platform_sleep_ms(1);
    CHECK_EQUAL(shared_memory_reader_read(reader, buffer, sizeof(buffer), &message, 0), -EAGAIN);
    CHECK_EQUAL(shared_memory_reader_latest(reader, buffer, sizeof(buffer), &message), -EAGAIN);
}

static const struct check_test tests[] = {
    {"test_clock_set_ahead_expires_nothing", test_clock_set_ahead_expires_nothing},
    {"test_clock_set_back_keeps_nothing", test_clock_set_back_keeps_nothing},
};

CHECK_MAIN(tests)
