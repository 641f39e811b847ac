/* test_reader_wait.c: a reader's wait is ended by another thread or a signal handler, and a descriptor says when there
 * is something to read. */
#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <time.h>

#include "fixture.h"

static struct shared_memory *shm;
static struct shared_memory_reader *reader;
static struct shared_memory_message message;
static char buffer[64];

static void clean_up(void)
{
    shared_memory_reader_close(reader);
    shared_memory_detach(shm);
    reader = NULL;
    shm = NULL;
}

static int start(void)
{
    int rc;

    clean_up();
    fixture_begin();
    if ((rc = fixture_serve_usual()) < 0 || (rc = shared_memory_attach(&shm, fixture_name, 0)) < 0)
        return rc;
    return shared_memory_reader_open(shm, "in", SHARED_MEMORY_FROM_OLDEST, &reader);
}

static int read_one(int timeout_ms)
{
    return shared_memory_reader_read(reader, buffer, sizeof(buffer), &message, timeout_ms);
}

/* Whether the descriptor becomes readable in time. */
static int readable(int timeout_ms)
{
    struct pollfd poller = {.fd = shared_memory_reader_fd(reader), .events = POLLIN};

    return poll(&poller, 1, timeout_ms);
}

static int thread_count(void)
{
    DIR *tasks = opendir("/proc/self/task");
    int count = 0;

    for (struct dirent *entry; tasks && (entry = readdir(tasks)) != NULL;)
        count += entry->d_name[0] != '.';
    if (tasks)
        closedir(tasks);
    return count;
}

static void *wait_for_ever(void *result)
{
    *(int *)result = read_one(-1);
    return NULL;
}

/* A read without end is ended from another thread, wherever it is; the reader keeps its place. */
static void test_cancel_ends_a_wait(void)
{
    CHECK_EQUAL(start(), 0);
    for (int i = 0; i < 2000; i++) {
        struct timespec pause = {.tv_nsec = i % 7 * 10000};
        pthread_t thread;
        int rc = 1;

        CHECK_EQUAL(pthread_create(&thread, NULL, wait_for_ever, &rc), 0);
        nanosleep(&pause, NULL);
        shared_memory_reader_cancel(reader);
        CHECK_EQUAL(pthread_join(thread, NULL), 0);
        CHECK_EQUAL(rc, -ECANCELED);
    }
    CHECK_EQUAL(fixture_arrive(&fixture_segment, "after"), 0);
    CHECK_EQUAL(read_one(0), 0);
    CHECK_EQUAL(message.size, 5);
    CHECK_EQUAL(message.missed, 0);
}

/* With nobody waiting it is the next wait that ends; a call that does not wait leaves it to that one. */
static void test_cancel_before_the_wait(void)
{
    CHECK_EQUAL(start(), 0);
    shared_memory_reader_cancel(reader);
    shared_memory_reader_cancel(reader);
    CHECK_EQUAL(read_one(0), -EAGAIN);
    CHECK_EQUAL(read_one(-1), -ECANCELED);
    CHECK_EQUAL(read_one(1), -ETIMEDOUT);
}

static void on_alarm(int number)
{
    (void)number;
    shared_memory_reader_cancel(reader);
}

/* A handler that the system restarts calls after, SA_RESTART, ends the wait all the same. */
static void test_cancel_in_a_signal_handler(void)
{
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    struct timespec now, begin;
    timer_t timer;
    struct itimerspec time = {.it_value.tv_nsec = 20000000};

    CHECK_EQUAL(start(), 0);
    sigaction(SIGALRM, &action, NULL);
    CHECK_EQUAL(timer_create(CLOCK_MONOTONIC, NULL, &timer), 0);
    clock_gettime(CLOCK_MONOTONIC, &begin);
    CHECK_EQUAL(timer_settime(timer, 0, &time, NULL), 0);
    /* The system may say EINTR first; the flag is there for the next wait then. */
    for (int rc = -EINTR; rc != -ECANCELED;) {
        CHECK_EQUAL(rc, -EINTR);
        rc = read_one(-1);
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
    CHECK(now.tv_sec - begin.tv_sec < LIMIT_MS / 1000);
    timer_delete(timer);
}

/* Readable when there may be a message, and not when the reader has found nothing. */
static void test_fd_tells_of_messages(void)
{
    CHECK_EQUAL(start(), 0);
    CHECK(shared_memory_reader_fd(reader) >= 0);
    CHECK_EQUAL(shared_memory_reader_fd(reader), shared_memory_reader_fd(reader));
    for (int i = 0; i < 500; i++) {
        char text[16];
        int rc, length = snprintf(text, sizeof(text), "message %d", i);

        while ((rc = read_one(0)) == 0)
            ;
        CHECK_EQUAL(rc, -EAGAIN);
        CHECK_EQUAL(fixture_arrive(&fixture_segment, text), 0);
        CHECK_EQUAL(readable(LIMIT_MS), 1);
        CHECK_EQUAL(read_one(0), 0);
        CHECK(message.size == (size_t)length && memcmp(buffer, text, message.size) == 0);
        CHECK_EQUAL(message.missed, 0);
    }
}

/* Once it is set down nothing raises it but a message, or the look that a sleeping reader has once a second. */
static void test_fd_is_quiet_without_messages(void)
{
    int raised = 0;

    CHECK_EQUAL(start(), 0);
    for (int i = 0; i < 20; i++) {
        CHECK_EQUAL(read_one(0), -EAGAIN);
        raised += readable(10);
    }
    CHECK(raised <= 2);
}

/* What has come before anybody asked for the descriptor is told, too; and what comes while it is up stays told. */
static void test_fd_after_messages(void)
{
    CHECK_EQUAL(start(), 0);
    CHECK_EQUAL(fixture_arrive(&fixture_segment, "a"), 0);
    CHECK_EQUAL(readable(0), 1);
    CHECK_EQUAL(fixture_arrive(&fixture_segment, "b"), 0);
    CHECK_EQUAL(read_one(0), 0);
    CHECK_EQUAL(readable(0), 1);
    CHECK_EQUAL(read_one(0), 0);
    CHECK_EQUAL(read_one(0), -EAGAIN);
}

/* It tells of messages in the segment that came after, and of its coming. */
static void test_fd_follows_a_move(void)
{
    CHECK_EQUAL(start(), 0);
    for (uint32_t slots = 16; slots <= 64; slots *= 2) {
        int rc;

        while ((rc = read_one(0)) == 0)
            ;
        CHECK_EQUAL(rc, -EAGAIN);
        fixture_stop();
        CHECK(fixture_serve_other(slots) >= 0);
        segment_finish_old(&fixture_old);
        CHECK_EQUAL(readable(LIMIT_MS), 1);
        CHECK_EQUAL(read_one(0), -EAGAIN);
        CHECK_EQUAL(fixture_arrive(&fixture_segment, "new"), 0);
        CHECK_EQUAL(readable(LIMIT_MS), 1);
        CHECK_EQUAL(read_one(0), 0);
    }
}

/* Closed thousands of times, armed or not, it leaves no thread and no descriptor. */
static void test_fd_leaves_nothing(void)
{
    int before, fd = -1;

    CHECK_EQUAL(start(), 0);
    before = thread_count();
    for (int i = 0; i < 1000; i++) {
        if (i == 0)
            fd = shared_memory_reader_fd(reader);
        CHECK_EQUAL(shared_memory_reader_fd(reader), fd);
        if (i % 2)
            CHECK_EQUAL(read_one(0), -EAGAIN);
        if (i % 4 == 3)
            fixture_arrive(&fixture_segment, "x");
        shared_memory_reader_close(reader);
        CHECK_EQUAL(shared_memory_reader_open(shm, "in", SHARED_MEMORY_FROM_NOW, &reader), 0);
    }
    CHECK_EQUAL(thread_count(), before);
}

static int close_inherited(void)
{
    int rc = shared_memory_reader_fd(reader);

    shared_memory_reader_close(reader);
    return rc == -EPERM ? 0 : 1;
}

/* A child of fork, which has not inherited the thread, closes without waiting for it. */
static void test_fd_in_a_child(void)
{
    CHECK_EQUAL(start(), 0);
    CHECK(shared_memory_reader_fd(reader) >= 0);
    CHECK_EQUAL(read_one(0), -EAGAIN);
    CHECK_EQUAL(fixture_run(close_inherited), 0);
    clean_up();
}

static void *everyday_read(void *result)
{
    *(int *)result = (int)shared_memory_read("in", buffer, sizeof(buffer), -1);
    return NULL;
}

/* The everyday release ends the everyday read that waits in another thread. */
static void test_release_ends_a_read(void)
{
    CHECK_EQUAL(start(), 0);
    for (int i = 0; i < 200; i++) {
        struct timespec pause = {.tv_nsec = i % 5 * 50000};
        pthread_t thread;
        int rc = 1;

        CHECK_EQUAL(shared_memory_init(fixture_name, 0), 0);
        CHECK_EQUAL(pthread_create(&thread, NULL, everyday_read, &rc), 0);
        nanosleep(&pause, NULL);
        CHECK_EQUAL(shared_memory_release(), 0);
        CHECK_EQUAL(pthread_join(thread, NULL), 0);
        CHECK(rc == -ECANCELED || rc == -ENOTCONN);
    }
}

static const struct check_test tests[] = {
    {"test_cancel_ends_a_wait", test_cancel_ends_a_wait},
    {"test_cancel_before_the_wait", test_cancel_before_the_wait},
    {"test_cancel_in_a_signal_handler", test_cancel_in_a_signal_handler},
    {"test_fd_tells_of_messages", test_fd_tells_of_messages},
    {"test_fd_is_quiet_without_messages", test_fd_is_quiet_without_messages},
    {"test_fd_after_messages", test_fd_after_messages},
    {"test_fd_follows_a_move", test_fd_follows_a_move},
    {"test_fd_leaves_nothing", test_fd_leaves_nothing},
    {"test_fd_in_a_child", test_fd_in_a_child},
    {"test_release_ends_a_read", test_release_ends_a_read},
};

FIXTURE_MAIN(tests)
