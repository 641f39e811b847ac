/* connection.h: the connection to the broker as a state machine: when to try which URI, what to subscribe to, and what
 * to say on the status topic. Driven by the loop, on its thread; nothing here waits. Logs changes of state.
 */
#ifndef SHMGATE_CONNECTION_H
#define SHMGATE_CONNECTION_H

#include <stddef.h>
#include <stdint.h>

#include "config/config.h"
#include "mqtt/event_queue.h"
#include "shm/reason.h"
#include "transport/message.h"

struct connection;

struct connection_options {
    const struct config *config; /* borrowed, until connection_take brings another */
    unsigned window;             /* messages in flight at most */
    struct event_queue *queue;   /* borrowed */
    /* Takes a message from the broker; on the MQTT client's receive thread (see mqtt.h). */
    void (*arrived)(void *context, const struct transport_arrival *arrival);
    void *context;
};

/* Prepare; nothing is connected yet. On success *out must be given to connection_destroy. -errno with the reason. */
int connection_create(struct connection **out, const struct connection_options *options, struct reason *reason);

/* Whether the connection can stay when the configuration becomes `next`, all of [mqtt] being the same: 1 or 0. */
int connection_can_take(const struct connection *connection, const struct config *next);

/* Go on with another configuration, borrowed from now on, after `before`. Subscriptions that have gone are ended, the
 * others are made (again). */
void connection_take(struct connection *connection, const struct config *before, const struct config *next);

/* Close at once, without a word to the broker, which publishes the will. */
void connection_destroy(struct connection *connection);

/* Make an attempt to connect when one is due. */
void connection_step(struct connection *connection, uint64_t now_ms);

/* When connection_step is to be called; UINT64_MAX: not before the next event. */
uint64_t connection_deadline_ms(const struct connection *connection);

/* Whether a token is that of one of the connection's own messages: 1 or 0. */
int connection_is_control(uint64_t token);

/* Take a CONNECTED, CONNECT_FAILED, LOST, SUBSCRIBED or SUBSCRIBE_REFUSED event. */
void connection_event(struct connection *connection, const struct event *event, uint64_t now_ms);

/* Whether messages can be published now: 1 or 0. */
int connection_is_up(const struct connection *connection);

/* Whether the broker has refused us for good before it ever took us: wrong credentials and the like. */
int connection_refused(const struct connection *connection);

/* How many messages of QoS 1 and 2 the broker lets fly at once, our own control messages left out. */
unsigned connection_window(const struct connection *connection);

/* Publish a message of a channel; see mqtt_publish. */
int connection_publish(struct connection *connection, const struct transport_message *message, uint64_t token);

/* Publish the ledger on the stats topic; best effort. */
void connection_publish_stats(struct connection *connection, const char *json, size_t size);

/* Say "offline" on the status topic, and close in order when the answer is there. connection_closing tells whether that
 * is still under way. */
void connection_say_offline(struct connection *connection);
int connection_closing(const struct connection *connection);
void connection_disconnect(struct connection *connection, unsigned timeout_ms);

#endif
