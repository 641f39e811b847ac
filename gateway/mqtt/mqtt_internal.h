/* mqtt_internal.h: what mqtt.c, which calls Paho, and mqtt_answers.c, which Paho calls, share. For no one else. */
#ifndef SHMGATE_MQTT_INTERNAL_H
#define SHMGATE_MQTT_INTERNAL_H

#include <MQTTAsync.h>
#include <stdatomic.h>

#include "mqtt/mqtt.h"

#define MQTT_CLIENT_ADDRESS_SIZE 512

struct mqtt {
    MQTTAsync client;
    struct mqtt_options options; /* with strings of its own */
    int tls;                     /* of the present client object: 1 or 0; -1: there is none */
    atomic_int renew;            /* 1: the next attempt takes a new client object */
    int connected_once;          /* 1: an attempt of this process has succeeded; written before CONNECTED is put */
    struct mqtt_limits limits;   /* of the present connection; written before CONNECTED is put */
    /* What the broker at `address` cannot do as we would like; forgotten when another is tried. Written before
     * CONNECT_FAILED is put. */
    char address[MQTT_CLIENT_ADDRESS_SIZE];
    unsigned keepalive_s;
    int will_qos, will_retained;
    struct topic_alias *aliases;
    atomic_int aliases_refused; /* 1: a broker that says it takes them does not */
    /* The attempt that mqtt_client.c is to make, or makes. */
    char next_address[MQTT_CLIENT_ADDRESS_SIZE];
    int next_tls;
    char *password;       /* NULL: none; wiped after the attempt */
    int is_busy, is_end;  /* under the lock of mqtt_client.c: a thread makes an attempt; it is to free all afterwards */
    char tls_reason[128]; /* what OpenSSL said last; written on Paho's thread, under its lock */
};

/* ---- mqtt_client.c ---- */

/* An attempt to make: Paho's address for the broker, the password or NULL, and whether it is with TLS. */
struct mqtt_next {
    const char *address, *password;
    int tls;
};

/* Begin the attempt on a thread of its own, which says when it has failed. Returns 0; -EBUSY with the reason: the one
 * before still waits for Paho; -errno of pthread_create(3). */
int mqtt_client_begin(struct mqtt *mqtt, const struct mqtt_next *next, struct reason *reason);

/* Let go of the client object, and free *mqtt. Waits for Paho MQTT_CLIENT_END_MS at most: then a thread is left behind,
 * and no answer of that client is heard any more. */
#define MQTT_CLIENT_END_MS 1200 /* with its last client Paho ends its threads, which takes it a second */
void mqtt_client_end(struct mqtt *mqtt);

/* ---- mqtt.c ---- */

/* For mqtt_client.c's thread: make sure that there is a client object that fits the scheme, and hand it the attempt.
 * Returns 0 or -errno with the reason. Waits for Paho's lock. */
int mqtt_attempt(struct mqtt *mqtt, struct reason *reason);

/* The same: destroy the client object and free everything. */
void mqtt_free(struct mqtt *mqtt);

/* Paho's interval for a keep-alive, in seconds. */
unsigned mqtt_client_interval_s(unsigned keepalive_s);

/* Where answers go from now on. Returns -EBUSY when they go somewhere already. */
int mqtt_answers_open(struct event_queue *queue);

/* Close it: when this returns no answer goes there any more, and none to whoever opens next before mqtt_answers_gone
 * says that the client of the present one is gone. mqtt_answers_left: how many are not. */
void mqtt_answers_close(void);
void mqtt_answers_gone(void);
unsigned mqtt_answers_left(void);

/* An attempt that did not come as far as Paho has failed. */
void mqtt_answers_failed(const char *text);

/* Have a new client object report lost connections and messages. Returns one of Paho's codes. */
int mqtt_answers_watch(struct mqtt *mqtt, MQTTAsync client);

/* Have an attempt to connect report how it ends. */
void mqtt_answers_connect(struct mqtt *mqtt, MQTTAsync_connectOptions *options);

/* OpenSSL's reasons go into mqtt->tls_reason. */
void mqtt_answers_tls(struct mqtt *mqtt, MQTTAsync_SSLOptions *options);

/* Have a publish or a subscription report how it ends, with the token. */
MQTTAsync_responseOptions mqtt_answers_publish(const struct mqtt *mqtt, uint64_t token);
MQTTAsync_responseOptions mqtt_answers_subscribe(const struct mqtt *mqtt, uint64_t token);

#endif
