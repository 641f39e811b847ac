/* test_latency.c: percentiles of known durations. */
#include <stdlib.h>

#include "base/latency.h"
#include "check.h"

static struct latency latency;
static struct latency_summary summary;

/* Durations below 16 us are told exactly. */
static void test_short_durations_are_exact(void)
{
    latency_clear(&latency);
    for (int us = 1; us <= 10; us++)
        latency_add(&latency, us * 1000 + 999, 1);
    latency_summarise(&latency, &summary);
    CHECK_EQUAL(summary.p50_us, 5);
    CHECK_EQUAL(summary.p99_us, 10);
    CHECK_EQUAL(summary.max_us, 10);
}

/* Every percentile is the true one, or at most a sixteenth above it, over eight decades. */
static void test_percentiles_are_within_a_sixteenth(void)
{
    latency_clear(&latency);
    for (int64_t us = 1; us <= 100000; us++)
        latency_add(&latency, us * 1000, 1);
    latency_summarise(&latency, &summary);
    CHECK(summary.p50_us >= 50000 && summary.p50_us <= 50000 + 50000 / 16);
    CHECK(summary.p99_us >= 99000 && summary.p99_us <= 99000 + 99000 / 16);
    CHECK(summary.p999_us >= 99900 && summary.p999_us <= 100000);
    CHECK_EQUAL(summary.max_us, 100000);
    for (int64_t us = 1; us < INT64_C(20000000000); us = us * 3 / 2 + 1) {
        latency_clear(&latency);
        latency_add(&latency, us * 1000, 1);
        latency_add(&latency, us * 2000, 1);
        latency_summarise(&latency, &summary);
        CHECK(summary.p50_us >= (us < UINT32_MAX ? us : UINT32_MAX) && summary.p50_us <= us + us / 16);
    }
}

/* One slow message in a thousand shows in the last percentile and the maximum only. */
static void test_rare_slow_message(void)
{
    latency_clear(&latency);
    for (int i = 0; i < 9980; i++)
        latency_add(&latency, 100000, 1);
    for (int i = 0; i < 20; i++)
        latency_add(&latency, 1000000000, 1);
    latency_summarise(&latency, &summary);
    CHECK(summary.p50_us >= 100 && summary.p50_us < 107);
    CHECK(summary.p99_us >= 100 && summary.p99_us < 107);
    CHECK_EQUAL(summary.p999_us, 1000000);
    CHECK_EQUAL(summary.max_us, 1000000);
}

/* A clock that was set back, and durations beyond all bounds, do no harm; nothing counted is nothing told. */
static void test_senseless_durations(void)
{
    latency_clear(&latency);
    latency_add(&latency, -5, 1);
    latency_summarise(&latency, &summary);
    CHECK_EQUAL(summary.max_us, 0);
    latency_add(&latency, INT64_MAX, 1);
    latency_summarise(&latency, &summary);
    CHECK_EQUAL(summary.p50_us, UINT32_MAX);
    CHECK_EQUAL(summary.max_us, UINT32_MAX);
}

static const struct check_test tests[] = {
    {"test_short_durations_are_exact", test_short_durations_are_exact},
    {"test_percentiles_are_within_a_sixteenth", test_percentiles_are_within_a_sixteenth},
    {"test_rare_slow_message", test_rare_slow_message},
    {"test_senseless_durations", test_senseless_durations},
};
CHECK_MAIN(tests)
