/* mqtt_text.h: what the broker's, Paho's and OpenSSL's codes mean, and what to do about them. Does not know Paho. */
#ifndef SHMGATE_MQTT_TEXT_H
#define SHMGATE_MQTT_TEXT_H

#include <stddef.h>

#include "mqtt/connect_text.h"

/* A failed attempt to connect. */
struct mqtt_text_failure {
    int version;                    /* 4 (3.1.1) or 5 */
    int code;                       /* the CONNACK's (MQTT 3.1.1, table 3.1; MQTT 5, table 3-1), or Paho's, below 0 */
    struct connect_failure connect; /* how it ended, when the broker has given no code */
};

/* Explain it in one line. Returns 1 when trying again with the same configuration cannot help, else 0. */
int mqtt_text_connect(char *text, size_t size, const struct mqtt_text_failure *failure);

/* Whether a PUBACK's or PUBREC's reason code means that this message will never be taken: 1; or is none, or passes: 0.
 */
int mqtt_text_publish_refused(int code);

/* The gist of a line of OpenSSL's error queue ("...:certificate verify failed:..."). `line` is not terminated. */
void mqtt_text_tls(char *text, size_t size, const char *line, size_t line_size);

#endif
