/* test_ring_hostile.c: any bytes in a lane's fields: no access beyond its slots (there is a guard page), bounded steps,
 * and everybody recovers when the writer goes on. */
#include "ring_fixture.h"

#define SLOTS 4
#define PAYLOAD 40
#define TOPIC 12
#define STEPS 64 /* that a reader makes before it has surely seen all of a ring of SLOTS */

static const uint64_t numbers[] = {0,
                                   1,
                                   2,
                                   3,
                                   4,
                                   5,
                                   6,
                                   7,
                                   8,
                                   9,
                                   15,
                                   16,
                                   17,
                                   40,
                                   41,
                                   127,
                                   255,
                                   65535,
                                   65536,
                                   0x7fffffff,
                                   0x80000000,
                                   0xffffffff,
                                   UINT64_C(1) << 32,
                                   INT64_MAX,
                                   UINT64_C(1) << 63,
                                   (UINT64_C(1) << 63) + 7,
                                   UINT64_MAX - 9,
                                   UINT64_MAX - 4,
                                   UINT64_MAX - 1,
                                   UINT64_MAX};
#define NUMBERS (sizeof(numbers) / sizeof(numbers[0]))

static struct test_ring made;
static struct ring_writer writer;
static unsigned char buffer[1 << 17]; /* larger than any size that could be believed */
static char topic[TOPIC];

/* A ring with `written` messages. */
static int start(uint64_t written, int reject)
{
    int rc = ring_make(&made, SLOTS, PAYLOAD, TOPIC);

    if (rc < 0)
        return rc;
    ring_writer_start(&writer, &made.ring, reject);
    while (writer.next < written)
        if ((rc = write_next(&writer, PAYLOAD)) < 0)
            return rc;
    return 0;
}

/* One step of a reader at *next, as reader.c makes it. Returns 1 when it got a message that is right. */
static int step(uint64_t *next)
{
    struct ring_message message;
    uint64_t last = *next;
    int rc = ring_read(&made.ring, *next, &message, buffer, sizeof(buffer), topic);

    if (rc == 0)
        *next += 1;
    else if (rc == -ESTALE)
        *next = ring_resync(&made.ring, *next);
    else if (rc == -EBADMSG)
        *next += 1;
    else if (ring_check_damage(&made.ring, *next) == -EBADMSG)
        *next += 1;
    else if (ring_check_damage(&made.ring, *next) == -ESTALE)
        *next = ring_head(&made.ring);
    return rc == 0 && payload_right(buffer, message.size, last);
}

/* Everything that reads the lane, from all the places a reader may be at. */
static void read_everything(void)
{
    for (size_t i = 0; i < NUMBERS; i++) {
        struct ring_message message;
        uint64_t next = numbers[i];

        if (ring_peek(&made.ring, next, &message) == 0)
            for (uint32_t byte = 0; byte < message.size + message.topic_size; byte++)
                buffer[0] ^= byte < message.size ? ((const unsigned char *)message.payload)[byte]
                                                 : (unsigned char)message.topic[byte - message.size];
        for (int steps = 0; steps < STEPS; steps++)
            step(&next);
    }
}

/* The writer goes on: a reader that was at `next` soon gets each new message. */
static int recovers(uint64_t next)
{
    int right = 0;

    for (int i = 0; i < STEPS; i++) {
        right = 0;
        if (write_next(&writer, PAYLOAD) < 0)
            return 0;
        for (int steps = 0; steps < 2 * SLOTS; steps++)
            right |= step(&next);
    }
    return right && next == writer.next;
}

/* A head of any value leads nobody outside the ring, and readers are back when the next write repairs it. */
static void test_hostile_head(void)
{
    for (uint64_t written = 0; written < 10; written++)
        for (size_t i = 0; i < NUMBERS; i++) {
            uint64_t next = written / 2;

            CHECK_EQUAL(start(written, 0), 0);
            made.lane->head = numbers[i];
            read_everything();
            for (int steps = 0; steps < STEPS; steps++)
                step(&next);
            CHECK(recovers(next));
        }
}

/* A head that the slots do not bear out costs a reader one message at a time, not its place. */
static void test_hostile_head_is_not_jumped_to(void)
{
    CHECK_EQUAL(start(10, 0), 0);
    made.lane->head = UINT64_C(1) << 40;
    CHECK_EQUAL(ring_resync(&made.ring, 3), 4);
}

/* A successor that finds any head in the lane writes inside the ring, and is read unless its numbers have no states any
 * more: those end at 2^63. */
static void test_hostile_head_at_takeover(void)
{
    for (size_t i = 0; i < NUMBERS; i++) {
        int right;

        CHECK_EQUAL(start(6, 0), 0);
        made.lane->head = numbers[i];
        ring_writer_start(&writer, &made.ring, 0);
        read_everything();
        right = recovers(6);
        CHECK(right || (numbers[i] >= INT64_MAX && numbers[i] < UINT64_MAX - STEPS));
    }
}

/* A tail of any value makes the ring full or not full, and never waits. */
static void test_hostile_tail(void)
{
    for (size_t i = 0; i < NUMBERS; i++) {
        struct ring_ledger ledger = {.tail = 0};

        CHECK_EQUAL(start(0, 1), 0);
        made.lane->tail = numbers[i];
        for (int n = 0; n < STEPS; n++) {
            int rc = write_next(&writer, PAYLOAD);
            CHECK(rc == 0 || rc == -EAGAIN);
        }
        read_everything();
        ledger.tail = writer.next;
        ring_ledger_store(made.lane, &ledger);
        for (int n = 0; n < SLOTS; n++)
            CHECK_EQUAL(write_next(&writer, PAYLOAD), 0);
        CHECK_EQUAL(write_next(&writer, PAYLOAD), -EAGAIN);
    }
}

/* A slot's state of any value: its message is lost at most, and those written later are read. */
static void test_hostile_state(void)
{
    for (uint64_t written = 0; written < 10; written++)
        for (uint64_t slot = 0; slot < SLOTS; slot++)
            for (size_t i = 0; i < NUMBERS; i++) {
                uint64_t next = 0;

                CHECK_EQUAL(start(written, 0), 0);
                ring_slot(&made.ring, slot)->state = numbers[i];
                read_everything();
                for (int steps = 0; steps < STEPS; steps++)
                    step(&next);
                CHECK(recovers(next));
            }
}

/* A message whose slot no longer says so is stepped over at once: the reader need not wait for the next lap. */
static void test_damaged_slot_is_stepped_over(void)
{
    uint64_t next = 1;

    CHECK_EQUAL(start(3, 0), 0);
    ring_slot(&made.ring, 1)->state = 0;
    CHECK_EQUAL(ring_check_damage(&made.ring, 1), -EBADMSG);
    CHECK_EQUAL(step(&next), 0);
    CHECK_EQUAL(next, 2);
    CHECK_EQUAL(step(&next), 1);
    CHECK_EQUAL(ring_check_damage(&made.ring, next), 0);
}

/* Sizes beyond the slot are found out, whatever room the reader has; the message counts as damaged. */
static void test_hostile_sizes(void)
{
    for (size_t i = 0; i < NUMBERS; i++) {
        struct ring_message message;
        uint32_t size = (uint32_t)numbers[i];
        uint16_t topic_size = (uint16_t)numbers[i];

        CHECK_EQUAL(start(SLOTS, 0), 0);
        ring_slot(&made.ring, 3)->size = size;
        CHECK_EQUAL(ring_read(&made.ring, 3, &message, buffer, sizeof(buffer), topic), size > PAYLOAD ? -EBADMSG : 0);
        CHECK_EQUAL(ring_peek(&made.ring, 3, &message), size > PAYLOAD ? -EBADMSG : 0);
        ring_slot(&made.ring, 3)->size = 8;
        ring_slot(&made.ring, 3)->topic_size = topic_size;
        CHECK_EQUAL(ring_read(&made.ring, 3, &message, buffer, sizeof(buffer), topic),
                    topic_size > TOPIC ? -EBADMSG : 0);
        CHECK_EQUAL(ring_peek(&made.ring, 3, &message), topic_size > TOPIC ? -EBADMSG : 0);
        read_everything();
        CHECK(recovers(0));
    }
}

/* A ledger's turn of any value picks one of the two cells, and the next store makes it right again. */
static void test_hostile_ledger_turn(void)
{
    for (size_t i = 0; i < NUMBERS; i++) {
        struct ring_ledger in = {.tail = 9, .delivered = 9}, out;

        CHECK_EQUAL(start(0, 0), 0);
        made.lane->ledger_turn = numbers[i];
        memset(made.lane->ledger, 0xee, sizeof(made.lane->ledger));
        ring_ledger_load(made.lane, &out);
        ring_ledger_store(made.lane, &in);
        ring_ledger_load(made.lane, &out);
        CHECK(memcmp(&in, &out, sizeof(in)) == 0);
    }
}

/* Random bytes in all of lane and slots: the same holds. */
static void test_random_bytes(void)
{
    const uint64_t seed = 20260101;
    uint64_t state = seed;

    for (int turn = 0; turn < 300; turn++) {
        CHECK_EQUAL(start(turn % 10, 0), 0);
        for (size_t i = 0; i < (size_t)SLOTS * made.ring.stride; i++) {
            state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            if (state >> 62 == 0)
                made.ring.slots[i] = (unsigned char)(state >> 33);
        }
        made.lane->head = turn % 3 ? state >> (turn % 64) : made.lane->head;
        read_everything();
        if (!recovers(state >> 40))
            printf("  seed %llu, turn %d\n", (unsigned long long)seed, turn);
        CHECK(recovers(state >> 40));
    }
}

static const struct check_test tests[] = {
    {"test_hostile_head", test_hostile_head},
    {"test_hostile_head_is_not_jumped_to", test_hostile_head_is_not_jumped_to},
    {"test_hostile_head_at_takeover", test_hostile_head_at_takeover},
    {"test_hostile_tail", test_hostile_tail},
    {"test_hostile_state", test_hostile_state},
    {"test_damaged_slot_is_stepped_over", test_damaged_slot_is_stepped_over},
    {"test_hostile_sizes", test_hostile_sizes},
    {"test_hostile_ledger_turn", test_hostile_ledger_turn},
    {"test_random_bytes", test_random_bytes},
};

CHECK_MAIN(tests)
