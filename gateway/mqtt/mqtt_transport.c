/* mqtt_transport.c: MQTT as a transport: the event queue's events to whom they are for, and the transport's calls to
 * the connection. See mqtt_transport.h. */
#include "mqtt/mqtt_transport.h"

#include <errno.h>
#include <stdlib.h>

#include "mqtt/connection.h"
#include "mqtt/event_queue.h"
#include "mqtt/mqtt.h"
#include "shm/layout.h"

#define EVENTS 32 /* taken from the queue in one step */

struct mqtt_transport {
    struct transport transport; /* first: a struct transport is the beginning of one */
    struct transport_listener listener;
    struct event_queue *queue;
    struct connection *connection;
};

static struct mqtt_transport *mqtt_of(const struct transport *transport)
{
    return (struct mqtt_transport *)transport;
}

static enum transport_answer answer_of(enum event_kind kind)
{
    return kind == EVENT_DELIVERED ? TRANSPORT_DELIVERED : kind == EVENT_REFUSED ? TRANSPORT_REFUSED : TRANSPORT_FAILED;
}

static void handle_event(struct mqtt_transport *mqtt, const struct event *event, uint64_t now_ms)
{
    const struct transport_listener *listener = &mqtt->listener;

    switch (event->kind) {
    case EVENT_DELIVERED:
    case EVENT_FAILED:
    case EVENT_REFUSED:
        if (connection_is_control(event->token))
            connection_event(mqtt->connection, event, now_ms);
        else
            listener->answered(listener->context, event->token, answer_of(event->kind), event->time_ns);
        break;
    default:
        connection_event(mqtt->connection, event, now_ms);
        listener->changed(listener->context);
    }
}

static int mqtt_step(struct transport *transport, uint64_t now_ms)
{
    struct mqtt_transport *mqtt = mqtt_of(transport);
    struct event events[EVENTS];
    size_t count = event_queue_take(mqtt->queue, events, EVENTS);

    for (size_t i = 0; i < count; i++)
        handle_event(mqtt, &events[i], now_ms);
    connection_step(mqtt->connection, now_ms);
    return count > 0;
}

static uint64_t mqtt_deadline_ms(const struct transport *transport)
{
    return connection_deadline_ms(mqtt_of(transport)->connection);
}

static int mqtt_is_pending(const struct transport *transport)
{
    return event_queue_pending(mqtt_of(transport)->queue);
}

static void mqtt_coalesce(struct transport *transport, unsigned count)
{
    event_queue_set_coalesce_count(mqtt_of(transport)->queue, count);
}

static int mqtt_is_up(const struct transport *transport)
{
    return connection_is_up(mqtt_of(transport)->connection);
}

static int mqtt_is_refused(const struct transport *transport)
{
    return connection_refused(mqtt_of(transport)->connection);
}

static unsigned mqtt_window(const struct transport *transport)
{
    return connection_window(mqtt_of(transport)->connection);
}

static int mqtt_publish_message(struct transport *transport, const struct transport_message *message, uint64_t token)
{
    return connection_publish(mqtt_of(transport)->connection, message, token);
}

static void mqtt_publish_stats(struct transport *transport, const char *json, size_t size)
{
    connection_publish_stats(mqtt_of(transport)->connection, json, size);
}

static int mqtt_can_take(const struct transport *transport, const struct config *next)
{
    return connection_can_take(mqtt_of(transport)->connection, next);
}

static void mqtt_take(struct transport *transport, const struct config *before, const struct config *next)
{
    connection_take(mqtt_of(transport)->connection, before, next);
}

static void mqtt_say_goodbye(struct transport *transport)
{
    connection_say_offline(mqtt_of(transport)->connection);
}

static int mqtt_is_saying_goodbye(const struct transport *transport)
{
    return connection_closing(mqtt_of(transport)->connection);
}

static void mqtt_close(struct transport *transport, unsigned timeout_ms)
{
    connection_disconnect(mqtt_of(transport)->connection, timeout_ms);
}

static void mqtt_transport_destroy(struct transport *transport)
{
    struct mqtt_transport *mqtt = mqtt_of(transport);

    /* Its threads end first: afterwards nobody else knows the queue. */
    connection_destroy(mqtt->connection);
    event_queue_destroy(mqtt->queue);
    free(mqtt);
}

static const struct transport_type mqtt_type = {
    .name = "mqtt",
    .step = mqtt_step,
    .deadline_ms = mqtt_deadline_ms,
    .is_pending = mqtt_is_pending,
    .coalesce = mqtt_coalesce,
    .is_up = mqtt_is_up,
    .is_refused = mqtt_is_refused,
    .window = mqtt_window,
    .publish = mqtt_publish_message,
    .publish_stats = mqtt_publish_stats,
    .can_take = mqtt_can_take,
    .take = mqtt_take,
    .say_goodbye = mqtt_say_goodbye,
    .is_saying_goodbye = mqtt_is_saying_goodbye,
    .close = mqtt_close,
    .destroy = mqtt_transport_destroy,
};

int mqtt_transport_create(struct transport **out, const struct mqtt_transport_options *options, struct reason *reason)
{
    /* One answer a message in flight, one a subscription and the end of one, and the connection's own few. A reload may
     * bring more channels. */
    size_t capacity = options->window + 2 * LAYOUT_CHANNELS_MAX + 16;
    struct mqtt_transport *mqtt = calloc(1, sizeof(*mqtt));
    struct connection_options connection = {.config = options->config,
                                            .window = options->window,
                                            .arrived = options->listener.arrived,
                                            .context = options->listener.arrival_context};
    int rc;

    *out = NULL;
    if (!mqtt)
        return reason_set(reason, -ENOMEM, "out of memory");
    mqtt->transport.type = &mqtt_type;
    mqtt->listener = options->listener;
    rc = event_queue_create(&mqtt->queue, capacity, options->listener.wake, options->listener.context);
    connection.queue = mqtt->queue;
    if (rc < 0)
        reason_set(reason, rc, "out of memory");
    else
        rc = connection_create(&mqtt->connection, &connection, reason);
    if (rc < 0) {
        mqtt_transport_destroy(&mqtt->transport);
        return rc;
    }
    *out = &mqtt->transport;
    return 0;
}

int mqtt_transport_is_left_behind(void)
{
    return mqtt_is_left_behind();
}
