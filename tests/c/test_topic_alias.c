/* test_topic_alias.c: which topics get a number, and when it is forgotten. */
#include "mqtt/topic_alias.h"

#include "check.h"

/* A topic is sent once with its number, then the number alone; each topic has one of its own. */
static void test_topic_is_known_once_it_is_sent(void)
{
    struct topic_alias *table;
    int known;

    CHECK_EQUAL(topic_alias_create(&table, 10), 0);
    CHECK_EQUAL(topic_alias_find(table, "plant/a", 10, &known), 1);
    CHECK_EQUAL(known, 0);
    CHECK_EQUAL(topic_alias_find(table, "plant/b", 10, &known), 1);
    topic_alias_keep(table, "plant/a");
    CHECK_EQUAL(topic_alias_find(table, "plant/a", 10, &known), 1);
    CHECK_EQUAL(known, 1);
    CHECK_EQUAL(topic_alias_find(table, "plant/b", 10, &known), 2);
    CHECK_EQUAL(known, 0);
    topic_alias_destroy(table);
}

/* No number is above the broker's highest, none when it has none, and a topic without one never counts as known. */
static void test_broker_limit_holds(void)
{
    struct topic_alias *table;
    int known;

    CHECK_EQUAL(topic_alias_create(&table, 10), 0);
    CHECK_EQUAL(topic_alias_find(table, "plant/a", 0, &known), 0);
    CHECK_EQUAL(topic_alias_find(table, "plant/a", 1, &known), 1);
    topic_alias_keep(table, "plant/a");
    CHECK_EQUAL(topic_alias_find(table, "plant/b", 1, &known), 0);
    CHECK_EQUAL(known, 0);
    CHECK_EQUAL(topic_alias_find(table, "plant/a", 1, &known), 1);
    topic_alias_destroy(table);
}

/* On a new connection nothing is known, and the numbers begin again. */
static void test_reset_forgets(void)
{
    struct topic_alias *table;
    int known;

    CHECK_EQUAL(topic_alias_create(&table, 2), 0);
    topic_alias_keep(table, "plant/a");
    topic_alias_keep(table, "plant/b");
    topic_alias_reset(table);
    CHECK_EQUAL(topic_alias_find(table, "plant/b", 10, &known), 1);
    CHECK_EQUAL(known, 0);
    topic_alias_destroy(table);
}

/* A topic no longer than the number is sent as it is. */
static void test_short_topic_gets_none(void)
{
    struct topic_alias *table;
    int known;

    CHECK_EQUAL(topic_alias_create(&table, 2), 0);
    CHECK_EQUAL(topic_alias_find(table, "a/b", 10, &known), 0);
    CHECK_EQUAL(topic_alias_find(table, "a/bc", 10, &known), 1);
    topic_alias_destroy(table);
}

/* A full table of thousands keeps every number, and has none for one more. */
static void test_every_topic_keeps_its_number(void)
{
    enum { COUNT = 3000 };
    struct topic_alias *table;
    char topic[32];
    int known;

    CHECK_EQUAL(topic_alias_create(&table, COUNT), 0);
    for (unsigned i = 1; i <= COUNT; i++) {
        snprintf(topic, sizeof(topic), "plant/%u", i);
        CHECK_EQUAL(topic_alias_find(table, topic, 65535, &known), i);
        topic_alias_keep(table, topic);
    }
    for (unsigned i = 1; i <= COUNT; i++) {
        snprintf(topic, sizeof(topic), "plant/%u", i);
        CHECK_EQUAL(topic_alias_find(table, topic, 65535, &known), i);
        CHECK_EQUAL(known, 1);
    }
    CHECK_EQUAL(topic_alias_find(table, "plant/one more", 65535, &known), 0);
    topic_alias_destroy(table);
}

static const struct check_test tests[] = {
    {"test_topic_is_known_once_it_is_sent", test_topic_is_known_once_it_is_sent},
    {"test_broker_limit_holds", test_broker_limit_holds},
    {"test_reset_forgets", test_reset_forgets},
    {"test_short_topic_gets_none", test_short_topic_gets_none},
    {"test_every_topic_keeps_its_number", test_every_topic_keeps_its_number},
};

CHECK_MAIN(tests)
