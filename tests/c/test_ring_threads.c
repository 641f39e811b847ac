/* test_ring_threads.c: the protocols of ring.c between threads, for the thread sanitizer too. Everything is counted,
 * nothing timed; LIMIT_S only ends a test whose wake-up was lost. */
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <time.h>

#include "platform.h"
#include "ring_fixture.h"

#define LIMIT_S 60
#define MESSAGES 200000
#define PAYLOAD 200
#define READERS 2
#define LANES 3
#define NEWS 20000     /* a lane */
#define RECORDS 300000 /* looks at the ledger, by each of two threads */
#define SLEEPERS 3
#define ROUNDS 5000

static struct test_ring made;
static atomic_int wrong; /* things that must not happen */

/* Start `count` threads, thread n with (void *)n, and wait for all. */
static int run_threads(void *(*const functions[])(void *), size_t count)
{
    pthread_t threads[8];
    size_t started = 0;
    int rc = 0;

    atomic_store(&wrong, 0);
    while (started < count && (rc = pthread_create(&threads[started], NULL, functions[started], (void *)started)) == 0)
        started++;
    if (rc != 0)
        exit(2); /* those that run wait for those that do not */
    for (size_t i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    return atomic_load(&wrong);
}

/* ---- One writer that overwrites, two readers ---- */

static atomic_ullong read_count[READERS], missed_count[READERS];

static void *write_all(void *unused)
{
    struct ring_writer writer;

    (void)unused;
    ring_writer_start(&writer, &made.ring, 0);
    for (int i = 0; i < MESSAGES; i++) {
        if (write_next(&writer, (size_t)(i * 37 % (PAYLOAD + 1))) < 0)
            atomic_fetch_add(&wrong, 1);
        /* Now and then the readers come close behind, where a copy and an overwrite meet. */
        if (i % 64 == 0)
            sched_yield();
    }
    return NULL;
}

static void *read_all(void *number)
{
    size_t reader = (size_t)number - 1;
    unsigned char buffer[PAYLOAD];
    unsigned long long got = 0, missed = 0;
    uint64_t next = 0;

    while (next < MESSAGES) {
        struct ring_message message;
        int rc = ring_read(&made.ring, next, &message, &(struct ring_space){buffer, sizeof(buffer), NULL});

        if (rc == 0) {
            if (message.size != next * 37 % (PAYLOAD + 1) || !payload_right(buffer, message.size, next) ||
                message.time_ns != 1000 + next)
                atomic_fetch_add(&wrong, 1);
            got++;
            next++;
        } else if (rc == -ESTALE) {
            uint64_t further = ring_resync(&made.ring, next);
            missed += further - next;
            next = further;
        } else if (rc != -EAGAIN || ring_check_damage(&made.ring, next) != 0) {
            atomic_fetch_add(&wrong, 1);
            break;
        } else {
            sched_yield();
        }
    }
    atomic_store(&read_count[reader], got);
    atomic_store(&missed_count[reader], missed);
    return NULL;
}

/* No reader beside a writer that overwrites ever gets a torn message, or one twice, and got + missed is what was
 * written. */
static void test_overwritten_readers_get_whole_messages(void)
{
    void *(*const functions[])(void *) = {write_all, read_all, read_all};

    for (uint32_t slots = 2; slots <= 32; slots *= 4) {
        CHECK_EQUAL(ring_make(&made, slots, PAYLOAD, 0), 0);
        CHECK_EQUAL(run_threads(functions, 3), 0);
        for (int i = 0; i < READERS; i++) {
            CHECK_EQUAL(read_count[i] + missed_count[i], MESSAGES);
            CHECK(read_count[i] > 0);
        }
    }
}

/* ---- Writers that are refused, and the gateway that frees their slots ---- */

static void *write_until_taken(void *unused)
{
    struct ring_writer writer;

    (void)unused;
    ring_writer_start(&writer, &made.ring, 1);
    while (writer.next < MESSAGES)
        if (write_next(&writer, 16) == -EAGAIN)
            sched_yield();
    return NULL;
}

static void *take_and_free(void *unused)
{
    struct ring_ledger ledger = {.tail = 0};

    (void)unused;
    while (ledger.tail < MESSAGES) {
        struct ring_message message;

        if (ring_peek(&made.ring, ledger.tail, &message) < 0) {
            sched_yield();
            continue;
        }
        if (message.size != 16 || !payload_right(message.payload, 16, ledger.tail) ||
            !ring_validate(&made.ring, ledger.tail))
            atomic_fetch_add(&wrong, 1);
        ledger.tail++;
        ring_ledger_store(made.lane, &ledger);
    }
    return NULL;
}

/* With overflow = reject a slot stays untouched until the gateway has freed it, so its bytes may be used where they
 * lie. */
static void test_rejecting_ring_never_changes_what_is_in_use(void)
{
    void *(*const functions[])(void *) = {write_until_taken, take_and_free};

    CHECK_EQUAL(ring_make(&made, 4, 16, 0), 0);
    CHECK_EQUAL(run_threads(functions, 2), 0);
}

/* ---- The doorbell ---- */

static struct layout_header header;
static _Atomic uint64_t dirty[1];
static struct test_ring lanes[LANES];
static sem_t bell;

static void *write_news(void *number)
{
    uint32_t lane = (uint32_t)(size_t)number;
    struct ring_writer writer;
    uint32_t sleep;

    ring_writer_start(&writer, &lanes[lane].ring, 0);
    for (int i = 0; i < NEWS; i++) {
        if (write_next(&writer, 8) < 0)
            atomic_fetch_add(&wrong, 1);
        sleep = ring_notify(&header, dirty, lane);
        if (sleep != 0) {
            sem_post(&bell);
            ring_posted(&header, sleep);
        }
        if (i % 16 == 0)
            sched_yield();
    }
    return NULL;
}

/* Take what a lane has. */
static void drain(uint32_t lane, uint64_t *next)
{
    unsigned char buffer[8];
    struct ring_message message;
    int rc;

    while ((rc = ring_read(&lanes[lane].ring, *next, &message, &(struct ring_space){buffer, sizeof(buffer), NULL})) !=
           -EAGAIN)
        *next = rc == 0 ? *next + 1 : ring_resync(&lanes[lane].ring, *next);
}

static void *wait_for_news(void *unused)
{
    uint64_t next[LANES] = {0};
    struct timespec limit;

    (void)unused;
    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += LIMIT_S;
    while (next[0] + next[1] + next[2] < (uint64_t)LANES * NEWS) {
        uint64_t bits;

        ring_sleep(&header);
        if (!ring_any_dirty(dirty, 1) && sem_timedwait(&bell, &limit) < 0 && errno == ETIMEDOUT) {
            atomic_fetch_add(&wrong, 1);
            break;
        }
        ring_wake(&header);
        bits = ring_take_dirty(dirty, 0);
        for (uint32_t lane = 0; lane < LANES; lane++)
            if (bits & UINT64_C(1) << lane)
                drain(lane, &next[lane]);
    }
    return NULL;
}

/* A gateway that looks only at lanes with word, and sleeps when there is none, comes to the end of every lane. */
static void test_no_news_is_lost(void)
{
    void *(*const functions[])(void *) = {write_news, write_news, write_news, wait_for_news};
    int failures;

    CHECK_EQUAL(sem_init(&bell, 0, 0), 0);
    for (int i = 0; i < LANES; i++)
        CHECK_EQUAL(ring_make(&lanes[i], 8, 8, 0), 0);
    failures = run_threads(functions, LANES + 1);
    for (int i = 0; i < LANES; i++)
        ring_unmake(&lanes[i]);
    sem_destroy(&bell);
    CHECK_EQUAL(failures, 0);
}

/* ---- The ledger ---- */

static atomic_int loading; /* threads that still look */

static void *store_records(void *unused)
{
    (void)unused;
    for (uint64_t i = 1; atomic_load(&loading) > 0; i++) {
        struct ring_ledger ledger = {.tail = i, .delivered = i, .spooled = i};

        for (uint64_t reason = 0; reason < LAYOUT_DROP_SPACE; reason++)
            ledger.dropped[reason] = i + reason;
        ring_ledger_store(made.lane, &ledger);
        /* As the gateway does, leave time for a look between the stores: a look gives up after a number of tries. */
        if (i % 2 == 0)
            sched_yield();
    }
    return NULL;
}

static void *load_records(void *unused)
{
    uint64_t last = 0;

    (void)unused;
    for (int i = 0; i < RECORDS; i++) {
        struct ring_ledger ledger;

        ring_ledger_load(made.lane, &ledger);
        if (ledger.tail == 0)
            continue;
        if (ledger.tail < last || ledger.delivered != ledger.tail || ledger.spooled != ledger.tail)
            atomic_fetch_add(&wrong, 1);
        for (uint64_t reason = 0; reason < LAYOUT_DROP_SPACE; reason++)
            if (ledger.dropped[reason] != ledger.tail + reason)
                atomic_fetch_add(&wrong, 1);
        last = ledger.tail;
    }
    atomic_fetch_sub(&loading, 1);
    return NULL;
}

/* However often the gateway replaces the ledger, a look at it is one record, and never one older than the last. */
static void test_ledger_is_whole_between_threads(void)
{
    void *(*const functions[])(void *) = {store_records, load_records, load_records};

    CHECK_EQUAL(ring_make(&made, 2, 8, 0), 0);
    atomic_store(&loading, 2);
    CHECK_EQUAL(run_threads(functions, 3), 0);
}

/* ---- The readers' wake word ---- */

static struct layout_channel channel;
static atomic_uint round_now, seen[SLEEPERS];

static void *sleep_and_see(void *number)
{
    size_t sleeper = (size_t)number;
    uint64_t limit = platform_monotonic_ns() + (uint64_t)LIMIT_S * 1000000000;
    unsigned next = 1;

    while (next <= ROUNDS) {
        uint32_t word = ring_reader_sleep(&channel);

        if (atomic_load(&round_now) >= next) {
            atomic_store(&seen[sleeper], next++);
            continue;
        }
        if (platform_word_wait(&channel.wake_word, word, limit) == -ETIMEDOUT) {
            atomic_fetch_add(&wrong, 1);
            atomic_store(&seen[sleeper], ROUNDS);
            break;
        }
    }
    return NULL;
}

static void *wake_all(void *unused)
{
    (void)unused;
    for (unsigned i = 1; i <= ROUNDS; i++) {
        atomic_store(&round_now, i);
        if (ring_wake_readers(&channel))
            platform_word_wake(&channel.wake_word);
        for (size_t sleeper = 0; sleeper < SLEEPERS; sleeper++)
            while (atomic_load(&seen[sleeper]) < i)
                sched_yield();
    }
    return NULL;
}

/* Every sleeping reader is woken by each message, however sleeping and waking fall together. */
static void test_no_wake_up_is_lost(void)
{
    void *(*const functions[])(void *) = {sleep_and_see, sleep_and_see, sleep_and_see, wake_all};

    CHECK_EQUAL(run_threads(functions, SLEEPERS + 1), 0);
}

static const struct check_test tests[] = {
    {"test_overwritten_readers_get_whole_messages", test_overwritten_readers_get_whole_messages},
    {"test_rejecting_ring_never_changes_what_is_in_use", test_rejecting_ring_never_changes_what_is_in_use},
    {"test_no_news_is_lost", test_no_news_is_lost},
    {"test_ledger_is_whole_between_threads", test_ledger_is_whole_between_threads},
    {"test_no_wake_up_is_lost", test_no_wake_up_is_lost},
};

CHECK_MAIN(tests)
