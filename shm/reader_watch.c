/* reader_watch.c: a descriptor that becomes readable when a reader may have a message, for programs that wait in
 * poll(2) or an event loop.
 *
 * What wakes readers is a word in the segment, which poll(2) knows nothing of. So a reader whose descriptor was asked
 * for has a thread that sleeps on the word in its place:
 *   1. the reader finds nothing: it sets the descriptor down, asks to be woken, looks once more, and arms the watch
 *   2. the thread sleeps on the word; when it changes, or it is time to look, it makes the descriptor readable and
 * waits to be armed again While the descriptor is readable nothing of this happens: a busy reader costs no wake-up. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "platform.h"
#include "reader_internal.h"

#define STACK_BYTES 65536 /* the thread calls the system, and nothing else */

enum watch_state { WATCH_IDLE, WATCH_ARMED, WATCH_LEAVING, WATCH_ENDING };

struct reader_watch {
    _Atomic uint32_t state; /* enum watch_state; what the thread sleeps on when it is not armed */
    int fd;
    const struct segment *segment; /* the rest is written by the reader while the thread is idle */
    _Atomic uint32_t *word;
    uint32_t expected;
    pthread_t thread;
};

static void *reader_watch_run(void *argument)
{
    struct reader_watch *watch = argument;

    for (;;) {
        uint32_t state = atomic_load(&watch->state);

        if (state == WATCH_ENDING)
            return NULL;
        if (state == WATCH_IDLE) {
            platform_word_wait(&watch->state, WATCH_IDLE, UINT64_MAX);
            continue;
        }
        if (state == WATCH_ARMED)
            platform_word_wait(watch->word, watch->expected, reader_look_ns(watch->segment));
        platform_event_set(watch->fd);
        /* Whoever sees this knows that the thread has left the segment. */
        state = atomic_load(&watch->state);
        while (state != WATCH_ENDING && !atomic_compare_exchange_strong(&watch->state, &state, WATCH_IDLE))
            ;
        platform_word_wake(&watch->state);
    }
}

/* Start the thread with all signals blocked: they are the program's, and none of them is for this one. */
static int start(struct reader_watch *watch)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    int rc = pthread_attr_init(&attributes);

    if (rc != 0)
        return -rc;
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&watch->thread, &attributes, reader_watch_run, watch);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return -rc;
}

int shared_memory_reader_fd(struct shared_memory_reader *reader)
{
    struct reader_watch *watch;
    int rc = handle_check_fork(reader->shm);

    if (rc < 0)
        return rc;
    if (reader->watch)
        return reader->watch->fd;
    if (!(watch = calloc(1, sizeof(*watch))))
        return handle_fail_plain(-ENOMEM, "out of memory");
    if ((rc = platform_event_open(&watch->fd)) < 0) {
        free(watch);
        return handle_fail(rc, "make a descriptor: %s", strerror(-rc));
    }
    /* There may be a message now. */
    platform_event_set(watch->fd);
    if ((rc = start(watch)) < 0) {
        platform_close(watch->fd);
        free(watch);
        return handle_fail(rc, "start a thread: %s", strerror(-rc));
    }
    reader->watch = watch;
    return watch->fd;
}

int reader_watch_arm(struct shared_memory_reader *reader)
{
    struct reader_watch *watch = reader->watch;
    struct layout_channel *channel = segment_channel(&reader->mapping->segment, reader->channel);

    if (atomic_load(&watch->state) != WATCH_IDLE)
        return 0;
    platform_event_clear(watch->fd);
    watch->segment = &reader->mapping->segment;
    watch->word = &channel->wake_word;
    watch->expected = ring_reader_sleep(channel);
    atomic_store(&watch->state, WATCH_ARMED);
    platform_word_wake(&watch->state);
    return 1;
}

void reader_watch_found(struct shared_memory_reader *reader)
{
    platform_event_set(reader->watch->fd);
}

/* Wake the thread out of the segment, if it is there, and wait until it has left. */
void reader_watch_leave(struct shared_memory_reader *reader)
{
    struct reader_watch *watch = reader->watch;
    uint32_t state = WATCH_ARMED;

    if (!watch)
        return;
    if (atomic_compare_exchange_strong(&watch->state, &state, WATCH_LEAVING)) {
        ring_bump_word(watch->word);
        platform_word_wake(watch->word);
    }
    while ((state = atomic_load(&watch->state)) != WATCH_IDLE)
        platform_word_wait(&watch->state, state, UINT64_MAX);
}

void reader_watch_close(struct shared_memory_reader *reader)
{
    struct reader_watch *watch = reader->watch;

    if (!watch)
        return;
    /* In a child of fork the thread is not there. */
    if (handle_check_fork(reader->shm) == 0) {
        reader_watch_leave(reader);
        atomic_store(&watch->state, WATCH_ENDING);
        platform_word_wake(&watch->state);
        pthread_join(watch->thread, NULL);
    }
    platform_close(watch->fd);
    free(watch);
    reader->watch = NULL;
}
