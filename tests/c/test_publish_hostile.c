/* test_publish_hostile.c: what one number in the segment can cost: the lane it stands in, and nobody and nothing else;
 * in the present segment, in a replaced one, with a spool and without. */
#include "publish_fixture.h"

#define WILD (UINT64_C(1) << 62)

static char folder[40], path[80];
static int faults;

static void remove_spool(void)
{
    static const char *const ends[] = {"", "-wal", "-shm", "-lock"};
    char name[100];

    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        snprintf(name, sizeof(name), "%s%s", path, ends[i]);
        unlink(name);
    }
    rmdir(folder);
}

static void count_fault(void *context, int fault, const char *format, va_list arguments)
{
    (void)context;
    (void)format;
    (void)arguments;
    faults += fault;
}

static int open_spool(void)
{
    const struct spool_options options = {.path = path, .max_bytes = 64 << 20};

    return spool_open(&publish_spool_of_test, &options, count_fault, NULL);
}

/* A new spool, which both channels use when `mode` says so. */
static void begin_spool(enum publish_spool mode)
{
    spool_close(publish_spool_of_test);
    publish_spool_of_test = NULL;
    faults = 0;
    channels[CHANNEL_OUT].spool = channels[CHANNEL_STRICT].spool = mode;
    if (mode == PUBLISH_SPOOL_OFF)
        return;
    if (!folder[0])
        atexit(remove_spool);
    else
        remove_spool();
    snprintf(folder, sizeof(folder), "/tmp/shmgate-hostile-XXXXXX");
    CHECK(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/spool.db", folder);
    CHECK_EQUAL(open_spool(), 0);
}

/* Turns as the loop makes them, as many as are enough; each must end. */
static void turn(struct publish *publish)
{
    static int answered;

    if (sent == 0)
        answered = 0;
    for (int i = 0; i < 10; i++) {
        publish_poll_dirty(publish);
        publish_spill(publish);
        if (publish_spool_of_test)
            publish_spool_changed(publish);
        sender_send_ready(sender, 0);
        for (; answered < sent; answered++)
            answer(tokens[answered % 64], TRANSPORT_DELIVERED);
        if (publish_spool_of_test)
            spool_commit(publish_spool_of_test);
        publish_flush_ledgers(publish);
    }
}

static struct ring_ledger ledger_of(const struct segment *segment, uint32_t lane)
{
    struct ring_ledger ledger;

    ring_ledger_load(segment_ring(segment, lane).lane, &ledger);
    return ledger;
}

/* Two messages of the one lane and three of the other; then the head of the first is overwritten. */
static struct publish *begin_wild(enum publish_spool mode)
{
    struct publish *publish;
    int rc = 0;

    begin_spool(mode);
    publish = begin();
    for (int i = 0; publish && i < 2; i++)
        rc |= shared_memory_write("out", "x", 1);
    for (int i = 0; publish && i < 3; i++)
        rc |= shared_memory_write("strict", "y", 1);
    if (publish)
        segment_ring(&fixture_segment, LANE_OUT).lane->head = WILD;
    return rc == 0 ? publish : NULL;
}

static void check_wild(enum publish_spool mode)
{
    struct publish *publish = begin_wild(mode);
    struct ring_ledger wild, other;

    CHECK(publish);
    publish_spill_all(publish);
    turn(publish);
    other = ledger_of(&fixture_segment, LANE_STRICT);
    wild = ledger_of(&fixture_segment, LANE_OUT);
    CHECK_EQUAL(other.delivered, 3);
    CHECK_EQUAL(wild.delivered, 2);
    CHECK_EQUAL(wild.tail, 2);
    CHECK_EQUAL(wild.dropped[LAYOUT_DROP_CORRUPT] + wild.dropped[LAYOUT_DROP_OVERWRITTEN], 0);
    /* The next write sets it right. */
    CHECK_EQUAL(shared_memory_write("out", "x", 1), 0);
    turn(publish);
    wild = ledger_of(&fixture_segment, LANE_OUT);
    CHECK_EQUAL(wild.delivered, 3);
    CHECK_EQUAL(sent, 6);
    CHECK_EQUAL(faults, 0);
    publish_destroy(publish);
}

/* A head of 2^62 costs nothing at all: what is there is sent, and what is written next is sent, too. */
static void test_wild_head_without_a_spool(void)
{
    check_wild(PUBLISH_SPOOL_OFF);
}

static void test_wild_head_with_a_spool(void)
{
    check_wild(PUBLISH_SPOOL_OVERFLOW);
    check_wild(PUBLISH_SPOOL_ALWAYS);
}

/* The same in a segment that was replaced: it is drained and can go, and the present one's lanes are sent. */
static void test_wild_head_in_a_replaced_segment(void)
{
    struct publish *publish = begin_wild(PUBLISH_SPOOL_OFF);

    CHECK(publish);
    publish_destroy(publish);
    fixture_stop();
    CHECK_EQUAL(fixture_serve_other(16), SEGMENT_REPLACED);
    publish = take_up();
    CHECK(publish && publish_has_retired(publish));
    for (int i = 0; i < 2; i++)
        CHECK_EQUAL(shared_memory_write("out", "z", 1), 0);
    turn(publish);
    CHECK_EQUAL(sent, 2 + 3 + 2);
    CHECK_EQUAL(ledger_of(&fixture_segment, LANE_OUT).delivered, 2);
    shared_memory_release();
    CHECK_EQUAL(publish_finish_retired(publish), 1);
    publish_destroy(publish);
}

/* A tail that was overwritten makes a ring look full to its writer: the gateway puts it right. */
static void test_wild_tail_is_put_right(void)
{
    struct publish *publish;
    struct layout_lane *lane;

    begin_spool(PUBLISH_SPOOL_OFF);
    publish = begin();
    CHECK(publish);
    for (int i = 0; i < 4; i++)
        CHECK_EQUAL(shared_memory_write("strict", "y", 1), 0);
    turn(publish);
    CHECK_EQUAL(shared_memory_write("strict", "y", 1), 0);
    turn(publish);
    lane = segment_ring(&fixture_segment, LANE_STRICT).lane;
    lane->tail = WILD;
    publish_check_tails(publish);
    publish_flush_ledgers(publish);
    CHECK_EQUAL(lane->tail, 5);
    publish_destroy(publish);
}

/* A ledger that says 2^63 messages went to the spool does not reach the file: what others have in it stays. */
static void test_wild_ledger_does_not_reach_the_spool(void)
{
    struct publish *publish;
    struct layout_lane *lane;

    begin_spool(PUBLISH_SPOOL_OVERFLOW);
    publish = begin();
    CHECK(publish);
    for (int i = 0; i < 3; i++)
        CHECK_EQUAL(shared_memory_write("strict", "y", 1), 0);
    publish_poll_dirty(publish);
    publish_spill_all(publish);
    CHECK_EQUAL(publish_spill(publish), 1);
    publish_flush_ledgers(publish);
    publish_destroy(publish);
    lane = segment_ring(&fixture_segment, LANE_OUT).lane;
    for (int cell = 0; cell < 2; cell++)
        lane->ledger[cell].taken = lane->ledger[cell].spooled = lane->ledger[cell].tail = UINT64_C(1) << 63;
    publish = take_up();
    CHECK(publish);
    CHECK_EQUAL(shared_memory_write("out", "x", 1), 0);
    publish_poll_dirty(publish);
    publish_spill_all(publish);
    publish_spill(publish);
    publish_destroy(publish);
    spool_close(publish_spool_of_test);
    publish_spool_of_test = NULL;
    CHECK_EQUAL(open_spool(), 0);
    CHECK_EQUAL(faults, 0);
    CHECK_EQUAL(spool_held(publish_spool_of_test), 4);
}

/* A topic that was overwritten with what no broker takes is not published to: its messages are refused and counted,
 * with a spool as well. */
static void test_wild_topic_in_a_replaced_segment(void)
{
    for (int mode = PUBLISH_SPOOL_OFF; mode <= PUBLISH_SPOOL_ALWAYS; mode++) {
        struct publish *publish;
        unsigned char *topic;

        begin_spool((enum publish_spool)mode);
        publish = begin();
        CHECK(publish);
        CHECK_EQUAL(shared_memory_write("out", "x", 1), 0);
        topic = fixture_segment.base + fixture_segment.layout.channels[CHANNEL_OUT].topic_offset;
        topic[0] = '#';
        publish_destroy(publish);
        fixture_stop();
        CHECK_EQUAL(fixture_serve_other(16), SEGMENT_REPLACED);
        publish = take_up();
        CHECK(publish);
        turn(publish);
        CHECK_EQUAL(sent, 0);
        CHECK_EQUAL(ledger_of(&fixture_old, LANE_OUT).dropped[LAYOUT_DROP_REFUSED], 1);
        publish_destroy(publish);
    }
    begin_spool(PUBLISH_SPOOL_OFF);
}

/* The same damage in a segment where samples gather for a batch: the others' batches are whole. */
static void test_wild_head_beside_a_batch(void)
{
    struct publish *publish;

    begin_spool(PUBLISH_SPOOL_OFF);
    for (int i = 0; i < FIXTURE_USUAL; i++)
        channels[i] = (struct publish_channel){.batch_max = 3, .batch_time_ms = 10, .batch_format = FRAME_BINARY};
    publish = begin();
    CHECK(publish);
    segment_ring(&fixture_segment, LANE_OUT).lane->head = WILD;
    for (int i = 0; i < 2; i++)
        CHECK_EQUAL(shared_memory_write("strict", "y", 1), 0);
    publish_ready_all(publish);
    CHECK_EQUAL(sender_send_ready(sender, 1000), 1);
    CHECK_EQUAL(last.size, FRAME_HEADER_SIZE + 2 * (FRAME_SAMPLE_SIZE + 1));
    publish_destroy(publish);
    memset(channels, 0, sizeof(channels));
}

static const struct check_test tests[] = {
    {"test_wild_head_without_a_spool", test_wild_head_without_a_spool},
    {"test_wild_head_with_a_spool", test_wild_head_with_a_spool},
    {"test_wild_head_in_a_replaced_segment", test_wild_head_in_a_replaced_segment},
    {"test_wild_tail_is_put_right", test_wild_tail_is_put_right},
    {"test_wild_ledger_does_not_reach_the_spool", test_wild_ledger_does_not_reach_the_spool},
    {"test_wild_topic_in_a_replaced_segment", test_wild_topic_in_a_replaced_segment},
    {"test_wild_head_beside_a_batch", test_wild_head_beside_a_batch},
};

FIXTURE_MAIN(tests)
