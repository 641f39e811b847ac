/* test_shared_memory.c: the four everyday calls, lanes and their owners, forks and threads. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/time.h>

#include "fixture.h"

static struct shared_memory *attach(void)
{
    struct shared_memory *shm;

    return shared_memory_attach(&shm, fixture_name, LIMIT_MS) == 0 ? shm : NULL;
}

/* Every call says what is missing before shared_memory_init, and after shared_memory_release. */
static void test_not_attached(void)
{
    char byte;

    fixture_begin();
    CHECK_EQUAL(shared_memory_write("out", "x", 1), -ENOTCONN);
    CHECK(strstr(shared_memory_error(), "shared_memory_init"));
    CHECK_EQUAL(shared_memory_read("out", &byte, 1, 0), -ENOTCONN);
    CHECK_EQUAL(shared_memory_release(), -ENOTCONN);
    CHECK_EQUAL(shared_memory_init(fixture_name, 0), -ETIMEDOUT);
    CHECK_EQUAL(shared_memory_init(fixture_name, 1), -ETIMEDOUT);
    CHECK(strstr(shared_memory_error(), "start shmgated"));
    CHECK_EQUAL(shared_memory_init("no slash", 0), -EINVAL);
}

/* What is written with one call is read with the other, empty messages too; init and release can be repeated. */
static void test_four_calls(void)
{
    char buffer[64];

    fixture_begin();
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
    for (int turn = 0; turn < 3; turn++) {
        CHECK_EQUAL(shared_memory_init(fixture_name, 0), 0);
        CHECK_EQUAL(shared_memory_init(fixture_name, 0), 0);
        CHECK_EQUAL(shared_memory_init("/shmgate-test-other", 0), -EBUSY);
        CHECK_EQUAL(shared_memory_write("out", "abc", 3), 0);
        CHECK_EQUAL(shared_memory_write("out", NULL, 0), 0);
        for (int i = 0; i <= turn; i++) {
            CHECK_EQUAL(shared_memory_read("out", buffer, sizeof(buffer), 0), 3);
            CHECK(memcmp(buffer, "abc", 3) == 0);
            CHECK_EQUAL(shared_memory_read("out", buffer, sizeof(buffer), 0), 0);
        }
        CHECK_EQUAL(shared_memory_read("out", buffer, sizeof(buffer), 0), -EAGAIN);
        CHECK_EQUAL(shared_memory_read("out", buffer, sizeof(buffer), 1), -ETIMEDOUT);
        CHECK_EQUAL(shared_memory_release(), 0);
    }
}

/* Each wrong use of a channel has its own error, and a reason that names the channel. */
static void test_wrong_use_is_named(void)
{
    static char payload[65], name[LAYOUT_NAME_SIZE + 1];

    fixture_begin();
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
    CHECK_EQUAL(shared_memory_init(fixture_name, 0), 0);
    CHECK_EQUAL(shared_memory_write("none", "x", 1), -ENOENT);
    CHECK(strstr(shared_memory_error(), "no channel none"));
    CHECK_EQUAL(shared_memory_read("none", payload, 1, 0), -ENOENT);
    memset(name, 'n', sizeof(name) - 1);
    CHECK_EQUAL(shared_memory_write(name, "x", 1), -ENOENT);
    CHECK_EQUAL(shared_memory_write("in", "x", 1), -EBADF);
    CHECK(strstr(shared_memory_error(), "only the gateway"));
    CHECK_EQUAL(shared_memory_write("out", payload, 65), -EMSGSIZE);
    CHECK(strstr(shared_memory_error(), "65 bytes, max_payload is 64"));
    CHECK_EQUAL(shared_memory_write("out", payload, 64), 0);
    CHECK_EQUAL(shared_memory_read("out", payload, 63, 0), -EMSGSIZE);
    CHECK_EQUAL(shared_memory_read("out", payload, 64, 0), 64);
    for (int i = 0; i < 4; i++)
        CHECK_EQUAL(shared_memory_write("strict", "123456789", 9), 0);
    CHECK_EQUAL(shared_memory_write("strict", "x", 1), -EAGAIN);
    CHECK(strstr(shared_memory_error(), "full"));
}

static int init_and_write(void)
{
    if (fixture_tell('s') != 0 || shared_memory_init(fixture_name, LIMIT_MS) != 0)
        return 1;
    return shared_memory_write("out", "early", 5) == 0 ? 0 : 2;
}

/* A client that comes before the gateway waits for it. */
static void test_init_waits_for_the_gateway(void)
{
    struct fixture_child client;
    char buffer[64];

    fixture_begin();
    CHECK_EQUAL(fixture_fork(&client, init_and_write), 0);
    CHECK_EQUAL(fixture_hear(&client), 's');
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
    CHECK_EQUAL(fixture_join(&client), 0);
    CHECK_EQUAL(shared_memory_init(fixture_name, 0), 0);
    CHECK_EQUAL(shared_memory_read("out", buffer, sizeof(buffer), 0), 5);
}

/* ---- Lanes ---- */

/* Each writer has a lane of its own, also within one attachment; when none is free the reason says what to raise. */
static void test_one_lane_a_writer(void)
{
    struct shared_memory_writer *first, *second, *third;
    struct shared_memory *shm, *other;

    fixture_begin();
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
    CHECK((shm = attach()) && (other = attach()));
    CHECK_EQUAL(shared_memory_writer_open(shm, "out", &first), 0);
    CHECK_EQUAL(shared_memory_writer_open(shm, "out", &second), 0);
    CHECK_EQUAL(segment_lane_locked(&fixture_segment, LANE_OUT), 1);
    CHECK_EQUAL(segment_lane_locked(&fixture_segment, LANE_OUT + 1), 1);
    CHECK_EQUAL(shared_memory_writer_open(shm, "out", &third), -EBUSY);
    CHECK(strstr(shared_memory_error(), "writers"));
    CHECK_EQUAL(shared_memory_writer_open(other, "out", &third), -EBUSY);
    shared_memory_writer_close(first);
    CHECK_EQUAL(segment_lane_locked(&fixture_segment, LANE_OUT), 0);
    CHECK_EQUAL(shared_memory_writer_open(other, "out", &third), 0);
    CHECK_EQUAL(shared_memory_writer_write(second, "2", 1), 0);
    CHECK_EQUAL(shared_memory_writer_write(third, "3", 1), 0);
    CHECK_EQUAL(segment_ring(&fixture_segment, LANE_OUT).lane->head, 1);
    CHECK_EQUAL(segment_ring(&fixture_segment, LANE_OUT + 1).lane->head, 1);
    CHECK_EQUAL(shared_memory_writer_max_payload(third), 64);
    /* The attachments go with their last handle. */
    shared_memory_detach(shm);
    shared_memory_detach(other);
    CHECK_EQUAL(shared_memory_writer_write(third, "3", 1), 0);
    shared_memory_writer_close(second);
    shared_memory_writer_close(third);
    CHECK_EQUAL(segment_lane_locked(&fixture_segment, LANE_OUT + 1), 0);
}

static int write_and_wait(void)
{
    if (shared_memory_init(fixture_name, 0) != 0 || shared_memory_write("strict", "a", 1) != 0 ||
        shared_memory_write("strict", "b", 1) != 0 || fixture_tell('w') != 0)
        return 1;
    for (;;)
        pause();
}

/* The lane of a killed writer is free at once, and goes on behind its last message; that of a stopped one is not free.
 * */
static void test_killed_writers_lane_is_free(void)
{
    struct fixture_child writer;
    int status, stopped;
    char buffer[9];

    fixture_begin();
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
    CHECK_EQUAL(fixture_fork(&writer, write_and_wait), 0);
    CHECK_EQUAL(fixture_hear(&writer), 'w');
    kill(writer.pid, SIGSTOP);
    waitpid(writer.pid, &status, WUNTRACED);
    CHECK_EQUAL(shared_memory_init(fixture_name, 0), 0);
    stopped = shared_memory_write("strict", "c", 1);
    CHECK_EQUAL(fixture_kill(&writer), -SIGKILL);
    CHECK_EQUAL(stopped, -EBUSY);
    CHECK_EQUAL(shared_memory_write("strict", "c", 1), 0);
    for (int i = 0; i < 3; i++) {
        CHECK_EQUAL(shared_memory_read("strict", buffer, sizeof(buffer), 0), 1);
        CHECK_EQUAL(buffer[0], 'a' + i);
    }
}

/* ---- Forks ---- */

static struct shared_memory_writer *parents_writer;
static struct shared_memory_reader *parents_reader;
static struct shared_memory *parents_shm;

static int use_inherited_handles(void)
{
    struct shared_memory_writer *writer;
    struct shared_memory_reader *reader;
    struct shared_memory_message message;
    char byte;

    if (shared_memory_write("out", "x", 1) != -EPERM || !strstr(shared_memory_error(), "fork") ||
        shared_memory_read("out", &byte, 1, 0) != -EPERM ||
        shared_memory_writer_write(parents_writer, "x", 1) != -EPERM ||
        shared_memory_reader_read(parents_reader, &byte, 1, &message, 0) != -EPERM ||
        shared_memory_reader_latest(parents_reader, &byte, 1, &message) != -EPERM ||
        shared_memory_writer_open(parents_shm, "out", &writer) != -EPERM ||
        shared_memory_reader_open(parents_shm, "out", SHARED_MEMORY_FROM_NOW, &reader) != -EPERM)
        return 1;
    /* Giving back what was inherited takes nothing from the parent. */
    shared_memory_writer_close(parents_writer);
    shared_memory_reader_close(parents_reader);
    shared_memory_detach(parents_shm);
    if (shared_memory_release() != 0 || shared_memory_init(fixture_name, 0) != 0)
        return 2;
    /* Both lanes of "out" are the parent's. */
    return shared_memory_write("out", "x", 1) == -EBUSY && shared_memory_write("strict", "x", 1) == 0 ? 0 : 3;
}

/* A child cannot use what it inherited, attaches for itself, and the parent keeps its lanes. */
static void test_child_attaches_for_itself(void)
{
    fixture_begin();
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
    CHECK_EQUAL(shared_memory_init(fixture_name, 0), 0);
    CHECK_EQUAL(shared_memory_write("out", "y", 1), 0);
    CHECK(parents_shm = attach());
    CHECK_EQUAL(shared_memory_writer_open(parents_shm, "out", &parents_writer), 0);
    CHECK_EQUAL(shared_memory_reader_open(parents_shm, "out", SHARED_MEMORY_FROM_OLDEST, &parents_reader), 0);
    CHECK_EQUAL(fixture_run(use_inherited_handles), 0);
    CHECK_EQUAL(segment_lane_locked(&fixture_segment, LANE_OUT), 1);
    CHECK_EQUAL(segment_lane_locked(&fixture_segment, LANE_OUT + 1), 1);
    CHECK_EQUAL(shared_memory_write("out", "y", 1), 0);
    CHECK_EQUAL(shared_memory_writer_write(parents_writer, "y", 1), 0);
    shared_memory_writer_close(parents_writer);
    shared_memory_reader_close(parents_reader);
    shared_memory_detach(parents_shm);
}

/* ---- Threads ---- */

#define THREADS 3
#define MESSAGES 2000

static atomic_int wrong, reading;

static void *write_some(void *unused)
{
    char buffer[9];

    (void)unused;
    for (int i = 0; i < MESSAGES; i++) {
        int rc = shared_memory_write("strict", "t", 1);

        if (rc != 0 && rc != -EAGAIN)
            atomic_fetch_add(&wrong, 1);
        rc = (int)shared_memory_read("strict", buffer, sizeof(buffer), 0);
        if (rc != 1 && rc != -EAGAIN)
            atomic_fetch_add(&wrong, 1);
    }
    return NULL;
}

/* Threads share the four calls: each write that returned 0 is in the ring. */
static void test_threads_share_the_four_calls(void)
{
    struct ring_ledger ledger = {.tail = 0};
    pthread_t threads[THREADS];
    struct ring ring;

    fixture_begin();
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
    CHECK_EQUAL(shared_memory_init(fixture_name, 0), 0);
    ring = segment_ring(&fixture_segment, LANE_STRICT);
    atomic_store(&wrong, 0);
    for (int i = 0; i < THREADS; i++)
        CHECK_EQUAL(pthread_create(&threads[i], NULL, write_some, NULL), 0);
    while (ring_head(&ring) + ring_rejected(&ring) < THREADS * MESSAGES) {
        ledger.tail = ring_head(&ring);
        ring_ledger_store(ring.lane, &ledger);
        sched_yield();
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK_EQUAL(wrong, 0);
    CHECK_EQUAL(ring_head(&ring) + ring_rejected(&ring), THREADS * MESSAGES);
}

static void *read_until_there(void *unused)
{
    char buffer[64];
    ssize_t rc;

    (void)unused;
    atomic_store(&reading, 1);
    rc = shared_memory_read("in", buffer, sizeof(buffer), LIMIT_MS);
    if (rc != -ECANCELED)
        atomic_fetch_add(&wrong, 1);
    return NULL;
}

/* A release while another thread waits in a read ends that read, which lets go of what is left. */
static void test_release_beside_a_waiting_read(void)
{
    struct layout_channel *channel;
    pthread_t thread;

    fixture_begin();
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
    CHECK_EQUAL(shared_memory_init(fixture_name, 0), 0);
    channel = segment_channel(&fixture_segment, CHANNEL_IN);
    atomic_store(&wrong, 0);
    CHECK_EQUAL(pthread_create(&thread, NULL, read_until_there, NULL), 0);
    while (atomic_load(&channel->reader_sleeps) == 0)
        sched_yield();
    CHECK_EQUAL(shared_memory_release(), 0);
    pthread_join(thread, NULL);
    CHECK_EQUAL(wrong, 0);
    CHECK_EQUAL(shared_memory_release(), -ENOTCONN);
}

static uint64_t now_ms(void)
{
    return platform_monotonic_ns() / 1000000;
}

/* "A timeout of 0 never waits": neither for another thread's read of the same channel, nor for its init. */
static void test_timeout_0_waits_for_no_thread(void)
{
    struct layout_channel *channel;
    uint64_t begin;
    pthread_t thread;
    char byte;

    fixture_begin();
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
    CHECK_EQUAL(shared_memory_init(fixture_name, 0), 0);
    channel = segment_channel(&fixture_segment, CHANNEL_IN);
    CHECK_EQUAL(pthread_create(&thread, NULL, read_until_there, NULL), 0);
    while (atomic_load(&channel->reader_sleeps) == 0)
        sched_yield();
    begin = now_ms();
    CHECK_EQUAL(shared_memory_read("in", &byte, 1, 0), -EAGAIN);
    CHECK_EQUAL(shared_memory_read("in", &byte, 1, 20), -ETIMEDOUT);
    CHECK_EQUAL(shared_memory_read("out", &byte, 1, 0), -EAGAIN);
    CHECK_EQUAL(shared_memory_write("out", "x", 1), 0);
    CHECK(now_ms() - begin < LIMIT_MS / 4);
    CHECK_EQUAL(shared_memory_release(), 0);
    pthread_join(thread, NULL);
}

static void *init_elsewhere(void *result)
{
    *(int *)result = shared_memory_init("/shmgate-test-no-such", 1000);
    return NULL;
}

static void test_calls_wait_for_no_init(void)
{
    uint64_t begin = now_ms();
    pthread_t thread;
    int rc = 0;
    char byte;

    fixture_begin();
    CHECK_EQUAL(pthread_create(&thread, NULL, init_elsewhere, &rc), 0);
    for (int i = 0; i < 100; i++) {
        CHECK_EQUAL(shared_memory_read("in", &byte, 1, 0), -ENOTCONN);
        sched_yield();
    }
    CHECK(now_ms() - begin < 900);
    pthread_join(thread, NULL);
    CHECK_EQUAL(rc, -ETIMEDOUT);
}

static struct shared_memory *shared;

static void *look_at_counters(void *unused)
{
    struct shared_memory_counters counters;

    for (int i = 0; i < 20000; i++)
        if (shared_memory_channel_counters(shared, i % FIXTURE_USUAL, &counters) != 0 ||
            strcmp(counters.topic, fixture_usual[i % FIXTURE_USUAL].topic) != 0)
            atomic_fetch_add(&wrong, 1);
    return unused;
}

/* An attachment may be shared: each thread has the topics that it was given. */
static void test_counters_from_two_threads(void)
{
    pthread_t threads[2];

    fixture_begin();
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
    CHECK_EQUAL(shared_memory_attach(&shared, fixture_name, 0), 0);
    atomic_store(&wrong, 0);
    for (int i = 0; i < 2; i++)
        CHECK_EQUAL(pthread_create(&threads[i], NULL, look_at_counters, NULL), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    shared_memory_detach(shared);
    CHECK_EQUAL(wrong, 0);
}

static atomic_int stopped;

static void *write_all_the_time(void *unused)
{
    while (!atomic_load(&stopped))
        shared_memory_write("out", "x", 1);
    return unused;
}

static int use_everything(void)
{
    char byte;

    alarm(20);
    if (shared_memory_write("out", "x", 1) != -EPERM || shared_memory_read("in", &byte, 1, 0) != -EPERM)
        return 1;
    if (shared_memory_init(fixture_name, 0) != 0)
        return 2;
    return shared_memory_write("out", "x", 1) == 0 && shared_memory_release() == 0 ? 0 : 3;
}

/* A fork while other threads are inside the library, at whatever place: the child's calls return. */
static void test_fork_while_threads_are_inside(void)
{
    pthread_t threads[2];
    int code = 0;

    fixture_begin();
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
    CHECK_EQUAL(shared_memory_init(fixture_name, 0), 0);
    atomic_store(&stopped, 0);
    for (int i = 0; i < 2; i++)
        CHECK_EQUAL(pthread_create(&threads[i], NULL, write_all_the_time, NULL), 0);
    for (int i = 0; i < 100 && code == 0; i++)
        code = fixture_run(use_everything);
    atomic_store(&stopped, 1);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    CHECK_EQUAL(code, 0);
}

static struct fixture_child daemon_child;
static int life[2]; /* a pipe: its end is that of the child that lives on */

static int outlive(void)
{
    char byte;

    prctl(PR_SET_PDEATHSIG, 0);
    close(life[1]);
    /* Whoever collects the test's output does not wait for it. */
    close(STDOUT_FILENO);
    close(STDERR_FILENO);
    return fixture_tell('d') == 0 && read(life[0], &byte, 1) == 0 ? 0 : 1;
}

/* Attaches, takes the only lane of "strict", forks a child that does nothing at all about it, and dies. */
static int leave_a_child(void)
{
    int parents_pipe = fixture_to;

    if (shared_memory_init(fixture_name, 0) < 0 || shared_memory_write("strict", "x", 1) < 0 ||
        fixture_fork(&daemon_child, outlive) < 0 || fixture_hear(&daemon_child) != 'd')
        return 1;
    fixture_to = parents_pipe;
    return fixture_tell('d');
}

/* A program's child that lives on keeps none of its lanes, though it has closed nothing. */
static void test_child_keeps_no_lane(void)
{
    struct fixture_child parent;

    fixture_begin();
    CHECK_EQUAL(pipe(life), 0);
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
    CHECK_EQUAL(fixture_fork(&parent, leave_a_child), 0);
    CHECK_EQUAL(fixture_hear(&parent), 'd');
    CHECK_EQUAL(fixture_join(&parent), 0);
    CHECK_EQUAL(segment_lane_locked(&fixture_segment, LANE_STRICT), 0);
    close(life[0]);
    close(life[1]);
}

static void on_signal(int number)
{
    (void)number;
}

/* A signal ends the wait for a gateway, as it does a read's. */
static void test_init_ends_at_a_signal(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    struct itimerval time = {.it_value.tv_usec = 50000, .it_interval.tv_usec = 50000}, off = {0};
    uint64_t begin = now_ms();
    int rc;

    fixture_begin();
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &time, NULL);
    rc = shared_memory_init("/shmgate-test-no-such", LIMIT_MS);
    setitimer(ITIMER_REAL, &off, NULL);
    CHECK_EQUAL(rc, -EINTR);
    CHECK(now_ms() - begin < LIMIT_MS / 4);
}

static const struct check_test tests[] = {
    {"test_not_attached", test_not_attached},
    {"test_four_calls", test_four_calls},
    {"test_wrong_use_is_named", test_wrong_use_is_named},
    {"test_init_waits_for_the_gateway", test_init_waits_for_the_gateway},
    {"test_one_lane_a_writer", test_one_lane_a_writer},
    {"test_killed_writers_lane_is_free", test_killed_writers_lane_is_free},
    {"test_child_attaches_for_itself", test_child_attaches_for_itself},
    {"test_threads_share_the_four_calls", test_threads_share_the_four_calls},
    {"test_release_beside_a_waiting_read", test_release_beside_a_waiting_read},
    {"test_timeout_0_waits_for_no_thread", test_timeout_0_waits_for_no_thread},
    {"test_calls_wait_for_no_init", test_calls_wait_for_no_init},
    {"test_counters_from_two_threads", test_counters_from_two_threads},
    {"test_fork_while_threads_are_inside", test_fork_while_threads_are_inside},
    {"test_child_keeps_no_lane", test_child_keeps_no_lane},
    {"test_init_ends_at_a_signal", test_init_ends_at_a_signal},
};

FIXTURE_MAIN(tests)
