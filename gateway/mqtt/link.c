/* link.c: the connection to the broker as a state machine. See link.h. */
#include "mqtt/link.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/backoff.h"
#include "base/route.h"
#include "mqtt/mqtt.h"
#include "observe/log.h"
#include "shm/platform.h"

#define BASE_MS 200     /* first wait after a failed round; grows with jitter */
#define CAP_MS 30000    /* longest wait: an operator who has mended the network does not wait longer than that */
#define STABLE_MS 10000 /* a connection that held that long was a good one: the next wait is short again */
#define QOS2_WINDOW 20
#define CONTROL_MESSAGES 2 /* of the window, kept for the status topic */

/* Tokens that are no lane's message: their lowest byte is above every index of the flight table. */
#define TOKEN_STATUS 0xffffffffu
#define TOKEN_OFFLINE 0xfffffeffu
#define TOKEN_STATS 0xfffffdffu

enum state { LINK_WAITING, LINK_CONNECTING, LINK_UP };

struct link {
    const struct config *config;
    struct mqtt *mqtt;
    struct backoff backoff;
    enum state state;
    size_t uri;          /* of the present attempt or connection */
    size_t last_uri;     /* of the last connection, when ever_up */
    uint64_t attempt_ms; /* when the next attempt is due */
    unsigned own_window, window;
    int ever_up, refused, closing;
    size_t caught_up;   /* number, from 1, of the URI whose broker has sent this process what it had kept; 0: none */
    int qos2;           /* 1: a channel publishes with QoS 2 */
    int failure_logged; /* 1: this outage has been reported */
    struct mqtt_limits said; /* the broker's limits that the log has told of */
    int stats_refused;       /* 1: the log has told that they are larger than the broker takes */
    char *status_topic, *stats_topic;
};

static char *make_topic(const char *client_id, const char *leaf)
{
    char *topic = NULL;

    return asprintf(&topic, "shmgate/%s/%s", client_id, leaf) < 0 ? NULL : topic;
}

static int has_qos2(const struct config *config)
{
    int qos2 = 0;

    for (size_t i = 0; i < config->channel_count; i++)
        qos2 |= config->channels[i].direction == LAYOUT_PUBLISH && config->channels[i].qos == 2;
    return qos2;
}

/* The QoS to ask the broker for. With MQTT 3.1.1 Paho confirms the first half of an exchange of QoS 2 (PUBREC) before
 * it hands the message over, and keeps it in memory until the second: if we die or reconnect in between, the broker has
 * done its part and the message is lost. QoS 1 loses none, and can double one in the same cases as QoS 2 of MQTT 5,
 * where Paho hands over first. */
static unsigned asked_qos(const struct config *config, const struct config_channel *channel)
{
    return config->mqtt_version < 5 && channel->qos > 1 ? 1 : channel->qos;
}

/* Say which channels do not get what they ask for. */
static void log_asked_qos(const struct config *config)
{
    for (size_t i = 0; i < config->channel_count; i++) {
        const struct config_channel *channel = &config->channels[i];

        if (channel->direction == LAYOUT_SUBSCRIBE && asked_qos(config, channel) != channel->qos)
            log_write(LOG_LEVEL_INFO,
                      "subscribing with qos=%u instead of %u: channel=%s: with MQTT 3.1.1 QoS 2 could lose messages",
                      asked_qos(config, channel), channel->qos, channel->name);
    }
}

int link_create(struct link **out, const struct config *config, unsigned window, struct mailbox *mailbox,
                link_message on_message, void *context, char *error, size_t error_size)
{
    struct link *link = calloc(1, sizeof(*link));
    struct mqtt_options options = {
        .client_id = config->client_id,
        .version = config->mqtt_version,
        .username = config->username,
        .ca_file = config->ca_file,
        .cert_file = config->cert_file,
        .key_file = config->key_file,
        .keepalive_s = config->keepalive_s,
        .connect_timeout_ms = config->connect_timeout_ms,
        .session_expiry_s = config->session_expiry_s,
        .queued = window,
        .will_payload = "offline",
        .mailbox = mailbox,
        .on_message = on_message,
        .context = context,
    };
    int rc = -ENOMEM;

    *out = NULL;
    snprintf(error, error_size, "out of memory");
    if (!link)
        return rc;
    link->config = config;
    mqtt_limits_init(&link->said);
    link->qos2 = has_qos2(config);
    /* mosquitto closes the connection of a 3.1.1 client that has more exchanges of QoS 2 under way than it will queue,
     * 20 by default. */
    if (link->qos2 && config->mqtt_version < 5 && window > QOS2_WINDOW)
        window = QOS2_WINDOW;
    /* What an earlier process left half-done with QoS 2 would fill the broker's quota for ever: nobody knows its
     * identifiers any more. */
    options.forget_session = link->qos2;
    options.window = window;
    options.topics = (unsigned)config->channel_count;
    link->own_window = window;
    link->window = window;
    link->status_topic = make_topic(config->client_id, "status");
    link->stats_topic = make_topic(config->client_id, "stats");
    options.will_topic = link->status_topic;
    if (link->status_topic && link->stats_topic)
        rc = mqtt_create(&link->mqtt, &options, error, error_size);
    if (rc < 0) {
        link_destroy(link);
        return rc;
    }
    backoff_init(&link->backoff, BASE_MS, CAP_MS, STABLE_MS, (unsigned)config->uri_count, platform_random());
    log_asked_qos(config);
    *out = link;
    return 0;
}

void link_destroy(struct link *link)
{
    if (!link)
        return;
    mqtt_destroy(link->mqtt);
    free(link->status_topic);
    free(link->stats_topic);
    free(link);
}

/* Say once an outage why there is no connection; every attempt's reason would flood the log. */
static void log_failure(struct link *link, const char *uri, const char *text)
{
    if (!link->failure_logged)
        log_write(LOG_LEVEL_WARNING, "could not connect: uri=%s: %s; trying again until it works", uri, text);
    link->failure_logged = 1;
}

static void attempt_failed(struct link *link, uint64_t now_ms, const char *text)
{
    log_failure(link, link->config->uris[link->uri], text);
    link->state = LINK_WAITING;
    link->attempt_ms = backoff_failed(&link->backoff, now_ms);
}

void link_step(struct link *link, uint64_t now_ms)
{
    const char *password_file = link->config->password_file;
    char error[256], password[1024];
    int rc = 0;

    if (link->state != LINK_WAITING || now_ms < link->attempt_ms || link->refused)
        return;
    link->uri = backoff_uri(&link->backoff);
    link->state = LINK_CONNECTING;
    /* Half-done exchanges of QoS 2 mean nothing to another broker, or worse: the same identifiers of others. */
    if (link->ever_up && link->uri != link->last_uri)
        mqtt_give_up(link->mqtt);
    if (password_file)
        rc = config_read_secret(password_file, password, sizeof(password), error, sizeof(error));
    if (rc == 0)
        rc = mqtt_connect(link->mqtt, link->config->uris[link->uri], password_file ? password : NULL, error,
                          sizeof(error));
    explicit_bzero(password, sizeof(password));
    if (rc < 0)
        attempt_failed(link, now_ms, error);
}

uint64_t link_deadline_ms(const struct link *link)
{
    return link->state == LINK_WAITING && !link->refused ? link->attempt_ms : UINT64_MAX;
}

/* What a channel wants of the messages that the broker has kept. A mere reconnection shall not repeat commands: where
 * the session has lived on, what was published meanwhile waits in it. That is not so with QoS 0, for which the present
 * values are asked for anew. */
static enum mqtt_retained retained_for(const struct link *link, const struct config_channel *channel,
                                       int session_present)
{
    if (channel->ignore_retained)
        return MQTT_RETAINED_OMIT;
    return session_present && link->caught_up == link->uri + 1 && channel->qos > 0 ? MQTT_RETAINED_SEND_IF_NEW
                                                                                   : MQTT_RETAINED_SEND;
}

static void subscribe_all(struct link *link, int session_present)
{
    for (size_t i = 0; i < link->config->channel_count; i++) {
        const struct config_channel *channel = &link->config->channels[i];
        int rc;

        if (channel->direction != LAYOUT_SUBSCRIBE)
            continue;
        rc = mqtt_subscribe(link->mqtt, channel->topic, asked_qos(link->config, channel),
                            retained_for(link, channel, session_present), route_filter_identifier(channel->topic), i);
        if (rc < 0)
            log_write(LOG_LEVEL_ERROR, "could not subscribe: channel=%s filter=%s: %s", channel->name, channel->topic,
                      strerror(-rc));
    }
}

int link_can_take(const struct link *link, const struct config *next)
{
    /* How Paho's memory is treated at a loss hangs on it. */
    return link->qos2 == has_qos2(next);
}

static int has_filter(const struct config *config, const char *filter)
{
    for (size_t i = 0; i < config->channel_count; i++)
        if (config->channels[i].direction == LAYOUT_SUBSCRIBE && strcmp(config->channels[i].topic, filter) == 0)
            return 1;
    return 0;
}

void link_take(struct link *link, const struct config *before, const struct config *next)
{
    link->config = next;
    if (link->state != LINK_UP)
        return;
    for (size_t i = 0; i < before->channel_count; i++)
        if (before->channels[i].direction == LAYOUT_SUBSCRIBE && !has_filter(next, before->channels[i].topic))
            mqtt_unsubscribe(link->mqtt, before->channels[i].topic);
    subscribe_all(link, 1);
}

static int publish_status(struct link *link, const char *status, uint64_t token)
{
    const struct transport_message message = {
        .topic = link->status_topic, .payload = status, .size = strlen(status), .qos = 1, .retain = 1};

    return mqtt_publish(link->mqtt, &message, token);
}

/* How many publish channels ask for more than the broker takes. */
static void count_exceeding(const struct config *config, const struct mqtt_limits *limits, int *qos, int *retain,
                            int *size)
{
    *qos = *retain = *size = 0;
    for (size_t i = 0; i < config->channel_count; i++) {
        const struct config_channel *channel = &config->channels[i];
        unsigned granted = channel->qos;
        int kept = channel->retain;

        if (channel->direction != LAYOUT_PUBLISH)
            continue;
        *size += mqtt_limits_apply(limits, config->mqtt_version, strlen(channel->topic), channel->max_payload, &granted,
                                   &kept) < 0;
        *qos += granted < channel->qos;
        *retain += kept != channel->retain;
    }
}

/* Say what this broker's limits change for our messages, unless it has been said. */
static void log_limits(struct link *link, const struct mqtt_limits *limits)
{
    int qos, retain, size;

    count_exceeding(link->config, limits, &qos, &retain, &size);
    if (qos > 0 && limits->qos_max != link->said.qos_max)
        log_write(LOG_LEVEL_WARNING, "the broker takes QoS %u at most: channels=%d publish with that", limits->qos_max,
                  qos);
    if (!limits->retain && link->said.retain)
        log_write(LOG_LEVEL_WARNING,
                  "the broker keeps no retained messages: channels=%d and the status are published without", retain);
    if (size > 0 && limits->packet_max != link->said.packet_max)
        log_write(LOG_LEVEL_WARNING,
                  "the broker takes packets of %u bytes at most: channels=%d have room for larger messages, which are "
                  "dropped as refused",
                  limits->packet_max, size);
    link->said = *limits;
}

static void connected(struct link *link, const struct mailbox_event *event, uint64_t now_ms)
{
    unsigned granted = link->own_window, most = event->limits.receive_max;
    int rc;

    link->state = LINK_UP;
    link->ever_up = 1;
    link->last_uri = link->uri;
    link->failure_logged = 0;
    backoff_connected(&link->backoff, now_ms);
    if (most > 0 && most < granted)
        granted = most;
    link->window = granted > CONTROL_MESSAGES ? granted - CONTROL_MESSAGES : 1;
    log_write(LOG_LEVEL_INFO, "connected: uri=%s client_id=%s session=%s window=%u", link->config->uris[link->uri],
              link->config->client_id, event->session_present ? "resumed" : "new", link->window);
    log_limits(link, &event->limits);
    subscribe_all(link, event->session_present);
    rc = publish_status(link, "online", TOKEN_STATUS);
    if (rc < 0)
        log_write(LOG_LEVEL_WARNING, "could not publish status: topic=%s: %s", link->status_topic, strerror(-rc));
}

static void connect_failed(struct link *link, const struct mailbox_event *event, uint64_t now_ms)
{
    /* What the broker will not forgive by itself is a mistake in the configuration, if it never took us before. */
    if (event->permanent && !link->ever_up && link->config->uri_count == 1) {
        log_write(LOG_LEVEL_ERROR, "could not connect: uri=%s: %s", link->config->uris[link->uri], event->text);
        link->refused = 1;
        link->state = LINK_WAITING;
        return;
    }
    if (event->adapted) {
        log_write(LOG_LEVEL_INFO, "connecting once more: uri=%s: %s", link->config->uris[link->uri], event->text);
        link->state = LINK_WAITING;
        link->attempt_ms = now_ms;
        return;
    }
    attempt_failed(link, now_ms, event->text);
}

static void subscribe_refused(const struct link *link, const struct mailbox_event *event)
{
    const struct config_channel *channel;

    if (event->token >= link->config->channel_count)
        return;
    channel = &link->config->channels[event->token];
    log_write(LOG_LEVEL_ERROR, "could not subscribe: channel=%s filter=%s: %s", channel->name, channel->topic,
              event->text);
}

void link_event(struct link *link, const struct mailbox_event *event, uint64_t now_ms)
{
    switch (event->kind) {
    case MAILBOX_CONNECTED:
        connected(link, event, now_ms);
        break;
    case MAILBOX_CONNECT_FAILED:
        connect_failed(link, event, now_ms);
        break;
    case MAILBOX_LOST:
        if (link->state != LINK_UP)
            break;
        log_write(LOG_LEVEL_WARNING, "connection lost: uri=%s: %s", link->config->uris[link->uri], event->text);
        link->state = LINK_WAITING;
        link->closing = 0;
        link->attempt_ms = backoff_lost(&link->backoff, now_ms);
        /* Half-done exchanges of QoS 2 go on where they were; for them Paho's memory is kept. */
        if (!link->qos2)
            mqtt_give_up(link->mqtt);
        break;
    case MAILBOX_SUBSCRIBE_REFUSED:
        subscribe_refused(link, event);
        break;
    case MAILBOX_DELIVERED:
    case MAILBOX_FAILED:
    case MAILBOX_REFUSED:
        if (event->token == TOKEN_OFFLINE)
            link->closing = 0;
        /* "online" is published behind the subscriptions: what these brought has come before its answer. */
        if (event->token == TOKEN_STATUS && event->kind == MAILBOX_DELIVERED)
            link->caught_up = link->uri + 1;
        break;
    default:
        break;
    }
}

int link_up(const struct link *link)
{
    return link->state == LINK_UP;
}

int link_refused(const struct link *link)
{
    return link->refused;
}

unsigned link_window(const struct link *link)
{
    return link->window;
}

int link_publish(struct link *link, const struct transport_message *message, uint64_t token)
{
    struct transport_message outgoing = *message;

    /* With QoS 2 Paho's memory is kept over a lost connection, and what it sends again must have its topic. */
    outgoing.alias = !link->qos2;
    return mqtt_publish(link->mqtt, &outgoing, token);
}

void link_publish_stats(struct link *link, const char *json, size_t size)
{
    const struct transport_message message = {.topic = link->stats_topic, .payload = json, .size = size};
    int rc = mqtt_publish(link->mqtt, &message, TOKEN_STATS);

    if (rc == -EMSGSIZE && link->stats_refused)
        return;
    if (rc < 0 && rc != -EAGAIN)
        log_write(LOG_LEVEL_WARNING, "could not publish statistics: topic=%s: %s", link->stats_topic, strerror(-rc));
    link->stats_refused = rc == -EMSGSIZE;
}

void link_say_offline(struct link *link)
{
    link->closing = publish_status(link, "offline", TOKEN_OFFLINE) == 0;
}

int link_closing(const struct link *link)
{
    return link->closing;
}

void link_disconnect(struct link *link, unsigned timeout_ms)
{
    mqtt_disconnect(link->mqtt, timeout_ms);
    link->state = LINK_WAITING;
}
