/* event_queue.h: events from the MQTT client's threads to the loop: a bounded queue behind a mutex.
 *
 * Messages from the broker do not pass through here (see subscribe.h); what does is bounded by the window, by the
 * number of subscriptions and by one attempt to connect at a time, so the capacity that the loop asks for is never
 * reached.
 */
#ifndef SHMGATE_EVENT_QUEUE_H
#define SHMGATE_EVENT_QUEUE_H

#include <stddef.h>
#include <stdint.h>

#include "mqtt/mqtt_limits.h"

#define EVENT_TEXT_SIZE 320

enum event_kind {
    EVENT_CONNECTED,
    EVENT_CONNECT_FAILED,
    EVENT_LOST,      /* the connection was up and is gone */
    EVENT_DELIVERED, /* acknowledged; QoS 0: handed to the socket */
    EVENT_FAILED,    /* send it again */
    EVENT_REFUSED,   /* the broker does not want it: sending it again would not help */
    EVENT_SUBSCRIBED,
    EVENT_SUBSCRIBE_REFUSED
};

struct event {
    enum event_kind kind;
    uint64_t token;      /* of a publish or a subscribe */
    uint64_t time_ns;    /* monotonic; when it happened */
    int reason;          /* MQTT reason or return code, or Paho's negative code */
    int permanent;       /* CONNECT_FAILED: trying again as we are will not help */
    int adapted;         /* CONNECT_FAILED: the next attempt asks for what this broker can do, and may come at once */
    int session_present; /* CONNECTED: 1 or 0 */
    struct mqtt_limits limits;  /* CONNECTED: what the broker takes */
    char text[EVENT_TEXT_SIZE]; /* why, for the log */
};

struct event_queue;

/* Make a queue for `capacity` events. `ring` is called after each put, on the putting thread, without the lock, but
 * see event_queue_set_coalesce_count. On success *out must be given to event_queue_destroy. -ENOMEM. */
int event_queue_create(struct event_queue **out, size_t capacity, void (*ring)(void *context), void *context);
void event_queue_destroy(struct event_queue *queue);

/* Add a copy of the event. Any thread. -ENOSPC when it is full, which is a mistake of ours. */
int event_queue_put(struct event_queue *queue, const struct event *event);

/* Take up to `count` events, oldest first. Returns how many. Costs one atomic load when there is none. */
size_t event_queue_take(struct event_queue *queue, struct event *events, size_t count);

/* From now on `ring` is called for deliveries only when `deliveries` of them are there; 1, as at the beginning: for
 * each. Everything else rings at once. */
void event_queue_set_coalesce_count(struct event_queue *queue, unsigned deliveries);

/* Whether there is what `ring` would be called for: 1 or 0. */
int event_queue_pending(const struct event_queue *queue);

#endif
