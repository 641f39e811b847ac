/* shared_memory.c: the four everyday calls, on top of the handles: one attachment, and a writer or reader a channel
 * name. */
#include "shared_memory.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "handles_internal.h"

/* The handle of one channel. Its lock lets threads share it; the list's lock is not held while a reader waits. A
 * release beside a waiting read takes the entry out of the list and ends the wait; the read, when it is done, frees it.
 */
struct entry {
    struct entry *next;
    unsigned users; /* calls under way, and one while it is in the list; guarded by the list's lock */
    pthread_mutex_t lock;
    struct shared_memory_writer *writer;
    struct shared_memory_reader *reader;
    char channel[LAYOUT_NAME_SIZE];
};

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static struct shared_memory *attachment;
static struct entry *writers, *readers;

int shared_memory_init(const char *segment, int timeout_ms)
{
    const char *name = segment ? segment : SHARED_MEMORY_DEFAULT_SEGMENT;
    int rc = 0;

    pthread_mutex_lock(&list_lock);
    if (!attachment)
        rc = shared_memory_attach(&attachment, name, timeout_ms);
    else if (handle_check_fork(attachment) < 0)
        rc = -EPERM;
    else if (strcmp(attachment->name, name) != 0)
        rc = handle_fail(-EBUSY, "attached to segment %s: call shared_memory_release first", attachment->name);
    pthread_mutex_unlock(&list_lock);
    return rc;
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
    if ((rc = -pthread_mutex_init(&entry->lock, NULL)) < 0) {
        shared_memory_writer_close(entry->writer);
        shared_memory_reader_close(entry->reader);
        free(entry);
        return handle_fail(rc, "make a lock: %s", strerror(-rc));
    }
    entry->users = 1;
    entry->next = *list;
    *list = entry;
    *found = entry;
    return 0;
}

/* Find the channel's entry and lock it. */
static int entry_enter(struct entry **list, const char *channel, struct entry **entry)
{
    int rc;

    *entry = NULL;
    pthread_mutex_lock(&list_lock);
    rc = attachment ? entry_find(list, channel, entry)
                    : handle_fail_plain(-ENOTCONN, "not attached: call shared_memory_init first");
    if (*entry)
        (*entry)->users++;
    pthread_mutex_unlock(&list_lock);
    if (*entry)
        pthread_mutex_lock(&(*entry)->lock);
    return rc;
}

/* Count one user fewer; the list's lock is held. */
static void entry_drop(struct entry *entry)
{
    if (--entry->users > 0)
        return;
    shared_memory_writer_close(entry->writer);
    shared_memory_reader_close(entry->reader);
    pthread_mutex_destroy(&entry->lock);
    free(entry);
}

static void entry_leave(struct entry *entry)
{
    pthread_mutex_unlock(&entry->lock);
    pthread_mutex_lock(&list_lock);
    entry_drop(entry);
    pthread_mutex_unlock(&list_lock);
}

int shared_memory_write(const char *channel, const void *payload, size_t size)
{
    struct entry *entry;
    int rc = entry_enter(&writers, channel, &entry);

    if (!entry)
        return rc;
    rc = shared_memory_writer_write(entry->writer, payload, size);
    entry_leave(entry);
    return rc;
}

ssize_t shared_memory_read(const char *channel, void *buffer, size_t size, int timeout_ms)
{
    struct shared_memory_message message;
    struct entry *entry;
    int rc = entry_enter(&readers, channel, &entry);

    if (!entry)
        return rc;
    rc = shared_memory_reader_read(entry->reader, buffer, size, &message, timeout_ms);
    entry_leave(entry);
    return rc < 0 ? rc : (ssize_t)message.size;
}

static void entries_drop(struct entry **list)
{
    while (*list) {
        struct entry *entry = *list;

        *list = entry->next;
        /* A read that waits ends; it drops the entry for good. */
        if (entry->reader)
            shared_memory_reader_cancel(entry->reader);
        entry_drop(entry);
    }
}

int shared_memory_release(void)
{
    int rc = 0;

    pthread_mutex_lock(&list_lock);
    if (attachment) {
        entries_drop(&writers);
        entries_drop(&readers);
        shared_memory_detach(attachment);
        attachment = NULL;
    } else {
        rc = handle_fail_plain(-ENOTCONN, "not attached: call shared_memory_init first");
    }
    pthread_mutex_unlock(&list_lock);
    return rc;
}
