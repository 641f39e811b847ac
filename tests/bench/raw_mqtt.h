/* raw_mqtt.h: as little MQTT 3.1.1 as a comparison needs, on a blocking socket, with nothing between it and the system.
 *
 * Any fault ends the program with the reason. */
#ifndef SHMGATE_BENCH_RAW_MQTT_H
#define SHMGATE_BENCH_RAW_MQTT_H

#include <stddef.h>
#include <stdint.h>

enum raw_kind { RAW_CONNACK = 2, RAW_PUBLISH = 3, RAW_PUBACK = 4, RAW_SUBACK = 9 };

/* A packet as it came. `body` is what follows its fixed header, valid until the next raw_receive. */
struct raw_packet {
    enum raw_kind kind;
    unsigned flags;
    const unsigned char *body;
    size_t size;
};

struct raw_connection;

/* Connect to 127.0.0.1:`port` as `client`; `clean` 0 keeps the session. Never freed: a connection lives as long as its
 * program. */
struct raw_connection *raw_connect(unsigned port, const char *client, int clean);

/* Subscribe and wait for the answer. */
void raw_subscribe(struct raw_connection *connection, const char *topic, unsigned qos);

/* Put a PUBLISH into the buffer for sending; `identifier` is for QoS 1. Sends when the buffer is full. */
void raw_publish(struct raw_connection *connection, const char *topic, unsigned qos, uint16_t identifier,
                 const void *payload, size_t size);

/* Put a PUBACK into it. */
void raw_acknowledge(struct raw_connection *connection, uint16_t identifier);

/* Send what the buffer has. */
void raw_flush(struct raw_connection *connection);

/* Whether a whole packet has come already, so that raw_receive needs no system call. */
int raw_pending(const struct raw_connection *connection);

/* The next packet, waiting at most `timeout_ms` (-1: for ever) for it. Returns 1; 0 when none came, or the connection
 * has ended. */
int raw_receive(struct raw_connection *connection, struct raw_packet *packet, int timeout_ms);

/* Payload, and for QoS 1 the identifier, of a PUBLISH. */
const void *raw_payload(const struct raw_packet *packet, size_t *size, uint16_t *identifier);

#endif
