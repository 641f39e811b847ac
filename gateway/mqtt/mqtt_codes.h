/* mqtt_codes.h: the reason codes of MQTT in words that lead to what to do. Does not know Paho. */
#ifndef SHMGATE_MQTT_CODES_H
#define SHMGATE_MQTT_CODES_H

/* What a code came in: the same number means another thing to do in each. PUBACK stands for PUBREC, SUBACK for
 * UNSUBACK, too. */
enum mqtt_packet {
    MQTT_PACKET_CONNACK = 1,
    MQTT_PACKET_PUBACK = 2,
    MQTT_PACKET_SUBACK = 4,
    MQTT_PACKET_DISCONNECT = 8
};

struct mqtt_code {
    int packets; /* those that the line is for */
    int code;
    int permanent; /* of a CONNACK: 1 when a person must change something */
    const char *text;
};

/* What an MQTT 5 code means in that packet; one that the packet cannot carry, what it means elsewhere. NULL: it is
 * unknown. */
const struct mqtt_code *mqtt_codes_find(enum mqtt_packet packet, int code);

/* The text of the same, "an unknown reason code" for others. */
const char *mqtt_codes_text(enum mqtt_packet packet, int code);

/* The return code of a CONNACK of MQTT 3.1.1; NULL: it is unknown. */
const struct mqtt_code *mqtt_codes_find_311(int code);

#endif
