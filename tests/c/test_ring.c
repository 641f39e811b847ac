/* test_ring.c: one lane in one thread: order, sizes, overflow, take-over after a kill, the ledger and the flags. */
#include "ring_fixture.h"

static struct test_ring made;
static struct ring_writer writer;

static int start(uint32_t slots, uint32_t max_payload, uint32_t topic_max, int reject)
{
    int rc = ring_make(&made, slots, max_payload, topic_max);

    if (rc == 0)
        ring_writer_start(&writer, &made.ring, reject);
    return rc;
}

/* Read message `sequence`: its size when it is right, -1 when it is wrong, or the error. */
static int read_right(uint64_t sequence)
{
    unsigned char buffer[4096];
    struct ring_message message;
    int rc = ring_read(&made.ring, sequence, &message, &(struct ring_space){buffer, sizeof(buffer), NULL});

    if (rc < 0)
        return rc;
    return payload_right(buffer, message.size, sequence) && message.time_ns == 1000 + sequence ? (int)message.size : -1;
}

/* Messages are read in the order they were written; behind the last one there is none. */
static void test_messages_come_in_order(void)
{
    CHECK_EQUAL(start(8, 64, 0, 0), 0);
    CHECK_EQUAL(read_right(0), -EAGAIN);
    for (size_t i = 0; i < 5; i++)
        CHECK_EQUAL(write_next(&writer, 10 + i), 0);
    for (uint64_t i = 0; i < 5; i++)
        CHECK_EQUAL(read_right(i), 10 + i);
    CHECK_EQUAL(read_right(5), -EAGAIN);
    CHECK_EQUAL(ring_head(&made.ring), 5);
}

/* A ring goes on for ever in its few slots. */
static void test_ring_wraps(void)
{
    CHECK_EQUAL(start(2, 24, 0, 0), 0);
    for (uint64_t i = 0; i < 1000; i++) {
        CHECK_EQUAL(write_next(&writer, i % 25), 0);
        CHECK_EQUAL(read_right(i), i % 25);
    }
    CHECK_EQUAL(ring_oldest(&made.ring), 998);
}

/* Payloads of every size up to the limit arrive with all their bytes, in both kinds of slot. */
static void test_every_size_arrives(void)
{
    const uint32_t limits[] = {1, 7, 8, 9, 31, 32, 33, 61};

    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
        for (uint32_t topic_max = 0; topic_max <= 5; topic_max += 5) {
            CHECK_EQUAL(start(2, limits[i], topic_max, 0), 0);
            for (uint32_t size = 0; size <= limits[i]; size++) {
                CHECK_EQUAL(write_next(&writer, size), 0);
                CHECK_EQUAL(read_right(size), size);
            }
        }
}

/* One byte more than the slot holds is refused, and nothing has changed. */
static void test_one_byte_more_is_refused(void)
{
    struct ring_message message = {.payload = "", .topic = "abcdef", .topic_size = 6};

    CHECK_EQUAL(start(4, 61, 5, 0), 0);
    CHECK_EQUAL(write_next(&writer, 62), -EMSGSIZE);
    CHECK_EQUAL(ring_write(&writer, &message), -EMSGSIZE);
    CHECK_EQUAL(ring_head(&made.ring), 0);
    CHECK_EQUAL(ring_rejected(&made.ring), 0);
    CHECK_EQUAL(ring_slot(&made.ring, 0)->state, 0);
    CHECK_EQUAL(write_next(&writer, 61), 0);
    CHECK_EQUAL(read_right(0), 61);
}

/* Topic, flags and both times travel with the message. */
static void test_topic_travels(void)
{
    struct ring_message message = {.payload = "12345",
                                   .size = 5,
                                   .topic = "a/bc/d",
                                   .topic_size = 6,
                                   .flags = LAYOUT_FLAG_RETAINED,
                                   .time_ns = 77,
                                   .expires_ns = 88};
    char buffer[8], topic[6];

    CHECK_EQUAL(start(4, 5, 6, 0), 0);
    CHECK_EQUAL(ring_write(&writer, &message), 0);
    memset(&message, 0, sizeof(message));
    CHECK_EQUAL(ring_read(&made.ring, 0, &message, &(struct ring_space){buffer, sizeof(buffer), topic}), 0);
    CHECK(message.payload == buffer && message.topic == topic);
    CHECK(message.size == 5 && memcmp(buffer, "12345", 5) == 0);
    CHECK(message.topic_size == 6 && memcmp(topic, "a/bc/d", 6) == 0);
    CHECK(message.flags == LAYOUT_FLAG_RETAINED && message.time_ns == 77 && message.expires_ns == 88);
}

/* A buffer that is too small is told the size it needs, and the message stays. */
static void test_small_buffer_is_told_the_size(void)
{
    struct ring_message message;
    char buffer[9];

    CHECK_EQUAL(start(4, 20, 0, 0), 0);
    CHECK_EQUAL(write_next(&writer, 10), 0);
    CHECK_EQUAL(ring_read(&made.ring, 0, &message, &(struct ring_space){buffer, sizeof(buffer), NULL}), -EMSGSIZE);
    CHECK_EQUAL(message.size, 10);
    CHECK_EQUAL(read_right(0), 10);
}

/* A full ring with overflow = reject refuses until the tail moves, counts each refusal, and keeps what it has. */
static void test_full_ring_rejects(void)
{
    struct ring_ledger ledger = {.tail = 1};

    CHECK_EQUAL(start(4, 16, 0, 1), 0);
    for (int i = 0; i < 4; i++)
        CHECK_EQUAL(write_next(&writer, 16), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQUAL(write_next(&writer, 16), -EAGAIN);
    CHECK_EQUAL(ring_rejected(&made.ring), 3);
    CHECK_EQUAL(read_right(0), 16);
    ring_ledger_store(made.lane, &ledger);
    CHECK_EQUAL(write_next(&writer, 16), 0);
    CHECK_EQUAL(write_next(&writer, 16), -EAGAIN);
    CHECK_EQUAL(read_right(1), 16);
    CHECK_EQUAL(read_right(4), 16);
    CHECK_EQUAL(ring_rejected(&made.ring), 4);
}

/* A reader that was lapped is told exactly how many messages it missed, whatever its lag. */
static void test_lapped_reader_counts_exactly(void)
{
    for (uint64_t written = 0; written < 30; written++) {
        uint64_t next = 0, missed = 0, got = 0;
        int rc;

        CHECK_EQUAL(start(8, 16, 0, 0), 0);
        for (uint64_t i = 0; i < written; i++)
            CHECK_EQUAL(write_next(&writer, 16), 0);
        while ((rc = read_right(next)) != -EAGAIN) {
            uint64_t further = rc == -ESTALE ? ring_resync(&made.ring, next) : next + 1;

            CHECK(rc == 16 || rc == -ESTALE);
            got += rc == 16;
            missed += rc == 16 ? 0 : further - next;
            next = further;
        }
        CHECK_EQUAL(missed, written > 8 ? written - 8 : 0);
        CHECK_EQUAL(got + missed, written);
    }
}

/* Bytes that were overwritten between the look and the second look are not trusted. */
static void test_overwrite_during_a_look_is_noticed(void)
{
    struct ring_message message;

    CHECK_EQUAL(start(2, 16, 0, 0), 0);
    CHECK_EQUAL(write_next(&writer, 16), 0);
    CHECK_EQUAL(ring_peek(&made.ring, 0, &message), 0);
    CHECK_EQUAL(write_next(&writer, 16), 0);
    CHECK_EQUAL(ring_validate(&made.ring, 0), 1);
    CHECK_EQUAL(write_next(&writer, 16), 0);
    CHECK_EQUAL(ring_validate(&made.ring, 0), 0);
    CHECK_EQUAL(read_right(0), -ESTALE);
    CHECK_EQUAL(ring_resync(&made.ring, 0), 1);
}

/* The announcement alone, before any byte has changed, already ends the trust in the slot's old message. */
static void test_announced_overwrite_is_noticed(void)
{
    struct ring_message message;

    CHECK_EQUAL(start(2, 16, 0, 0), 0);
    CHECK_EQUAL(write_next(&writer, 16), 0);
    CHECK_EQUAL(write_next(&writer, 16), 0);
    CHECK_EQUAL(ring_peek(&made.ring, 0, &message), 0);
    ring_slot(&made.ring, 2)->state = 2 * 2 + 1;
    CHECK_EQUAL(ring_validate(&made.ring, 0), 0);
    CHECK_EQUAL(read_right(0), -ESTALE);
    CHECK_EQUAL(ring_resync(&made.ring, 0), 1);
    CHECK_EQUAL(read_right(1), 16);
    CHECK_EQUAL(read_right(2), -EAGAIN);
}

/* The successor of a writer that was killed after the announcement, or in the middle of the payload, writes that
 * message. */
static void test_takeover_before_the_commit(void)
{
    for (uint64_t before = 0; before < 9; before++)
        for (int half = 0; half < 2; half++) {
            CHECK_EQUAL(start(4, 16, 0, 0), 0);
            for (uint64_t i = 0; i < before; i++)
                CHECK_EQUAL(write_next(&writer, 16), 0);
            ring_slot(&made.ring, before)->state = 2 * before + 1;
            if (half) {
                ring_slot(&made.ring, before)->size = 13;
                memset(ring_slot(&made.ring, before) + 1, 0xee, 8);
            }
            CHECK_EQUAL(read_right(before), -EAGAIN);
            ring_writer_start(&writer, &made.ring, 0);
            CHECK_EQUAL(writer.next, before);
            CHECK_EQUAL(read_right(before), -EAGAIN);
            CHECK_EQUAL(write_next(&writer, 16), 0);
            CHECK_EQUAL(read_right(before), 16);
            CHECK_EQUAL(ring_head(&made.ring), before + 1);
        }
}

/* The successor of a writer that was killed between the commit and the head goes on behind the committed message. */
static void test_takeover_between_commit_and_head(void)
{
    for (uint64_t before = 0; before < 9; before++) {
        CHECK_EQUAL(start(4, 16, 0, 0), 0);
        for (uint64_t i = 0; i <= before; i++)
            CHECK_EQUAL(write_next(&writer, 16), 0);
        made.lane->head = before;
        CHECK_EQUAL(read_right(before), 16);
        CHECK_EQUAL(ring_check_damage(&made.ring, before + 1), 0);
        ring_writer_start(&writer, &made.ring, 0);
        CHECK_EQUAL(writer.next, before + 1);
        CHECK_EQUAL(ring_head(&made.ring), before + 1);
        CHECK_EQUAL(write_next(&writer, 16), 0);
        CHECK_EQUAL(read_right(before), 16);
        CHECK_EQUAL(read_right(before + 1), 16);
    }
}

/* The successor of a writer that ended in order goes on where it stopped, and a full ring stays full for it. */
static void test_takeover_of_a_whole_lane(void)
{
    CHECK_EQUAL(start(4, 16, 0, 1), 0);
    for (int i = 0; i < 4; i++)
        CHECK_EQUAL(write_next(&writer, 16), 0);
    ring_writer_start(&writer, &made.ring, 1);
    CHECK_EQUAL(writer.next, 4);
    CHECK_EQUAL(write_next(&writer, 16), -EAGAIN);
    CHECK_EQUAL(read_right(0), 16);
}

/* A ledger comes back as it was stored, and what a killed gateway left half written beside it does not show. */
static void test_ledger_is_whole(void)
{
    struct ring_ledger in = {.tail = 3, .delivered = 2, .spooled = 1}, out;

    CHECK_EQUAL(start(4, 16, 0, 0), 0);
    for (uint64_t turn = 0; turn < 5; turn++) {
        in.tail++;
        in.dropped[turn] = 40 + turn;
        ring_ledger_store(made.lane, &in);
        memset(&made.lane->ledger[(made.lane->ledger_turn + 1) % 2], 0xff, sizeof(made.lane->ledger[0]));
        ring_ledger_load(made.lane, &out);
        CHECK(memcmp(&in, &out, sizeof(in)) == 0);
        CHECK_EQUAL(made.lane->tail, in.tail);
    }
}

/* What the former segments came to is stored beside the ledger and comes back. */
static void test_carried_comes_back(void)
{
    static struct layout_channel channel;
    struct ring_carried in = {.written = 10, .delivered = 7, .rejected = 1, .dropped = {[LAYOUT_DROP_SPACE - 1] = 3}},
                        out;

    ring_carried_store(&channel, &in);
    ring_carried_load(&channel, &out);
    CHECK(memcmp(&in, &out, sizeof(in)) == 0);
}

/* A writer leaves word in its lane's bit, and posts only when the gateway sleeps and nobody has posted for that sleep:
 * one post for all, but a writer killed before its post leaves it to the next one, and one stopped after it does not
 * spoil a later sleep. */
static void test_notify_posts_once(void)
{
    uint32_t sleep, later;

    static struct layout_header header;
    static _Atomic uint64_t dirty[2];

    CHECK_EQUAL(ring_notify(&header, dirty, 0), 0);
    CHECK_EQUAL(ring_notify(&header, dirty, 63), 0);
    CHECK_EQUAL(ring_any_dirty(dirty, 2), 1);
    CHECK(ring_take_dirty(dirty, 0) == (UINT64_C(1) | UINT64_C(1) << 63));
    CHECK(ring_take_dirty(dirty, 0) == 0 && ring_any_dirty(dirty, 2) == 0);
    ring_sleep(&header);
    sleep = ring_notify(&header, dirty, 64);
    CHECK(sleep != 0);
    CHECK_EQUAL(ring_notify(&header, dirty, 64), sleep);
    ring_posted(&header, sleep);
    CHECK_EQUAL(ring_notify(&header, dirty, 64), 0);
    CHECK_EQUAL(ring_notify_event(&header), 0);
    CHECK_EQUAL(ring_any_dirty(dirty, 1), 0);
    CHECK_EQUAL(ring_take_dirty(dirty, 1), 1);
    ring_sleep(&header);
    later = ring_notify_event(&header);
    CHECK(later != 0 && later != sleep);
    ring_posted(&header, sleep);
    CHECK_EQUAL(ring_notify_event(&header), later);
    ring_wake(&header);
    CHECK_EQUAL(ring_notify(&header, dirty, 1), 0);
}

/* Readers are woken only when one has asked for it, and then by a word that has changed. */
static void test_readers_are_woken_when_they_asked(void)
{
    static struct layout_channel channel;
    uint32_t word;

    CHECK_EQUAL(ring_wake_readers(&channel), 0);
    word = ring_reader_sleep(&channel);
    CHECK_EQUAL(word, channel.wake_word);
    CHECK_EQUAL(ring_wake_readers(&channel), 1);
    CHECK(word != channel.wake_word);
    CHECK_EQUAL(ring_wake_readers(&channel), 0);
}

static const struct check_test tests[] = {
    {"test_messages_come_in_order", test_messages_come_in_order},
    {"test_ring_wraps", test_ring_wraps},
    {"test_every_size_arrives", test_every_size_arrives},
    {"test_one_byte_more_is_refused", test_one_byte_more_is_refused},
    {"test_topic_travels", test_topic_travels},
    {"test_small_buffer_is_told_the_size", test_small_buffer_is_told_the_size},
    {"test_full_ring_rejects", test_full_ring_rejects},
    {"test_lapped_reader_counts_exactly", test_lapped_reader_counts_exactly},
    {"test_overwrite_during_a_look_is_noticed", test_overwrite_during_a_look_is_noticed},
    {"test_announced_overwrite_is_noticed", test_announced_overwrite_is_noticed},
    {"test_takeover_before_the_commit", test_takeover_before_the_commit},
    {"test_takeover_between_commit_and_head", test_takeover_between_commit_and_head},
    {"test_takeover_of_a_whole_lane", test_takeover_of_a_whole_lane},
    {"test_ledger_is_whole", test_ledger_is_whole},
    {"test_carried_comes_back", test_carried_comes_back},
    {"test_notify_posts_once", test_notify_posts_once},
    {"test_readers_are_woken_when_they_asked", test_readers_are_woken_when_they_asked},
};

CHECK_MAIN(tests)
