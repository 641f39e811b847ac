/* mqtt_limits.c: what a broker will not take. See mqtt_limits.h. */
#include "mqtt/mqtt_limits.h"

#include <errno.h>

void mqtt_limits_init(struct mqtt_limits *limits)
{
    *limits = (struct mqtt_limits){.packet_max = MQTT_LIMITS_PACKET_MAX, .qos_max = 2, .retain = 1};
}

/* Bytes of a variable byte integer: 7 bits in each (MQTT 5, 1.5.5). */
static size_t integer_size(size_t value)
{
    size_t size = 1;

    while ((value >>= 7) > 0)
        size++;
    return size;
}

size_t mqtt_limits_publish_size(int version, size_t topic_size, size_t size, unsigned qos, size_t properties)
{
    /* MQTT 5, 3.3: the topic with its length, the packet identifier of QoS 1 and 2, the properties with theirs, the
     * payload. */
    size_t rest = 2 + topic_size + (qos > 0 ? 2 : 0) + size;

    if (version >= 5)
        rest += integer_size(properties) + properties;
    return 1 + integer_size(rest) + rest;
}

int mqtt_limits_apply(const struct mqtt_limits *limits, struct mqtt_limits_message *message)
{
    if (message->qos > limits->qos_max)
        message->qos = limits->qos_max;
    if (!limits->retain)
        message->retain = 0;
    return mqtt_limits_publish_size(message->version, message->topic_size, message->size, message->qos, 0) >
                   limits->packet_max
               ? -EMSGSIZE
               : 0;
}
