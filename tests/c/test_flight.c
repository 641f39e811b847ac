/* test_flight.c: the promises of gateway/flight.h. */
#include "check.h"
#include "publish/flight.h"

static struct flight flight;
static struct flight_lane lane, other;

static void setup(void)
{
    flight_init(&flight);
    flight_lane_init(&lane, NULL, 1, NULL);
    flight_lane_init(&other, NULL, 1, NULL);
}

static uint64_t add(struct flight_lane *to, uint64_t sequence)
{
    return flight_add(&flight, to, sequence, 1, 0);
}

static void answer(uint64_t token, enum flight_answer with)
{
    flight_answer(&flight, token, with, 0);
}

/* Messages are accounted for in the order they were sent, whatever the order of the answers. */
static void test_flight_takes_contiguous_prefix_only(void)
{
    uint64_t first, second, sequence;
    uint32_t count;

    setup();
    first = add(&lane, 10);
    second = add(&lane, 11);
    answer(second, FLIGHT_DELIVERED);
    CHECK_EQUAL(flight_take(&flight, &lane, &sequence, &count), FLIGHT_WAITING);
    answer(first, FLIGHT_DELIVERED);
    CHECK_EQUAL(flight_take(&flight, &lane, &sequence, &count), FLIGHT_DELIVERED);
    CHECK_EQUAL(sequence, 10);
    CHECK_EQUAL(flight_take(&flight, &lane, &sequence, &count), FLIGHT_DELIVERED);
    CHECK_EQUAL(sequence, 11);
    CHECK_EQUAL(flight_take(&flight, &lane, &sequence, &count), FLIGHT_WAITING);
    CHECK_EQUAL(flight.used, 0);
}

/* A failed message takes the later ones of its lane with it, answered or not, and sending begins again at it. */
static void test_flight_failure_rewinds_to_first_failed(void)
{
    uint64_t a, b, c, sequence;
    uint32_t count;

    setup();
    a = add(&lane, 5);
    b = add(&lane, 6);
    c = add(&lane, 7);
    answer(b, FLIGHT_FAILED);
    CHECK(lane.failed);
    CHECK_EQUAL(flight_take(&flight, &lane, &sequence, &count), FLIGHT_WAITING);
    answer(a, FLIGHT_DELIVERED);
    CHECK_EQUAL(flight_take(&flight, &lane, &sequence, &count), FLIGHT_DELIVERED);
    CHECK_EQUAL(sequence, 5);
    CHECK_EQUAL(flight_take(&flight, &lane, &sequence, &count), FLIGHT_WAITING);
    answer(c, FLIGHT_DELIVERED);
    CHECK_EQUAL(flight_take(&flight, &lane, &sequence, &count), FLIGHT_FAILED);
    CHECK_EQUAL(sequence, 6);
    CHECK(!lane.failed);
    CHECK_EQUAL(flight.used, 0);
}

/* The failure of one lane leaves the others flying. */
static void test_flight_failure_leaves_other_lanes(void)
{
    uint64_t a, b, sequence;
    uint32_t count;

    setup();
    a = add(&lane, 1);
    b = add(&other, 1);
    answer(a, FLIGHT_FAILED);
    answer(b, FLIGHT_DELIVERED);
    CHECK_EQUAL(flight_take(&flight, &other, &sequence, &count), FLIGHT_DELIVERED);
    CHECK(!other.failed);
}

/* An answer counts once: a token that was answered, or whose entry serves another message by now, is nobody's. */
static void test_flight_ignores_stale_and_strange_tokens(void)
{
    uint64_t token, sequence;
    uint32_t count;

    setup();
    token = add(&lane, 1);
    CHECK(flight_answer(&flight, token, FLIGHT_DELIVERED, 0) == 1);
    CHECK(flight_answer(&flight, token, FLIGHT_DELIVERED, 0) == 0);
    flight_take(&flight, &lane, &sequence, &count);
    add(&lane, 2);
    CHECK(flight_answer(&flight, token, FLIGHT_FAILED, 0) == 0);
    CHECK(flight_answer(&flight, UINT64_MAX, FLIGHT_FAILED, 0) == 0);
    CHECK_EQUAL(lane.waiting, 1);
}

/* No more than the limit fly, and a limit that shrinks below what flies only stops new ones. */
static void test_flight_limit_holds(void)
{
    setup();
    flight_set_limit(&flight, 2);
    add(&lane, 1);
    CHECK(flight_has_room(&flight, &lane));
    add(&lane, 2);
    CHECK(!flight_has_room(&flight, &lane));
    flight_set_limit(&flight, 0);
    CHECK_EQUAL(flight.limit, 1);
    flight_set_limit(&flight, 1000000);
    CHECK_EQUAL(flight.limit, FLIGHT_WINDOW);
}

/* A message that could not be handed over is as if it had never been added. */
static void test_flight_cancel_undoes_the_last_add(void)
{
    uint64_t first, sequence;
    uint32_t count;

    setup();
    first = add(&lane, 1);
    add(&lane, 2);
    flight_cancel(&flight, &lane);
    CHECK_EQUAL(flight.used, 1);
    answer(first, FLIGHT_REFUSED);
    CHECK_EQUAL(flight_take(&flight, &lane, &sequence, &count), FLIGHT_REFUSED);
    CHECK_EQUAL(lane.first, -1);
    add(&lane, 3);
    flight_cancel(&flight, &lane);
    CHECK_EQUAL(lane.first, -1);
    CHECK_EQUAL(lane.last, -1);
}

/* The whole window can be used, again and again. */
static void test_flight_whole_window_many_times(void)
{
    uint64_t tokens[FLIGHT_WINDOW], sequence, next = 0, expected = 0;
    uint32_t count;

    setup();
    for (int round = 0; round < 100; round++) {
        for (int i = 0; i < FLIGHT_WINDOW; i++)
            tokens[i] = add(i % 3 ? &lane : &other, next++);
        CHECK(!flight_has_room(&flight, &lane));
        for (int i = FLIGHT_WINDOW - 1; i >= 0; i--)
            answer(tokens[i], FLIGHT_DELIVERED);
        while (flight_take(&flight, &lane, &sequence, &count) == FLIGHT_DELIVERED)
            expected++;
        while (flight_take(&flight, &other, &sequence, &count) == FLIGHT_DELIVERED)
            expected++;
        CHECK_EQUAL(expected, next);
        CHECK_EQUAL(flight.used, 0);
    }
}

/* The broker's limit is one of messages that it must acknowledge: those of QoS 0 have the rest of the table, and take
 * nothing from it. */
static void test_flight_limit_spares_unacknowledged_messages(void)
{
    flight_init(&flight);
    flight_lane_init(&lane, NULL, 1, NULL);
    flight_lane_init(&other, NULL, 0, NULL);
    flight_set_limit(&flight, 2);
    add(&other, 1);
    add(&lane, 1);
    CHECK(flight_has_room(&flight, &lane) && !flight_is_full(&flight));
    add(&lane, 2);
    CHECK(!flight_has_room(&flight, &lane) && flight_is_full(&flight));
    for (uint64_t i = 2; flight_has_room(&flight, &other); i++)
        add(&other, i);
    CHECK_EQUAL(flight.used, FLIGHT_WINDOW);
    CHECK_EQUAL(flight.unacknowledged, FLIGHT_WINDOW - 2);
    flight_cancel(&flight, &other);
    CHECK_EQUAL(flight.unacknowledged, FLIGHT_WINDOW - 3);
}

/* Messages that are sent as one fly as one: one place of the window, one answer, and their number comes back with it.
 */
static void test_flight_counts_messages_sent_as_one(void)
{
    struct latency latency = {0};
    uint64_t sequence, token;
    uint32_t count;

    setup();
    lane.latency = &latency;
    token = flight_add(&flight, &lane, 7, 5, 1000);
    CHECK_EQUAL(flight.used, 1);
    flight_answer(&flight, token, FLIGHT_DELIVERED, 2001000);
    CHECK_EQUAL(flight_take(&flight, &lane, &sequence, &count), FLIGHT_DELIVERED);
    CHECK_EQUAL(sequence, 7);
    CHECK_EQUAL(count, 5);
    CHECK_EQUAL(latency.total, 5);
}

static const struct check_test tests[] = {
    {"test_flight_limit_spares_unacknowledged_messages", test_flight_limit_spares_unacknowledged_messages},
    {"test_flight_counts_messages_sent_as_one", test_flight_counts_messages_sent_as_one},
    {"test_flight_takes_contiguous_prefix_only", test_flight_takes_contiguous_prefix_only},
    {"test_flight_failure_rewinds_to_first_failed", test_flight_failure_rewinds_to_first_failed},
    {"test_flight_failure_leaves_other_lanes", test_flight_failure_leaves_other_lanes},
    {"test_flight_ignores_stale_and_strange_tokens", test_flight_ignores_stale_and_strange_tokens},
    {"test_flight_limit_holds", test_flight_limit_holds},
    {"test_flight_cancel_undoes_the_last_add", test_flight_cancel_undoes_the_last_add},
    {"test_flight_whole_window_many_times", test_flight_whole_window_many_times},
};

CHECK_MAIN(tests)
