/* test_backoff.c: the waits between attempts to connect, and the order of the URIs. */
#include "base/backoff.h"
#include "check.h"

#define BASE 200
#define CAP 30000
#define STABLE 10000

static const struct backoff_pace pace = {BASE, CAP, STABLE}, fixed = {50, 50, STABLE};

/* Every wait lies between the base and three times the wait before it, and never above the cap. */
static void test_waits_stay_in_bounds(void)
{
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct backoff backoff;
        uint64_t now = 5000, before = BASE;

        backoff_init(&backoff, &pace, 1, seed);
        for (int i = 0; i < 100; i++) {
            uint64_t wait = backoff_failed(&backoff, now) - now;

            CHECK(wait >= BASE);
            CHECK(wait <= CAP);
            CHECK(wait <= 3 * before);
            before = wait;
            now += wait;
        }
    }
}

/* With one failure after another the waits grow far beyond the base. */
static void test_waits_grow(void)
{
    uint64_t early = 0, late = 0;

    for (uint64_t seed = 0; seed < 200; seed++) {
        struct backoff backoff;

        backoff_init(&backoff, &pace, 1, seed);
        early += backoff_failed(&backoff, 0);
        for (int i = 0; i < 40; i++)
            backoff_failed(&backoff, 0);
        late += backoff_failed(&backoff, 0);
    }
    CHECK(early / 200 <= 3 * BASE);
    CHECK(late / 200 >= 10 * BASE);
}

/* Two gateways with different seeds do not come back at the same moments; with the same seed they do. */
static void test_seed_decides_the_waits(void)
{
    struct backoff a, b, same;
    int equal = 0;

    backoff_init(&a, &pace, 1, 1);
    backoff_init(&b, &pace, 1, 2);
    backoff_init(&same, &pace, 1, 1);
    for (int i = 0; i < 100; i++) {
        uint64_t wait = backoff_failed(&a, 0);

        equal += wait == backoff_failed(&b, 0);
        CHECK_EQUAL(backoff_failed(&same, 0), wait);
    }
    CHECK(equal < 100);
}

/* All URIs of a round are tried without a wait; then there is one, and the first URI is next. */
static void test_round_tries_all_uris_then_waits(void)
{
    struct backoff backoff;

    backoff_init(&backoff, &pace, 3, 7);
    for (int round = 0; round < 5; round++) {
        CHECK_EQUAL(backoff_uri(&backoff), 0);
        CHECK_EQUAL(backoff_failed(&backoff, 1000), 1000);
        CHECK_EQUAL(backoff_uri(&backoff), 1);
        CHECK_EQUAL(backoff_failed(&backoff, 1000), 1000);
        CHECK_EQUAL(backoff_uri(&backoff), 2);
        CHECK(backoff_failed(&backoff, 1000) >= 1000 + BASE);
    }
}

/* A connection that held long enough makes the next wait short, and the first URI is next. */
static void test_stable_connection_starts_afresh(void)
{
    struct backoff backoff;

    backoff_init(&backoff, &pace, 2, 11);
    for (int i = 0; i < 41; i++)
        backoff_failed(&backoff, 0);
    CHECK_EQUAL(backoff_uri(&backoff), 1);
    backoff_connected(&backoff, 1000);
    uint64_t next = backoff_lost(&backoff, 1000 + STABLE);
    CHECK(next >= 1000 + STABLE + BASE);
    CHECK(next <= 1000 + STABLE + 3 * BASE);
    CHECK_EQUAL(backoff_uri(&backoff), 0);
}

/* A broker that takes every connection and closes it at once is met with growing waits, as if it had refused. */
static void test_kicked_connection_does_not_reset(void)
{
    uint64_t sum = 0;

    for (uint64_t seed = 0; seed < 100; seed++) {
        struct backoff backoff;
        uint64_t now = 0, wait = 0;

        backoff_init(&backoff, &pace, 1, seed);
        for (int i = 0; i < 40; i++) {
            backoff_connected(&backoff, now);
            wait = backoff_lost(&backoff, now + STABLE - 1) - (now + STABLE - 1);
            CHECK(wait >= BASE);
            now += STABLE + wait;
        }
        sum += wait;
    }
    CHECK(sum / 100 >= 10 * BASE);
}

/* A base equal to the cap gives a constant wait. */
static void test_base_equal_to_cap(void)
{
    struct backoff backoff;

    backoff_init(&backoff, &fixed, 1, 9);
    for (int i = 0; i < 10; i++)
        CHECK_EQUAL(backoff_failed(&backoff, 10), 60);
}

static const struct check_test tests[] = {
    {"test_waits_stay_in_bounds", test_waits_stay_in_bounds},
    {"test_waits_grow", test_waits_grow},
    {"test_seed_decides_the_waits", test_seed_decides_the_waits},
    {"test_round_tries_all_uris_then_waits", test_round_tries_all_uris_then_waits},
    {"test_stable_connection_starts_afresh", test_stable_connection_starts_afresh},
    {"test_kicked_connection_does_not_reset", test_kicked_connection_does_not_reset},
    {"test_base_equal_to_cap", test_base_equal_to_cap},
};

CHECK_MAIN(tests)
