/* mqtt_transport.h: MQTT as a transport (transport/transport.h).
 *
 *      connection.h     the connection's state machine: which URI when, subscriptions, status topic
 *      mqtt.h           the client library; its threads tell what happens by the event queue
 *      event_queue.h    from those threads to the loop's
 */
#ifndef SHMGATE_MQTT_TRANSPORT_H
#define SHMGATE_MQTT_TRANSPORT_H

#include "config/config.h"
#include "shm/reason.h"
#include "transport/transport.h"

struct mqtt_transport_options {
    const struct config *config; /* borrowed; another one takes its place with `take` */
    unsigned window;             /* messages in flight at most */
    struct transport_listener listener;
};

/* Prepare; nothing is connected before the first `step`. On success *out must be given to its `destroy`. -errno with
 * the reason. One a process. */
int mqtt_transport_create(struct transport **out, const struct mqtt_transport_options *options, struct reason *reason);

/* Whether the end of one has left a thread behind; see mqtt_is_left_behind. */
int mqtt_transport_is_left_behind(void);

#endif
