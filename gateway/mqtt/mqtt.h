/* mqtt.h: the MQTT client: one connection to one broker at a time, over Eclipse Paho. mqtt.c calls Paho, mqtt_answers.c
 * is called by it; no other file knows it.
 *
 * Paho's two threads do the sending and the receiving; they leave what the loop must know in the queue. All functions
 * here are for the loop's thread. Paho keeps messages of QoS 1 and 2 that are in flight over a lost connection and
 * sends them again on the next one, if the broker still knows the session; otherwise it gives them back as
 * EVENT_FAILED. Whoever publishes keeps at most `window` of them in flight: beyond that Paho queues, which it does
 * badly (a queued message waits up to a second).
 *
 * One client a process: Paho hands a publish's answer nothing but the token, so where the answers go is kept once.
 */
#ifndef SHMGATE_MQTT_H
#define SHMGATE_MQTT_H

#include <stddef.h>
#include <stdint.h>

#include "mqtt/event_queue.h"
#include "shm/reason.h"
#include "transport/message.h"

struct mqtt;

/* Strings are copied. */
struct mqtt_options {
    const char *client_id;
    int version;                                /* 4: MQTT 3.1.1, 5: MQTT 5 */
    const char *username;                       /* NULL: none */
    const char *ca_file, *cert_file, *key_file; /* PEM; NULL: the system's authorities, no client certificate */
    unsigned keepalive_s; /* a connection without answers is lost within 1.5 times this; at least 5 */
    unsigned connect_timeout_ms;
    uint32_t session_expiry_s; /* how long the broker keeps our session while we are away (MQTT 5, 3.1.2.11.2) */
    int forget_session;        /* 1: the first connection of this process begins a new session (MQTT 5) */
    unsigned window;           /* messages of QoS 1 and 2 in flight at most */
    unsigned queued;           /* messages handed over and not answered at most, those of QoS 0 among them */
    unsigned topics;           /* how many topics it is published on with an alias, about; at least 1 */
    const char *will_topic, *will_payload; /* published by the broker when we vanish: QoS 1, retained */
    struct event_queue *queue;
    /* Takes a message, on Paho's receive thread and with Paho's lock held: it must not wait, nor call mqtt_*. The
     * broker gets its acknowledgement of a QoS 1 message after this returns, and that of a QoS 2 message with MQTT 5;
     * with 3.1.1 it gets the first half before. */
    void (*on_message)(void *context, const struct transport_arrival *message);
    void *context;
};

/* Prepare. On success *out must be given to mqtt_destroy. -EBUSY there is one already; -ENOMEM. */
int mqtt_create(struct mqtt **out, const struct mqtt_options *options, struct reason *reason);

/* Close without a word (the broker publishes the will) and free. No event comes any more, nor any message. Waits little
 * more than a second for Paho, whose lock a name server that does not answer may hold: then a thread is left behind
 * that waits in our place, and as long as it does no attempt to connect is made. */
void mqtt_destroy(struct mqtt *mqtt);

/* Whether such a thread is there: 1 or 0. The process must then end by _exit(2): what exit(3) takes down is in use. */
int mqtt_is_left_behind(void);

/* Begin one attempt to connect to `uri`, mqtt://HOST[:PORT] or mqtts://HOST[:PORT]. Certificates are read anew each
 * time; `password` (NULL: none) is copied. Returns 0, and then exactly one CONNECTED or CONNECT_FAILED comes; or -errno
 * with the reason. When the broker cannot do what was asked of it (a retained will, the keep-alive) the failure is
 * `adapted`, and the next attempt at the same URI asks for less. Never waits: a thread does, where Paho does.
 * -EBUSY: for the attempt before. */
int mqtt_connect(struct mqtt *mqtt, const char *uri, const char *password, struct reason *reason);

/* What a subscription asks for of the messages that the broker has kept (MQTT 5, 3.8.3.1; with 3.1.1 they always come).
 */
enum mqtt_retained { MQTT_RETAINED_SEND = 0, MQTT_RETAINED_SEND_IF_NEW = 1, MQTT_RETAINED_OMIT = 2 };

struct mqtt_subscription {
    const char *filter;
    unsigned qos;
    enum mqtt_retained retained;
    uint32_t identifier; /* 1 to 268435455; comes back with its messages where the broker supports that */
};

/* Subscribe; everything is copied. SUBSCRIBED or SUBSCRIBE_REFUSED comes with the token. -errno when Paho does not take
 * it. */
int mqtt_subscribe(struct mqtt *mqtt, const struct mqtt_subscription *subscription, uint64_t token);

/* End a subscription; best effort, without an answer. -errno when Paho does not take it. */
int mqtt_unsubscribe(struct mqtt *mqtt, const char *filter);

/* Publish. A QoS that the broker does not take is lowered, and `retain` is dropped where it keeps nothing.
 * Returns 0, and then exactly one of DELIVERED, FAILED and REFUSED comes with the token, however
 * long it takes; -EAGAIN: not now; -EINVAL: never; -EMSGSIZE: never to this broker, as it would close the connection.
 * `token` must fit a pointer. An alias is used only when mqtt_give_up follows every loss of the connection: sent again
 * by Paho on another one the number would mean nothing. Properties go along as user properties (MQTT 5, 3.3.2.3.7). */
int mqtt_publish(struct mqtt *mqtt, const struct transport_message *message, uint64_t token);

/* After a lost connection: let Paho forget what it still holds. The next mqtt_connect answers all that is in flight
 * with FAILED, before it tries. Without this Paho, when the broker has lost our session, sends what it had queued
 * before we can send again what was in flight, and the order is broken. What Paho had queued but not begun to send at
 * that moment it never frees: that is its fault, and bounded by the window. */
void mqtt_give_up(struct mqtt *mqtt);

/* Close in order, so that the broker does not publish the will; waits up to timeout_ms for the network. */
void mqtt_disconnect(struct mqtt *mqtt, unsigned timeout_ms);

#endif
