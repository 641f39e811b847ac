/* test_publish.c: what the publisher's side makes of a segment, with a transport that only notes what it gets. */
#include "publish_fixture.h"

/* A slot is the writer's again when the broker has answered, and not before. */
static void test_slot_is_released_by_the_answer(void)
{
    struct publish *publish = begin();
    struct ring ring = segment_ring(&fixture_segment, LANE_STRICT);

    CHECK(publish);
    for (int i = 0; i < 4; i++)
        CHECK_EQUAL(shared_memory_write("strict", "x", 1), 0);
    CHECK_EQUAL(publish_poll_dirty(publish), 1);
    CHECK_EQUAL(sender_send_ready(sender, 0), 4);
    publish_flush_ledgers(publish);
    CHECK_EQUAL(shared_memory_write("strict", "x", 1), -EAGAIN);
    CHECK_EQUAL(ring.lane->tail, 0);
    answer(tokens[0], TRANSPORT_DELIVERED);
    publish_flush_ledgers(publish);
    CHECK_EQUAL(ring.lane->tail, 1);
    CHECK_EQUAL(shared_memory_write("strict", "x", 1), 0);
    CHECK_EQUAL(shared_memory_write("strict", "x", 1), -EAGAIN);
    publish_destroy(publish);
}

/* A gateway killed after its ledger said "done" and before the slots were given back: the next one gives them back, or
 * a writer with a full ring would wait for ever. */
static void test_slots_of_a_killed_gateway_are_released(void)
{
    struct publish *publish = begin();
    struct ring ring = segment_ring(&fixture_segment, LANE_STRICT);
    struct ring_ledger ledger = {.tail = 4, .delivered = 4};

    CHECK(publish);
    publish_destroy(publish);
    for (int i = 0; i < 4; i++)
        CHECK_EQUAL(shared_memory_write("strict", "x", 1), 0);
    ring_ledger_store(ring.lane, &ledger);
    ring.lane->tail = 0;
    CHECK_EQUAL(shared_memory_write("strict", "x", 1), -EAGAIN);
    CHECK_EQUAL(!(publish = take_up()), 0);
    CHECK_EQUAL(shared_memory_write("strict", "x", 1), 0);
    CHECK_EQUAL(sender_send_ready(sender, 0), 1);
    publish_destroy(publish);
}

/* What was overwritten before it could be sent is counted, to the message, wherever the messages around it are. */
static void test_overwritten_messages_are_counted(void)
{
    struct publish *publish = begin();
    struct ring_ledger ledger;
    struct ring ring = segment_ring(&fixture_segment, LANE_OUT);

    CHECK(publish);
    CHECK_EQUAL(shared_memory_write("out", "x", 1), 0);
    publish_poll_dirty(publish);
    CHECK_EQUAL(sender_send_ready(sender, 0), 1);
    for (int i = 0; i < 20; i++)
        CHECK_EQUAL(shared_memory_write("out", "x", 1), 0);
    publish_poll_dirty(publish);
    while (sender_send_ready(sender, 0) > 0)
        ;
    for (int i = 0; i < sent; i++)
        answer(tokens[i], TRANSPORT_DELIVERED);
    publish_flush_ledgers(publish);
    ring_ledger_load(ring.lane, &ledger);
    CHECK_EQUAL(sent, 1 + 8);
    CHECK_EQUAL(ledger.tail, 21);
    CHECK_EQUAL(ledger.delivered, 9);
    CHECK_EQUAL(ledger.dropped[LAYOUT_DROP_OVERWRITTEN], 12);
    CHECK_EQUAL(publish_is_drained(publish), 1);
    publish_destroy(publish);
}

/* After a failure the lane's messages are sent again from the first that failed, in order. */
static void test_failed_messages_are_sent_again(void)
{
    struct publish *publish = begin();
    struct ring_ledger ledger;
    struct ring ring = segment_ring(&fixture_segment, LANE_STRICT);

    CHECK(publish);
    for (int i = 0; i < 4; i++)
        CHECK_EQUAL(shared_memory_write("strict", "x", 1), 0);
    publish_poll_dirty(publish);
    CHECK_EQUAL(sender_send_ready(sender, 0), 4);
    answer(tokens[0], TRANSPORT_DELIVERED);
    answer(tokens[1], TRANSPORT_FAILED);
    CHECK_EQUAL(sender_send_ready(sender, 0), 0);
    answer(tokens[2], TRANSPORT_DELIVERED);
    answer(tokens[3], TRANSPORT_REFUSED);
    CHECK_EQUAL(sender_send_ready(sender, 0), 3);
    for (int i = 4; i < 7; i++)
        answer(tokens[i], TRANSPORT_DELIVERED);
    publish_flush_ledgers(publish);
    ring_ledger_load(ring.lane, &ledger);
    CHECK_EQUAL(ledger.tail, 4);
    CHECK_EQUAL(ledger.delivered, 4);
    publish_destroy(publish);
}

/* A client that takes nothing now loses nothing; one that never takes a message has it counted as refused. */
static void test_refusal_of_the_client(void)
{
    struct publish *publish = begin();
    struct ring_ledger ledger;
    struct ring ring = segment_ring(&fixture_segment, LANE_STRICT);

    CHECK(publish);
    CHECK_EQUAL(shared_memory_write("strict", "x", 1), 0);
    publish_poll_dirty(publish);
    refuse = -EAGAIN;
    CHECK_EQUAL(sender_send_ready(sender, 1000), 0);
    CHECK_EQUAL(sender_in_flight(sender), 0);
    refuse = -EINVAL;
    CHECK_EQUAL(sender_send_ready(sender, 1001), 0);
    CHECK_EQUAL(sender_send_ready(sender, sender_deadline_ms(sender, 1001)), 1);
    CHECK_EQUAL(publish_flush_ledgers(publish), 1u << LAYOUT_DROP_REFUSED);
    ring_ledger_load(ring.lane, &ledger);
    CHECK_EQUAL(ledger.tail, 1);
    CHECK_EQUAL(ledger.dropped[LAYOUT_DROP_REFUSED], 1);
    publish_destroy(publish);
}

static void end_batching(struct publish *publish)
{
    publish_destroy(publish);
    memset(channels, 0, sizeof(channels));
}

/* Each lane has a topic of its own where the channel's asks for its number, which counts from 0 in each channel. */
static void test_lane_has_its_own_topic(void)
{
    struct shared_memory_writer *first, *second;
    struct publish *publish;
    struct shared_memory *shm;

    channels[CHANNEL_OUT].topic = "{lane}/t/{lane}";
    channels[CHANNEL_STRICT].topic = "s/{lane}";
    publish = begin();
    CHECK(publish);
    CHECK_EQUAL(shared_memory_attach(&shm, fixture_name, 0), 0);
    CHECK(shared_memory_writer_open(shm, "out", &first) == 0 && shared_memory_writer_open(shm, "out", &second) == 0);
    CHECK_EQUAL(shared_memory_writer_write(second, "x", 1), 0);
    publish_poll_dirty(publish);
    CHECK_EQUAL(sender_send_ready(sender, 0), 1);
    CHECK(strcmp(last.topic, "1/t/1") == 0);
    CHECK_EQUAL(shared_memory_writer_write(first, "x", 1), 0);
    publish_poll_dirty(publish);
    CHECK_EQUAL(sender_send_ready(sender, 0), 1);
    CHECK(strcmp(last.topic, "0/t/0") == 0);
    CHECK_EQUAL(shared_memory_write("strict", "x", 1), 0);
    publish_poll_dirty(publish);
    CHECK_EQUAL(sender_send_ready(sender, 0), 1);
    CHECK(strcmp(last.topic, "s/0") == 0);
    shared_memory_writer_close(first);
    shared_memory_writer_close(second);
    shared_memory_detach(shm);
    end_batching(publish);
}

/* The usual channels, of which "strict" and "out" put up to four samples into a message and let them wait for 10 ms. */
static struct publish *begin_batching(void)
{
    for (int i = 0; i < FIXTURE_USUAL; i++)
        channels[i] = (struct publish_channel){.batch_max = 4, .batch_time_ms = 10, .batch_format = FRAME_BINARY};
    return begin();
}

static void write_samples(const char *channel, const char *payloads)
{
    for (; *payloads; payloads++)
        shared_memory_write(channel, payloads, 1);
}

/* The number of the first sample of that frame: bytes 8 to 15, little-endian. */
static uint64_t last_sequence(void)
{
    uint64_t sequence = 0;

    for (int i = 0; i < 8; i++)
        sequence |= (uint64_t)(unsigned char)last.bytes[8 + i] << 8 * i;
    return sequence;
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
    struct publish *publish = begin_batching();
    struct ring_ledger ledger;

    CHECK(publish);
    write_samples("out", "abc");
    publish_poll_dirty(publish);
    CHECK_EQUAL(sender_send_ready(sender, 1000), 0);
    CHECK_EQUAL(sender_deadline_ms(sender, 1000), 1010);
    CHECK_EQUAL(sender_send_ready(sender, 1009), 0);
    CHECK_EQUAL(sender_send_ready(sender, 1010), 1);
    CHECK(strcmp(last_payloads(), "abc") == 0);
    CHECK(sender_deadline_ms(sender, 1000) == UINT64_MAX);
    CHECK_EQUAL(sent, 1);
    answer(tokens[0], TRANSPORT_DELIVERED);
    publish_flush_ledgers(publish);
    ring_ledger_load(segment_ring(&fixture_segment, LANE_OUT).lane, &ledger);
    CHECK_EQUAL(ledger.delivered, 3);
    CHECK_EQUAL(ledger.tail, 3);
    CHECK_EQUAL(ledger.dropped[LAYOUT_DROP_OVERWRITTEN], 0);
    end_batching(publish);
}

/* As many as fit a batch do not wait; what is beyond does. */
static void test_full_batch_does_not_wait(void)
{
    struct publish *publish = begin_batching();

    CHECK(publish);
    write_samples("out", "abcde");
    publish_poll_dirty(publish);
    CHECK_EQUAL(sender_send_ready(sender, 1000), 1);
    CHECK(strcmp(last_payloads(), "abcd") == 0);
    CHECK_EQUAL(sender_send_ready(sender, 1009), 0);
    CHECK_EQUAL(sender_send_ready(sender, UINT64_MAX), 1);
    CHECK(strcmp(last_payloads(), "e") == 0);
    CHECK_EQUAL(last_sequence(), 4);
    end_batching(publish);
}

/* Half a full ring is not kept waiting, however many would fit a batch: with overflow = reject its writer would be
 * refused. */
static void test_half_a_ring_does_not_wait(void)
{
    struct publish *publish = begin_batching();

    CHECK(publish);
    write_samples("strict", "a");
    publish_poll_dirty(publish);
    CHECK_EQUAL(sender_send_ready(sender, 1000), 0);
    write_samples("strict", "b");
    publish_poll_dirty(publish);
    CHECK_EQUAL(sender_send_ready(sender, 1000), 1);
    CHECK(strcmp(last_payloads(), "ab") == 0);
    end_batching(publish);
}

/* A frame larger than the broker takes is sent in parts; a failed one again from its first sample, with what has come
 * since. */
static void test_frame_is_halved_for_the_broker_and_made_anew(void)
{
    struct publish *publish = begin_batching();
    struct ring_ledger ledger;

    CHECK(publish);
    largest = FRAME_HEADER_SIZE + 2 * (FRAME_SAMPLE_SIZE + 1);
    write_samples("out", "abcd");
    publish_poll_dirty(publish);
    CHECK_EQUAL(sender_send_ready(sender, 1000), 1);
    CHECK(strcmp(last_payloads(), "ab") == 0);
    CHECK_EQUAL(sender_send_ready(sender, 1010), 1);
    CHECK(strcmp(last_payloads(), "cd") == 0);
    largest = 0;
    write_samples("out", "ef");
    answer(tokens[0], TRANSPORT_FAILED);
    answer(tokens[1], TRANSPORT_DELIVERED);
    CHECK_EQUAL(sender_send_ready(sender, UINT64_MAX), 2);
    CHECK(strcmp(last_payloads(), "ef") == 0);
    CHECK_EQUAL(last_sequence(), 4);
    answer(tokens[2], TRANSPORT_DELIVERED);
    answer(tokens[3], TRANSPORT_REFUSED);
    publish_flush_ledgers(publish);
    ring_ledger_load(segment_ring(&fixture_segment, LANE_OUT).lane, &ledger);
    CHECK_EQUAL(ledger.delivered, 4);
    CHECK_EQUAL(ledger.dropped[LAYOUT_DROP_REFUSED], 2);
    CHECK_EQUAL(ledger.tail, 6);
    end_batching(publish);
}

/* A frame ends where messages were overwritten: its numbers have no gap. */
static void test_frame_ends_at_a_gap(void)
{
    struct publish *publish = begin_batching();

    CHECK(publish);
    write_samples("out", "abcdefghijkl");
    publish_poll_dirty(publish);
    while (sender_send_ready(sender, UINT64_MAX) > 0)
        ;
    CHECK(strcmp(last_payloads(), "ijkl") == 0);
    CHECK_EQUAL(last_sequence(), 8);
    CHECK_EQUAL(sent, 2);
    end_batching(publish);
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
    {"test_frame_ends_at_a_gap", test_frame_ends_at_a_gap},
};

FIXTURE_MAIN(tests)
