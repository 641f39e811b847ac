/* cases_wake.c: the doorbell and the readers' wake word: nobody sleeps over a message. */
#include <errno.h>

#include "cases.h"
#include "lanes.h"

/* explore_state: by lane, messages written so that the write returned, and messages that the gateway has read; then the
 * readers' marks. */
#define RETURNED(lane) explore_state[lane]
#define GOT(lane) explore_state[8 + (lane)]
#define SLEEPS explore_state[16]
#define POSTS explore_state[17]
#define EVENT_DONE explore_state[18] /* 1: left, 2: taken */
#define MARKS(reader) (&explore_state[32 + 16 * (reader)])

static uint64_t event_queue;

static void wake_begin(void)
{
    lanes_begin();
    explore_name(&event_queue, "event_queue");
}

/* ---- Writers, as shared_memory_writer_write does it ---- */

static void ring_the_bell(uint32_t sleep)
{
    if (sleep == 0)
        return;
    lanes_post();
    POSTS++;
    ring_posted(&lanes_header, sleep);
}

static void write_lane(int lane, int count)
{
    struct ring ring = lanes_ring(lane, 0);
    struct ring_writer writer;
    uint32_t last = 0;

    ring_writer_start(&writer, &ring, 0);
    for (int i = 0; i < count; i++) {
        uint32_t sleep;

        EXPECT(lanes_write(&writer, writer.next + 1, 0) == 0);
        sleep = ring_notify(&lanes_header, (_Atomic uint64_t *)&lanes_dirty, (uint32_t)lane);
        /* At most one post of a writer for one sleep. */
        EXPECT(sleep == 0 || sleep != last);
        last = sleep ? sleep : last;
        ring_the_bell(sleep);
        RETURNED(lane)++;
    }
}

static void write_one(void)
{
    write_lane(0, 1);
}
static void write_two(void)
{
    write_lane(0, 2);
}
static void write_other(void)
{
    write_lane(1, 1);
}
static void write_killed(void)
{
    explore_mortal(1);
    write_lane(0, 1);
}

/* A callback of the MQTT client's thread: an event for the loop, and a look whether it sleeps. */
static void notify_event(void)
{
    atomic_store_explicit(&event_queue, 1, memory_order_relaxed);
    ring_the_bell(ring_notify_event(&lanes_header));
    EVENT_DONE |= 1;
}

/* ---- The gateway's loop, as gateway/loop and gateway/publish do it; it ends only in its wait ---- */

static void read_lane(int lane)
{
    struct ring ring = lanes_ring(lane, 0);
    struct ring_message message;
    uint64_t words[2];

    while (ring_read(&ring, GOT(lane), &message, &(struct ring_space){words, sizeof(words), NULL}) == 0)
        EXPECT(lanes_check(&message, words, NULL) == ++GOT(lane));
}

/* As a gateway begins: it looks at every lane. */
static void read_all(void)
{
    for (int lane = 0; lane < LANES; lane++)
        read_lane(lane);
}

static int read_dirty(void)
{
    uint64_t bits = ring_take_dirty((_Atomic uint64_t *)&lanes_dirty, 0);

    EXPECT(bits < 1 << LANES);
    for (int lane = 0; lane < LANES; lane++)
        if (bits >> lane & 1)
            read_lane(lane);
    return bits != 0;
}

static void serve(int reads_events)
{
    uint64_t mail = 0;

    for (;;) {
        int worked = read_dirty();

        if (reads_events && mail == 0 && (mail = atomic_load_explicit(&event_queue, memory_order_relaxed)) != 0) {
            EVENT_DONE |= 2;
            worked = 1;
        }
        if (worked)
            continue;
        ring_sleep(&lanes_header);
        SLEEPS++;
        if (!ring_any_dirty((_Atomic uint64_t *)&lanes_dirty, 1) &&
            !(reads_events && mail == 0 && atomic_load_explicit(&event_queue, memory_order_relaxed) != 0))
            lanes_wait();
        ring_wake(&lanes_header);
    }
}

static void gateway(void)
{
    serve(0);
}
static void gateway_events(void)
{
    serve(1);
}

static void gateway_killed(void)
{
    explore_mortal(1);
    serve(0);
}

static void gateway_next(void)
{
    read_all();
    serve(0);
}

static void all_read(void)
{
    for (int lane = 0; lane < LANES; lane++)
        EXPECT(GOT(lane) >= RETURNED(lane));
    /* Each sleep is posted for at most once by each of two writers. */
    EXPECT(POSTS <= 2 * SLEEPS);
}

static void mail_read(void)
{
    all_read();
    EXPECT(EVENT_DONE == 3);
}

/* ---- A subscribe channel: the gateway writes, readers sleep ---- */

static void feed(int count)
{
    struct ring ring = lanes_ring(0, 0);
    struct ring_writer writer;

    ring_writer_start(&writer, &ring, 0);
    for (int i = 1; i <= count; i++) {
        EXPECT(lanes_write(&writer, (uint64_t)i, 0) == 0);
        if (ring_wake_readers(&lanes_channel))
            lanes_wake();
    }
}

static void feed_one(void)
{
    feed(1);
}
static void feed_two(void)
{
    feed(2);
}

static int read_next(struct lanes_reader *reader)
{
    struct ring_message message;
    uint64_t words[2];

    if (ring_read(&reader->ring, reader->next, &message, &(struct ring_space){words, sizeof(words), NULL}) < 0)
        return 0;
    reader->marks[reader->next++] = lanes_check(&message, words, NULL);
    return 1;
}

/* As take_waiting in shm/reader.c, without the time-outs that would hide a lost wake-up. */
static void follow(int number, uint64_t count)
{
    struct lanes_reader reader = {.ring = lanes_ring(0, 0), .marks = MARKS(number)};

    while (reader.next < count) {
        uint32_t word;

        if (read_next(&reader))
            continue;
        word = ring_reader_sleep(&lanes_channel);
        if (!read_next(&reader))
            lanes_sleep(word);
    }
}

static void follow_one_a(void)
{
    follow(0, 1);
}
static void follow_one_b(void)
{
    follow(1, 1);
}
static void follow_two_a(void)
{
    follow(0, 2);
}

static void all_awake(void)
{
    EXPECT(!explore_blocked(1) && !explore_blocked(2));
}

#define NO_SLEEP \
    "a gateway never waits while a message is unread whose write has returned, and a writer posts once for a sleep"
#define NO_NAP "a reader never waits while there is a message for it"

const struct explore_case cases_wake[] = {
    {.name = "doorbell",
     .promise = NO_SLEEP,
     .begin = wake_begin,
     .threads = {{"writer", write_one, 0}, {"gateway", gateway, 0}},
     .end = all_read},
    {.name = "doorbell-again",
     .promise = NO_SLEEP,
     .begin = wake_begin,
     .threads = {{"writer", write_two, 0}, {"gateway", gateway, 0}},
     .end = all_read},
    {.name = "doorbell-killed",
     .promise = NO_SLEEP ", also when another writer is killed",
     .begin = wake_begin,
     .threads = {{"dead", write_killed, 0}, {"writer", write_other, 0}, {"gateway", gateway, 0}},
     .end = all_read,
     .full = 1},
    {.name = "doorbell-two",
     .promise = NO_SLEEP,
     .begin = wake_begin,
     .threads = {{"writer a", write_one, 0}, {"writer b", write_other, 0}, {"gateway", gateway, 0}},
     .end = all_read,
     .full = 1},
    {.name = "doorbell-restart",
     .promise = NO_SLEEP ", also when it takes over from one that was killed",
     .begin = wake_begin,
     .threads = {{"writer", write_one, 0}, {"dead gateway", gateway_killed, 0}, {"gateway", gateway_next, 2}},
     .end = all_read},
    {.name = "notify-event",
     .promise = NO_SLEEP ", nor while there is an event for it",
     .begin = wake_begin,
     .threads = {{"callback", notify_event, 0}, {"gateway", gateway_events, 0}},
     .end = mail_read},
    {.name = "notify-event-and-write",
     .promise = NO_SLEEP ", nor while there is an event for it",
     .begin = wake_begin,
     .threads = {{"callback", notify_event, 0}, {"writer", write_one, 0}, {"gateway", gateway_events, 0}},
     .end = mail_read,
     .full = 1},
    {.name = "wake",
     .promise = NO_NAP,
     .begin = wake_begin,
     .threads = {{"gateway", feed_one, 0}, {"reader", follow_one_a, 0}},
     .end = all_awake},
    {.name = "wake-again",
     .promise = NO_NAP,
     .begin = wake_begin,
     .threads = {{"gateway", feed_two, 0}, {"reader", follow_two_a, 0}},
     .end = all_awake},
    {.name = "wake-two",
     .promise = NO_NAP,
     .begin = wake_begin,
     .threads = {{"gateway", feed_one, 0}, {"reader a", follow_one_a, 0}, {"reader b", follow_one_b, 0}},
     .end = all_awake},
    {0},
};
