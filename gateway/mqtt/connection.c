/* connection.c: the connection to the broker as a state machine. See connection.h. */
#include "mqtt/connection.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/backoff.h"
#include "base/route.h"
#include "mqtt/mqtt.h"
#include "mqtt/outage.h"
#include "mqtt/takeover.h"
#include "observe/log.h"
#include "observe/notify.h"
#include "shm/platform.h"

#define BASE_MS 200        /* first wait after a failed round; grows with jitter */
#define CAP_MS 30000       /* longest wait: an operator who has mended the network does not wait longer than that */
#define STABLE_MS 10000    /* a connection that held that long was a good one: the next wait is short again */
#define LATE_MS 5000       /* what an attempt may take beyond connect_timeout, which the client library keeps */
#define ASK_AGAIN_MS 20000 /* first wait before a refused subscription is asked for again; it doubles */
#define ASK_AGAIN_CAP_MS 600000 /* the longest */
#define QOS2_WINDOW 20
#define CONTROL_MESSAGES 2 /* of the window, kept for the status topic */

/* Tokens that are no lane's message: their lowest byte is above every index of the in-flight table. */
#define TOKEN_STATUS 0xffffffffu
#define TOKEN_OFFLINE 0xfffffeffu
#define TOKEN_STATS 0xfffffdffu

enum state { CONNECTION_WAITING, CONNECTION_CONNECTING, CONNECTION_UP };

struct connection {
    const struct config *config;
    struct mqtt *mqtt;
    struct backoff backoff;
    enum state state;
    size_t uri;          /* of the present attempt or connection */
    size_t last_uri;     /* of the last connection, when ever_up */
    uint64_t attempt_ms; /* when the next attempt is due */
    uint64_t late_ms;    /* CONNECTING: when the attempt counts as failed, though nobody has said so */
    unsigned own_window, window;
    int ever_up, refused, closing;
    size_t caught_up;     /* number, from 1, of the URI whose broker has sent this process what it had kept; 0: none */
    int qos2;             /* 1: a channel publishes with QoS 2 */
    struct outage outage; /* what the log has of it */
    struct takeover takeover;
    uint64_t connected_ms;   /* since when the present connection holds */
    struct mqtt_limits said; /* the broker's limits that the log has told of */
    int stats_refused;       /* 1: the log has told that they are larger than the broker takes */
    int status_refused;      /* 1: the log has told that the broker refuses the status */
    unsigned char granted_told[LAYOUT_CHANNELS_MAX]; /* by channel: 1 + the lower QoS that the log has told of */
    unsigned char refused_told[LAYOUT_CHANNELS_MAX]; /* by channel: 1: its subscription is refused; the log has it */
    uint64_t ask_ms;      /* when those are asked for again; UINT64_MAX: there are none in this connection */
    uint64_t ask_wait_ms; /* the wait after that */
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

/* What the client library is told of it. */
static struct mqtt_options client_options(const struct connection *connection, const struct connection_options *options)
{
    const struct config *config = options->config;

    return (struct mqtt_options){
        .client_id = config->client_id,
        .version = config->mqtt_version,
        .username = config->username,
        .ca_file = config->ca_file,
        .cert_file = config->cert_file,
        .key_file = config->key_file,
        .keepalive_s = config->keepalive_s,
        .connect_timeout_ms = config->connect_timeout_ms,
        .session_expiry_s = config->session_expiry_s,
        /* What an earlier process left half-done with QoS 2 would fill the broker's quota for ever: nobody knows its
         * identifiers any more. */
        .forget_session = connection->qos2,
        .window = connection->own_window,
        .queued = options->window,
        .topics = (unsigned)config->channel_count,
        .will_topic = connection->status_topic,
        .will_payload = "offline",
        .queue = options->queue,
        .on_message = options->arrived,
        .context = options->context,
    };
}

int connection_create(struct connection **out, const struct connection_options *options, struct reason *reason)
{
    struct connection *connection = calloc(1, sizeof(*connection));
    const struct backoff_pace pace = {.base_ms = BASE_MS, .cap_ms = CAP_MS, .stable_ms = STABLE_MS};
    const struct config *config = options->config;
    struct mqtt_options client;
    int rc = -ENOMEM;

    *out = NULL;
    reason_set(reason, rc, "out of memory");
    if (!connection)
        return rc;
    connection->config = config;
    mqtt_limits_init(&connection->said);
    connection->qos2 = has_qos2(config);
    connection->own_window = options->window;
    /* mosquitto closes the connection of a 3.1.1 client that has more exchanges of QoS 2 under way than it will queue,
     * 20 by default. */
    if (connection->qos2 && config->mqtt_version < 5 && options->window > QOS2_WINDOW)
        connection->own_window = QOS2_WINDOW;
    connection->window = connection->own_window;
    connection->status_topic = make_topic(config->client_id, "status");
    connection->stats_topic = make_topic(config->client_id, "stats");
    client = client_options(connection, options);
    if (connection->status_topic && connection->stats_topic)
        rc = mqtt_create(&connection->mqtt, &client, reason);
    if (rc < 0) {
        connection_destroy(connection);
        return rc;
    }
    backoff_init(&connection->backoff, &pace, (unsigned)config->uri_count, platform_random());
    log_asked_qos(config);
    *out = connection;
    return 0;
}

void connection_destroy(struct connection *connection)
{
    if (!connection)
        return;
    mqtt_destroy(connection->mqtt);
    free(connection->status_topic);
    free(connection->stats_topic);
    free(connection);
}

/* What systemctl status shows: whether there is a connection, or why not. */
static void show_status(const char *state, const char *uri, const char *text)
{
    char status[512];

    snprintf(status, sizeof(status), "serving; %s %s%s%s", state, uri, text ? ": " : "", text ? text : "");
    notify_status(status);
}

/* Say why there is no connection, each reason once an outage; every attempt's would flood the log. */
static void log_failure(struct connection *connection, const char *uri, int code, const char *text)
{
    static const char *const ends[] = {[OUTAGE_FIRST] = "; trying again until it works",
                                       [OUTAGE_OTHER] = "",
                                       [OUTAGE_LAST] = "; further reasons are not told in this outage"};
    enum outage_news news = outage_add(&connection->outage, connection->uri, code, text);

    if (news != OUTAGE_KNOWN)
        log_write(LOG_LEVEL_WARNING, "could not connect: uri=%s: %s%s", uri, text, ends[news]);
}

static void attempt_failed(struct connection *connection, uint64_t now_ms, int code, const char *text)
{
    log_failure(connection, connection->config->uris[connection->uri], code, text);
    show_status("not connected to", connection->config->uris[connection->uri], text);
    connection->state = CONNECTION_WAITING;
    connection->attempt_ms = backoff_failed(&connection->backoff, now_ms);
}

/* The client library owes an answer and has not given it: it sits in a call to a name server, or has lost the attempt.
 * Its object is not used again; an answer that still comes until then is taken. */
static void give_up_attempt(struct connection *connection, uint64_t now_ms)
{
    mqtt_give_up(connection->mqtt);
    attempt_failed(connection, now_ms, -ETIMEDOUT,
                   "no answer, not even that it failed: the name of the broker may not be looked up, as no name server "
                   "answers");
}

/* What a channel wants of the messages that the broker has kept. A mere reconnection shall not repeat commands: where
 * the session has lived on, what was published meanwhile waits in it. That is not so with QoS 0, for which the present
 * values are asked for anew. */
static enum mqtt_retained retained_for(const struct connection *connection, const struct config_channel *channel,
                                       int session_present)
{
    if (channel->ignore_retained)
        return MQTT_RETAINED_OMIT;
    return session_present && connection->caught_up == connection->uri + 1 && channel->qos > 0
               ? MQTT_RETAINED_SEND_IF_NEW
               : MQTT_RETAINED_SEND;
}

static void subscribe_all(struct connection *connection, int session_present, int refused_only)
{
    for (size_t i = 0; i < connection->config->channel_count; i++) {
        const struct config_channel *channel = &connection->config->channels[i];
        struct mqtt_subscription subscription;
        int rc;

        if (channel->direction != LAYOUT_SUBSCRIBE || (refused_only && !connection->refused_told[i]))
            continue;
        subscription = (struct mqtt_subscription){.filter = channel->topic,
                                                  .qos = asked_qos(connection->config, channel),
                                                  .retained = retained_for(connection, channel, session_present),
                                                  .identifier = route_filter_identifier(channel->topic)};
        rc = mqtt_subscribe(connection->mqtt, &subscription, i);
        if (rc < 0)
            log_write(LOG_LEVEL_ERROR, "could not subscribe: channel=%s filter=%s: %s", channel->name, channel->topic,
                      strerror(-rc));
    }
}

/* Somebody may have changed the broker's access rules. */
static void ask_again(struct connection *connection, uint64_t now_ms)
{
    if (connection->state != CONNECTION_UP || now_ms < connection->ask_ms)
        return;
    connection->ask_ms = UINT64_MAX;
    subscribe_all(connection, 1, 1);
}

void connection_step(struct connection *connection, uint64_t now_ms)
{
    const char *password_file = connection->config->password_file;
    char password[1024];
    struct reason reason;
    int rc = 0;

    ask_again(connection, now_ms);
    if (connection->state == CONNECTION_CONNECTING && now_ms >= connection->late_ms)
        give_up_attempt(connection, now_ms);
    if (connection->state != CONNECTION_WAITING || now_ms < connection->attempt_ms || connection->refused)
        return;
    connection->uri = backoff_uri(&connection->backoff);
    connection->state = CONNECTION_CONNECTING;
    connection->late_ms = now_ms + connection->config->connect_timeout_ms + LATE_MS;
    /* Half-done exchanges of QoS 2 mean nothing to another broker, or worse: the same identifiers of others. */
    if (connection->ever_up && connection->uri != connection->last_uri)
        mqtt_give_up(connection->mqtt);
    if (password_file)
        rc = config_read_secret(password_file, password, sizeof(password), &reason);
    if (rc == 0)
        rc = mqtt_connect(connection->mqtt, connection->config->uris[connection->uri], password_file ? password : NULL,
                          &reason);
    explicit_bzero(password, sizeof(password));
    if (rc < 0)
        attempt_failed(connection, now_ms, rc, reason.text);
}

uint64_t connection_deadline_ms(const struct connection *connection)
{
    if (connection->state == CONNECTION_CONNECTING)
        return connection->late_ms;
    if (connection->state == CONNECTION_UP)
        return connection->ask_ms;
    return connection->state == CONNECTION_WAITING && !connection->refused ? connection->attempt_ms : UINT64_MAX;
}

int connection_can_take(const struct connection *connection, const struct config *next)
{
    /* How Paho's memory is treated at a loss hangs on it. */
    return connection->qos2 == has_qos2(next);
}

static int has_filter(const struct config *config, const char *filter)
{
    for (size_t i = 0; i < config->channel_count; i++)
        if (config->channels[i].direction == LAYOUT_SUBSCRIBE && strcmp(config->channels[i].topic, filter) == 0)
            return 1;
    return 0;
}

void connection_take(struct connection *connection, const struct config *before, const struct config *next)
{
    connection->config = next;
    /* Channels may have other numbers. */
    memset(connection->granted_told, 0, sizeof(connection->granted_told));
    memset(connection->refused_told, 0, sizeof(connection->refused_told));
    if (connection->state != CONNECTION_UP)
        return;
    for (size_t i = 0; i < before->channel_count; i++)
        if (before->channels[i].direction == LAYOUT_SUBSCRIBE && !has_filter(next, before->channels[i].topic))
            mqtt_unsubscribe(connection->mqtt, before->channels[i].topic);
    connection->ask_ms = UINT64_MAX;
    subscribe_all(connection, 1, 0);
}

static int publish_status(struct connection *connection, const char *status, uint64_t token)
{
    const struct transport_message message = {
        .topic = connection->status_topic, .payload = status, .size = strlen(status), .qos = 1, .retain = 1};

    return mqtt_publish(connection->mqtt, &message, token);
}

/* How many publish channels ask for more than the broker takes. */
static void count_exceeding(const struct config *config, const struct mqtt_limits *limits, int *qos, int *retain,
                            int *size)
{
    *qos = *retain = *size = 0;
    for (size_t i = 0; i < config->channel_count; i++) {
        const struct config_channel *channel = &config->channels[i];
        struct mqtt_limits_message message = {config->mqtt_version, 0, channel->max_payload, channel->qos,
                                              channel->retain};

        if (channel->direction != LAYOUT_PUBLISH)
            continue;
        message.topic_size = strlen(channel->topic);
        *size += mqtt_limits_apply(limits, &message) < 0;
        *qos += message.qos < channel->qos;
        *retain += message.retain != channel->retain;
    }
}

/* Say what this broker's limits change for our messages, unless it has been said. */
static void log_limits(struct connection *connection, const struct mqtt_limits *limits)
{
    int qos, retain, size;

    count_exceeding(connection->config, limits, &qos, &retain, &size);
    if (qos > 0 && limits->qos_max != connection->said.qos_max)
        log_write(LOG_LEVEL_WARNING, "the broker takes QoS %u at most: channels=%d publish with that", limits->qos_max,
                  qos);
    if (!limits->retain && connection->said.retain)
        log_write(LOG_LEVEL_WARNING,
                  "the broker keeps no retained messages: channels=%d and the status are published without", retain);
    if (size > 0 && limits->packet_max != connection->said.packet_max)
        log_write(LOG_LEVEL_WARNING,
                  "the broker takes packets of %u bytes at most: channels=%d have room for larger messages, which are "
                  "dropped as refused",
                  limits->packet_max, size);
    connection->said = *limits;
}

static void connected(struct connection *connection, const struct event *event, uint64_t now_ms)
{
    unsigned granted = connection->own_window, most = event->limits.receive_max;
    int rc;

    connection->state = CONNECTION_UP;
    connection->ever_up = 1;
    connection->last_uri = connection->uri;
    connection->outage = (struct outage){0};
    connection->connected_ms = now_ms;
    backoff_connected(&connection->backoff, now_ms);
    if (most > 0 && most < granted)
        granted = most;
    connection->window = granted > CONTROL_MESSAGES ? granted - CONTROL_MESSAGES : 1;
    show_status("connected to", connection->config->uris[connection->uri], NULL);
    log_write(LOG_LEVEL_INFO, "connected: uri=%s client_id=%s session=%s window=%u",
              connection->config->uris[connection->uri], connection->config->client_id,
              event->session_present ? "resumed" : "new", connection->window);
    log_limits(connection, &event->limits);
    connection->ask_ms = UINT64_MAX;
    connection->ask_wait_ms = ASK_AGAIN_MS;
    subscribe_all(connection, event->session_present, 0);
    rc = publish_status(connection, "online", TOKEN_STATUS);
    if (rc < 0)
        log_write(LOG_LEVEL_WARNING, "could not publish status: topic=%s: %s", connection->status_topic, strerror(-rc));
}

static void connect_failed(struct connection *connection, const struct event *event, uint64_t now_ms)
{
    /* What the broker will not forgive by itself is a mistake in the configuration, if it never took us before. */
    if (event->permanent && !connection->ever_up && connection->config->uri_count == 1) {
        log_write(LOG_LEVEL_ERROR, "could not connect: uri=%s: %s", connection->config->uris[connection->uri],
                  event->text);
        connection->refused = 1;
        connection->state = CONNECTION_WAITING;
        return;
    }
    if (event->adapted) {
        log_write(LOG_LEVEL_INFO, "connecting once more: uri=%s: %s", connection->config->uris[connection->uri],
                  event->text);
        connection->state = CONNECTION_WAITING;
        connection->attempt_ms = now_ms;
        return;
    }
    attempt_failed(connection, now_ms, event->reason, event->text);
}

static void subscribe_refused(struct connection *connection, const struct event *event, uint64_t now_ms)
{
    const struct config_channel *channel;

    if (event->token >= connection->config->channel_count)
        return;
    channel = &connection->config->channels[event->token];
    if (!connection->refused_told[event->token])
        log_write(LOG_LEVEL_ERROR, "could not subscribe: channel=%s filter=%s: %s", channel->name, channel->topic,
                  event->text);
    connection->refused_told[event->token] = 1;
    if (connection->ask_ms != UINT64_MAX)
        return;
    connection->ask_ms = now_ms + connection->ask_wait_ms;
    if ((connection->ask_wait_ms *= 2) > ASK_AGAIN_CAP_MS)
        connection->ask_wait_ms = ASK_AGAIN_CAP_MS;
}

/* With a lower QoS than was asked for, messages can be lost against the configuration. */
static void subscribed(struct connection *connection, const struct event *event)
{
    const struct config_channel *channel;
    unsigned char told;

    if (event->token >= connection->config->channel_count)
        return;
    channel = &connection->config->channels[event->token];
    told = event->reason < (int)asked_qos(connection->config, channel) ? (unsigned char)(event->reason + 1) : 0;
    if (told > 0 && told != connection->granted_told[event->token])
        log_write(LOG_LEVEL_WARNING,
                  "the broker grants a lower QoS than was asked for: channel=%s filter=%s: qos=%d instead of %u: "
                  "messages can %s",
                  channel->name, channel->topic, event->reason, asked_qos(connection->config, channel),
                  event->reason == 0 ? "be lost" : "come twice");
    connection->granted_told[event->token] = told;
    if (connection->refused_told[event->token])
        log_write(LOG_LEVEL_INFO, "subscribed, no longer refused: channel=%s filter=%s", channel->name, channel->topic);
    connection->refused_told[event->token] = 0;
}

/* The answer to a message of our own. */
static void control_answered(struct connection *connection, const struct event *event)
{
    if (event->token == TOKEN_OFFLINE)
        connection->closing = 0;
    if (event->token != TOKEN_STATUS || event->kind == EVENT_FAILED)
        return;
    /* "online" is published behind the subscriptions: what these brought has come before its answer. */
    connection->caught_up = connection->uri + 1;
    if (event->kind == EVENT_REFUSED && !connection->status_refused)
        log_write(LOG_LEVEL_WARNING,
                  "the broker refuses the status, and so perhaps the will and the statistics: topic=%s: %s",
                  connection->status_topic, event->text);
    connection->status_refused = event->kind == EVENT_REFUSED;
}

int connection_is_control(uint64_t token)
{
    return token == TOKEN_STATUS || token == TOKEN_OFFLINE || token == TOKEN_STATS;
}

/* Two gateways of a cloned image look like a network that comes and goes. */
static void log_takeover(struct connection *connection, const struct event *event, uint64_t now_ms)
{
    uint64_t held_ms = now_ms - connection->connected_ms;
    enum takeover_news news = takeover_lost(&connection->takeover, event->reason, held_ms, now_ms);

    if (news != TAKEOVER_NO)
        log_write(LOG_LEVEL_WARNING,
                  "another client %s the same client_id, and each takes the connection from the other: client_id=%s: "
                  "give every client an id of its own%s",
                  news == TAKEOVER_CERTAIN ? "has" : "may have", connection->config->client_id,
                  news == TAKEOVER_CERTAIN ? "" : "; or else the broker's log says why it closes so soon");
}

static void lost(struct connection *connection, const struct event *event, uint64_t now_ms)
{
    if (connection->state != CONNECTION_UP)
        return;
    show_status("connection lost:", connection->config->uris[connection->uri], event->text);
    log_write(LOG_LEVEL_WARNING, "connection lost: uri=%s: %s", connection->config->uris[connection->uri], event->text);
    connection->state = CONNECTION_WAITING;
    connection->closing = 0;
    connection->attempt_ms = backoff_lost(&connection->backoff, now_ms);
    /* Half-done exchanges of QoS 2 go on where they were; for them Paho's memory is kept. */
    if (!connection->qos2)
        mqtt_give_up(connection->mqtt);
    log_takeover(connection, event, now_ms);
}

void connection_event(struct connection *connection, const struct event *event, uint64_t now_ms)
{
    switch (event->kind) {
    case EVENT_CONNECTED:
        connected(connection, event, now_ms);
        break;
    case EVENT_CONNECT_FAILED:
        connect_failed(connection, event, now_ms);
        break;
    case EVENT_LOST:
        lost(connection, event, now_ms);
        break;
    case EVENT_SUBSCRIBE_REFUSED:
        subscribe_refused(connection, event, now_ms);
        break;
    case EVENT_DELIVERED:
    case EVENT_FAILED:
    case EVENT_REFUSED:
        control_answered(connection, event);
        break;
    case EVENT_SUBSCRIBED:
        subscribed(connection, event);
        break;
    default:
        break;
    }
}

int connection_is_up(const struct connection *connection)
{
    return connection->state == CONNECTION_UP;
}

int connection_refused(const struct connection *connection)
{
    return connection->refused;
}

unsigned connection_window(const struct connection *connection)
{
    return connection->window;
}

int connection_publish(struct connection *connection, const struct transport_message *message, uint64_t token)
{
    struct transport_message outgoing = *message;

    /* With QoS 2 Paho's memory is kept over a lost connection, and what it sends again must have its topic. */
    outgoing.alias &= !connection->qos2;
    return mqtt_publish(connection->mqtt, &outgoing, token);
}

void connection_publish_stats(struct connection *connection, const char *json, size_t size)
{
    const struct transport_message message = {.topic = connection->stats_topic, .payload = json, .size = size};
    int rc = mqtt_publish(connection->mqtt, &message, TOKEN_STATS);

    if (rc == -EMSGSIZE && connection->stats_refused)
        return;
    if (rc < 0 && rc != -EAGAIN)
        log_write(LOG_LEVEL_WARNING, "could not publish statistics: topic=%s: %s", connection->stats_topic,
                  strerror(-rc));
    connection->stats_refused = rc == -EMSGSIZE;
}

void connection_say_offline(struct connection *connection)
{
    connection->closing = publish_status(connection, "offline", TOKEN_OFFLINE) == 0;
}

int connection_closing(const struct connection *connection)
{
    return connection->closing;
}

void connection_disconnect(struct connection *connection, unsigned timeout_ms)
{
    mqtt_disconnect(connection->mqtt, timeout_ms);
    connection->state = CONNECTION_WAITING;
}
