/* message.h: messages on their way between the gateway and a transport, in terms that are no transport's own. */
#ifndef SHMGATE_TRANSPORT_MESSAGE_H
#define SHMGATE_TRANSPORT_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

/* Filters of ours that one message can be said to match; a broker sends more messages for more. */
#define TRANSPORT_IDENTIFIERS 16

/* A message that has come; everything is borrowed for the call. */
struct transport_arrival {
    const char *topic; /* not terminated */
    size_t topic_size;
    const void *payload;
    size_t size;
    int retained;                                /* 1: the broker had kept it from before the subscription */
    uint32_t identifiers[TRANSPORT_IDENTIFIERS]; /* route_filter_identifier of the filters it is sent for */
    size_t identifier_count;                     /* 0: the broker does not say */
    int expires;                                 /* 1: it is of use for a time only */
    uint32_t expiry_s;                           /* what is left of that */
    const char *made; /* when it was made, as its sender says (EXPIRY_TIME_PROPERTY): not terminated, unchecked; NULL:
                         unsaid */
    size_t made_size;
};

/* A name and a value that go with a message. */
struct transport_property {
    const char *name, *value;
};

#define TRANSPORT_PROPERTIES 8

/* A message to publish; everything is borrowed for the call and copied. */
struct transport_message {
    const char *topic;
    const void *payload;
    size_t size;
    unsigned qos;                                /* of the channel: 0, 1 or 2 */
    int retain;                                  /* of the channel: 1 or 0 */
    int alias;                                   /* 1: one of many on its topic, so that a short name for it pays */
    const struct transport_property *properties; /* TRANSPORT_PROPERTIES at most; left out where they cannot go along */
    size_t property_count;
};

#endif
