/* cases_ring.c: a lane's messages: whole, in order, once, and counted when missed. */
#include <errno.h>

#include "cases.h"
#include "lanes.h"

/* explore_state: by reader, 16 marks each. Messages of the writer are marked 1, 2, 3... in order, so number s has mark
 * s + 1. */
#define MARKS(reader) (&explore_state[16 * (reader)])
#define WRITTEN explore_state[120]

static void write_some(int count, int with_topic)
{
    struct ring ring = lanes_ring(0, with_topic);
    struct ring_writer writer;

    ring_writer_start(&writer, &ring, 0);
    EXPECT(writer.next == 0);
    for (int i = 1; i <= count; i++)
        EXPECT(lanes_write(&writer, (uint64_t)i, with_topic) == 0);
}

static void read_some(int number, int tries, int with_topic, int written)
{
    struct lanes_reader reader = {.ring = lanes_ring(0, with_topic), .marks = MARKS(number), .with_topic = with_topic};

    while (tries-- > 0) {
        uint64_t place = reader.next;
        int got = lanes_read(&reader);

        if (got > 0)
            EXPECT(reader.marks[place] == place + 1);
        /* What is counted as missed was overwritten, or is being overwritten now. */
        if (got < 0)
            EXPECT(reader.next - 1 + SLOTS < (uint64_t)written);
        if (got == 0)
            return;
    }
}

/* When all is over, the ring holds the last messages, and a reader from the start misses exactly the others. */
static void read_rest(int written, int with_topic)
{
    struct lanes_reader reader = {.ring = lanes_ring(0, with_topic), .marks = MARKS(5), .with_topic = with_topic};
    int got;

    while ((got = lanes_read(&reader)) != 0)
        EXPECT(got > 0 || reader.missed > 0);
    EXPECT(reader.next == (uint64_t)written && ring_head(&reader.ring) == (uint64_t)written);
    EXPECT(reader.missed == (uint64_t)(written > SLOTS ? written - SLOTS : 0));
    EXPECT(ring_oldest(&reader.ring) == reader.missed);
}

static void lapped_begin(void)
{
    lanes_begin();
    lanes_narrow(); /* with all members, a hundred times as many executions */
}

static void write_2(void)
{
    write_some(2, 0);
}
static void write_3(void)
{
    write_some(3, 0);
}
static void write_5(void)
{
    write_some(5, 0);
}
static void write_topic(void)
{
    write_some(3, 1);
}
static void read_a(void)
{
    read_some(0, 4, 0, 3);
}
static void read_b(void)
{
    read_some(1, 4, 0, 3);
}
static void read_2(void)
{
    read_some(0, 3, 0, 2);
}
static void read_5(void)
{
    read_some(0, 4, 0, 5);
}
static void read_topic(void)
{
    read_some(0, 3, 1, 3);
}
static void rest_2(void)
{
    read_rest(2, 0);
}
static void rest_3(void)
{
    read_rest(3, 0);
}
static void rest_5(void)
{
    read_rest(5, 0);
}
static void rest_topic(void)
{
    read_rest(3, 1);
}

/* ---- Looking at a message where it lies ---- */

static void peek_at(uint64_t sequence)
{
    struct ring ring = lanes_ring(0, 0);
    const struct layout_slot *slot = (const void *)(ring.slots + (sequence & ring.mask) * STRIDE);
    struct ring_message message;
    uint64_t words[2];

    if (ring_peek(&ring, sequence, &message) < 0)
        return;
    EXPECT(message.payload == slot + 1);
    /* By whole words, without order, as the fastest reader could. */
    for (int i = 0; i < 2; i++)
        words[i] = atomic_load_explicit((const _Atomic uint64_t *)message.payload + i, memory_order_relaxed);
    if (ring_validate(&ring, sequence))
        EXPECT(lanes_check(&message, words, NULL) == sequence + 1);
}

static void peek(void)
{
    peek_at(0);
    peek_at(1);
}

static void peek_last(void)
{
    struct ring ring = lanes_ring(0, 0);
    uint64_t head = ring_head(&ring);

    if (head > 0)
        peek_at(head - 1);
}

/* ---- A buffer that is too small for some ---- */

static void read_small(void)
{
    struct ring ring = lanes_ring(0, 0);
    struct ring_message message;
    uint64_t words[2];

    /* Numbers 1 and 3 share a slot; 1 has 12 bytes, which fit. */
    for (int i = 0; i < 2; i++) {
        int rc = ring_read(&ring, 1, &message, &(struct ring_space){words, 12, NULL});

        EXPECT(rc != -EMSGSIZE);
        if (rc == 0)
            EXPECT(lanes_check(&message, words, NULL) == 2);
    }
}

static void write_small(void)
{
    struct ring ring = lanes_ring(0, 0);
    struct ring_writer writer;

    ring_writer_start(&writer, &ring, 0);
    for (uint64_t sequence = 0; sequence < 4; sequence++)
        lanes_write(&writer, sequence == 3 ? 5 : sequence + 1, 0);
}

/* ---- The newest message ---- */

static void read_newest(void)
{
    struct ring ring = lanes_ring(0, 0);
    struct ring_message message;
    uint64_t words[2], head = ring_head(&ring), oldest;

    if (head > 0) {
        int rc = ring_read(&ring, head - 1, &message, &(struct ring_space){words, sizeof(words), NULL});

        EXPECT(rc == 0 || rc == -ESTALE);
        EXPECT(rc < 0 || lanes_check(&message, words, NULL) == head);
    }
    oldest = ring_oldest(&ring);
    EXPECT(ring_resync(&ring, head) > head && oldest <= 3);
}

/* ---- Reject: the gateway reads and gives slots back ---- */

/* explore_state: by sequence number, what of the gateway's operations the next write to the slot must come after, and
 * whose they are. */
#define READ_BY(sequence) explore_state[64 + 2 * (sequence)]
#define READ_AT(sequence) explore_state[65 + 2 * (sequence)]
#define REJECTED explore_state[121]
#define TAIL explore_state[122]

static void write_reject(uint64_t tries)
{
    struct ring ring = lanes_ring(0, 0);
    struct ring_writer writer;

    ring_writer_start(&writer, &ring, 1);
    EXPECT(writer.next == WRITTEN);
    while (tries-- > 0) {
        uint64_t sequence = writer.next;
        int rc = lanes_write(&writer, sequence + 1, 0);

        EXPECT(rc == 0 || rc == -EAGAIN);
        REJECTED += rc < 0;
        WRITTEN += rc == 0;
        EXPECT(ring_rejected(&ring) == REJECTED);
        if (rc == 0 && sequence >= SLOTS)
            EXPECT(READ_AT(sequence - SLOTS) > 0 &&
                   explore_known((int)READ_BY(sequence - SLOTS)) >= READ_AT(sequence - SLOTS));
    }
}

static void release_slots(int number, int tries)
{
    struct ring ring = lanes_ring(0, 0);
    struct ring_ledger ledger;

    ring_ledger_load(ring.lane, &ledger);
    /* The gateway before may have been killed between the record and the tail: without this, a writer whose ring is
     * full, and has been delivered, would be refused for ever. */
    ring_ledger_store(ring.lane, &ledger);
    while (tries-- > 0) {
        struct ring_message message;
        uint64_t words[2];

        if (ring_peek(&ring, ledger.tail, &message) < 0)
            continue;
        /* Nothing is looked at again: the slot is ours until the tail passes it. */
        for (int i = 0; i < 2; i++)
            words[i] = atomic_load_explicit((const _Atomic uint64_t *)message.payload + i, memory_order_relaxed);
        EXPECT(lanes_check(&message, words, NULL) == ledger.tail + 1);
        READ_BY(ledger.tail) = (uint64_t)number;
        READ_AT(ledger.tail) = explore_known(number);
        ledger.tail++;
        ledger.delivered++;
        ring_ledger_store(ring.lane, &ledger);
        TAIL = ledger.tail;
    }
}

static void write_reject_5(void)
{
    write_reject(5);
}
static void write_reject_2(void)
{
    write_reject(2);
}
static void write_reject_3(void)
{
    write_reject(3);
}
static void release_4(void)
{
    release_slots(1, 4);
}
static void release_after_2(void)
{
    release_slots(2, 2);
}
static void release_next(void)
{
    release_slots(2, 3);
}

static void release_killed(void)
{
    explore_mortal(1);
    release_slots(1, 2);
}

static void reject_end(void)
{
    struct ring ring = lanes_ring(0, 0);
    struct ring_ledger ledger;

    ring_ledger_load(ring.lane, &ledger);
    EXPECT(ledger.tail >= TAIL && ledger.delivered == ledger.tail);
    EXPECT(atomic_load_explicit(&ring.lane->tail, memory_order_relaxed) == ledger.tail);
    EXPECT(ring_head(&ring) == WRITTEN && WRITTEN - ledger.tail <= SLOTS);
    EXPECT(ring_rejected(&ring) == REJECTED);
}

#define GIVEN_BACK "no slot is written before the gateway has given it back; what it reads needs no second look"
#define WHOLE \
    "each message read is whole and the right one, once and in order; what is missed was overwritten, and is counted"

const struct explore_case cases_ring[] = {
    {.name = "read",
     .promise = WHOLE,
     .begin = lanes_begin,
     .threads = {{"writer", write_3, 0}, {"reader a", read_a, 0}, {"reader b", read_b, 0}},
     .end = rest_3},
    {.name = "read-unlapped",
     .promise = WHOLE ", and none is missed while nothing is overwritten",
     .begin = lanes_begin,
     .threads = {{"writer", write_2, 0}, {"reader", read_2, 0}},
     .end = rest_2},
    {.name = "read-topic",
     .promise = WHOLE,
     .begin = lanes_begin,
     .threads = {{"writer", write_topic, 0}, {"reader", read_topic, 0}},
     .end = rest_topic},
    {.name = "read-lapped",
     .promise = WHOLE " after a lap",
     .begin = lapped_begin,
     .threads = {{"writer", write_5, 0}, {"reader", read_5, 0}},
     .end = rest_5,
     .full = 1},
    {.name = "peek",
     .promise = "a message that is still there after it was looked at was whole",
     .begin = lanes_begin,
     .threads = {{"writer", write_3, 0}, {"reader", peek, 0}, {"reader b", peek_last, 0}},
     .end = rest_3},
    {.name = "read-small",
     .promise = "a message that fits is not called too large because of another in its slot",
     .begin = lanes_begin,
     .threads = {{"writer", write_small, 0}, {"reader", read_small, 0}}},
    {.name = "newest",
     .promise = "the message below the head is there, or was overwritten",
     .begin = lanes_begin,
     .threads = {{"writer", write_3, 0}, {"reader", read_newest, 0}},
     .end = rest_3},
    {.name = "reject",
     .promise = GIVEN_BACK,
     .begin = lanes_begin,
     .threads = {{"writer", write_reject_5, 0}, {"gateway", release_4, 0}},
     .end = reject_end},
    {.name = "reject-take-over",
     .promise = GIVEN_BACK,
     .begin = lanes_begin,
     .threads = {{"writer", write_reject_2, 0}, {"successor", write_reject_2, 1}, {"gateway", release_after_2, 0}},
     .end = reject_end},
    {.name = "reject-restart",
     .promise = GIVEN_BACK,
     .begin = lanes_begin,
     .threads = {{"writer", write_reject_3, 0}, {"dead gateway", release_killed, 0}, {"gateway", release_next, 2}},
     .end = reject_end},
    {0},
};
