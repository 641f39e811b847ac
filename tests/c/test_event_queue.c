/* test_event_queue.c: events come out of the queue as they were put in, over threads and over its end. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "check.h"
#include "mqtt/event_queue.h"

#define THREADS 4
#define EVENTS 20000

static void count_ring(void *context)
{
    atomic_fetch_add((atomic_int *)context, 1);
}

static struct event delivered(uint64_t token)
{
    return (struct event){.kind = EVENT_DELIVERED, .token = token};
}

/* Events come out oldest first, also when the circle wraps. */
static void test_events_come_in_order(void)
{
    struct event_queue *queue;
    struct event events[3];
    atomic_int rings = 0;
    uint64_t put = 0, taken = 0;

    CHECK_EQUAL(event_queue_create(&queue, 5, count_ring, &rings), 0);
    for (int turn = 0; turn < 20; turn++) {
        size_t count;

        for (int i = 0; i < 3; i++) {
            struct event event = delivered(put++);
            CHECK_EQUAL(event_queue_put(queue, &event), 0);
        }
        count = event_queue_take(queue, events, 3);
        CHECK_EQUAL(count, 3);
        for (size_t i = 0; i < count; i++)
            CHECK_EQUAL(events[i].token, taken++);
    }
    CHECK_EQUAL(rings, 60);
    event_queue_destroy(queue);
}

/* An event arrives with all its fields. */
static void test_event_arrives_whole(void)
{
    struct event_queue *queue;
    struct event in = {.kind = EVENT_CONNECT_FAILED, .reason = 5, .permanent = 1, .text = "not authorised"}, out;
    atomic_int rings = 0;

    CHECK_EQUAL(event_queue_create(&queue, 1, count_ring, &rings), 0);
    CHECK_EQUAL(event_queue_pending(queue), 0);
    CHECK_EQUAL(event_queue_put(queue, &in), 0);
    CHECK_EQUAL(event_queue_pending(queue), 1);
    CHECK_EQUAL(event_queue_take(queue, &out, 1), 1);
    CHECK(memcmp(&in, &out, sizeof(in)) == 0);
    CHECK_EQUAL(event_queue_pending(queue), 0);
    CHECK_EQUAL(event_queue_take(queue, &out, 1), 0);
    event_queue_destroy(queue);
}

/* A full queue refuses what it cannot hold, keeps what it has, and works again when there is room. */
static void test_full_mailbox_refuses(void)
{
    struct event_queue *queue;
    struct event event = delivered(1), events[4];
    atomic_int rings = 0;

    CHECK_EQUAL(event_queue_create(&queue, 2, count_ring, &rings), 0);
    CHECK_EQUAL(event_queue_put(queue, &event), 0);
    event.token = 2;
    CHECK_EQUAL(event_queue_put(queue, &event), 0);
    event.token = 3;
    CHECK_EQUAL(event_queue_put(queue, &event), -ENOSPC);
    CHECK_EQUAL(rings, 3);
    CHECK_EQUAL(event_queue_take(queue, events, 4), 2);
    CHECK_EQUAL(events[0].token, 1);
    CHECK_EQUAL(events[1].token, 2);
    CHECK_EQUAL(event_queue_put(queue, &event), 0);
    CHECK_EQUAL(event_queue_take(queue, events, 4), 1);
    CHECK_EQUAL(events[0].token, 3);
    event_queue_destroy(queue);
}

struct putter {
    pthread_t thread;
    struct event_queue *queue;
    atomic_int *room; /* the test's own bound, so that no put finds the queue full */
    uint64_t number;
    int failed;
};

static void *put_many(void *argument)
{
    struct putter *putter = argument;

    for (uint64_t i = 0; i < EVENTS; i++) {
        struct event event = delivered(putter->number << 32 | i);

        while (atomic_fetch_sub(putter->room, 1) <= 0)
            atomic_fetch_add(putter->room, 1);
        putter->failed |= event_queue_put(putter->queue, &event) != 0;
    }
    return NULL;
}

/* From several threads at once nothing is lost or doubled, and each thread's events keep their order. */
static void test_threads_lose_nothing(void)
{
    struct putter putters[THREADS] = {0};
    struct event_queue *queue;
    struct event events[7];
    atomic_int rings = 0, room = 16;
    uint64_t next[THREADS] = {0};
    size_t total = 0;
    int wrong = 0, failed = 0;

    CHECK_EQUAL(event_queue_create(&queue, 16, count_ring, &rings), 0);
    for (uint64_t i = 0; i < THREADS; i++) {
        putters[i].queue = queue;
        putters[i].room = &room;
        putters[i].number = i;
        CHECK_EQUAL(pthread_create(&putters[i].thread, NULL, put_many, &putters[i]), 0);
    }
    while (total < THREADS * EVENTS) {
        size_t count = event_queue_take(queue, events, 7);

        for (size_t i = 0; i < count; i++)
            wrong += (events[i].token & 0xffffffff) != next[events[i].token >> 32]++;
        total += count;
        atomic_fetch_add(&room, (int)count);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(putters[i].thread, NULL);
        failed |= putters[i].failed;
    }
    CHECK_EQUAL(wrong, 0);
    CHECK_EQUAL(failed, 0);
    CHECK_EQUAL(rings, THREADS * EVENTS);
    event_queue_destroy(queue);
}

/* A loop that waits for several deliveries is not called for fewer; but for anything else at once. */
static void test_patience_is_for_deliveries_only(void)
{
    struct event event = delivered(1), failed = {.kind = EVENT_FAILED, .token = 2}, events[8];
    struct event_queue *queue;
    atomic_int rings = 0;

    CHECK_EQUAL(event_queue_create(&queue, 8, count_ring, &rings), 0);
    event_queue_set_coalesce_count(queue, 3);
    CHECK(event_queue_put(queue, &event) == 0 && event_queue_put(queue, &event) == 0);
    CHECK(rings == 0 && !event_queue_pending(queue));
    CHECK_EQUAL(event_queue_put(queue, &event), 0);
    CHECK(rings == 1 && event_queue_pending(queue));
    CHECK_EQUAL(event_queue_take(queue, events, 8), 3);
    CHECK_EQUAL(event_queue_put(queue, &failed), 0);
    CHECK(rings == 2 && event_queue_pending(queue));
    CHECK_EQUAL(event_queue_take(queue, events, 8), 1);
    CHECK(!event_queue_pending(queue));
    CHECK_EQUAL(event_queue_put(queue, &event), 0);
    event_queue_set_coalesce_count(queue, 1);
    CHECK(event_queue_pending(queue));
    event_queue_destroy(queue);
}

static const struct check_test tests[] = {
    {"test_events_come_in_order", test_events_come_in_order},
    {"test_event_arrives_whole", test_event_arrives_whole},
    {"test_full_mailbox_refuses", test_full_mailbox_refuses},
    {"test_threads_lose_nothing", test_threads_lose_nothing},
    {"test_patience_is_for_deliveries_only", test_patience_is_for_deliveries_only},
};

CHECK_MAIN(tests)
