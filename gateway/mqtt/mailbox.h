/* mailbox.h: events from the MQTT client's threads to the loop: a bounded queue behind a mutex.
 *
 * Messages from the broker do not pass through here (see inward.h); what does is bounded by the window, by the number
 * of subscriptions and by one attempt to connect at a time, so the capacity that the loop asks for is never reached.
 */
#ifndef SHMGATE_MAILBOX_H
#define SHMGATE_MAILBOX_H

#include <stddef.h>
#include <stdint.h>

#include "mqtt/mqtt_limits.h"

#define MAILBOX_TEXT_SIZE 200

enum mailbox_kind {
    MAILBOX_CONNECTED,
    MAILBOX_CONNECT_FAILED,
    MAILBOX_LOST,      /* the connection was up and is gone */
    MAILBOX_DELIVERED, /* acknowledged; QoS 0: handed to the socket */
    MAILBOX_FAILED,    /* send it again */
    MAILBOX_REFUSED,   /* the broker does not want it: sending it again would not help */
    MAILBOX_SUBSCRIBED,
    MAILBOX_SUBSCRIBE_REFUSED
};

struct mailbox_event {
    enum mailbox_kind kind;
    uint64_t token;      /* of a publish or a subscribe */
    uint64_t time_ns;    /* monotonic; when it happened */
    int reason;          /* MQTT reason or return code, or Paho's negative code */
    int permanent;       /* CONNECT_FAILED: trying again as we are will not help */
    int adapted;         /* CONNECT_FAILED: the next attempt asks for what this broker can do, and may come at once */
    int session_present; /* CONNECTED: 1 or 0 */
    struct mqtt_limits limits;    /* CONNECTED: what the broker takes */
    char text[MAILBOX_TEXT_SIZE]; /* why, for the log */
};

struct mailbox;

/* Make a mailbox for `capacity` events. `ring` is called after each put, on the putting thread, without the lock, but
 * see mailbox_set_patience. On success *out must be given to mailbox_destroy. -ENOMEM. */
int mailbox_create(struct mailbox **out, size_t capacity, void (*ring)(void *context), void *context);
void mailbox_destroy(struct mailbox *mailbox);

/* Add a copy of the event. Any thread. -ENOSPC when it is full, which is a mistake of ours. */
int mailbox_put(struct mailbox *mailbox, const struct mailbox_event *event);

/* Take up to `count` events, oldest first. Returns how many. Costs one atomic load when there is none. */
size_t mailbox_take(struct mailbox *mailbox, struct mailbox_event *events, size_t count);

/* From now on `ring` is called for deliveries only when `deliveries` of them are there; 1, as at the beginning: for
 * each. Everything else rings at once. */
void mailbox_set_patience(struct mailbox *mailbox, unsigned deliveries);

/* Whether there is what `ring` would be called for: 1 or 0. */
int mailbox_pending(const struct mailbox *mailbox);

#endif
