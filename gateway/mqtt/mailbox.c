/* mailbox.c: events from the MQTT client's threads to the loop. See mailbox.h. */
#include "mqtt/mailbox.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct mailbox {
    pthread_mutex_t lock;
    atomic_size_t count;  /* changed under the lock, as `urgent`; read without it by mailbox_pending */
    atomic_size_t urgent; /* of them, all but deliveries */
    atomic_uint patience;
    size_t capacity, first;
    void (*ring)(void *context);
    void *context;
    struct mailbox_event events[];
};

int mailbox_create(struct mailbox **out, size_t capacity, void (*ring)(void *context), void *context)
{
    struct mailbox *mailbox = calloc(1, sizeof(*mailbox) + capacity * sizeof(mailbox->events[0]));
    int rc;

    *out = NULL;
    if (!mailbox)
        return -ENOMEM;
    if ((rc = -pthread_mutex_init(&mailbox->lock, NULL)) < 0) {
        free(mailbox);
        return rc;
    }
    mailbox->capacity = capacity;
    atomic_init(&mailbox->patience, 1);
    mailbox->ring = ring;
    mailbox->context = context;
    *out = mailbox;
    return 0;
}

void mailbox_destroy(struct mailbox *mailbox)
{
    if (!mailbox)
        return;
    pthread_mutex_destroy(&mailbox->lock);
    free(mailbox);
}

int mailbox_put(struct mailbox *mailbox, const struct mailbox_event *event)
{
    size_t count;
    int rc = 0;

    pthread_mutex_lock(&mailbox->lock);
    count = atomic_load(&mailbox->count);
    if (count < mailbox->capacity) {
        mailbox->events[(mailbox->first + count) % mailbox->capacity] = *event;
        /* Sequentially consistent: the loop that says it sleeps and then finds none here is one that `ring` finds
         * asleep. */
        if (event->kind != MAILBOX_DELIVERED)
            atomic_fetch_add(&mailbox->urgent, 1);
        atomic_store(&mailbox->count, count + 1);
    } else {
        rc = -ENOSPC;
    }
    pthread_mutex_unlock(&mailbox->lock);
    if (event->kind != MAILBOX_DELIVERED || count + 1 >= atomic_load(&mailbox->patience))
        mailbox->ring(mailbox->context);
    return rc;
}

size_t mailbox_take(struct mailbox *mailbox, struct mailbox_event *events, size_t count)
{
    size_t taken = 0;

    if (atomic_load(&mailbox->count) == 0)
        return 0;
    pthread_mutex_lock(&mailbox->lock);
    while (taken < count && atomic_load(&mailbox->count) > 0) {
        if (mailbox->events[mailbox->first].kind != MAILBOX_DELIVERED)
            atomic_fetch_sub(&mailbox->urgent, 1);
        events[taken++] = mailbox->events[mailbox->first];
        mailbox->first = (mailbox->first + 1) % mailbox->capacity;
        atomic_fetch_sub(&mailbox->count, 1);
    }
    /* Begin again at the front: of the room for the rarest crowd only what is used is ever touched. */
    if (atomic_load(&mailbox->count) == 0)
        mailbox->first = 0;
    pthread_mutex_unlock(&mailbox->lock);
    return taken;
}

void mailbox_set_patience(struct mailbox *mailbox, unsigned deliveries)
{
    atomic_store(&mailbox->patience, deliveries > 0 ? deliveries : 1);
}

int mailbox_pending(const struct mailbox *mailbox)
{
    return atomic_load(&mailbox->urgent) > 0 || atomic_load(&mailbox->count) >= atomic_load(&mailbox->patience);
}
