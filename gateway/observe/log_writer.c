/* log_writer.c: lines to standard error that keep nobody waiting. See log_writer.h.
 *
 * The queue is a ring of bytes: a head of its own before each line, both copied around its end. `begin` and `end` only
 * grow. The lock is held to copy a line in or out, never during a write.
 */
#include "observe/log_writer.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/thread.h"

#define QUEUE_SIZE 65536 /* bytes: some four hundred lines, a burst as a faulty gateway.ini makes; a power of two */
#define STACK_SIZE (64 * 1024) /* bytes; snprintf needs the most, a tenth of it */
#define POLL_MS 1              /* between two looks of somebody who waits for the thread */

/* Before each line in the queue. */
struct head {
    uint64_t size, lost; /* lost: lines that are missing before this one */
};

static struct {
    pthread_mutex_t lock;
    enum { WRITER_NONE, WRITER_RUNNING, WRITER_ABANDONED } state;
    log_writer_notice notice;
    sem_t work;
    pthread_t thread;
    uint64_t begin, end;  /* bytes ever taken out of the queue, and put into it */
    uint64_t lost;        /* lines that found no room behind what is in the queue */
    uint64_t written;     /* lines that standard error has taken or refused: it grows while that is not stuck */
    uint64_t given_up_at; /* `written`, and 1, when waiting for room was given up: till it grows nobody waits again */
    int stopping, busy;   /* busy: the thread has a line in its hands */
    char bytes[QUEUE_SIZE];
} writer = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- Bytes ---- */

static void queue_in(const void *from, size_t size)
{
    size_t at = writer.end % QUEUE_SIZE, first = size < QUEUE_SIZE - at ? size : QUEUE_SIZE - at;

    memcpy(writer.bytes + at, from, first);
    memcpy(writer.bytes, (const char *)from + first, size - first);
    writer.end += size;
}

static void queue_out(void *to, size_t size)
{
    size_t at = writer.begin % QUEUE_SIZE, first = size < QUEUE_SIZE - at ? size : QUEUE_SIZE - at;

    memcpy(to, writer.bytes + at, first);
    memcpy((char *)to + first, writer.bytes, size - first);
    writer.begin += size;
}

static int queue_has_room(size_t size)
{
    return sizeof(struct head) + size <= QUEUE_SIZE - (writer.end - writer.begin);
}

/* All of it to standard error. Returns 0 or -errno: what is left of it is lost. */
static int write_whole(const char *line, size_t size)
{
    while (size > 0) {
        ssize_t written = write(STDERR_FILENO, line, size);

        if (written < 0 && errno != EINTR)
            return -errno;
        if (written > 0) {
            line += written;
            size -= (size_t)written;
        }
    }
    return 0;
}

static uint64_t clock_ms(void)
{
    struct timespec now = {0};

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Let the thread have the lock, and the processor, for a moment. */
static void nap(void)
{
    const struct timespec time = {.tv_nsec = POLL_MS * 1000000L};

    pthread_mutex_unlock(&writer.lock);
    nanosleep(&time, NULL); /* a signal ends it early: then there is one look more */
    pthread_mutex_lock(&writer.lock);
}

/* ---- The thread ---- */

/* Take the next line. Returns how many are missing before it. *size is 0 when there is none. */
static uint64_t take_line(char *line, size_t *size)
{
    struct head head = {.lost = writer.lost};

    if (writer.begin == writer.end) {
        writer.lost = 0;
    } else {
        queue_out(&head, sizeof(head));
        queue_out(line, head.size);
    }
    *size = head.size;
    return head.lost;
}

static int write_notice(uint64_t *missing)
{
    char line[LOG_WRITER_LINE_MAX];
    int rc = write_whole(line, writer.notice(line, *missing));

    if (rc == 0)
        *missing = 0;
    return rc;
}

/* Write all there is. `missing`: lines that are lost and not said to be, here and in the end. */
static void drain(uint64_t *missing)
{
    char line[LOG_WRITER_LINE_MAX];
    size_t size = 1;
    int rc = 0;

    pthread_mutex_lock(&writer.lock);
    while (size > 0) {
        *missing += take_line(line, &size);
        /* What standard error refuses it refuses again: that is said with the next line. */
        if (size == 0 && (*missing == 0 || rc < 0))
            break;
        writer.busy = 1;
        pthread_mutex_unlock(&writer.lock);
        rc = *missing > 0 ? write_notice(missing) : 0;
        if (rc == 0)
            rc = write_whole(line, size);
        *missing += rc < 0 && size > 0;
        pthread_mutex_lock(&writer.lock);
        writer.busy = 0;
        writer.written++;
    }
    pthread_mutex_unlock(&writer.lock);
}

static int is_stopping(void)
{
    int stopping;

    pthread_mutex_lock(&writer.lock);
    stopping = writer.stopping;
    pthread_mutex_unlock(&writer.lock);
    return stopping;
}

static void *writer_run(void *context)
{
    uint64_t missing = 0;

    (void)context;
    while (!is_stopping()) {
        while (sem_wait(&writer.work) < 0)
            ;
        drain(&missing);
    }
    return NULL;
}

/* ---- Its users ---- */

static int start_thread(void)
{
    const struct thread_options options = {.run = writer_run, .stack_bytes = STACK_SIZE, .name = "log"};

    return thread_start(&writer.thread, &options);
}

int log_writer_start(log_writer_notice notice)
{
    int rc = 0;

    pthread_mutex_lock(&writer.lock);
    if (writer.state == WRITER_NONE) {
        writer.notice = notice;
        writer.stopping = 0;
        rc = sem_init(&writer.work, 0, 0) < 0 ? -errno : start_thread();
        if (rc == 0)
            writer.state = WRITER_RUNNING;
    }
    pthread_mutex_unlock(&writer.lock);
    return rc;
}

/* A burst may outrun the thread: let it go on for a moment, unless standard error is stuck. */
static int await_room(size_t size)
{
    uint64_t end_ms = clock_ms() + LOG_WRITER_PATIENCE_MS;

    while (!queue_has_room(size)) {
        if (writer.given_up_at == writer.written + 1 || clock_ms() >= end_ms) {
            writer.given_up_at = writer.written + 1;
            return -EAGAIN;
        }
        nap();
    }
    return 0;
}

int log_writer_put(const char *line, size_t size)
{
    struct head head = {.size = size};
    int rc = -EAGAIN;

    pthread_mutex_lock(&writer.lock);
    if (writer.state == WRITER_NONE) {
        pthread_mutex_unlock(&writer.lock);
        return write_whole(line, size);
    }
    if (writer.state == WRITER_RUNNING && (rc = await_room(size)) == 0) {
        head.lost = writer.lost;
        writer.lost = 0;
        queue_in(&head, sizeof(head));
        queue_in(line, size);
    } else {
        writer.lost++;
    }
    pthread_mutex_unlock(&writer.lock);
    /* Cannot fail before there are two billion of them (sem_post(3)). */
    sem_post(&writer.work);
    return rc;
}

int log_writer_is_idle(void)
{
    int idle;

    pthread_mutex_lock(&writer.lock);
    idle = writer.state == WRITER_NONE || (writer.begin == writer.end && !writer.busy);
    pthread_mutex_unlock(&writer.lock);
    return idle;
}

void log_writer_stop(void)
{
    uint64_t now_ms = clock_ms(), end_ms = now_ms + LOG_WRITER_STOP_MS, moved_ms = now_ms, written;

    pthread_mutex_lock(&writer.lock);
    if (writer.state != WRITER_RUNNING) {
        pthread_mutex_unlock(&writer.lock);
        return;
    }
    written = writer.written;
    while ((writer.begin != writer.end || writer.busy) && now_ms < end_ms && now_ms < moved_ms + LOG_WRITER_STUCK_MS) {
        nap();
        now_ms = clock_ms();
        if (writer.written != written)
            moved_ms = now_ms;
        written = writer.written;
    }
    writer.stopping = 1;
    writer.state = writer.begin == writer.end && !writer.busy ? WRITER_NONE : WRITER_ABANDONED;
    pthread_mutex_unlock(&writer.lock);
    sem_post(&writer.work);
    if (writer.state == WRITER_NONE) {
        pthread_join(writer.thread, NULL);
        sem_destroy(&writer.work);
    } else {
        pthread_detach(writer.thread);
    }
}
