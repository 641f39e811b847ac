/* test_expiry.c: a publisher's time stamp as text, and when a message becomes too old. */
#include <errno.h>

#include "base/expiry.h"
#include "check.h"

#define SECOND UINT64_C(1000000000)
#define NOW (UINT64_C(1700000000) * SECOND)

static int parse(const char *text, uint64_t *time_ns)
{
    return expiry_parse_time(text, strlen(text), time_ns);
}

/* Seconds with and without a fraction of any length give nanoseconds. */
static void test_time_is_understood(void)
{
    static const struct {
        const char *text;
        uint64_t ns;
    } cases[] = {
        {"1700000000", NOW},
        {"1700000000.5", NOW + SECOND / 2},
        {"1700000000.000000001", NOW + 1},
        {"1700000000.1234567899999999999999999999", NOW + 123456789},
        {"0", 0},
        {"0.1", SECOND / 10},
        {"007.0", 7 * SECOND},
        {"18446744072.999999999", UINT64_C(18446744072999999999)},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t ns = 1;

        CHECK_EQUAL(parse(cases[i].text, &ns), 0);
        CHECK(ns == cases[i].ns);
    }
}

/* Anything else is refused and leaves the time as it was: signs, exponents, spaces, beyond the range, NUL bytes. */
static void test_other_text_is_no_time(void)
{
    static const char *const texts[] = {"",
                                        ".",
                                        ".5",
                                        "1.",
                                        "-1",
                                        "+1",
                                        "1e9",
                                        "0x10",
                                        " 1",
                                        "1 ",
                                        "1.2.3",
                                        "1,5",
                                        "nan",
                                        "inf",
                                        "18446744073",
                                        "18446744073.709551615",
                                        "99999999999999999999999999999999999999",
                                        "1.-5",
                                        "1\n"};
    uint64_t ns = 77;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        CHECK_EQUAL(parse(texts[i], &ns), -EINVAL);
        CHECK_EQUAL(ns, 77);
    }
    CHECK_EQUAL(expiry_parse_time("1\0002", 3, &ns), -EINVAL);
    CHECK_EQUAL(expiry_parse_time("12345", 2, &ns), 0);
    CHECK_EQUAL(ns, 12 * SECOND);
}

/* The earlier of both limits counts; without one a message is good for ever. */
static void test_earlier_end_counts(void)
{
    struct expiry age = {.arrival_ns = NOW};

    CHECK(expiry_left_ns(&age, 0) == EXPIRY_NEVER);
    CHECK_EQUAL(expiry_left_ns(&age, 1), SECOND / 1000);
    age.expires = 1;
    age.expiry_s = 5;
    CHECK_EQUAL(expiry_left_ns(&age, 0), 5 * SECOND);
    CHECK_EQUAL(expiry_left_ns(&age, 4999), 5 * SECOND - SECOND / 1000);
    CHECK_EQUAL(expiry_left_ns(&age, 5001), 5 * SECOND);
    age.expiry_s = 0;
    CHECK_EQUAL(expiry_left_ns(&age, 5001), 0);
}

/* max_age counts from the publisher's time, unless that is missing or still to come. */
static void test_age_counts_from_the_publishers_time(void)
{
    struct expiry age = {.arrival_ns = NOW, .made_ns = NOW - 3 * SECOND};

    CHECK_EQUAL(expiry_left_ns(&age, 10000), 7 * SECOND);
    CHECK_EQUAL(expiry_left_ns(&age, 3000), 0);
    CHECK_EQUAL(expiry_left_ns(&age, 2000), 0);
    CHECK(expiry_left_ns(&age, 0) == EXPIRY_NEVER);
    age.made_ns = NOW + SECOND;
    CHECK_EQUAL(expiry_left_ns(&age, 2000), 2 * SECOND);
    age.made_ns = UINT64_MAX;
    CHECK_EQUAL(expiry_left_ns(&age, 2000), 2 * SECOND);
}

/* Limits beyond the range of a time are no limits, rather than early ones. */
static void test_far_ends_do_not_wrap(void)
{
    struct expiry age = {.arrival_ns = UINT64_MAX - SECOND, .expires = 1, .expiry_s = UINT32_MAX};

    CHECK_EQUAL(expiry_left_ns(&age, 0), UINT32_MAX * SECOND);
    CHECK_EQUAL(expiry_left_ns(&age, UINT64_MAX), UINT32_MAX * SECOND);
    age.expires = 0;
    CHECK(expiry_left_ns(&age, UINT64_MAX) == EXPIRY_NEVER);
}

static const struct check_test tests[] = {
    {"test_time_is_understood", test_time_is_understood},
    {"test_other_text_is_no_time", test_other_text_is_no_time},
    {"test_earlier_end_counts", test_earlier_end_counts},
    {"test_age_counts_from_the_publishers_time", test_age_counts_from_the_publishers_time},
    {"test_far_ends_do_not_wrap", test_far_ends_do_not_wrap},
};

CHECK_MAIN(tests)
