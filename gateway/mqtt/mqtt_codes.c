/* mqtt_codes.c: the reason codes of MQTT in words. See mqtt_codes.h. */
#include "mqtt/mqtt_codes.h"

#include <stddef.h>

#define CONNACK MQTT_PACKET_CONNACK
#define PUBACK MQTT_PACKET_PUBACK
#define SUBACK MQTT_PACKET_SUBACK
#define DISCONNECT MQTT_PACKET_DISCONNECT
#define ANY (CONNACK | PUBACK | SUBACK | DISCONNECT)

#define BAD_CREDENTIALS "the broker refused the user name or password: check username and password_file"
#define NOT_AUTHORISED \
    "the broker does not let us in: check username, password_file, cert_file and the broker's access rules"
#define BAD_CLIENT_ID "the broker refused the client id: change client_id"
#define BAD_VERSION "the broker does not speak this version of MQTT: change version"

/* MQTT 3.1.1, table 3.1. */
static const struct mqtt_code codes3[] = {
    {CONNACK, 1, 1, BAD_VERSION},
    {CONNACK, 2, 1, BAD_CLIENT_ID},
    {CONNACK, 3, 0, "the broker is not available now"},
    {CONNACK, 4, 1, BAD_CREDENTIALS},
    {CONNACK, 5, 1, NOT_AUTHORISED},
};

/* MQTT 5, table 2-6, and what 3.2.2.2, 3.4.2.1, 3.9.3 and 3.14.2.1 say of each. */
static const struct mqtt_code codes5[] = {
    {DISCONNECT, 0x00, 0, "without a reason"},
    {PUBACK, 0x10, 0, "nobody has subscribed to the topic"},
    {SUBACK, 0x11, 0, "there was no such subscription"},
    {CONNACK, 0x80, 0, "the broker refused the connection and does not say why: look into its log"},
    {PUBACK, 0x80, 0, "the broker did not take the message and does not say why: look into its log"},
    {SUBACK, 0x80, 0, "the broker refused the subscription and does not say why: check its access rules"},
    {DISCONNECT, 0x80, 0, "it does not say why: look into the broker's log"},
    {CONNACK | DISCONNECT, 0x81, 1, "malformed packet: it could not read what we sent"},
    {CONNACK | DISCONNECT, 0x82, 1, "protocol error: it did not expect what we sent"},
    {CONNACK, 0x83, 0, "implementation-specific error: the broker has a rule of its own, look into its log"},
    {PUBACK, 0x83, 0, "implementation-specific error: the broker could not take the message, look into its log"},
    {SUBACK, 0x83, 0, "implementation-specific error: the broker has a rule of its own, look into its log"},
    {DISCONNECT, 0x83, 0, "implementation-specific error: look into the broker's log"},
    {CONNACK, 0x84, 1, BAD_VERSION},
    {CONNACK, 0x85, 1, BAD_CLIENT_ID},
    {CONNACK, 0x86, 1, BAD_CREDENTIALS},
    {CONNACK, 0x87, 1, NOT_AUTHORISED},
    {PUBACK, 0x87, 1, "not authorised to publish there: check the broker's access rules"},
    {SUBACK, 0x87, 1, "not authorised to subscribe to that: check the broker's access rules"},
    {DISCONNECT, 0x87, 1, "not authorised any more: check username, password_file and the broker's access rules"},
    {CONNACK, 0x88, 0, "the broker is not available now"},
    {CONNACK | DISCONNECT, 0x89, 0, "the broker is busy"},
    {CONNACK, 0x8a, 1, "the broker has banned us: ask its administrator"},
    {DISCONNECT, 0x8b, 0, "the broker is shutting down"},
    {CONNACK, 0x8c, 1, "the broker wants another way of authentication"},
    {DISCONNECT, 0x8c, 1, "the broker wants another way of authentication"},
    {DISCONNECT, 0x8d, 0, "keep-alive timeout: it has heard nothing of us for too long"},
    {DISCONNECT, 0x8e, 0, "session taken over: another client has connected with the same client_id"},
    {SUBACK, 0x8f, 1, "the broker does not allow this topic filter"},
    {DISCONNECT, 0x8f, 1, "it does not allow one of our topic filters"},
    {CONNACK, 0x90, 1, "the broker does not allow the topic of our will, which is that of the status"},
    {PUBACK, 0x90, 1, "the broker does not allow this topic"},
    {DISCONNECT, 0x90, 1, "it does not allow the topic of one of our messages"},
    {PUBACK | SUBACK, 0x91, 0, "the packet identifier is in use"},
    {PUBACK, 0x92, 0, "the packet identifier is not known"},
    {DISCONNECT, 0x93, 0, "receive maximum exceeded: too many messages were in flight at once"},
    {DISCONNECT, 0x94, 0, "topic alias invalid: it takes fewer topic aliases than it said"},
    {CONNACK, 0x95, 1, "the packet is larger than the broker allows"},
    {DISCONNECT, 0x95, 1,
     "packet too large: a message is larger than the broker takes, lower max_payload or batch_max"},
    {DISCONNECT, 0x96, 0, "message rate too high: it takes fewer messages a second"},
    {CONNACK | PUBACK | SUBACK, 0x97, 0, "the broker's quota is used up"},
    {DISCONNECT, 0x97, 0, "quota exceeded: we use more than the broker grants us"},
    {DISCONNECT, 0x98, 0, "administrative action: somebody at the broker has closed it"},
    {CONNACK | PUBACK, 0x99, 1, "the payload is not what its format indicator says"},
    {DISCONNECT, 0x99, 1, "payload format invalid: a payload is not what its format indicator says"},
    {CONNACK, 0x9a, 1, "the broker keeps no retained messages: set retain = no"},
    {DISCONNECT, 0x9a, 1, "the broker keeps no retained messages: set retain = no"},
    {CONNACK | DISCONNECT, 0x9b, 1, "the broker does not support this QoS: lower qos"},
    {CONNACK | DISCONNECT, 0x9c, 0, "the broker says to use another server: change uri for the time being"},
    {CONNACK | DISCONNECT, 0x9d, 0, "the broker has moved to another server for good: change uri"},
    {SUBACK | DISCONNECT, 0x9e, 1, "the broker does not support shared subscriptions: topic = $share/..."},
    {CONNACK | DISCONNECT, 0x9f, 0, "connection rate exceeded: the broker limits the rate of connections"},
    {DISCONNECT, 0xa0, 0, "maximum connect time: the broker lets nobody stay connected longer"},
    {SUBACK | DISCONNECT, 0xa1, 1, "the broker does not support subscription identifiers"},
    {SUBACK | DISCONNECT, 0xa2, 1, "the broker does not support wildcard subscriptions: + and # in a topic"},
};

static const struct mqtt_code *find_in_packets(int packets, int code)
{
    for (size_t i = 0; i < sizeof(codes5) / sizeof(codes5[0]); i++)
        if (codes5[i].code == code && codes5[i].packets & packets)
            return &codes5[i];
    return NULL;
}

const struct mqtt_code *mqtt_codes_find(enum mqtt_packet packet, int code)
{
    const struct mqtt_code *found = find_in_packets((int)packet, code);

    return found ? found : find_in_packets(ANY, code);
}

const char *mqtt_codes_text(enum mqtt_packet packet, int code)
{
    const struct mqtt_code *found = mqtt_codes_find(packet, code);

    return found ? found->text : "an unknown reason code";
}

const struct mqtt_code *mqtt_codes_find_311(int code)
{
    for (size_t i = 0; i < sizeof(codes3) / sizeof(codes3[0]); i++)
        if (codes3[i].code == code)
            return &codes3[i];
    return NULL;
}
