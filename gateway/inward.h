/* inward.h: from the broker into the rings of the subscribe channels.
 *
 * A message is written into shared memory in the MQTT client's callback, on its receive thread, before the callback returns: the
 * client acknowledges a QoS 1 message to the broker only afterwards, so that an acknowledged message is one that readers have.
 */
#ifndef SHMGATE_INWARD_H
#define SHMGATE_INWARD_H

#include <stddef.h>
#include <stdint.h>

#include "segment.h"

struct inward;

/* Take up the subscribe channels of `segment`. filters[n] is channel n's filter (NULL or ignored for publish channels), borrowed for the
 * life of the inward. On success *out must be given to inward_destroy, when no callback can come any more. -ENOMEM. */
int inward_create(struct inward **out, struct segment *segment, const char *const *filters);
void inward_destroy(struct inward *inward);

/* Route one message to every channel whose filter takes its topic, and wake their readers. Called from one thread at a time; never waits. `context`
 * is the struct inward. */
void inward_message(void *context, const char *topic, size_t topic_size, const void *payload, size_t size, unsigned qos, int retained);

/* Drop reasons that grew since the last call, as a bit mask. Any thread. */
unsigned inward_dropped(struct inward *inward);

/* Messages that no channel's filter took, since the start. Any thread. */
uint64_t inward_unrouted(const struct inward *inward);

#endif
