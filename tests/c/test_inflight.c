/* test_inflight.c: the promises of gateway/publish/inflight.h. */
#include "check.h"
#include "publish/inflight.h"

static struct inflight inflight;
static struct inflight_chain lane, other;

static void setup(void)
{
    inflight_init(&inflight);
    inflight_chain_init(&lane, NULL, 1);
    inflight_chain_init(&other, NULL, 1);
}

static uint64_t add(struct inflight_chain *to, uint64_t sequence)
{
    return inflight_add(&inflight, to, sequence, 1, 0);
}

static void answer(uint64_t token, enum inflight_answer with)
{
    inflight_answer(&inflight, token, with, 0);
}

/* Messages are accounted for in the order they were sent, whatever the order of the answers. */
static void test_inflight_takes_contiguous_prefix_only(void)
{
    uint64_t first, second, sequence;
    uint32_t count;

    setup();
    first = add(&lane, 10);
    second = add(&lane, 11);
    answer(second, INFLIGHT_DELIVERED);
    CHECK_EQUAL(inflight_take(&inflight, &lane, &sequence, &count), INFLIGHT_WAITING);
    answer(first, INFLIGHT_DELIVERED);
    CHECK_EQUAL(inflight_take(&inflight, &lane, &sequence, &count), INFLIGHT_DELIVERED);
    CHECK_EQUAL(sequence, 10);
    CHECK_EQUAL(inflight_take(&inflight, &lane, &sequence, &count), INFLIGHT_DELIVERED);
    CHECK_EQUAL(sequence, 11);
    CHECK_EQUAL(inflight_take(&inflight, &lane, &sequence, &count), INFLIGHT_WAITING);
    CHECK_EQUAL(inflight.used, 0);
}

/* A failed message takes the later ones of its lane with it, answered or not, and sending begins again at it. */
static void test_inflight_failure_rewinds_to_first_failed(void)
{
    uint64_t a, b, c, sequence;
    uint32_t count;

    setup();
    a = add(&lane, 5);
    b = add(&lane, 6);
    c = add(&lane, 7);
    answer(b, INFLIGHT_FAILED);
    CHECK(lane.failed);
    CHECK_EQUAL(inflight_take(&inflight, &lane, &sequence, &count), INFLIGHT_WAITING);
    answer(a, INFLIGHT_DELIVERED);
    CHECK_EQUAL(inflight_take(&inflight, &lane, &sequence, &count), INFLIGHT_DELIVERED);
    CHECK_EQUAL(sequence, 5);
    CHECK_EQUAL(inflight_take(&inflight, &lane, &sequence, &count), INFLIGHT_WAITING);
    answer(c, INFLIGHT_DELIVERED);
    CHECK_EQUAL(inflight_take(&inflight, &lane, &sequence, &count), INFLIGHT_FAILED);
    CHECK_EQUAL(sequence, 6);
    CHECK(!lane.failed);
    CHECK_EQUAL(inflight.used, 0);
}

/* The failure of one lane leaves the others flying. */
static void test_inflight_failure_leaves_other_lanes(void)
{
    uint64_t a, b, sequence;
    uint32_t count;

    setup();
    a = add(&lane, 1);
    b = add(&other, 1);
    answer(a, INFLIGHT_FAILED);
    answer(b, INFLIGHT_DELIVERED);
    CHECK_EQUAL(inflight_take(&inflight, &other, &sequence, &count), INFLIGHT_DELIVERED);
    CHECK(!other.failed);
}

/* An answer counts once: a token that was answered, or whose entry serves another message by now, is nobody's. */
static void test_inflight_ignores_stale_and_strange_tokens(void)
{
    uint64_t token, sequence;
    uint32_t count;

    setup();
    token = add(&lane, 1);
    CHECK(inflight_answer(&inflight, token, INFLIGHT_DELIVERED, 0));
    CHECK(!inflight_answer(&inflight, token, INFLIGHT_DELIVERED, 0));
    inflight_take(&inflight, &lane, &sequence, &count);
    add(&lane, 2);
    CHECK(!inflight_answer(&inflight, token, INFLIGHT_FAILED, 0));
    CHECK(!inflight_answer(&inflight, UINT64_MAX, INFLIGHT_FAILED, 0));
    CHECK_EQUAL(lane.waiting, 1);
}

/* No more than the limit fly, and a limit that shrinks below what flies only stops new ones. */
static void test_inflight_limit_holds(void)
{
    setup();
    inflight_set_limit(&inflight, 2);
    add(&lane, 1);
    CHECK(inflight_has_room(&inflight, &lane));
    add(&lane, 2);
    CHECK(!inflight_has_room(&inflight, &lane));
    inflight_set_limit(&inflight, 0);
    CHECK_EQUAL(inflight.limit, 1);
    inflight_set_limit(&inflight, 1000000);
    CHECK_EQUAL(inflight.limit, INFLIGHT_WINDOW);
}

/* A message that could not be handed over is as if it had never been added. */
static void test_inflight_cancel_undoes_the_last_add(void)
{
    uint64_t first, sequence;
    uint32_t count;

    setup();
    first = add(&lane, 1);
    add(&lane, 2);
    inflight_cancel(&inflight, &lane);
    CHECK_EQUAL(inflight.used, 1);
    answer(first, INFLIGHT_REFUSED);
    CHECK_EQUAL(inflight_take(&inflight, &lane, &sequence, &count), INFLIGHT_REFUSED);
    CHECK_EQUAL(lane.first, -1);
    add(&lane, 3);
    inflight_cancel(&inflight, &lane);
    CHECK_EQUAL(lane.first, -1);
    CHECK_EQUAL(lane.last, -1);
}

/* The whole window can be used, again and again. */
static void test_inflight_whole_window_many_times(void)
{
    uint64_t tokens[INFLIGHT_WINDOW], sequence, next = 0, expected = 0;
    uint32_t count;

    setup();
    for (int round = 0; round < 100; round++) {
        for (int i = 0; i < INFLIGHT_WINDOW; i++)
            tokens[i] = add(i % 3 ? &lane : &other, next++);
        CHECK(!inflight_has_room(&inflight, &lane));
        for (int i = INFLIGHT_WINDOW - 1; i >= 0; i--)
            answer(tokens[i], INFLIGHT_DELIVERED);
        while (inflight_take(&inflight, &lane, &sequence, &count) == INFLIGHT_DELIVERED)
            expected++;
        while (inflight_take(&inflight, &other, &sequence, &count) == INFLIGHT_DELIVERED)
            expected++;
        CHECK_EQUAL(expected, next);
        CHECK_EQUAL(inflight.used, 0);
    }
}

/* The broker's limit is one of messages that it must acknowledge: those of QoS 0 have the rest of the table, and take
 * nothing from it. */
static void test_inflight_limit_spares_unacknowledged_messages(void)
{
    inflight_init(&inflight);
    inflight_chain_init(&lane, NULL, 1);
    inflight_chain_init(&other, NULL, 0);
    inflight_set_limit(&inflight, 2);
    add(&other, 1);
    add(&lane, 1);
    CHECK(inflight_has_room(&inflight, &lane) && !inflight_is_full(&inflight));
    add(&lane, 2);
    CHECK(!inflight_has_room(&inflight, &lane) && inflight_is_full(&inflight));
    for (uint64_t i = 2; inflight_has_room(&inflight, &other); i++)
        add(&other, i);
    CHECK_EQUAL(inflight.used, INFLIGHT_WINDOW);
    CHECK_EQUAL(inflight.unacknowledged, INFLIGHT_WINDOW - 2);
    inflight_cancel(&inflight, &other);
    CHECK_EQUAL(inflight.unacknowledged, INFLIGHT_WINDOW - 3);
}

/* Messages that are sent as one fly as one: one place of the window, one answer, and their number comes back with it.
 */
static void test_inflight_counts_messages_sent_as_one(void)
{
    struct latency latency = {0};
    uint64_t sequence, token;
    uint32_t count;

    setup();
    lane.latency = &latency;
    token = inflight_add(&inflight, &lane, 7, 5, 1000);
    CHECK_EQUAL(inflight.used, 1);
    inflight_answer(&inflight, token, INFLIGHT_DELIVERED, 2001000);
    CHECK_EQUAL(inflight_take(&inflight, &lane, &sequence, &count), INFLIGHT_DELIVERED);
    CHECK_EQUAL(sequence, 7);
    CHECK_EQUAL(count, 5);
    CHECK_EQUAL(latency.total, 5);
}

static const struct check_test tests[] = {
    {"test_inflight_limit_spares_unacknowledged_messages", test_inflight_limit_spares_unacknowledged_messages},
    {"test_inflight_counts_messages_sent_as_one", test_inflight_counts_messages_sent_as_one},
    {"test_inflight_takes_contiguous_prefix_only", test_inflight_takes_contiguous_prefix_only},
    {"test_inflight_failure_rewinds_to_first_failed", test_inflight_failure_rewinds_to_first_failed},
    {"test_inflight_failure_leaves_other_lanes", test_inflight_failure_leaves_other_lanes},
    {"test_inflight_ignores_stale_and_strange_tokens", test_inflight_ignores_stale_and_strange_tokens},
    {"test_inflight_limit_holds", test_inflight_limit_holds},
    {"test_inflight_cancel_undoes_the_last_add", test_inflight_cancel_undoes_the_last_add},
    {"test_inflight_whole_window_many_times", test_inflight_whole_window_many_times},
};

CHECK_MAIN(tests)
