/* cases_lane.c: a lane whose writer is killed, and the ledger's cells. */
#include <errno.h>

#include "cases.h"
#include "lanes.h"

/* explore_state: a reader's marks at 0 and 16; then who wrote what, by number of the writer: 32 + 8 * writer + n is one
 * more than the sequence number of its nth message (0: not begun), 32 + 8 * writer + 7 the number of its writes that
 * returned. */
#define MARKS(reader) (&explore_state[16 * (reader)])
#define PLACE(writer, n) explore_state[32 + 8 * (writer) + (n)]
#define RETURNED(writer) PLACE(writer, 7)
#define READER_NEXT explore_state[100]
#define READER_MISSED explore_state[101]

/* Writer `number` takes the lane up and writes messages marked 10 * number + 1, + 2 ... */
static void take_up(uint64_t number, int count, int mortal)
{
    struct ring ring = lanes_ring(0, 0);
    struct ring_writer writer;
    uint64_t before = 0;

    explore_mortal(mortal);
    ring_writer_start(&writer, &ring, 0);
    /* Nobody's message is behind what the dead have returned, and at most one each more was begun. */
    for (uint64_t i = 1; i < number; i++)
        before += RETURNED(i);
    EXPECT(writer.next >= before && writer.next <= before + number - 1);
    for (int n = 0; n < count; n++) {
        PLACE(number, n) = writer.next + 1;
        EXPECT(lanes_write(&writer, 10 * number + (uint64_t)n + 1, 0) == 0);
        RETURNED(number)++;
    }
}

static void follow(struct lanes_reader *reader, int tries)
{
    while (tries-- > 0) {
        uint64_t place = reader->next;
        int got = lanes_read(reader);

        if (got > 0)
            EXPECT(PLACE(reader->marks[place] / 10, reader->marks[place] % 10 - 1) == place + 1);
        if (got == 0)
            break;
        EXPECT(got > 0 || reader->next > place);
    }
    READER_NEXT = reader->next;
    READER_MISSED = reader->missed;
}

static void read_along(void)
{
    struct lanes_reader reader = {.ring = lanes_ring(0, 0), .marks = MARKS(0)};

    follow(&reader, 3);
}

/* The reader goes on to the end: each write that returned was read by it, or was overwritten while it looked and is
 * counted. */
static void read_to_end(void)
{
    struct lanes_reader late = {.ring = lanes_ring(0, 0), .marks = MARKS(1)};
    struct lanes_reader reader = {.ring = late.ring, .next = READER_NEXT, .missed = READER_MISSED, .marks = MARKS(0)};
    uint64_t missed = 0, head = ring_head(&late.ring);

    follow(&reader, 8);
    follow(&late, 8);
    EXPECT(reader.next >= head && reader.next <= head + 1 && late.next == reader.next);
    for (uint64_t place = 0; place < reader.next; place++)
        missed += reader.marks[place] == 0;
    EXPECT(missed == reader.missed);
    for (uint64_t writer = 1; writer <= 3; writer++)
        for (uint64_t n = 0; n < RETURNED(writer); n++) {
            uint64_t place = PLACE(writer, n) - 1;

            EXPECT(place < reader.next);
            EXPECT(reader.marks[place] == 0 || reader.marks[place] == 10 * writer + n + 1);
            /* A slot that has no later message still has this one. */
            EXPECT(place + SLOTS < head + 1 || late.marks[place] == 10 * writer + n + 1);
        }
}

static void killed_1(void)
{
    take_up(1, 2, 1);
}
static void killed_2(void)
{
    take_up(2, 1, 1);
}
static void killed_short(void)
{
    take_up(1, 1, 1);
}
static void next_2(void)
{
    take_up(2, 1, 0);
}
static void next_long(void)
{
    take_up(2, 2, 0);
}
static void next_3(void)
{
    take_up(3, 1, 0);
}
static void next_3_long(void)
{
    take_up(3, 2, 0);
}

/* ---- The ledger ---- */

#define LEDGER explore_state[110] /* of the last complete store, 1 to 3 */

static void ledger_begin(void)
{
    static char names[2][5][24] = {
        {"cell0.tail", "cell0.delivered", "cell0.spooled", "cell0.dropped", "cell0.dropped.last"},
        {"cell1.tail", "cell1.delivered", "cell1.spooled", "cell1.dropped", "cell1.dropped.last"}};

    lanes_begin();
    for (int cell = 0; cell < 2; cell++) {
        const struct layout_ledger *ledger = &lanes_ring(0, 0).lane->ledger[cell];

        explore_name(&ledger->tail, names[cell][0]);
        explore_name(&ledger->delivered, names[cell][1]);
        explore_name(&ledger->spooled, names[cell][2]);
        explore_name(&ledger->dropped[0], names[cell][3]);
        explore_name(&ledger->dropped[LAYOUT_DROP_SPACE - 1], names[cell][4]);
        /* One loop treats all reasons alike: the first and the last stand for them. */
        for (int reason = 1; reason < LAYOUT_DROP_SPACE - 1; reason++)
            explore_narrow(&ledger->dropped[reason]);
    }
    explore_name(&lanes_ring(0, 0).lane->ledger_turn, "ledger_turn");
}

static void ledger_store(uint64_t number)
{
    struct ring_ledger ledger = {.tail = number, .delivered = 10 * number, .spooled = 100 * number};

    for (int reason = 0; reason < LAYOUT_DROP_SPACE; reason++)
        ledger.dropped[reason] = 1000 * number + (uint64_t)reason;
    ring_ledger_store(lanes_ring(0, 0).lane, &ledger);
    LEDGER = number;
}

/* The record's number: 0 as it was made, or of the store it is from; all of it must be of that store. */
static uint64_t ledger_load(void)
{
    struct ring_ledger ledger;

    ring_ledger_load(lanes_ring(0, 0).lane, &ledger);
    EXPECT(ledger.delivered == 10 * ledger.tail && ledger.spooled == 100 * ledger.tail);
    EXPECT(ledger.dropped[0] == 1000 * ledger.tail);
    EXPECT(ledger.dropped[LAYOUT_DROP_SPACE - 1] == (ledger.tail ? 1000 * ledger.tail + LAYOUT_DROP_SPACE - 1 : 0));
    return ledger.tail;
}

static void ledger_store_2(void)
{
    ledger_store(1);
    ledger_store(2);
}

static void ledger_store_killed(void)
{
    explore_mortal(1);
    ledger_store(1);
}

static void ledger_store_next(void)
{
    uint64_t found = ledger_load();

    EXPECT(found <= 1 && found >= LEDGER);
    ledger_store(2);
}

static void ledger_look(void)
{
    ledger_load();
}

static void ledger_look_2(void)
{
    uint64_t first = ledger_load();

    EXPECT(ledger_load() >= first);
}

static void ledger_end(void)
{
    EXPECT(ledger_load() == 2 && atomic_load_explicit(&lanes_ring(0, 0).lane->tail, memory_order_relaxed) == 2);
}

/* ---- Words that say that something else is ready ---- */

static uint64_t ready;

static void flags_begin(void)
{
    lanes_begin();
    explore_name(&ready, "made before");
    explore_name(&lanes_header.magic, "magic");
    explore_name(&lanes_header.state, "header.state");
}

static void publish(void)
{
    atomic_store_explicit(&ready, 1, memory_order_relaxed);
    ring_publish_magic(&lanes_header);
}

static void load_magic(void)
{
    /* As layout_load in shm/layout.c does. */
    if (atomic_load_explicit(&lanes_header.magic, memory_order_acquire) == LAYOUT_MAGIC)
        EXPECT(atomic_load_explicit(&ready, memory_order_relaxed) == 1 && !ring_retired(&lanes_header));
}

static void retire(void)
{
    atomic_store_explicit(&ready, 1, memory_order_relaxed);
    ring_retire(&lanes_header);
}

static void look_retired(void)
{
    if (ring_retired(&lanes_header))
        EXPECT(atomic_load_explicit(&ready, memory_order_relaxed) == 1);
}

#define GOES_ON \
    "a successor goes on where the dead writer stopped: nothing torn, twice, or lost whose write had returned"
#define ONE_RECORD "the ledger is read as one record, old or new, also when its writer was killed"

const struct explore_case cases_lane[] = {
    {.name = "take-over",
     .promise = GOES_ON,
     .begin = lanes_begin,
     .threads = {{"dead", killed_1, 0}, {"successor", next_2, 1}, {"reader", read_along, 0}},
     .end = read_to_end},
    {.name = "take-over-twice",
     .promise = GOES_ON,
     .begin = lanes_begin,
     .threads =
         {{"dead", killed_short, 0}, {"dead 2", killed_2, 1}, {"successor", next_3, 2}, {"reader", read_along, 0}},
     .end = read_to_end},
    {.name = "take-over-long",
     .promise = GOES_ON,
     .begin = lanes_begin,
     .threads = {{"dead", killed_1, 0}, {"successor", next_long, 1}, {"reader", read_along, 0}},
     .end = read_to_end,
     .full = 1},
    {.name = "take-over-twice-long",
     .promise = GOES_ON,
     .begin = lanes_begin,
     .threads =
         {{"dead", killed_short, 0}, {"dead 2", killed_2, 1}, {"successor", next_3_long, 2}, {"reader", read_along, 0}},
     .end = read_to_end,
     .full = 1},
    {.name = "ledger",
     .promise = ONE_RECORD,
     .begin = ledger_begin,
     .threads = {{"gateway", ledger_store_2, 0}, {"reader", ledger_look, 0}},
     .end = ledger_end},
    {.name = "ledger-killed",
     .promise = ONE_RECORD,
     .begin = ledger_begin,
     .threads = {{"dead gateway", ledger_store_killed, 0},
                 {"gateway", ledger_store_next, 1},
                 {"reader", ledger_look_2, 0}},
     .end = ledger_end},
    {.name = "magic",
     .promise = "what was made before the magic is seen by whoever sees the magic",
     .begin = flags_begin,
     .threads = {{"gateway", publish, 0}, {"client", load_magic, 0}}},
    {.name = "retired",
     .promise = "what was made before a segment was retired is seen by whoever sees that it is",
     .begin = flags_begin,
     .threads = {{"gateway", retire, 0}, {"client", look_retired, 0}}},
    {0},
};
