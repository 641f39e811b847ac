/* test_doorbell.c: no wake-up is lost, no post is too many, and a dead waiter spoils nothing: with the real semaphore
 * and real processes.
 *
 * $SHMGATE_TEST_ROUNDS sets the number of rounds of the first test (tests/run --full: ten million), $SHMGATE_TEST_SEED
 * their delays.
 */
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <time.h>

#include "fixture.h"

#define ROUNDS 100000
#define DELAY_MAX 4096 /* turns of an empty loop: from nothing to a few times what falling asleep takes */

static long rounds;
static uint64_t seed;

static uint64_t next_random(void)
{
    seed ^= seed >> 12;
    seed ^= seed << 25;
    seed ^= seed >> 27;
    return seed * UINT64_C(0x2545f4914f6cdd1d);
}

static void random_delay(void)
{
    /* Short ones are as many as long ones. */
    for (volatile uint64_t left = next_random() % (1 + next_random() % DELAY_MAX); left > 0; left--)
        ;
}

static void read_settings(void)
{
    const char *text = getenv("SHMGATE_TEST_ROUNDS");

    rounds = text ? atol(text) : ROUNDS;
    text = getenv("SHMGATE_TEST_SEED");
    seed = text ? strtoull(text, NULL, 10) : platform_random();
    seed = seed ? seed : 1;
    /* The writers' rounds are counted together. */
    rounds /= 2;
    printf("  rounds=2*%ld seed=%llu\n", rounds, (unsigned long long)seed);
}

/* A writer that waits with each message until the gateway has taken the word of the one before, so that the next comes
 * just as it falls asleep. */
static int write_rounds(void)
{
    struct shared_memory *shm;
    struct shared_memory_writer *writer;
    struct segment segment;
    int rc = 0;

    seed ^= (uint64_t)getpid() << 32;
    if (segment_attach(&segment, fixture_name, &fixture_reason) < 0)
        return 1;
    if (shared_memory_attach(&shm, fixture_name, LIMIT_MS) < 0 || shared_memory_writer_open(shm, "out", &writer) < 0)
        return 1;
    fixture_tell('r');
    for (long i = 0; i < rounds && rc == 0; i++) {
        while (ring_any_dirty(segment.dirty, 1))
            sched_yield();
        random_delay();
        rc = shared_memory_writer_write(writer, &i, sizeof(i));
    }
    segment_close(&segment);
    shared_memory_writer_close(writer);
    shared_memory_detach(shm);
    return rc < 0;
}

/* Wait as the gateway's loop does. Returns 0, or -ETIMEDOUT when nobody rang. */
static int wait_for_news(void)
{
    const struct segment *segment = &fixture_segment;
    uint64_t limit = platform_monotonic_ns() + LIMIT_MS * UINT64_C(1000000);
    int late = 0;

    random_delay();
    ring_sleep(segment->header);
    if (!ring_any_dirty(segment->dirty, segment->layout.dirty_words)) {
        platform_doorbell_wait(segment->doorbell, limit);
        late = platform_monotonic_ns() >= limit;
    }
    ring_wake(segment->header);
    return late ? -ETIMEDOUT : 0;
}

/* Two writers with random delays against a gateway with random delays: whenever it sleeps, the next write wakes it. */
static void test_no_wake_up_is_lost(void)
{
    struct fixture_child writers[2];
    struct ring rings[2];

    read_settings();
    fixture_begin();
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
    for (int i = 0; i < 2; i++) {
        rings[i] = segment_ring(&fixture_segment, LANE_OUT + (uint32_t)i);
        CHECK_EQUAL(fixture_fork(&writers[i], write_rounds), 0);
        CHECK_EQUAL(fixture_hear(&writers[i]), 'r');
    }
    while (ring_head(&rings[0]) + ring_head(&rings[1]) < 2 * (uint64_t)rounds) {
        uint64_t before = ring_head(&rings[0]) + ring_head(&rings[1]);

        /* What is there when the wait begins was seen by the look before; only what comes later must ring. */
        ring_take_dirty(fixture_segment.dirty, 0);
        if (before < 2 * (uint64_t)rounds && ring_head(&rings[0]) + ring_head(&rings[1]) == before)
            CHECK_EQUAL(wait_for_news(), 0);
    }
    CHECK_EQUAL(fixture_join(&writers[0]), 0);
    CHECK_EQUAL(fixture_join(&writers[1]), 0);
    printf("  the gateway slept %u times\n", fixture_segment.header->sleep_count);
    CHECK(fixture_segment.header->sleep_count > rounds / 10);
}

static int sleep_on_doorbell(void)
{
    struct segment segment;

    if (segment_attach(&segment, fixture_name, &fixture_reason) < 0 || fixture_tell('r'))
        return 1;
    platform_doorbell_wait(segment.doorbell, UINT64_MAX);
    return 0;
}

/* Whether the process sleeps in a system call (proc(5)). */
static int is_asleep(pid_t pid)
{
    char path[64], state = 0;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    file = fopen(path, "r");
    if (!file)
        return 0;
    if (fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
        state = 0;
    fclose(file);
    return state == 'S';
}

static double post_ns(sem_t *semaphore)
{
    enum { POSTS = 200000 };
    uint64_t start = platform_monotonic_ns();

    for (int i = 0; i < POSTS; i++) {
        sem_post(semaphore);
        sem_trywait(semaphore);
    }
    return (double)(platform_monotonic_ns() - start) / POSTS;
}

/* A gateway killed in its sleep leaves a waiter in the semaphore's own count, which makes each post a system call. The
 * next gateway starts that count afresh, so that a post costs again what it cost. The cost is printed; what is checked
 * is that the gateway wakes by one post and no more. */
static void test_killed_waiter_spoils_nothing(void)
{
    double fresh, spoiled, mended;
    struct fixture_child waiter;
    int value = -1;

    fixture_begin();
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
    fresh = post_ns((sem_t *)fixture_segment.doorbell);
    CHECK_EQUAL(fixture_fork(&waiter, sleep_on_doorbell), 0);
    CHECK_EQUAL(fixture_hear(&waiter), 'r');
    while (!is_asleep(waiter.pid))
        sched_yield();
    CHECK_EQUAL(fixture_kill(&waiter), -SIGKILL);
    spoiled = post_ns((sem_t *)fixture_segment.doorbell);
    platform_doorbell_post(fixture_segment.doorbell);
    fixture_stop();
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_ADOPTED);
    CHECK_EQUAL(sem_getvalue((sem_t *)fixture_segment.doorbell, &value), 0);
    CHECK_EQUAL(value, 0);
    mended = post_ns((sem_t *)fixture_segment.doorbell);
    printf("  post and take back: %.0f ns, with a dead waiter %.0f ns, after the next start %.0f ns\n", fresh, spoiled,
           mended);
    ring_sleep(fixture_segment.header);
    segment_wake_gateway(&fixture_segment);
    segment_wake_gateway(&fixture_segment);
    CHECK_EQUAL(sem_getvalue((sem_t *)fixture_segment.doorbell, &value), 0);
    CHECK_EQUAL(value, 1);
}

/* A storm of writes against a gateway that sleeps is one post; and a semaphore that somebody filled to the brim is no
 * error of a write. */
static void test_storm_of_writes_is_one_post(void)
{
    struct shared_memory *shm;
    struct shared_memory_writer *writer;
    int value = -1;

    fixture_begin();
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
    CHECK_EQUAL(shared_memory_attach(&shm, fixture_name, 0), 0);
    CHECK_EQUAL(shared_memory_writer_open(shm, "out", &writer), 0);
    ring_sleep(fixture_segment.header);
    for (int i = 0; i < 100000; i++)
        CHECK_EQUAL(shared_memory_writer_write(writer, "x", 1), 0);
    CHECK_EQUAL(sem_getvalue((sem_t *)fixture_segment.doorbell, &value), 0);
    CHECK_EQUAL(value, 1);
    CHECK_EQUAL(sem_init((sem_t *)fixture_segment.doorbell, 1, SEM_VALUE_MAX), 0);
    ring_sleep(fixture_segment.header);
    CHECK_EQUAL(shared_memory_writer_write(writer, "x", 1), 0);
    CHECK_EQUAL(sem_getvalue((sem_t *)fixture_segment.doorbell, &value), 0);
    CHECK_EQUAL(value, SEM_VALUE_MAX);
    shared_memory_writer_close(writer);
    shared_memory_detach(shm);
}

static sem_t *opened(void)
{
    sem_t *semaphore = sem_open(fixture_name, 0);

    return semaphore == SEM_FAILED ? NULL : semaphore;
}

static int wait_as_the_c_library(void)
{
    sem_t *semaphore = opened();

    if (!semaphore || fixture_tell('r'))
        return 1;
    return sem_wait(semaphore) == 0 ? 0 : 2;
}

/* It is what a 64-bit glibc has under the name, byte for byte, and each wakes the other: posix_ipc and the like ring
 * it. */
static void test_doorbell_is_the_c_librarys_semaphore(void)
{
    struct fixture_child waiter;
    sem_t *semaphore, fresh;

    CHECK_EQUAL(sizeof(sem_t), 32);
    for (int ours = 0; ours < 2; ours++) {
        fixture_begin();
        CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
        semaphore = opened();
        CHECK(semaphore);
        memset(&fresh, 0, sizeof(fresh));
        CHECK_EQUAL(sem_init(&fresh, 1, 0), 0);
        CHECK(memcmp(&fresh, semaphore, sizeof(fresh)) == 0);
        CHECK_EQUAL(fixture_fork(&waiter, ours ? sleep_on_doorbell : wait_as_the_c_library), 0);
        CHECK_EQUAL(fixture_hear(&waiter), 'r');
        while (!is_asleep(waiter.pid))
            sched_yield();
        if (ours)
            sem_post(semaphore);
        else
            platform_doorbell_post(fixture_segment.doorbell);
        CHECK_EQUAL(fixture_join(&waiter), 0);
        CHECK(memcmp(&fresh, semaphore, sizeof(fresh)) == 0);
        sem_close(semaphore);
    }
}

/* What another program has put under the semaphore's name does not stop the gateway. */
static void test_doorbell_of_another_size_is_made_anew(void)
{
    char name[100];
    int fd;

    fixture_begin();
    snprintf(name, sizeof(name), "/sem.%s", fixture_name + 1);
    fd = shm_open(name, O_CREAT | O_RDWR, 0600);
    CHECK(fd >= 0 && ftruncate(fd, 16) == 0);
    close(fd);
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
    platform_doorbell_post(fixture_segment.doorbell);
    platform_doorbell_wait(fixture_segment.doorbell, UINT64_MAX);
}

static const struct check_test tests[] = {
    {"test_no_wake_up_is_lost", test_no_wake_up_is_lost},
    {"test_killed_waiter_spoils_nothing", test_killed_waiter_spoils_nothing},
    {"test_storm_of_writes_is_one_post", test_storm_of_writes_is_one_post},
    {"test_doorbell_is_the_c_librarys_semaphore", test_doorbell_is_the_c_librarys_semaphore},
    {"test_doorbell_of_another_size_is_made_anew", test_doorbell_of_another_size_is_made_anew},
};

FIXTURE_MAIN(tests)
