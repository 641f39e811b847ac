/* test_rate_limiter.c: the token bucket: its burst, its rate over time, and the ends of its numbers. */
#include "base/rate_limiter.h"
#include "check.h"

#define SECOND UINT64_C(1000000000)
#define START (UINT64_C(77) * SECOND + 13) /* any time will do */

/* How many of `asked` messages pass at one instant. */
static unsigned pass(struct rate_limiter *rate, unsigned asked, uint64_t now)
{
    unsigned passed = 0;

    for (unsigned i = 0; i < asked; i++)
        passed += (unsigned)rate_limiter_take(rate, now);
    return passed;
}

/* One second's worth passes at once, and not one more. */
static void test_burst_is_one_second(void)
{
    static const uint32_t rates[] = {1, 2, 7, 1000, RATE_LIMITER_MAX};

    for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        struct rate_limiter rate;

        rate_limiter_init(&rate, rates[i], START);
        CHECK_EQUAL(pass(&rate, rates[i] + 5, START), rates[i]);
        CHECK_EQUAL(rate_limiter_take(&rate, START), 0);
    }
}

/* From an empty bucket the next message passes after exactly a rate's part of a second. */
static void test_next_message_passes_when_it_is_due(void)
{
    struct rate_limiter rate;

    rate_limiter_init(&rate, 4, START);
    CHECK_EQUAL(pass(&rate, 9, START), 4);
    CHECK_EQUAL(rate_limiter_take(&rate, START + SECOND / 4 - 1), 0);
    CHECK_EQUAL(rate_limiter_take(&rate, START + SECOND / 4), 1);
    CHECK_EQUAL(rate_limiter_take(&rate, START + SECOND / 4), 0);
}

/* Asked every 10 ms for an hour, exactly the rate passes after the burst: nothing is lost to rounding, at rates that do
 * not divide a second. */
static void test_long_run_keeps_the_rate(void)
{
    static const uint32_t rates[] = {1, 3, 7, 60, 97};

    for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        uint64_t passed = 0;
        struct rate_limiter rate;

        rate_limiter_init(&rate, rates[i], START);
        for (uint64_t step = 0; step <= 360000; step++)
            passed += (uint64_t)rate_limiter_take(&rate, START + step * (SECOND / 100));
        CHECK_EQUAL(passed, rates[i] + 3600 * (uint64_t)rates[i]);
    }
}

/* However long nothing came, the bucket holds one second's worth. */
static void test_silence_saves_one_second_only(void)
{
    struct rate_limiter rate;

    rate_limiter_init(&rate, RATE_LIMITER_MAX, START);
    CHECK_EQUAL(pass(&rate, RATE_LIMITER_MAX, START), RATE_LIMITER_MAX);
    CHECK_EQUAL(pass(&rate, RATE_LIMITER_MAX + 9, UINT64_MAX - 1), RATE_LIMITER_MAX);
}

/* A clock that goes back brings nothing, and what it then makes up brings nothing twice. */
static void test_clock_that_goes_back_brings_nothing(void)
{
    struct rate_limiter rate;

    rate_limiter_init(&rate, 10, START);
    CHECK_EQUAL(pass(&rate, 10, START), 10);
    CHECK_EQUAL(rate_limiter_take(&rate, START - 5 * SECOND), 0);
    CHECK_EQUAL(rate_limiter_take(&rate, START), 0);
    CHECK_EQUAL(pass(&rate, 10, START + SECOND / 10), 1);
}

/* Without a limit everything passes. */
static void test_zero_is_no_limit(void)
{
    struct rate_limiter rate;

    rate_limiter_init(&rate, 0, START);
    CHECK_EQUAL(pass(&rate, 100000, START), 100000);
}

static const struct check_test tests[] = {
    {"test_burst_is_one_second", test_burst_is_one_second},
    {"test_next_message_passes_when_it_is_due", test_next_message_passes_when_it_is_due},
    {"test_long_run_keeps_the_rate", test_long_run_keeps_the_rate},
    {"test_silence_saves_one_second_only", test_silence_saves_one_second_only},
    {"test_clock_that_goes_back_brings_nothing", test_clock_that_goes_back_brings_nothing},
    {"test_zero_is_no_limit", test_zero_is_no_limit},
};

CHECK_MAIN(tests)
