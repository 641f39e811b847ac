/* config_fill.h: fill in what a value of gateway.ini leaves open: placeholders of the machine and its environment, and
 * the names in a topic.
 *
 * In every value, before it is understood:
 *      ${hostname}               the machine's name up to the first dot
 *      ${env:NAME}               the environment variable NAME, which must be set
 *      ${env:NAME:-TEXT}         the same, or TEXT where it is not set or empty
 *      $$                        a dollar; one before anything else but { stands for itself ($SYS, $share)
 * In a channel's topic, afterwards:
 *      {channel}, {client_id}    the channel's name, the gateway's client id
 *      {lane}                    is left as it is: the number of a writer's lane, filled in when a message is sent
 *
 * What comes from the environment is as hostile as the file: it must be UTF-8 without control characters.
 */
#ifndef SHMGATE_CONFIG_FILL_H
#define SHMGATE_CONFIG_FILL_H

#include "shm/reason.h"

#define CONFIG_FILL_LANE "{lane}"

/* Fill in placeholders. On success *out is the caller's to free. -EINVAL with what is wrong in `reason`; -ENOMEM. Reads
 * the environment and the host's name. */
int config_fill_value(const char *value, char **out, struct reason *reason);

/* Fill in a topic's names; `client_id` may be NULL, when it was a fault. As above. */
int config_fill_topic(const char *topic, const char *channel, const char *client_id, char **out, struct reason *reason);

#endif
