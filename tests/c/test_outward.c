/* test_outward.c: what the gateway's outward side makes of a segment, without a broker. */
#include "fixture.h"
#include "flight.h"
#include "outward.h"

static struct flight flight;
static struct outward_channel channels[FIXTURE_USUAL];
static uint64_t tokens[64];
static int sent, refuse;

static int keep_token(void *context, const struct outward_channel *channel, const struct outward_message *message, uint64_t token)
{
    (void)context;
    (void)channel;
    (void)message;
    if (refuse)
        return refuse;
    tokens[sent++ % 64] = token;
    return 0;
}

static void answer(uint64_t token, enum flight_answer with)
{
    flight_answer(&flight, token, with, 0);
}

/* Serve the usual channels and take up their lanes. */
static struct outward *begin(void)
{
    struct outward *outward = NULL;

    fixture_begin();
    sent = 0;
    refuse = 0;
    flight_init(&flight);
    if (fixture_serve_usual() == SEGMENT_CREATED && shared_memory_init(fixture_name, 0) == 0)
        outward_create(&outward, &fixture_segment, channels, &flight, NULL, keep_token, NULL);
    return outward;
}

/* A slot is the writer's again when the broker has answered, and not before. */
static void test_slot_is_released_by_the_answer(void)
{
    struct outward *outward = begin();
    struct ring ring = segment_ring(&fixture_segment, LANE_STRICT);

    CHECK(outward);
    for (int i = 0; i < 4; i++)
        CHECK_EQUAL(shared_memory_write("strict", "x", 1), 0);
    CHECK_EQUAL(outward_collect(outward), 1);
    CHECK_EQUAL(outward_pump(outward), 4);
    outward_settle(outward);
    CHECK_EQUAL(shared_memory_write("strict", "x", 1), -EAGAIN);
    CHECK_EQUAL(ring.lane->tail, 0);
    answer(tokens[0], FLIGHT_DELIVERED);
    outward_settle(outward);
    CHECK_EQUAL(ring.lane->tail, 1);
    CHECK_EQUAL(shared_memory_write("strict", "x", 1), 0);
    CHECK_EQUAL(shared_memory_write("strict", "x", 1), -EAGAIN);
    outward_destroy(outward);
}

/* A gateway killed after its ledger said "done" and before the slots were given back: the next one gives them back, or a writer with a full ring would wait
 * for ever. */
static void test_slots_of_a_killed_gateway_are_released(void)
{
    struct outward *outward = begin();
    struct ring ring = segment_ring(&fixture_segment, LANE_STRICT);
    struct ring_ledger ledger = {.tail = 4, .delivered = 4};

    CHECK(outward);
    outward_destroy(outward);
    for (int i = 0; i < 4; i++)
        CHECK_EQUAL(shared_memory_write("strict", "x", 1), 0);
    ring_ledger_store(ring.lane, &ledger);
    ring.lane->tail = 0;
    CHECK_EQUAL(shared_memory_write("strict", "x", 1), -EAGAIN);
    CHECK_EQUAL(outward_create(&outward, &fixture_segment, channels, &flight, NULL, keep_token, NULL), 0);
    CHECK_EQUAL(shared_memory_write("strict", "x", 1), 0);
    CHECK_EQUAL(outward_pump(outward), 1);
    outward_destroy(outward);
}

/* What was overwritten before it could be sent is counted, to the message, wherever the messages around it are. */
static void test_overwritten_messages_are_counted(void)
{
    struct outward *outward = begin();
    struct ring_ledger ledger;
    struct ring ring = segment_ring(&fixture_segment, LANE_OUT);

    CHECK(outward);
    CHECK_EQUAL(shared_memory_write("out", "x", 1), 0);
    outward_collect(outward);
    CHECK_EQUAL(outward_pump(outward), 1);
    for (int i = 0; i < 20; i++)
        CHECK_EQUAL(shared_memory_write("out", "x", 1), 0);
    outward_collect(outward);
    while (outward_pump(outward) > 0)
        ;
    for (int i = 0; i < sent; i++)
        answer(tokens[i], FLIGHT_DELIVERED);
    outward_settle(outward);
    ring_ledger_load(ring.lane, &ledger);
    CHECK_EQUAL(sent, 1 + 8);
    CHECK_EQUAL(ledger.tail, 21);
    CHECK_EQUAL(ledger.delivered, 9);
    CHECK_EQUAL(ledger.dropped[LAYOUT_DROP_OVERWRITTEN], 12);
    CHECK_EQUAL(outward_drained(outward), 1);
    outward_destroy(outward);
}

/* After a failure the lane's messages are sent again from the first that failed, in order. */
static void test_failed_messages_are_sent_again(void)
{
    struct outward *outward = begin();
    struct ring_ledger ledger;
    struct ring ring = segment_ring(&fixture_segment, LANE_STRICT);

    CHECK(outward);
    for (int i = 0; i < 4; i++)
        CHECK_EQUAL(shared_memory_write("strict", "x", 1), 0);
    outward_collect(outward);
    CHECK_EQUAL(outward_pump(outward), 4);
    answer(tokens[0], FLIGHT_DELIVERED);
    answer(tokens[1], FLIGHT_FAILED);
    CHECK_EQUAL(outward_pump(outward), 0);
    answer(tokens[2], FLIGHT_DELIVERED);
    answer(tokens[3], FLIGHT_REFUSED);
    CHECK_EQUAL(outward_pump(outward), 3);
    for (int i = 4; i < 7; i++)
        answer(tokens[i], FLIGHT_DELIVERED);
    outward_settle(outward);
    ring_ledger_load(ring.lane, &ledger);
    CHECK_EQUAL(ledger.tail, 4);
    CHECK_EQUAL(ledger.delivered, 4);
    outward_destroy(outward);
}

/* A client that takes nothing now loses nothing; one that never takes a message has it counted as refused. */
static void test_refusal_of_the_client(void)
{
    struct outward *outward = begin();
    struct ring_ledger ledger;
    struct ring ring = segment_ring(&fixture_segment, LANE_STRICT);

    CHECK(outward);
    CHECK_EQUAL(shared_memory_write("strict", "x", 1), 0);
    outward_collect(outward);
    refuse = -EAGAIN;
    CHECK_EQUAL(outward_pump(outward), -EAGAIN);
    CHECK_EQUAL(flight.used, 0);
    refuse = -EINVAL;
    CHECK_EQUAL(outward_pump(outward), 1);
    CHECK_EQUAL(outward_settle(outward), 1u << LAYOUT_DROP_REFUSED);
    ring_ledger_load(ring.lane, &ledger);
    CHECK_EQUAL(ledger.tail, 1);
    CHECK_EQUAL(ledger.dropped[LAYOUT_DROP_REFUSED], 1);
    outward_destroy(outward);
}

static const struct check_test tests[] = {
    {"test_slot_is_released_by_the_answer", test_slot_is_released_by_the_answer},
    {"test_slots_of_a_killed_gateway_are_released", test_slots_of_a_killed_gateway_are_released},
    {"test_overwritten_messages_are_counted", test_overwritten_messages_are_counted},
    {"test_failed_messages_are_sent_again", test_failed_messages_are_sent_again},
    {"test_refusal_of_the_client", test_refusal_of_the_client},
};

FIXTURE_MAIN(tests)
