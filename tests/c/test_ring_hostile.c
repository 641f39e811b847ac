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
    int rc = ring_read(&made.ring, *next, &message, &(struct ring_space){buffer, sizeof(buffer), topic});

    if (rc == 0)
        *next += 1;
    else if (rc == -ESTALE)
        *next = ring_resync(&made.ring, *next);
    else if (rc == -EBADMSG)
        *next += 1;
    else if (ring_check_damage(&made.ring, *next) == -EBADMSG)
        *next += 1;
    else if (ring_check_damage(&made.ring, *next) == -ESTALE)
        *next = ring_head_found(&made.ring);
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

/* A head of any value means no more work, and no other counts, than the messages that are there. */
static void test_hostile_head_is_not_counted(void)
{
    for (uint64_t written = 0; written < 10; written++)
        for (size_t i = 0; i < NUMBERS; i++)
            for (uint64_t from = written > SLOTS ? written - SLOTS : 0; from <= written; from++) {
                uint64_t head;

                CHECK_EQUAL(start(written, 0), 0);
                made.lane->head = numbers[i];
                head = ring_head_checked(&made.ring, from);
                /* No further than the ring is large is believed, which costs at most looking at so many slots. */
                CHECK(head >= from && head - from <= SLOTS);
                if (numbers[i] < from || numbers[i] > from + SLOTS)
                    CHECK_EQUAL(head, written);
                head = ring_head_found(&made.ring);
                /* One that is too low by less than a lap is a head like another. */
                CHECK(head == written || (head == numbers[i] && head < written && written - head <= SLOTS));
                CHECK(ring_oldest(&made.ring) <= (written > SLOTS ? written - SLOTS : 0));
            }
}

/* A reader far behind is told the head that the slots bear out, and no other. */
static void test_head_of_an_overtaken_reader(void)
{
    CHECK_EQUAL(start(1000, 0), 0);
    CHECK_EQUAL(ring_head_checked(&made.ring, 3), 1000);
    made.lane->head = 2000;
    /* All slots hold later messages: that they are overwritten is found at each, one by one. */
    CHECK_EQUAL(ring_head_checked(&made.ring, 3), 3 + SLOTS);
    CHECK_EQUAL(ring_head_found(&made.ring), 1000);
    made.lane->head = UINT64_C(1) << 61;
    ring_slot(&made.ring, made.lane->head - 1)->state = UINT64_C(1) << 62;
    CHECK_EQUAL(ring_head_checked(&made.ring, 3), 3 + SLOTS);
}

/* A writer killed between commit and head has its message counted by none of them: its successor finds it. */
static void test_head_of_a_killed_writer(void)
{
    CHECK_EQUAL(start(6, 0), 0);
    made.lane->head = 5;
    CHECK_EQUAL(ring_head_found(&made.ring), 5);
    CHECK_EQUAL(ring_head_checked(&made.ring, 4), 5);
    CHECK_EQUAL(ring_head_checked(&made.ring, 6), 6);
    ring_writer_start(&writer, &made.ring, 0);
    CHECK_EQUAL(writer.next, 6);
    CHECK_EQUAL(ring_head_found(&made.ring), 6);
}

/* A successor that finds any head in the lane goes on where its predecessor was. */
static void test_hostile_head_at_takeover(void)
{
    for (uint64_t written = 0; written < 10; written++)
        for (size_t i = 0; i < NUMBERS; i++) {
            CHECK_EQUAL(start(written, 0), 0);
            made.lane->head = numbers[i];
            ring_writer_start(&writer, &made.ring, 0);
            CHECK_EQUAL(writer.next, written);
            CHECK_EQUAL(ring_head(&made.ring), written);
            read_everything();
            CHECK(recovers(written));
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
        CHECK_EQUAL(ring_read(&made.ring, 3, &message, &(struct ring_space){buffer, sizeof(buffer), topic}),
                    size > PAYLOAD ? -EBADMSG : 0);
        CHECK_EQUAL(ring_peek(&made.ring, 3, &message), size > PAYLOAD ? -EBADMSG : 0);
        ring_slot(&made.ring, 3)->size = 8;
        ring_slot(&made.ring, 3)->topic_size = topic_size;
        CHECK_EQUAL(ring_read(&made.ring, 3, &message, &(struct ring_space){buffer, sizeof(buffer), topic}),
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

static uint64_t ledger_sum(const struct ring_ledger *ledger)
{
    uint64_t sum = ledger->delivered + ledger->spooled;

    for (int reason = 0; reason < LAYOUT_DROP_SPACE; reason++)
        sum += ledger->dropped[reason];
    return sum;
}

/* Whether a clipped ledger is one that a gateway of this lane could have written. */
static int ledger_possible(const struct ring_ledger *ledger, uint64_t head)
{
    return ledger->tail <= head + 1 && ledger_sum(ledger) == ledger->tail && ledger->taken <= ledger->tail &&
           ledger->spool_delivered <= ledger->delivered &&
           ledger->spool_refused <= ledger->dropped[LAYOUT_DROP_REFUSED];
}

/* One that adds up stays as it is. */
static void test_proper_ledger_is_not_clipped(void)
{
    const struct ring_ledger proper = {
        .tail = 21,
        .delivered = 10,
        .spooled = 3,
        .taken = 8,
        .spool_delivered = 2,
        .spool_refused = 1,
        .dropped = {[LAYOUT_DROP_OVERWRITTEN] = 5, [LAYOUT_DROP_REFUSED] = 1, [LAYOUT_DROP_SPOOL_SIZE] = 2}};
    struct ring_ledger ledger = proper;

    ring_ledger_clip(&ledger, 30);
    CHECK(memcmp(&ledger, &proper, sizeof(proper)) == 0);
    /* A writer killed between commit and head. */
    ring_ledger_clip(&ledger, 20);
    CHECK(memcmp(&ledger, &proper, sizeof(proper)) == 0);
    ring_ledger_clip(&ledger, 19);
    CHECK_EQUAL(ledger.tail, 19);
    CHECK(ledger_possible(&ledger, 19));
}

/* Any bytes in a ledger: what is made of them adds up, and asks nobody to go where nothing is. */
static void test_hostile_ledger_is_clipped(void)
{
    for (size_t field = 0; field < 8; field++)
        for (size_t i = 0; i < NUMBERS; i++) {
            struct ring_ledger ledger = {.tail = 6, .delivered = 4, .spooled = 1, .taken = 1, .dropped = {1}};
            uint64_t *all[] = {&ledger.tail,
                               &ledger.delivered,
                               &ledger.spooled,
                               &ledger.taken,
                               &ledger.spool_delivered,
                               &ledger.spool_refused,
                               &ledger.dropped[LAYOUT_DROP_REFUSED],
                               &ledger.dropped[LAYOUT_DROP_SPACE - 1]};

            *all[field] = numbers[i];
            CHECK_EQUAL(start(8, 0), 0);
            ring_ledger_store(made.lane, &ledger);
            ring_ledger_load_checked(&made.ring, &ledger);
            CHECK(ledger_possible(&ledger, 8));
            made.lane->head = numbers[i];
            ring_ledger_load_checked(&made.ring, &ledger);
            CHECK(ledger_possible(&ledger, 8));
            memset(&ledger, (int)numbers[i], sizeof(ledger));
            ring_ledger_clip(&ledger, 8);
            CHECK(ledger_possible(&ledger, 8));
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
    {"test_hostile_head_is_not_counted", test_hostile_head_is_not_counted},
    {"test_head_of_an_overtaken_reader", test_head_of_an_overtaken_reader},
    {"test_head_of_a_killed_writer", test_head_of_a_killed_writer},
    {"test_proper_ledger_is_not_clipped", test_proper_ledger_is_not_clipped},
    {"test_hostile_ledger_is_clipped", test_hostile_ledger_is_clipped},
    {"test_hostile_head_at_takeover", test_hostile_head_at_takeover},
    {"test_hostile_tail", test_hostile_tail},
    {"test_hostile_state", test_hostile_state},
    {"test_damaged_slot_is_stepped_over", test_damaged_slot_is_stepped_over},
    {"test_hostile_sizes", test_hostile_sizes},
    {"test_hostile_ledger_turn", test_hostile_ledger_turn},
    {"test_random_bytes", test_random_bytes},
};

CHECK_MAIN(tests)
