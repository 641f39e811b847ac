/* test_mailbox.c: events come out of the mailbox as they were put in, over threads and over its end. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "check.h"
#include "mqtt/mailbox.h"

#define THREADS 4
#define EVENTS 20000

static void count_ring(void *context)
{
    atomic_fetch_add((atomic_int *)context, 1);
}

static struct mailbox_event delivered(uint64_t token)
{
    return (struct mailbox_event){.kind = MAILBOX_DELIVERED, .token = token};
}

/* Events come out oldest first, also when the circle wraps. */
static void test_events_come_in_order(void)
{
    struct mailbox *mailbox;
    struct mailbox_event events[3];
    atomic_int rings = 0;
    uint64_t put = 0, taken = 0;

    CHECK_EQUAL(mailbox_create(&mailbox, 5, count_ring, &rings), 0);
    for (int turn = 0; turn < 20; turn++) {
        size_t count;

        for (int i = 0; i < 3; i++) {
            struct mailbox_event event = delivered(put++);
            CHECK_EQUAL(mailbox_put(mailbox, &event), 0);
        }
        count = mailbox_take(mailbox, events, 3);
        CHECK_EQUAL(count, 3);
        for (size_t i = 0; i < count; i++)
            CHECK_EQUAL(events[i].token, taken++);
    }
    CHECK_EQUAL(rings, 60);
    mailbox_destroy(mailbox);
}

/* An event arrives with all its fields. */
static void test_event_arrives_whole(void)
{
    struct mailbox *mailbox;
    struct mailbox_event in = {.kind = MAILBOX_CONNECT_FAILED, .reason = 5, .permanent = 1, .text = "not authorised"},
                         out;
    atomic_int rings = 0;

    CHECK_EQUAL(mailbox_create(&mailbox, 1, count_ring, &rings), 0);
    CHECK_EQUAL(mailbox_pending(mailbox), 0);
    CHECK_EQUAL(mailbox_put(mailbox, &in), 0);
    CHECK_EQUAL(mailbox_pending(mailbox), 1);
    CHECK_EQUAL(mailbox_take(mailbox, &out, 1), 1);
    CHECK(memcmp(&in, &out, sizeof(in)) == 0);
    CHECK_EQUAL(mailbox_pending(mailbox), 0);
    CHECK_EQUAL(mailbox_take(mailbox, &out, 1), 0);
    mailbox_destroy(mailbox);
}

/* A full mailbox refuses what it cannot hold, keeps what it has, and works again when there is room. */
static void test_full_mailbox_refuses(void)
{
    struct mailbox *mailbox;
    struct mailbox_event event = delivered(1), events[4];
    atomic_int rings = 0;

    CHECK_EQUAL(mailbox_create(&mailbox, 2, count_ring, &rings), 0);
    CHECK_EQUAL(mailbox_put(mailbox, &event), 0);
    event.token = 2;
    CHECK_EQUAL(mailbox_put(mailbox, &event), 0);
    event.token = 3;
    CHECK_EQUAL(mailbox_put(mailbox, &event), -ENOSPC);
    CHECK_EQUAL(rings, 3);
    CHECK_EQUAL(mailbox_take(mailbox, events, 4), 2);
    CHECK_EQUAL(events[0].token, 1);
    CHECK_EQUAL(events[1].token, 2);
    CHECK_EQUAL(mailbox_put(mailbox, &event), 0);
    CHECK_EQUAL(mailbox_take(mailbox, events, 4), 1);
    CHECK_EQUAL(events[0].token, 3);
    mailbox_destroy(mailbox);
}

struct putter {
    pthread_t thread;
    struct mailbox *mailbox;
    atomic_int *room; /* the test's own bound, so that no put finds the mailbox full */
    uint64_t number;
    int failed;
};

static void *put_many(void *argument)
{
    struct putter *putter = argument;

    for (uint64_t i = 0; i < EVENTS; i++) {
        struct mailbox_event event = delivered(putter->number << 32 | i);

        while (atomic_fetch_sub(putter->room, 1) <= 0)
            atomic_fetch_add(putter->room, 1);
        putter->failed |= mailbox_put(putter->mailbox, &event) != 0;
    }
    return NULL;
}

/* From several threads at once nothing is lost or doubled, and each thread's events keep their order. */
static void test_threads_lose_nothing(void)
{
    struct putter putters[THREADS] = {0};
    struct mailbox *mailbox;
    struct mailbox_event events[7];
    atomic_int rings = 0, room = 16;
    uint64_t next[THREADS] = {0};
    size_t total = 0;
    int wrong = 0, failed = 0;

    CHECK_EQUAL(mailbox_create(&mailbox, 16, count_ring, &rings), 0);
    for (uint64_t i = 0; i < THREADS; i++) {
        putters[i].mailbox = mailbox;
        putters[i].room = &room;
        putters[i].number = i;
        CHECK_EQUAL(pthread_create(&putters[i].thread, NULL, put_many, &putters[i]), 0);
    }
    while (total < THREADS * EVENTS) {
        size_t count = mailbox_take(mailbox, events, 7);

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
    mailbox_destroy(mailbox);
}

/* A loop that waits for several deliveries is not called for fewer; but for anything else at once. */
static void test_patience_is_for_deliveries_only(void)
{
    struct mailbox_event event = delivered(1), failed = {.kind = MAILBOX_FAILED, .token = 2}, events[8];
    struct mailbox *mailbox;
    atomic_int rings = 0;

    CHECK_EQUAL(mailbox_create(&mailbox, 8, count_ring, &rings), 0);
    mailbox_set_patience(mailbox, 3);
    CHECK(mailbox_put(mailbox, &event) == 0 && mailbox_put(mailbox, &event) == 0);
    CHECK(rings == 0 && !mailbox_pending(mailbox));
    CHECK_EQUAL(mailbox_put(mailbox, &event), 0);
    CHECK(rings == 1 && mailbox_pending(mailbox));
    CHECK_EQUAL(mailbox_take(mailbox, events, 8), 3);
    CHECK_EQUAL(mailbox_put(mailbox, &failed), 0);
    CHECK(rings == 2 && mailbox_pending(mailbox));
    CHECK_EQUAL(mailbox_take(mailbox, events, 8), 1);
    CHECK(!mailbox_pending(mailbox));
    CHECK_EQUAL(mailbox_put(mailbox, &event), 0);
    mailbox_set_patience(mailbox, 1);
    CHECK(mailbox_pending(mailbox));
    mailbox_destroy(mailbox);
}

static const struct check_test tests[] = {
    {"test_events_come_in_order", test_events_come_in_order},
    {"test_event_arrives_whole", test_event_arrives_whole},
    {"test_full_mailbox_refuses", test_full_mailbox_refuses},
    {"test_threads_lose_nothing", test_threads_lose_nothing},
    {"test_patience_is_for_deliveries_only", test_patience_is_for_deliveries_only},
};

CHECK_MAIN(tests)
