/* test_takeover.c: that another client has our client_id is told after a few losses, once, and not of ordinary ones. */
#include "check.h"
#include "mqtt/takeover.h"

/* The broker says it: at the third time, however long connections held; again only after a quiet time. */
static void test_brokers_word_is_certain(void)
{
    struct takeover takeover = {0};

    CHECK_EQUAL(takeover_lost(&takeover, 0x8e, 60000, 1), TAKEOVER_NO);
    CHECK_EQUAL(takeover_lost(&takeover, 0x8e, 60000, 60001), TAKEOVER_NO);
    CHECK_EQUAL(takeover_lost(&takeover, 0x8e, 60000, 120001), TAKEOVER_CERTAIN);
    CHECK_EQUAL(takeover_lost(&takeover, 0x8e, 60000, 180001), TAKEOVER_NO);
    for (uint64_t i = 0; i < 2; i++)
        CHECK_EQUAL(takeover_lost(&takeover, 0x8e, 100, 1000000 + i), TAKEOVER_NO);
    CHECK_EQUAL(takeover_lost(&takeover, 0x8e, 100, 1000002), TAKEOVER_CERTAIN);
}

/* With 3.1.1 nobody says it: connections that are closed right after they were made lead to it. */
static void test_quick_losses_hint_at_it(void)
{
    struct takeover takeover = {0};

    CHECK_EQUAL(takeover_lost(&takeover, 0, 3600000, 1), TAKEOVER_NO);
    CHECK_EQUAL(takeover_lost(&takeover, 0, 500, 1000), TAKEOVER_NO);
    CHECK_EQUAL(takeover_lost(&takeover, 0, 500, 2000), TAKEOVER_NO);
    CHECK_EQUAL(takeover_lost(&takeover, 0, 500, 3000), TAKEOVER_LIKELY);
    CHECK_EQUAL(takeover_lost(&takeover, 0, 500, 4000), TAKEOVER_NO);
}

/* Connections that held, and reasons of another kind, are none of it. */
static void test_ordinary_losses_are_none(void)
{
    struct takeover takeover = {0};

    for (uint64_t i = 0; i < 100; i++) {
        CHECK_EQUAL(takeover_lost(&takeover, 0, 10000, i * 11000), TAKEOVER_NO);
        CHECK_EQUAL(takeover_lost(&takeover, 0x8b, 10, i * 11000), TAKEOVER_NO);
    }
}

static const struct check_test tests[] = {
    {"test_brokers_word_is_certain", test_brokers_word_is_certain},
    {"test_quick_losses_hint_at_it", test_quick_losses_hint_at_it},
    {"test_ordinary_losses_are_none", test_ordinary_losses_are_none},
};

CHECK_MAIN(tests)
