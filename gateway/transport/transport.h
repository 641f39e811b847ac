/* transport.h: what the gateway asks of a transport, that is of what carries messages to other machines: MQTT
 * (mqtt/mqtt_transport.h).
 *
 * The loop knows no more of it than stands here. A transport has its own connection, subscriptions and retries; it
 * never waits, and what its threads find out is told in `step`, on the loop's thread, but for what arrives. One that is
 * down or stalls costs the others nothing.
 */
#ifndef SHMGATE_TRANSPORT_H
#define SHMGATE_TRANSPORT_H

#include <stddef.h>
#include <stdint.h>

#include "transport/message.h"

struct config;

/* What became of a message: acknowledged (QoS 0: handed to the socket); not wanted, sending it again would not help;
 * lost on the way, send it again. */
enum transport_answer { TRANSPORT_DELIVERED, TRANSPORT_REFUSED, TRANSPORT_FAILED };

/* Whom a transport tells. */
struct transport_listener {
    /* A message has been answered. From `step`. time_ns: when, on the monotonic clock. */
    void (*answered)(void *context, uint64_t token, enum transport_answer answer, uint64_t time_ns);
    /* is_up or window may give another answer. From `step`. */
    void (*changed)(void *context);
    /* `step` has something to do. Any thread. */
    void (*wake)(void *context);
    void *context;
    /* A message has come: it is in shared memory, or accounted for, when this returns, and only then acknowledged. A
     * thread of the transport's, one at a time; it must not call the transport. */
    void (*arrived)(void *arrival_context, const struct transport_arrival *arrival);
    void *arrival_context;
};

struct transport;

/* All but `wake` and `arrived` above are for the loop's thread. */
struct transport_type {
    const char *name; /* "mqtt" */
    /* Take what has happened, and do what is due. Bounded. Returns whether there was anything. */
    int (*step)(struct transport *transport, uint64_t now_ms);
    /* When `step` is to be called though nobody wakes; UINT64_MAX: never. */
    uint64_t (*deadline_ms)(const struct transport *transport);
    /* Whether `step` has something to do: for a last look before the loop sleeps. */
    int (*is_pending)(const struct transport *transport);
    /* From now on `wake` is called for deliveries only when `count` of them are there; 1, as at the beginning: for
     * each. */
    void (*coalesce)(struct transport *transport, unsigned count);
    /* Whether messages can be published now. */
    int (*is_up)(const struct transport *transport);
    /* Whether it has been refused for good before it was ever taken: wrong credentials and the like; the log has the
     * reason. */
    int (*is_refused)(const struct transport *transport);
    /* How many messages of QoS 1 and 2 may fly at once. */
    unsigned (*window)(const struct transport *transport);
    /* Publish. Returns 0, and then `answered` comes once with the token; -EAGAIN not now; -EMSGSIZE larger than the
     * other side takes; another -errno: it can never be sent. `token` is below 2^32. */
    int (*publish)(struct transport *transport, const struct transport_message *message, uint64_t token);
    /* Publish the ledger as JSON; best effort. */
    void (*publish_stats)(struct transport *transport, const char *json, size_t size);
    /* Whether it can go on, connected, when the configuration becomes `next`, its own section being the same. */
    int (*can_take)(const struct transport *transport, const struct config *next);
    /* Go on with `next`, borrowed from now on instead of `before`. Subscriptions that have gone are ended, the others
     * are made (again). */
    void (*take)(struct transport *transport, const struct config *before, const struct config *next);
    /* Begin an orderly end: say so to whoever looks at our status. is_saying_goodbye: until that has been answered. */
    void (*say_goodbye)(struct transport *transport);
    int (*is_saying_goodbye)(const struct transport *transport);
    /* Close in order; waits up to timeout_ms. */
    void (*close)(struct transport *transport, unsigned timeout_ms);
    /* Close at once, without a word, and free; its threads have ended when this returns. */
    void (*destroy)(struct transport *transport);
};

/* The beginning of every transport's own struct. */
struct transport {
    const struct transport_type *type;
};

#endif
