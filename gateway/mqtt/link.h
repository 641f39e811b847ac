/* link.h: the connection to the broker as a state machine: when to try which URI, what to subscribe to, and what to say
 * on the status topic. Driven by the loop, on its thread; nothing here waits. Logs changes of state.
 */
#ifndef SHMGATE_LINK_H
#define SHMGATE_LINK_H

#include <stddef.h>
#include <stdint.h>

#include "config/config.h"
#include "mqtt/mailbox.h"
#include "transport/message.h"

struct link;

/* Takes a message from the broker; on the MQTT client's receive thread (see mqtt.h). */
typedef void (*link_message)(void *context, const struct transport_arrival *message);

/* Prepare; nothing is connected yet. `config` is borrowed for the life of the link. On success *out must be given to
 * link_destroy. -errno with the reason. */
int link_create(struct link **out, const struct config *config, unsigned window, struct mailbox *mailbox,
                link_message on_message, void *context, char *error, size_t error_size);

/* Whether the connection can stay when the configuration becomes `next`, all of [mqtt] being the same: 1 or 0. */
int link_can_take(const struct link *link, const struct config *next);

/* Go on with another configuration, borrowed as the first, after `before`; the strings of [mqtt] in the first must
 * stay. Subscriptions that have gone are ended, the others are made (again). */
void link_take(struct link *link, const struct config *before, const struct config *next);

/* Close at once, without a word to the broker, which publishes the will. */
void link_destroy(struct link *link);

/* Make an attempt to connect when one is due. */
void link_step(struct link *link, uint64_t now_ms);

/* When link_step is to be called; UINT64_MAX: not before the next event. */
uint64_t link_deadline_ms(const struct link *link);

/* Take a CONNECTED, CONNECT_FAILED, LOST, SUBSCRIBED or SUBSCRIBE_REFUSED event. */
void link_event(struct link *link, const struct mailbox_event *event, uint64_t now_ms);

/* Whether messages can be published now: 1 or 0. */
int link_up(const struct link *link);

/* Whether the broker has refused us for good before it ever took us: wrong credentials and the like. */
int link_refused(const struct link *link);

/* How many messages of QoS 1 and 2 the broker lets fly at once, our own control messages left out. */
unsigned link_window(const struct link *link);

/* Publish a message of a channel; see mqtt_publish. */
int link_publish(struct link *link, const struct transport_message *message, uint64_t token);

/* Publish the ledger on the stats topic; best effort. */
void link_publish_stats(struct link *link, const char *json, size_t size);

/* Say "offline" on the status topic, and close in order when the answer is there. link_closing tells whether that is
 * still under way. */
void link_say_offline(struct link *link);
int link_closing(const struct link *link);
void link_disconnect(struct link *link, unsigned timeout_ms);

#endif
