/* test_top_sample.c: what top shows: looks at a segment, and rates between two of them. No terminal. */
#include "fixture.h"
#include "tool/top_sample.h"

#define SECOND UINT64_C(1000000000)

static struct top_channel made_channels[2][3];

/* A look made by hand: channels a, b, c, that many written, half of it delivered, a quarter dropped. */
static struct top_sample make_sample(int which, uint64_t second, uint64_t written)
{
    struct top_sample sample = {.there = 1,
                                .monotonic_ns = second * SECOND,
                                .status = {.generation = 7},
                                .channels = made_channels[which],
                                .channel_count = 3};

    memset(made_channels[which], 0, sizeof(made_channels[which]));
    for (int i = 0; i < 3; i++) {
        struct top_channel *channel = &made_channels[which][i];

        channel->counters.name[0] = (char)('a' + i);
        channel->counters.written = written * (i + 1u);
        channel->counters.delivered = channel->counters.written / 2;
        channel->counters.dropped[1] = channel->counters.written / 4;
        channel->dropped = channel->counters.dropped[1];
    }
    return sample;
}

static int is_unknown(const struct top_rates *rates)
{
    return rates->in == TOP_UNKNOWN && rates->out == TOP_UNKNOWN && rates->dropped == TOP_UNKNOWN;
}

/* Rates are what came between two looks, by the time between them. */
static void test_rates_of_two_looks(void)
{
    struct top_sample before = make_sample(0, 10, 400), now = make_sample(1, 14, 1200);

    top_sample_compare(&now, &before);
    CHECK(now.channels[0].rates.in == 200 && now.channels[0].rates.out == 100 && now.channels[0].rates.dropped == 50);
    CHECK(now.channels[2].rates.in == 600 && now.channels[2].rates.out == 300 && now.channels[2].rates.dropped == 150);
}

/* What two looks do not tell is unknown, never a huge number: counters that became less, another segment, no time, no
 * look before. */
static void test_unknown_rates(void)
{
    struct top_sample before = make_sample(0, 10, 400), now = make_sample(1, 14, 1200), none = {0};

    now.channels[1].counters.delivered = 1; /* one that becomes less speaks for all of the channel */
    top_sample_compare(&now, &before);
    CHECK(!is_unknown(&now.channels[0].rates) && is_unknown(&now.channels[1].rates));
    now = make_sample(1, 14, 300);
    top_sample_compare(&now, &before);
    CHECK(is_unknown(&now.channels[0].rates) && is_unknown(&now.channels[2].rates));
    now = make_sample(1, 14, 1200);
    now.status.generation++;
    top_sample_compare(&now, &before);
    CHECK(is_unknown(&now.channels[0].rates));
    now = make_sample(1, 10, 1200);
    top_sample_compare(&now, &before);
    CHECK(is_unknown(&now.channels[0].rates));
    top_sample_compare(&now, &none);
    CHECK(is_unknown(&now.channels[0].rates));
}

/* Channels are the same by name and direction, wherever they stand. */
static void test_channels_are_found_by_name(void)
{
    struct top_sample before = make_sample(0, 10, 400), now = make_sample(1, 11, 500);
    struct top_channel first = now.channels[0];

    now.channels[0] = now.channels[2];
    now.channels[2] = first;
    now.channels[1].counters.is_subscribe = 1;
    top_sample_compare(&now, &before);
    CHECK(now.channels[0].rates.in == 300 && now.channels[2].rates.in == 100 && is_unknown(&now.channels[1].rates));
}

/* Each order puts the largest first; equal ones stay as in the file. */
static void test_orders(void)
{
    struct top_sample sample = make_sample(0, 1, 400);
    size_t order[3];

    sample.channels[0].counters.queued = 1;
    sample.channels[1].counters.spooled = 5;
    sample.channels[0].rates.in = sample.channels[1].rates.in = 3;
    sample.channels[2].rates.in = 9;
    sample.channels[0].counters.name[0] = 'z';
    top_sample_sort(&sample, TOP_ORDER_FILE, order);
    CHECK(order[0] == 0 && order[1] == 1 && order[2] == 2);
    top_sample_sort(&sample, TOP_ORDER_NAME, order);
    CHECK(order[0] == 1 && order[1] == 2 && order[2] == 0);
    top_sample_sort(&sample, TOP_ORDER_IN, order);
    CHECK(order[0] == 2 && order[1] == 0 && order[2] == 1);
    top_sample_sort(&sample, TOP_ORDER_QUEUED, order);
    CHECK(order[0] == 1 && order[1] == 0 && order[2] == 2);
    top_sample_sort(&sample, TOP_ORDER_DROPPED, order);
    CHECK(order[0] == 2 && order[1] == 1 && order[2] == 0);
}

/* A look has everything of a channel, its lanes when they are asked for, and leaves every byte of the segment as it
 * was. */
static void test_look_changes_nothing(void)
{
    struct top_source source;
    unsigned char *copy;
    uint64_t size;

    fixture_begin();
    CHECK_EQUAL(top_source_open(&source, fixture_name), -ETIMEDOUT);
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
    CHECK_EQUAL(shared_memory_init(fixture_name, 0), 0);
    for (int i = 0; i < 4; i++)
        CHECK_EQUAL(shared_memory_write("out", "abc", 3), 0);
    size = fixture_segment.size;
    copy = malloc(size);
    CHECK(copy);
    memcpy(copy, fixture_segment.base, size);
    CHECK_EQUAL(top_source_open(&source, fixture_name), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQUAL(top_source_look(&source, "out"), 0);
    CHECK(memcmp(copy, fixture_segment.base, size) == 0);
    free(copy);
    CHECK(source.now.there && source.now.status.gateway_alive && source.now.channel_count == FIXTURE_USUAL);
    CHECK(source.now.channels[0].counters.written == 4 && source.now.channels[0].fill == 0.25 &&
          source.now.channels[0].rates.in == 0);
    CHECK(source.now.channels[0].newest.there && source.now.channels[0].newest.kept == 3 &&
          strcmp(source.now.channels[0].topic, "t/out") == 0);
    CHECK(!source.now.channels[1].newest.there);
    CHECK(source.now.lane_count == 2 && source.now.lanes[0].has_writer && source.now.lanes[0].rates.in == 0 &&
          !source.now.lanes[1].has_writer);
    CHECK_EQUAL(top_source_look(&source, "in"), 0);
    CHECK_EQUAL(source.now.lane_count, 0);
    top_source_close(&source);
}

/* The view follows: a gateway that goes, a segment that is removed, made anew, and replaced by one of another geometry.
 */
static void test_source_follows(void)
{
    struct top_source source;
    struct reason reason;

    fixture_begin();
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
    CHECK_EQUAL(top_source_open(&source, fixture_name), 0);
    CHECK_EQUAL(top_source_look(&source, NULL), 0);
    CHECK(source.now.there && source.now.status.gateway_alive);
    fixture_stop();
    CHECK_EQUAL(top_source_look(&source, NULL), 0);
    CHECK(source.now.there && !source.now.status.gateway_alive);
    CHECK_EQUAL(segment_remove(fixture_name, &reason), 0);
    CHECK_EQUAL(top_source_look(&source, NULL), 0);
    CHECK(!source.now.there && source.now.channel_count == 0 && strstr(source.now.reason, fixture_name));
    CHECK_EQUAL(top_source_look(&source, NULL), 0);
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
    CHECK_EQUAL(top_source_look(&source, NULL), 0);
    CHECK(source.now.there && source.now.status.gateway_alive && is_unknown(&source.now.channels[0].rates));
    fixture_stop();
    CHECK_EQUAL(fixture_serve_other(64), SEGMENT_REPLACED);
    CHECK_EQUAL(top_source_look(&source, NULL), 0);
    CHECK(source.now.there && source.now.channels[0].gauges.slots == 64 && is_unknown(&source.now.channels[0].rates));
    top_source_close(&source);
}

/* A segment whose name somebody took away behind the library's back, so that it does not say that it was replaced, is
 * left for the one that has the name now. */
static void test_source_leaves_a_segment_without_a_name(void)
{
    struct top_source source;
    uint64_t generation;

    fixture_begin();
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
    CHECK_EQUAL(top_source_open(&source, fixture_name), 0);
    CHECK_EQUAL(top_source_look(&source, NULL), 0);
    generation = source.now.status.generation;
    fixture_stop();
    CHECK_EQUAL(platform_object_remove(fixture_name), 0);
    CHECK_EQUAL(top_source_look(&source, NULL), 0);
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
    CHECK_EQUAL(top_source_look(&source, NULL), 0);
    CHECK(source.now.there && source.now.status.gateway_alive && source.now.status.generation != generation);
    top_source_close(&source);
}

/* Whatever changes in the segment's changing parts, a look ends, stays inside, and shows no ring fuller than full. */
static void test_look_at_a_hostile_segment(void)
{
    unsigned seed = 1;
    struct top_source source;

    fixture_begin();
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
    CHECK_EQUAL(top_source_open(&source, fixture_name), 0);
    /* The first look attaches anew; that would be refused later. */
    CHECK_EQUAL(top_source_look(&source, NULL), 0);
    for (int turn = 0; turn < 300; turn++) {
        /* Lanes, topics and slots; then and now with all bits set. */
        for (uint64_t at = fixture_segment.layout.lane_offset; at < fixture_segment.size; at++) {
            seed = seed * 1103515245u + 12345u;
            fixture_segment.base[at] = turn % 3 == 0   ? 0xff
                                       : turn % 3 == 1 ? (unsigned char)(seed >> 16)
                                                       : (unsigned char)(seed >> 28);
        }
        for (size_t at = 128; at < sizeof(struct layout_header); at++)
            if (at >= 256) /* "retired" would send us elsewhere */
                fixture_segment.base[at] = (unsigned char)(turn * 37);
        CHECK_EQUAL(top_source_look(&source, "out"), 0);
        CHECK(source.now.there);
        for (size_t i = 0; i < source.now.channel_count; i++)
            CHECK(source.now.channels[i].fill >= 0 && source.now.channels[i].fill <= 1);
    }
    top_source_close(&source);
}

static const struct check_test tests[] = {
    {"test_rates_of_two_looks", test_rates_of_two_looks},
    {"test_unknown_rates", test_unknown_rates},
    {"test_channels_are_found_by_name", test_channels_are_found_by_name},
    {"test_orders", test_orders},
    {"test_look_changes_nothing", test_look_changes_nothing},
    {"test_source_follows", test_source_follows},
    {"test_source_leaves_a_segment_without_a_name", test_source_leaves_a_segment_without_a_name},
    {"test_look_at_a_hostile_segment", test_look_at_a_hostile_segment},
};
FIXTURE_MAIN(tests)
