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
    int renew;                   /* 1: the next attempt takes a new client object */
    int connected_once;          /* 1: an attempt of this process has succeeded; written before CONNECTED is put */
    struct mqtt_limits limits;   /* of the present connection; written before CONNECTED is put */
    /* What the broker at `address` cannot do as we would like; forgotten when another is tried. Written before
     * CONNECT_FAILED is put. */
    char address[MQTT_CLIENT_ADDRESS_SIZE];
    unsigned keepalive_s;
    int will_qos, will_retained;
    struct topic_alias *aliases;
    atomic_int aliases_refused; /* 1: a broker that says it takes them does not */
    char tls_reason[128];       /* what OpenSSL said last; written on Paho's thread, under its lock */
};

/* Paho's interval for a keep-alive, in seconds. */
unsigned mqtt_client_interval_s(unsigned keepalive_s);

/* Where answers go from now on; NULL: nowhere. Returns -EBUSY when they go somewhere already. */
int mqtt_answers_open(struct event_queue *queue);

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
