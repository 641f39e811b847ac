/* mqtt_limits.h: what a broker says it will not take (MQTT 5, 3.2.2.3), and what that makes of a message.
 *
 * A broker closes the connection of a client that exceeds one of them, so a message that does would be sent again and
 * again for ever. Pure arithmetic; any thread.
 */
#ifndef SHMGATE_MQTT_LIMITS_H
#define SHMGATE_MQTT_LIMITS_H

#include <stddef.h>
#include <stdint.h>

/* The largest packet there can be: a fixed header of 5 bytes and a remaining length of 268,435,455 (MQTT 5, 1.5.5). */
#define MQTT_LIMITS_PACKET_MAX UINT32_C(268435460)

struct mqtt_limits {
    uint32_t packet_max;  /* bytes of the largest packet */
    unsigned receive_max; /* messages of QoS 1 and 2 it lets fly; 0: it did not say */
    unsigned qos_max;     /* 0, 1 or 2 */
    unsigned alias_max;   /* the highest topic alias; 0: none */
    int retain;           /* 1: it keeps retained messages */
    int identifiers;      /* 1: it takes subscription identifiers */
};

/* What holds when the broker says nothing, as with MQTT 3.1.1. */
void mqtt_limits_init(struct mqtt_limits *limits);

/* Bytes of a PUBLISH packet; `version` is 4 (3.1.1) or 5, `properties` the bytes of its MQTT 5 properties without their
 * length. */
size_t mqtt_limits_publish_size(int version, size_t topic_size, size_t size, unsigned qos, size_t properties);

/* A message, as far as limits go; MQTT 5 properties are left out. */
struct mqtt_limits_message {
    int version; /* 4 (3.1.1) or 5 */
    size_t topic_size, size;
    unsigned qos;
    int retain;
};

/* Bring a message within the limits: qos and retain are lowered to what the broker takes. Returns 0, or -EMSGSIZE: it
 * is too large. */
int mqtt_limits_apply(const struct mqtt_limits *limits, struct mqtt_limits_message *message);

#endif
