/* route.h: which topic names and topic filters MQTT allows, and which filter takes which topic.
 *
 * The rules are those of MQTT 3.1.1, section 4.7, and of MQTT 5, sections 4.7 and 4.8.2 (shared subscriptions).
 * Topics come from the network, so every function takes any bytes, allocates nothing and needs time linear in
 * their number. No state: any thread may call them, and nothing here blocks.
 */
#ifndef SHMGATE_ROUTE_H
#define SHMGATE_ROUTE_H

#include <stddef.h>
#include <stdint.h>

#include "shm/reason.h"

/* Check a topic name that is to be published to: 1 to 65535 bytes of UTF-8 without control characters, which brokers
 * may answer by closing the connection (3.1.1, 1.5.3), and without wildcards.
 * Returns 0; -EINVAL with what is wrong in `reason`. */
int route_topic_valid(const char *topic, size_t size, struct reason *reason);

/* Check a topic filter: as above, but + may stand for one level, # for all that is left, and $share/GROUP/ before it
 * asks for a shared subscription. Returns 0; -EINVAL with what is wrong in `reason`. */
int route_filter_valid(const char *filter, size_t size, struct reason *reason);

/* Whether a valid filter takes a topic: 1 or 0. "a/#" takes "a" too; a filter that begins with a wildcard takes no
 * topic that begins with $; the $share/GROUP/ prefix is left out of the comparison. */
int route_match(const char *filter, size_t filter_size, const char *topic, size_t topic_size);

/* Whether there can be a topic that both valid filters take: 1 or 0. A $share/GROUP/ prefix is left out. Needs time
 * linear in their sizes. */
int route_filters_overlap(const char *one, const char *other);

/* Whether a valid filter contains a wildcard: 1 or 0. */
int route_filter_has_wildcard(const char *filter, size_t size);

/* Bytes of the $share/GROUP/ prefix of a filter; 0 when it has none. */
size_t route_filter_prefix(const char *filter, size_t size);

/* The subscription identifier of a filter (MQTT 5, 3.8.2.1.2): 1 to 268435455, the same in every run, since the broker
 * keeps subscriptions over our restarts. */
uint32_t route_filter_identifier(const char *filter);

#endif
