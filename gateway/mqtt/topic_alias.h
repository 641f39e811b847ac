/* topic_alias.h: which topics a broker knows by a number on the present connection (MQTT 5, 3.3.2.3.4).
 *
 * A topic is sent once with its number, and from then on the number stands for it: with a topic of 40 bytes and a
 * payload of 8 that halves a message. Numbers are given first come, first served, and are never taken back while the
 * connection lasts. Used by one thread.
 */
#ifndef SHMGATE_TOPIC_ALIAS_H
#define SHMGATE_TOPIC_ALIAS_H

#include <stddef.h>

/* Bytes that the number takes as a property of a message. A topic that is not longer is better sent as it is. */
#define TOPIC_ALIAS_SIZE 3

struct topic_alias;

/* Make an empty table for up to `capacity` topics (at least 1). On success *out must be given to topic_alias_destroy.
 * -ENOMEM. */
int topic_alias_create(struct topic_alias **out, unsigned capacity);
void topic_alias_destroy(struct topic_alias *table);

/* Forget all: there is a new connection. */
void topic_alias_reset(struct topic_alias *table);

/* The number of a topic, where numbers up to `most` may be used; 0: it has none and gets none. *known: 1 when the
 * broker knows it already; 0: topic and number are to be sent together, and then topic_alias_keep called. */
unsigned topic_alias_find(const struct topic_alias *table, const char *topic, unsigned most, int *known);

/* The topic has been sent with the number that topic_alias_find has just given it. Without memory the number goes to
 * another topic. */
void topic_alias_keep(struct topic_alias *table, const char *topic);

#endif
