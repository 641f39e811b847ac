/* test_outward.c: what the gateway's outward side makes of a segment, without a broker. */
#include "fixture.h"
#include "publish/flight.h"
#include "publish/outward.h"

static struct flight flight;
static struct outward_channel channels[FIXTURE_USUAL];
static uint64_t tokens[64];
static int sent, refuse;
static struct {
    char bytes[512];
    size_t size;
    uint64_t sequence;
    char topic[64];
} last;                /* what was sent last */
static size_t largest; /* that the broker takes; 0: any */

static int keep_token(void *context, const struct outward_channel *channel, const struct outward_message *message,
                      uint64_t token)
{
    (void)context;
    (void)channel;
    if (refuse)
        return refuse;
    if (largest > 0 && message->size > largest)
        return -EMSGSIZE;
    last.size = message->size < sizeof(last.bytes) ? message->size : sizeof(last.bytes);
    memcpy(last.bytes, message->payload, last.size);
    last.sequence = message->sequence;
    snprintf(last.topic, sizeof(last.topic), "%s", message->topic ? message->topic : "");
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
    largest = 0;
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
    CHECK_EQUAL(outward_pump(outward, 0), 4);
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

/* A gateway killed after its ledger said "done" and before the slots were given back: the next one gives them back, or
 * a writer with a full ring would wait for ever. */
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
    CHECK_EQUAL(outward_pump(outward, 0), 1);
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
    CHECK_EQUAL(outward_pump(outward, 0), 1);
    for (int i = 0; i < 20; i++)
        CHECK_EQUAL(shared_memory_write("out", "x", 1), 0);
    outward_collect(outward);
    while (outward_pump(outward, 0) > 0)
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
    CHECK_EQUAL(outward_pump(outward, 0), 4);
    answer(tokens[0], FLIGHT_DELIVERED);
    answer(tokens[1], FLIGHT_FAILED);
    CHECK_EQUAL(outward_pump(outward, 0), 0);
    answer(tokens[2], FLIGHT_DELIVERED);
    answer(tokens[3], FLIGHT_REFUSED);
    CHECK_EQUAL(outward_pump(outward, 0), 3);
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
    CHECK_EQUAL(outward_pump(outward, 0), -EAGAIN);
    CHECK_EQUAL(flight.used, 0);
    refuse = -EINVAL;
    CHECK_EQUAL(outward_pump(outward, 0), 1);
    CHECK_EQUAL(outward_settle(outward), 1u << LAYOUT_DROP_REFUSED);
    ring_ledger_load(ring.lane, &ledger);
    CHECK_EQUAL(ledger.tail, 1);
    CHECK_EQUAL(ledger.dropped[LAYOUT_DROP_REFUSED], 1);
    outward_destroy(outward);
}

static void end_batching(struct outward *outward)
{
    outward_destroy(outward);
    memset(channels, 0, sizeof(channels));
}

/* Each lane has a topic of its own where the channel's asks for its number, which counts from 0 in each channel. */
static void test_lane_has_its_own_topic(void)
{
    struct shared_memory_writer *first, *second;
    struct outward *outward;
    struct shared_memory *shm;

    channels[CHANNEL_OUT].topic = "{lane}/t/{lane}";
    channels[CHANNEL_STRICT].topic = "s/{lane}";
    outward = begin();
    CHECK(outward);
    CHECK_EQUAL(shared_memory_attach(&shm, fixture_name, 0), 0);
    CHECK(shared_memory_writer_open(shm, "out", &first) == 0 && shared_memory_writer_open(shm, "out", &second) == 0);
    CHECK_EQUAL(shared_memory_writer_write(second, "x", 1), 0);
    outward_collect(outward);
    CHECK_EQUAL(outward_pump(outward, 0), 1);
    CHECK(strcmp(last.topic, "1/t/1") == 0);
    CHECK_EQUAL(shared_memory_writer_write(first, "x", 1), 0);
    outward_collect(outward);
    CHECK_EQUAL(outward_pump(outward, 0), 1);
    CHECK(strcmp(last.topic, "0/t/0") == 0);
    CHECK_EQUAL(shared_memory_write("strict", "x", 1), 0);
    outward_collect(outward);
    CHECK_EQUAL(outward_pump(outward, 0), 1);
    CHECK(strcmp(last.topic, "s/0") == 0);
    shared_memory_writer_close(first);
    shared_memory_writer_close(second);
    shared_memory_detach(shm);
    end_batching(outward);
}

/* The usual channels, of which "strict" and "out" put up to four samples into a message and let them wait for 10 ms. */
static struct outward *begin_batching(void)
{
    for (int i = 0; i < FIXTURE_USUAL; i++)
        channels[i] = (struct outward_channel){.batch_max = 4, .batch_time_ms = 10, .batch_format = FRAME_BINARY};
    return begin();
}

static void write_samples(const char *channel, const char *payloads)
{
    for (; *payloads; payloads++)
        shared_memory_write(channel, payloads, 1);
}

/* The payloads of the frame that was sent last, a letter each; "?" when it is no frame. */
static const char *last_payloads(void)
{
    static char text[64];
    struct frame_reader reader;
    struct frame_sample sample;
    size_t count = 0;

    if (frame_open(&reader, FRAME_BINARY, last.bytes, last.size) < 0)
        return "?";
    while (frame_next(&reader, &sample) && count + 1 < sizeof(text))
        text[count++] = *(const char *)sample.payload;
    text[count] = 0;
    return text;
}

/* Samples wait for others until their time is over, and not longer; then they go as one message with one token, and its
 * answer accounts for all. */
static void test_samples_wait_for_others_and_go_as_one(void)
{
    struct outward *outward = begin_batching();
    struct ring_ledger ledger;

    CHECK(outward);
    write_samples("out", "abc");
    outward_collect(outward);
    CHECK_EQUAL(outward_pump(outward, 1000), 0);
    CHECK_EQUAL(outward_deadline_ms(outward), 1010);
    CHECK_EQUAL(outward_pump(outward, 1009), 0);
    CHECK_EQUAL(outward_pump(outward, 1010), 1);
    CHECK(strcmp(last_payloads(), "abc") == 0);
    CHECK(outward_deadline_ms(outward) == UINT64_MAX);
    CHECK_EQUAL(sent, 1);
    answer(tokens[0], FLIGHT_DELIVERED);
    outward_settle(outward);
    ring_ledger_load(segment_ring(&fixture_segment, LANE_OUT).lane, &ledger);
    CHECK_EQUAL(ledger.delivered, 3);
    CHECK_EQUAL(ledger.tail, 3);
    CHECK_EQUAL(ledger.dropped[LAYOUT_DROP_OVERWRITTEN], 0);
    end_batching(outward);
}

/* As many as fit a batch do not wait; what is beyond does. */
static void test_full_batch_does_not_wait(void)
{
    struct outward *outward = begin_batching();

    CHECK(outward);
    write_samples("out", "abcde");
    outward_collect(outward);
    CHECK_EQUAL(outward_pump(outward, 1000), 1);
    CHECK(strcmp(last_payloads(), "abcd") == 0);
    CHECK_EQUAL(outward_pump(outward, 1009), 0);
    CHECK_EQUAL(outward_pump(outward, UINT64_MAX), 1);
    CHECK(strcmp(last_payloads(), "e") == 0);
    CHECK_EQUAL(last.sequence, 4);
    end_batching(outward);
}

/* Half a full ring is not kept waiting, however many would fit a batch: with overflow = reject its writer would be
 * refused. */
static void test_half_a_ring_does_not_wait(void)
{
    struct outward *outward = begin_batching();

    CHECK(outward);
    write_samples("strict", "a");
    outward_collect(outward);
    CHECK_EQUAL(outward_pump(outward, 1000), 0);
    write_samples("strict", "b");
    outward_collect(outward);
    CHECK_EQUAL(outward_pump(outward, 1000), 1);
    CHECK(strcmp(last_payloads(), "ab") == 0);
    end_batching(outward);
}

/* A frame larger than the broker takes is sent in parts; a failed one again from its first sample, with what has come
 * since. */
static void test_frame_is_halved_for_the_broker_and_made_anew(void)
{
    struct outward *outward = begin_batching();
    struct ring_ledger ledger;

    CHECK(outward);
    largest = FRAME_HEADER_SIZE + 2 * (FRAME_SAMPLE_SIZE + 1);
    write_samples("out", "abcd");
    outward_collect(outward);
    CHECK_EQUAL(outward_pump(outward, 1000), 1);
    CHECK(strcmp(last_payloads(), "ab") == 0);
    CHECK_EQUAL(outward_pump(outward, 1010), 1);
    CHECK(strcmp(last_payloads(), "cd") == 0);
    largest = 0;
    write_samples("out", "ef");
    answer(tokens[0], FLIGHT_FAILED);
    answer(tokens[1], FLIGHT_DELIVERED);
    CHECK_EQUAL(outward_pump(outward, UINT64_MAX), 2);
    CHECK(strcmp(last_payloads(), "ef") == 0);
    CHECK_EQUAL(last.sequence, 4);
    answer(tokens[2], FLIGHT_DELIVERED);
    answer(tokens[3], FLIGHT_REFUSED);
    outward_settle(outward);
    ring_ledger_load(segment_ring(&fixture_segment, LANE_OUT).lane, &ledger);
    CHECK_EQUAL(ledger.delivered, 4);
    CHECK_EQUAL(ledger.dropped[LAYOUT_DROP_REFUSED], 2);
    CHECK_EQUAL(ledger.tail, 6);
    end_batching(outward);
}

/* While an earlier segment is drained, a frame holds nothing that was written after the bound: it may come after what
 * is still to be written there. */
static void test_frame_ends_at_the_bound(void)
{
    struct outward *outward = begin_batching();

    CHECK(outward);
    write_samples("out", "ab");
    outward_collect(outward);
    outward_bound(outward);
    write_samples("out", "cd");
    outward_collect(outward);
    CHECK_EQUAL(outward_pump(outward, 1000), 1);
    CHECK(strcmp(last_payloads(), "ab") == 0);
    outward_unbound(outward);
    CHECK_EQUAL(outward_pump(outward, UINT64_MAX), 1);
    CHECK(strcmp(last_payloads(), "cd") == 0);
    end_batching(outward);
}

/* A frame ends where messages were overwritten: its numbers have no gap. */
static void test_frame_ends_at_a_gap(void)
{
    struct outward *outward = begin_batching();

    CHECK(outward);
    write_samples("out", "abcdefghijkl");
    outward_collect(outward);
    while (outward_pump(outward, UINT64_MAX) > 0)
        ;
    CHECK(strcmp(last_payloads(), "ijkl") == 0);
    CHECK_EQUAL(last.sequence, 8);
    CHECK_EQUAL(sent, 2);
    end_batching(outward);
}

static const struct check_test tests[] = {
    {"test_slot_is_released_by_the_answer", test_slot_is_released_by_the_answer},
    {"test_slots_of_a_killed_gateway_are_released", test_slots_of_a_killed_gateway_are_released},
    {"test_overwritten_messages_are_counted", test_overwritten_messages_are_counted},
    {"test_failed_messages_are_sent_again", test_failed_messages_are_sent_again},
    {"test_refusal_of_the_client", test_refusal_of_the_client},
    {"test_lane_has_its_own_topic", test_lane_has_its_own_topic},
    {"test_samples_wait_for_others_and_go_as_one", test_samples_wait_for_others_and_go_as_one},
    {"test_full_batch_does_not_wait", test_full_batch_does_not_wait},
    {"test_half_a_ring_does_not_wait", test_half_a_ring_does_not_wait},
    {"test_frame_is_halved_for_the_broker_and_made_anew", test_frame_is_halved_for_the_broker_and_made_anew},
    {"test_frame_ends_at_the_bound", test_frame_ends_at_the_bound},
    {"test_frame_ends_at_a_gap", test_frame_ends_at_a_gap},
};

FIXTURE_MAIN(tests)
