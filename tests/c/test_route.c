/* test_route.c: which topics and filters are valid, and which filter takes which topic. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/route.h"
#include "check.h"

static struct reason reason;

static int topic_valid(const char *topic)
{
    return route_topic_valid(topic, strlen(topic), &reason);
}

static int filter_valid(const char *filter)
{
    return route_filter_valid(filter, strlen(filter), &reason);
}

static int matches(const char *filter, const char *topic)
{
    return route_match(filter, strlen(filter), topic, strlen(topic));
}

/* Topic names that MQTT allows are valid: empty levels, spaces, any script, a leading dollar. */
static void test_topic_accepts_what_mqtt_allows(void)
{
    static const char *const good[] = {"a",      "/",
                                       "a/b",    "/a",
                                       "a/",     "a//b",
                                       "a b/c",  "gr\xc3\xbcn/\xe6\xb8\xa9\xe5\xba\xa6",
                                       "$SYS/x", "\xf0\x9f\x98\x80",
                                       "$share"};

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        CHECK_EQUAL(topic_valid(good[i]), 0);
}

/* A wildcard anywhere makes a name something one cannot publish to. */
static void test_topic_refuses_wildcards(void)
{
    static const char *const bad[] = {"#", "+", "a/+/b", "a/#", "a+", "a#b"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        CHECK_EQUAL(topic_valid(bad[i]), -EINVAL);
}

/* Text that is not well-formed UTF-8, or that brokers refuse, is invalid as a name and as a filter, with the place in
   the reason. */
static void test_text_must_be_clean_utf8(void)
{
    static const char *const bad[] = {"\xff",
                                      "a\x80",
                                      "\xc3",
                                      "\xc0\x80",
                                      "\xc1\xbf",
                                      "\xe0\x80\x80",
                                      "\xe0\x9f\xbf",
                                      "\xed\xa0\x80",
                                      "\xed\xbf\xbf",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xf8\x88\x80\x80\x80",
                                      "a\nb",
                                      "a\x1f",
                                      "a\x7f",
                                      "\xc2\x85",
                                      "\xef\xbf\xbf",
                                      "\xef\xbf\xbe",
                                      "\xef\xb7\x90",
                                      "\xf0\x9f\xbf\xbe",
                                      "\xe2\x80\xa8"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CHECK_EQUAL(topic_valid(bad[i]), -EINVAL);
        CHECK(strncmp(reason.text, "byte ", 5) == 0);
        CHECK_EQUAL(filter_valid(bad[i]), -EINVAL);
    }
    CHECK_EQUAL(route_topic_valid("a\0b", 3, &reason), -EINVAL);
    CHECK(strstr(reason.text, "byte 2 begins U+0000"));
}

/* A topic has 1 to 65535 bytes. */
static void test_size_limits(void)
{
    static char large[65536];

    memset(large, 'x', sizeof(large));
    CHECK_EQUAL(route_topic_valid(large, 0, &reason), -EINVAL);
    CHECK_EQUAL(route_topic_valid(large, 65535, &reason), 0);
    CHECK_EQUAL(route_topic_valid(large, 65536, &reason), -EINVAL);
    CHECK_EQUAL(route_filter_valid(large, 65535, &reason), 0);
    CHECK_EQUAL(route_filter_valid(large, 65536, &reason), -EINVAL);
}

/* Wildcards are levels of their own, and # is the last one. */
static void test_filter_wildcard_places(void)
{
    static const char *const good[] = {"#",     "+",  "a/#",  "+/#",    "/+",    "+/+/a",
                                       "a/+/b", "/#", "a//+", "$SYS/#", "$share"};
    static const char *const bad[] = {"a#", "a/#/b", "#/a", "a+", "+a", "a/b+/c", "##", "++", "a/##", "#/"};

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        CHECK_EQUAL(filter_valid(good[i]), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        CHECK_EQUAL(filter_valid(bad[i]), -EINVAL);
}

/* A shared subscription names a group and then a valid filter. */
static void test_filter_shared(void)
{
    static const char *const good[] = {"$share/g/a", "$share/g/#", "$share/g/+/b", "$share/g//"};
    static const char *const bad[] = {"$share/",    "$share/g",    "$share/g/",   "$share//a",
                                      "$share/+/a", "$share/g#/a", "$share/g/a#", "$share/g/#/a"};

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        CHECK_EQUAL(filter_valid(good[i]), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        CHECK_EQUAL(filter_valid(bad[i]), -EINVAL);
}

/* The examples of MQTT 3.1.1, section 4.7, come out as the standard says. */
static void test_match_examples_of_the_standard(void)
{
    CHECK(matches("sport/tennis/player1/#", "sport/tennis/player1"));
    CHECK(matches("sport/tennis/player1/#", "sport/tennis/player1/ranking"));
    CHECK(matches("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon"));
    CHECK(matches("sport/#", "sport"));
    CHECK(matches("#", "any/thing"));
    CHECK(matches("sport/tennis/+", "sport/tennis/player1"));
    CHECK(!matches("sport/tennis/+", "sport/tennis/player1/ranking"));
    CHECK(!matches("sport/+", "sport"));
    CHECK(matches("sport/+", "sport/"));
    CHECK(matches("+/+", "/finance"));
    CHECK(matches("/+", "/finance"));
    CHECK(!matches("+", "/finance"));
    CHECK(!matches("#", "$SYS/broker"));
    CHECK(!matches("+/monitor/Clients", "$SYS/monitor/Clients"));
    CHECK(matches("$SYS/#", "$SYS/broker"));
    CHECK(matches("$SYS/monitor/+", "$SYS/monitor/Clients"));
    CHECK(!matches("ACCOUNTS", "Accounts"));
}

/* Levels are compared whole: neither a prefix nor a longer level is enough, and empty levels count. */
static void test_match_compares_whole_levels(void)
{
    CHECK(matches("a/b", "a/b"));
    CHECK(!matches("a/b", "a/bc"));
    CHECK(!matches("a/bc", "a/b"));
    CHECK(!matches("a", "a/"));
    CHECK(!matches("a/", "a"));
    CHECK(matches("a/", "a/"));
    CHECK(!matches("a//b", "a/b"));
    CHECK(matches("a/+/b", "a//b"));
    CHECK(matches("a/#", "a/"));
    CHECK(!matches("a/#", "ab"));
    CHECK(!matches("a/+/#", "a"));
    CHECK(matches("a/+/#", "a/b"));
    CHECK(matches("#", "/"));
    CHECK(matches("a/+", "a/$b"));
    CHECK(!matches("a/b/#", "a"));
}

/* The prefix of a shared subscription takes no part in the comparison, and $ counts after it. */
static void test_match_shared(void)
{
    CHECK(matches("$share/g/a/+", "a/b"));
    CHECK(matches("$share/g/#", "a"));
    CHECK(!matches("$share/g/#", "$SYS/a"));
    CHECK(!matches("$share/g/a", "g/a"));
    CHECK(!matches("$share/g/a", "$share/g/a"));
}

/* Sizes count, not terminators: NUL bytes are bytes, and nothing matches or is matched by an empty topic. */
static void test_match_takes_sizes(void)
{
    CHECK(route_match("a/b", 3, "a/bcd", 3));
    CHECK(!route_match("a\0b", 3, "a\0c", 3));
    CHECK(route_match("+", 1, "a\0c", 3));
    CHECK(!route_match("#", 1, NULL, 0));
    CHECK(!route_match("#", 1, "", 0));
    CHECK(!route_match("", 0, "a", 1));
}

/* Only a whole-level wildcard makes a filter one with wildcards; the prefix of a shared one does not count. */
static void test_filter_has_wildcard(void)
{
    CHECK(route_filter_has_wildcard("a/+", 3));
    CHECK(route_filter_has_wildcard("#", 1));
    CHECK(!route_filter_has_wildcard("a/b", 3));
    CHECK_EQUAL(route_filter_prefix("$share/g/a", 10), 9);
    CHECK_EQUAL(route_filter_prefix("a/b", 3), 0);
}

/* What MQTT says, in the plainest words, for comparison: level by level, by recursion. */
static int plain_match(const char *filter, const char *topic)
{
    size_t f = strcspn(filter, "/"), t = strcspn(topic, "/");

    if (strcmp(filter, "#") == 0)
        return 1;
    if (!(f == 1 && *filter == '+') && (f != t || strncmp(filter, topic, f) != 0))
        return 0;
    if (!topic[t])
        return !filter[f] || strcmp(filter + f, "/#") == 0;
    return filter[f] && plain_match(filter + f + 1, topic + t + 1);
}

/* Random text of 1 to 8 characters of `alphabet`. */
static void make_text(char text[9], const char *alphabet)
{
    size_t size = 1 + (size_t)rand() % 8;

    for (size_t i = 0; i < size; i++)
        text[i] = alphabet[(size_t)rand() % strlen(alphabet)];
    text[size] = '\0';
}

/* For any valid filter and any topic the answer is that of the plain rule, and every valid topic matches itself. */
static void test_match_agrees_with_the_plain_rule(void)
{
    unsigned seed = (unsigned)time(NULL), compared = 0;
    char filter[9], topic[9];

    printf("  seed %u\n", seed);
    srand(seed);
    for (int i = 0; i < 300000; i++) {
        make_text(filter, "a/+#$");
        make_text(topic, "a/b$");
        CHECK(matches(topic, topic));
        if (filter_valid(filter) < 0)
            continue;
        compared++;
        int hidden = topic[0] == '$' && (filter[0] == '+' || filter[0] == '#');
        if (matches(filter, topic) != (!hidden && plain_match(filter, topic)))
            printf("  filter %s topic %s\n", filter, topic);
        CHECK_EQUAL(matches(filter, topic), !hidden && plain_match(filter, topic));
    }
    CHECK(compared > 10000);
}

/* Any bytes of any size are judged without reading beyond them: the copies have no terminator, for the address
   sanitizer to see. */
static void test_hostile_bytes(void)
{
    unsigned seed = (unsigned)time(NULL);

    printf("  seed %u\n", seed);
    srand(seed);
    for (int i = 0; i < 50000; i++) {
        size_t filter_size = (size_t)rand() % 24, topic_size = (size_t)rand() % 24;
        char *filter = malloc(filter_size), *topic = malloc(topic_size);
        for (size_t j = 0; j < filter_size; j++)
            filter[j] = rand() % 3 ? "$share/g/+#/a"[rand() % 13] : (char)rand();
        for (size_t j = 0; j < topic_size; j++)
            topic[j] = rand() % 2 ? '/' : (char)rand();
        (void)route_filter_valid(filter, filter_size, &reason);
        (void)route_topic_valid(topic, topic_size, &reason);
        int match = route_match(filter, filter_size, topic, topic_size);
        free(filter);
        free(topic);
        CHECK(match == 0 || match == 1);
    }
}

/* Two filters overlap when some topic is taken by both. */
static void test_filters_overlap(void)
{
    static const struct {
        const char *one, *other;
        int overlap;
    } cases[] = {
        {"a/b", "a/b", 1},   {"a/b", "a/c", 0},    {"a/+", "a/b", 1},          {"a/+", "+/b", 1},
        {"a/#", "a", 1},     {"a/#", "b/#", 0},    {"#", "x/y/z", 1},          {"a/+/c", "a/b/d", 0},
        {"a/+", "a/b/c", 0}, {"+", "a/b", 0},      {"$share/g/a/+", "a/#", 1}, {"$share/g/a", "$share/h/a", 1},
        {"#", "$SYS/x", 0},  {"+/x", "$SYS/x", 0}, {"a//b", "a/+/b", 1},       {"a/b/#", "a/+", 1},
        {"ab", "a", 0},      {"a/", "a", 0},       {"a/", "a/+", 1},           {"+/+", "a/#", 1},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        CHECK_EQUAL(route_filters_overlap(cases[i].one, cases[i].other), cases[i].overlap);
        CHECK_EQUAL(route_filters_overlap(cases[i].other, cases[i].one), cases[i].overlap);
    }
}

static const struct check_test tests[] = {
    {"test_filters_overlap", test_filters_overlap},
    {"test_topic_accepts_what_mqtt_allows", test_topic_accepts_what_mqtt_allows},
    {"test_topic_refuses_wildcards", test_topic_refuses_wildcards},
    {"test_text_must_be_clean_utf8", test_text_must_be_clean_utf8},
    {"test_size_limits", test_size_limits},
    {"test_filter_wildcard_places", test_filter_wildcard_places},
    {"test_filter_shared", test_filter_shared},
    {"test_match_examples_of_the_standard", test_match_examples_of_the_standard},
    {"test_match_compares_whole_levels", test_match_compares_whole_levels},
    {"test_match_shared", test_match_shared},
    {"test_match_takes_sizes", test_match_takes_sizes},
    {"test_filter_has_wildcard", test_filter_has_wildcard},
    {"test_match_agrees_with_the_plain_rule", test_match_agrees_with_the_plain_rule},
    {"test_hostile_bytes", test_hostile_bytes},
};

CHECK_MAIN(tests)
