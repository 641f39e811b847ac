/* shared_memory.c: the four everyday calls, on top of the handles: one attachment, and a writer or reader a channel
 * name. */
#include "shared_memory.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "handles_internal.h"
#include "platform.h"

/* The handle of one channel, which one call at a time uses. No lock is held while a call works or waits. A release
 * takes the entry out of the list, and ends a read that waits; the call, when it is done, frees it. */
struct entry {
    struct entry *next;
    unsigned users; /* calls that use it or wait for it, and one while it is in the list */
    int busy;       /* 1: a call uses the handle */
    int released;   /* 1: it is not in the list any more */
    struct shared_memory_writer *writer;
    struct shared_memory_reader *reader;
    char channel[LAYOUT_NAME_SIZE];
};

/* The lock guards all of this. It is held for a few steps only, or while a channel's handle is made. */
static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t handle_free; /* an entry is not busy any more, or was released */
static unsigned waiting;           /* calls that wait for that */
static struct shared_memory *attachment;
static struct entry *writers, *readers;
static int inherited; /* 1: a parent was attached; nothing of that is used here */

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_condition(void)
{
    pthread_condattr_t attributes;

    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&handle_free, &attributes);
    pthread_condattr_destroy(&attributes);
}

/* In a child of fork: begin as if nobody had ever attached. A thread that is not here may hold the lock, or have been
 * half-way through the lists; so they are left as they are. */
static void forget(void)
{
    list_lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    make_condition();
    inherited |= attachment != NULL;
    attachment = NULL;
    writers = readers = NULL;
    waiting = 0;
}

static void begin(void)
{
    make_condition();
    pthread_atfork(NULL, NULL, forget);
}

static void calls_lock(void)
{
    pthread_once(&once, begin);
    pthread_mutex_lock(&list_lock);
}

static void calls_unlock(void)
{
    pthread_mutex_unlock(&list_lock);
}

/* Whether an attachment to `name` is there: 1, 0 or -EBUSY. The lock is held. */
static int is_attached(const char *name)
{
    if (!attachment)
        return 0;
    if (strcmp(attachment->name, name) == 0)
        return 1;
    return handle_fail(-EBUSY, "attached to segment %s: call shared_memory_release first", attachment->name);
}

int shared_memory_init(const char *segment, int timeout_ms)
{
    const char *name = segment ? segment : SHARED_MEMORY_DEFAULT_SEGMENT;
    struct shared_memory *made = NULL;
    int rc;

    calls_lock();
    rc = is_attached(name);
    calls_unlock();
    if (rc != 0)
        return rc < 0 ? rc : 0;
    /* Without the lock: the others' calls do not wait for a gateway. */
    if ((rc = shared_memory_attach(&made, name, timeout_ms)) < 0)
        return rc;
    calls_lock();
    rc = is_attached(name);
    if (rc == 0) {
        attachment = made;
        made = NULL;
        inherited = 0;
    }
    calls_unlock();
    shared_memory_detach(made);
    return rc < 0 ? rc : 0;
}

/* Find the channel's entry in a list, or add one. The list's lock is held. */
static int entry_find(struct entry **list, const char *channel, struct entry **found)
{
    struct entry *entry;
    int rc;

    for (entry = *list; entry; entry = entry->next)
        if (strcmp(entry->channel, channel) == 0) {
            *found = entry;
            return 0;
        }
    if (strlen(channel) >= LAYOUT_NAME_SIZE)
        return handle_fail(-ENOENT, "no channel %.63s...: names have at most %d characters", channel,
                           LAYOUT_NAME_SIZE - 1);
    entry = calloc(1, sizeof(*entry));
    if (!entry)
        return handle_fail_plain(-ENOMEM, "out of memory");
    memcpy(entry->channel, channel, strlen(channel) + 1);
    if (list == &writers)
        rc = shared_memory_writer_open(attachment, channel, &entry->writer);
    else
        rc = shared_memory_reader_open(attachment, channel, SHARED_MEMORY_FROM_OLDEST, &entry->reader);
    if (rc < 0) {
        free(entry);
        return rc;
    }
    entry->users = 1;
    entry->next = *list;
    *list = entry;
    *found = entry;
    return 0;
}

/* Count one user fewer; the list's lock is held. */
static void entry_drop(struct entry *entry)
{
    if (--entry->users > 0)
        return;
    shared_memory_writer_close(entry->writer);
    shared_memory_reader_close(entry->reader);
    free(entry);
}

/* Wait until no other call uses the entry, at most until the monotonic clock reads `deadline_ns`; UINT64_MAX: for ever.
 * The lock is held. */
static int entry_await(const struct entry *entry, uint64_t deadline_ns)
{
    struct timespec deadline = {.tv_sec = (time_t)(deadline_ns / 1000000000),
                                .tv_nsec = (long)(deadline_ns % 1000000000)};
    int rc = 0;

    waiting++;
    while (entry->busy && !entry->released && rc == 0)
        rc = deadline_ns == UINT64_MAX ? pthread_cond_wait(&handle_free, &list_lock)
                                       : pthread_cond_timedwait(&handle_free, &list_lock, &deadline);
    waiting--;
    if (entry->released)
        return handle_fail_plain(-ECANCELED, "another thread called shared_memory_release");
    return entry->busy ? handle_fail_plain(-ETIMEDOUT, "another thread reads this channel all the time") : 0;
}

/* Find the channel's entry, and be the one who uses it; *found is NULL when it fails. A deadline of 0 does not wait for
 * another thread's call. */
static int entry_enter(struct entry **list, const char *channel, uint64_t deadline_ns, struct entry **found)
{
    struct entry *entry = NULL;
    int rc;

    calls_lock();
    if (attachment)
        rc = entry_find(list, channel, &entry);
    else if (inherited)
        rc = handle_fail_plain(-EPERM, "attached before fork(): call shared_memory_init again in the child");
    else
        rc = handle_fail_plain(-ENOTCONN, "not attached: call shared_memory_init first");
    if (rc == 0 && entry) {
        entry->users++;
        if (entry->busy)
            rc = deadline_ns == 0 ? handle_fail_plain(-EAGAIN, "another thread reads this channel just now")
                                  : entry_await(entry, deadline_ns);
        if (rc == 0)
            entry->busy = 1;
        else
            entry_drop(entry);
    }
    calls_unlock();
    *found = rc == 0 ? entry : NULL;
    return rc;
}

static void entry_leave(struct entry *entry)
{
    calls_lock();
    entry->busy = 0;
    if (waiting > 0)
        pthread_cond_broadcast(&handle_free);
    entry_drop(entry);
    calls_unlock();
}

int shared_memory_write(const char *channel, const void *payload, size_t size)
{
    struct entry *entry;
    /* Another thread's write takes a few steps, for which this one waits. */
    int rc = entry_enter(&writers, channel, UINT64_MAX, &entry);

    if (!entry)
        return rc;
    rc = shared_memory_writer_write(entry->writer, payload, size);
    entry_leave(entry);
    return rc;
}

/* What is left of a timeout, in whole milliseconds. */
static int left_ms(uint64_t deadline_ns)
{
    uint64_t now_ns = platform_monotonic_ns();

    return now_ns < deadline_ns ? (int)((deadline_ns - now_ns + 999999) / 1000000) : 0;
}

ssize_t shared_memory_read(const char *channel, void *buffer, size_t size, int timeout_ms)
{
    struct shared_memory_message message;
    uint64_t deadline_ns = timeout_ms < 0 ? UINT64_MAX : 0;
    struct entry *entry;
    int rc;

    if (timeout_ms > 0)
        deadline_ns = platform_monotonic_ns() + (uint64_t)timeout_ms * 1000000;
    rc = entry_enter(&readers, channel, deadline_ns, &entry);
    if (!entry)
        return rc;
    if (timeout_ms > 0)
        timeout_ms = left_ms(deadline_ns);
    rc = shared_memory_reader_read(entry->reader, buffer, size, &message, timeout_ms);
    entry_leave(entry);
    return rc < 0 ? rc : (ssize_t)message.size;
}

static void entries_drop(struct entry **list)
{
    while (*list) {
        struct entry *entry = *list;

        *list = entry->next;
        entry->released = 1;
        /* A read that waits ends; it drops the entry for good. */
        if (entry->reader)
            shared_memory_reader_cancel(entry->reader);
        entry_drop(entry);
    }
}

int shared_memory_release(void)
{
    int rc = 0;

    calls_lock();
    if (attachment) {
        entries_drop(&writers);
        entries_drop(&readers);
        if (waiting > 0)
            pthread_cond_broadcast(&handle_free);
        shared_memory_detach(attachment);
        attachment = NULL;
    } else if (!inherited) {
        rc = handle_fail_plain(-ENOTCONN, "not attached: call shared_memory_init first");
    }
    inherited = 0;
    calls_unlock();
    return rc;
}
