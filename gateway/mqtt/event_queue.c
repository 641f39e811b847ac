/* event_queue.c: events from the MQTT client's threads to the loop. See event_queue.h. */
#include "mqtt/event_queue.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct event_queue {
    pthread_mutex_t lock;
    atomic_size_t count;  /* changed under the lock, as `urgent`; read without it by event_queue_pending */
    atomic_size_t urgent; /* of them, all but deliveries */
    atomic_uint coalesce_count;
    size_t capacity, first;
    void (*ring)(void *context);
    void *context;
    struct event events[];
};

int event_queue_create(struct event_queue **out, size_t capacity, void (*ring)(void *context), void *context)
{
    struct event_queue *queue = calloc(1, sizeof(*queue) + capacity * sizeof(queue->events[0]));
    int rc;

    *out = NULL;
    if (!queue)
        return -ENOMEM;
    if ((rc = -pthread_mutex_init(&queue->lock, NULL)) < 0) {
        free(queue);
        return rc;
    }
    queue->capacity = capacity;
    atomic_init(&queue->coalesce_count, 1);
    queue->ring = ring;
    queue->context = context;
    *out = queue;
    return 0;
}

void event_queue_destroy(struct event_queue *queue)
{
    if (!queue)
        return;
    pthread_mutex_destroy(&queue->lock);
    free(queue);
}

int event_queue_put(struct event_queue *queue, const struct event *event)
{
    size_t count;
    int rc = 0;

    pthread_mutex_lock(&queue->lock);
    count = atomic_load(&queue->count);
    assert(count <= queue->capacity && atomic_load(&queue->urgent) <= count);
    if (count < queue->capacity) {
        queue->events[(queue->first + count) % queue->capacity] = *event;
        /* Sequentially consistent: the loop that says it sleeps and then finds none here is one that `ring` finds
         * asleep. */
        if (event->kind != EVENT_DELIVERED)
            atomic_fetch_add(&queue->urgent, 1);
        atomic_store(&queue->count, count + 1);
    } else {
        rc = -ENOSPC;
    }
    pthread_mutex_unlock(&queue->lock);
    if (event->kind != EVENT_DELIVERED || count + 1 >= atomic_load(&queue->coalesce_count))
        queue->ring(queue->context);
    return rc;
}

size_t event_queue_take(struct event_queue *queue, struct event *events, size_t count)
{
    size_t taken = 0;

    if (atomic_load(&queue->count) == 0)
        return 0;
    pthread_mutex_lock(&queue->lock);
    while (taken < count && atomic_load(&queue->count) > 0) {
        if (queue->events[queue->first].kind != EVENT_DELIVERED)
            atomic_fetch_sub(&queue->urgent, 1);
        events[taken++] = queue->events[queue->first];
        queue->first = (queue->first + 1) % queue->capacity;
        atomic_fetch_sub(&queue->count, 1);
    }
    assert(atomic_load(&queue->urgent) <= atomic_load(&queue->count));
    /* Begin again at the front: of the room for the rarest crowd only what is used is ever touched. */
    if (atomic_load(&queue->count) == 0)
        queue->first = 0;
    pthread_mutex_unlock(&queue->lock);
    return taken;
}

void event_queue_set_coalesce_count(struct event_queue *queue, unsigned deliveries)
{
    atomic_store(&queue->coalesce_count, deliveries > 0 ? deliveries : 1);
}

int event_queue_pending(const struct event_queue *queue)
{
    return atomic_load(&queue->urgent) > 0 || atomic_load(&queue->count) >= atomic_load(&queue->coalesce_count);
}
