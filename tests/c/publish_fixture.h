/* publish_fixture.h: the publisher's side over a segment of the test, with a transport that only notes what it gets. */
#ifndef SHMGATE_TESTS_PUBLISH_FIXTURE_H
#define SHMGATE_TESTS_PUBLISH_FIXTURE_H

#include "fixture.h"
#include "publish/publish.h"
#include "publish/sender.h"

static struct sender *sender;
static struct publish_channel channels[FIXTURE_USUAL];
static uint64_t tokens[64];
static int sent, refuse;
static struct {
    char bytes[512];
    size_t size;
    char topic[64];
} last;                                     /* what was sent last */
static size_t largest;                      /* that the broker takes; 0: any */
static struct spool *publish_spool_of_test; /* NULL: none */

static inline int is_up(const struct transport *transport)
{
    (void)transport;
    return 1;
}

static inline unsigned window(const struct transport *transport)
{
    (void)transport;
    return INFLIGHT_WINDOW;
}

static inline int keep_token(struct transport *transport, const struct transport_message *message, uint64_t token)
{
    (void)transport;
    if (refuse)
        return refuse;
    if (largest > 0 && message->size > largest)
        return -EMSGSIZE;
    last.size = message->size < sizeof(last.bytes) ? message->size : sizeof(last.bytes);
    memcpy(last.bytes, message->payload, last.size);
    snprintf(last.topic, sizeof(last.topic), "%s", message->topic);
    tokens[sent++ % 64] = token;
    return 0;
}

static const struct transport_type noting = {.name = "test", .is_up = is_up, .window = window, .publish = keep_token};
static struct transport transport = {.type = &noting};

static inline void answer(uint64_t token, enum transport_answer with)
{
    sender_answered(sender, token, with, 0);
}

/* Take up the lanes of the present segment, and of those it replaced. */
static inline struct publish *take_up(void)
{
    const struct publish_options options = {.segment = &fixture_segment,
                                            .olds = &fixture_olds,
                                            .channels = channels,
                                            .sender = sender,
                                            .spool = publish_spool_of_test};
    struct publish *publish = NULL;

    publish_create(&publish, &options);
    return publish;
}

/* Serve the usual channels and take up their lanes. */
static inline struct publish *begin(void)
{
    fixture_begin();
    sent = 0;
    refuse = 0;
    largest = 0;
    for (int i = 0; i < FIXTURE_USUAL; i++) {
        channels[i].name = fixture_usual[i].name;
        channels[i].qos = 1;
        if (!channels[i].topic)
            channels[i].topic = fixture_usual[i].topic;
    }
    sender_destroy(sender);
    if (sender_create(&sender) < 0)
        return NULL;
    sender_set_transport(sender, &transport);
    return fixture_serve_usual() == SEGMENT_CREATED && shared_memory_init(fixture_name, 0) == 0 ? take_up() : NULL;
}

#endif
