/* mqtt.c: the MQTT client over Eclipse Paho's MQTTAsync. See mqtt.h.
 *
 * What this file knows of Paho, read in its source and tried (1.3.12, 1.3.14):
 *   - its callbacks run on its threads with its one lock held: they only copy what they are told into the queue
 *   - a list of several URIs with automatic reconnection sticks at the last one: each attempt here gets one URI, and
 * reconnection is ours
 *   - one client object that has used TLS uses it for ever after: it is made anew when the scheme changes
 *   - the answer to a publish of QoS 0 comes from the thread that wrote it, right after the write
 *   - when the session is not there any more, it gives all messages in flight back with an error: they are sent again
 */
#include "mqtt/mqtt.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/tls_files.h"
#include "mqtt/connect_watch.h"
#include "mqtt/mqtt_internal.h"
#include "mqtt/topic_alias.h"
#include "mqtt/write_guard.h"

#define DISCONNECT_POLL_MS 2

/* Paho's interval for a keep-alive. It sends a ping after one interval without sending or without receiving, and gives
 * up one and a half intervals after that, and its clock adds a tenth of the interval (at most 5 s) twice, and a second.
 * With nearly half of the keep-alive that makes less than 1.5 of them: 6.5 s for 5 s (an interval of 2 s), 80 s for 60
 * s. */
unsigned mqtt_client_interval_s(unsigned keepalive_s)
{
    return keepalive_s > 2 ? (keepalive_s - 1) / 2 : 1;
}

/* ---- The client object ---- */

/* Own a copy of the string. Returns whether there is one, or none is needed. */
static int own_string(const char **string)
{
    if (*string)
        *string = strdup(*string);
    else
        return 1;
    return *string != NULL;
}

/* Own all strings of the options; those that could not be copied are NULL. 0 or -ENOMEM. */
static int own_options(struct mqtt_options *options)
{
    int whole = own_string(&options->client_id);

    whole &= own_string(&options->username);
    whole &= own_string(&options->ca_file);
    whole &= own_string(&options->cert_file);
    whole &= own_string(&options->key_file);
    whole &= own_string(&options->will_topic);
    whole &= own_string(&options->will_payload);
    return whole ? 0 : -ENOMEM;
}

int mqtt_create(struct mqtt **out, const struct mqtt_options *options, struct reason *reason)
{
    struct mqtt *mqtt;

    *out = NULL;
    if (!write_guard_active())
        return reason_set(reason, -ENOSYS,
                          "this program was linked without its guard against Paho's use of freed memory: build it with "
                          "its CMakeLists.txt");
    if (mqtt_answers_open(options->queue) < 0)
        return reason_set(reason, -EBUSY, "there is an MQTT client already");
    mqtt = calloc(1, sizeof(*mqtt));
    if (!mqtt) {
        mqtt_answers_close();
        mqtt_answers_gone();
        return reason_set(reason, -ENOMEM, "out of memory");
    }
    mqtt->options = *options;
    mqtt->tls = -1;
    if (own_options(&mqtt->options) < 0 || topic_alias_create(&mqtt->aliases, options->topics) < 0) {
        mqtt_destroy(mqtt);
        return reason_set(reason, -ENOMEM, "out of memory");
    }
    *out = mqtt;
    return 0;
}

void mqtt_destroy(struct mqtt *mqtt)
{
    if (!mqtt)
        return;
    mqtt_answers_close();
    mqtt_client_end(mqtt);
}

int mqtt_is_left_behind(void)
{
    return mqtt_answers_left() > 0;
}

void mqtt_free(struct mqtt *mqtt)
{
    struct mqtt_options *options;

    if (mqtt->client)
        MQTTAsync_destroy(&mqtt->client);
    topic_alias_destroy(mqtt->aliases);
    options = &mqtt->options;
    free((char *)options->client_id);
    free((char *)options->username);
    free((char *)options->ca_file);
    free((char *)options->cert_file);
    free((char *)options->key_file);
    free((char *)options->will_topic);
    free((char *)options->will_payload);
    free(mqtt);
}

/* Make sure there is a client object that fits the scheme. */
static int prepare_client(struct mqtt *mqtt, int tls, struct reason *reason)
{
    MQTTAsync_createOptions options = MQTTAsync_createOptions_initializer5;
    MQTTAsync client = NULL;
    int rc;

    if (mqtt->client && mqtt->tls == tls && !mqtt->renew)
        return 0;
    if (mqtt->options.version < 5)
        options.MQTTVersion = MQTTVERSION_3_1_1;
    options.sendWhileDisconnected = 0;
    options.maxBufferedMessages = (int)mqtt->options.queued + 16;
    rc = MQTTAsync_createWithOptions(&client, tls ? "ssl://localhost" : "tcp://localhost", mqtt->options.client_id,
                                     MQTTCLIENT_PERSISTENCE_NONE, NULL, &options);
    if (rc == MQTTASYNC_SUCCESS)
        rc = mqtt_answers_watch(mqtt, client);
    if (rc != MQTTASYNC_SUCCESS) {
        if (client)
            MQTTAsync_destroy(&client);
        return reason_set(reason, -EIO, "make an MQTT client: %s", MQTTAsync_strerror(rc));
    }
    /* Only now the old one: with its last client Paho ends its threads, which takes it a second. */
    if (mqtt->client)
        MQTTAsync_destroy(&mqtt->client);
    mqtt->client = client;
    mqtt->tls = tls;
    mqtt->renew = 0;
    return 0;
}

/* mqtt:// and mqtts:// to what Paho calls them, which all its versions know. */
static int paho_uri(const char *uri, char *out, size_t size, struct reason *reason)
{
    int tls = strncmp(uri, "mqtts://", 8) == 0;
    const char *address = uri + (tls ? 8 : 7);
    const char *port = strrchr(address, ':');
    int has_port = port && !strchr(port, ']');
    int length;

    if (!tls && strncmp(uri, "mqtt://", 7) != 0) {
        return reason_set(reason, -EINVAL, "uri: expected mqtt://HOST or mqtts://HOST");
    }
    length = snprintf(out, size, "%s%s%s", tls ? "ssl://" : "tcp://", address, has_port ? "" : tls ? ":8883" : ":1883");
    if (length < 0 || (size_t)length >= size) {
        return reason_set(reason, -EINVAL, "uri: longer than %zu characters", size - 1);
    }
    return tls;
}

/* With another broker what the former could not do is forgotten. */
static void know_broker(struct mqtt *mqtt, const char *address)
{
    if (strcmp(mqtt->address, address) == 0)
        return;
    snprintf(mqtt->address, sizeof(mqtt->address), "%s", address);
    mqtt->keepalive_s = mqtt->options.keepalive_s;
    mqtt->will_qos = 1;
    mqtt->will_retained = 1;
}

static void fill_will(const struct mqtt *mqtt, MQTTAsync_willOptions *will)
{
    will->topicName = mqtt->options.will_topic;
    will->message = mqtt->options.will_payload;
    will->qos = mqtt->will_qos;
    will->retained = mqtt->will_retained;
}

static void fill_tls(struct mqtt *mqtt, MQTTAsync_SSLOptions *ssl)
{
    ssl->trustStore = mqtt->options.ca_file;
    ssl->keyStore = mqtt->options.cert_file;
    ssl->privateKey = mqtt->options.key_file;
    ssl->privateKeyPassword = ""; /* an encrypted key is an error, not a prompt on the terminal */
    ssl->enableServerCertAuth = 1;
    ssl->verify = 1;
    mqtt_answers_tls(mqtt, ssl);
}

/* What the version of MQTT decides. `properties` are to be freed after the attempt. 0 or -ENOMEM. */
static int fill_session(const struct mqtt *mqtt, MQTTAsync_connectOptions *connect, MQTTProperties *properties)
{
    MQTTAsync_connectOptions connect5 = MQTTAsync_connectOptions_initializer5;
    MQTTProperty expiry = {.identifier = MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL,
                           .value.integer4 = mqtt->options.session_expiry_s};

    if (mqtt->options.version < 5) {
        connect->cleansession = 0;
        connect->MQTTVersion = MQTTVERSION_3_1_1;
        return 0;
    }
    *connect = connect5;
    connect->cleanstart = mqtt->options.forget_session && !mqtt->connected_once;
    if (MQTTProperties_add(properties, &expiry) != 0)
        return -ENOMEM;
    connect->connectProperties = properties;
    return 0;
}

/* Begin the attempt. Returns one of Paho's codes. */
static int begin_attempt(struct mqtt *mqtt, const char *password, MQTTAsync_connectOptions *connect)
{
    MQTTAsync_willOptions will = MQTTAsync_willOptions_initializer;
    MQTTAsync_SSLOptions ssl = MQTTAsync_SSLOptions_initializer;
    char *addresses[] = {mqtt->address};

    mqtt_answers_connect(mqtt, connect);
    connect->keepAliveInterval = (int)mqtt_client_interval_s(mqtt->keepalive_s);
    connect->connectTimeout = (int)((mqtt->options.connect_timeout_ms + 999) / 1000);
    connect->maxInflight = (int)mqtt->options.window;
    connect->username = mqtt->options.username;
    connect->password = password;
    connect->automaticReconnect = 0;
    connect->serverURIcount = 1;
    connect->serverURIs = addresses;
    fill_will(mqtt, &will);
    connect->will = &will;
    fill_tls(mqtt, &ssl);
    if (mqtt->tls)
        connect->ssl = &ssl;
    return MQTTAsync_connect(mqtt->client, connect);
}

int mqtt_attempt(struct mqtt *mqtt, struct reason *reason)
{
    MQTTAsync_connectOptions connect = MQTTAsync_connectOptions_initializer;
    MQTTProperties properties = MQTTProperties_initializer;
    int rc = prepare_client(mqtt, mqtt->next_tls, reason);

    if (rc < 0)
        return rc;
    know_broker(mqtt, mqtt->next_address);
    if (fill_session(mqtt, &connect, &properties) < 0)
        return reason_set(reason, -ENOMEM, "out of memory");
    connect_watch_begin();
    rc = begin_attempt(mqtt, mqtt->password, &connect);
    MQTTProperties_free(&properties);
    return rc == MQTTASYNC_SUCCESS ? 0 : reason_set(reason, -EIO, "connect: %s", MQTTAsync_strerror(rc));
}

int mqtt_connect(struct mqtt *mqtt, const char *uri, const char *password, struct reason *reason)
{
    const struct mqtt_options *options = &mqtt->options;
    const struct tls_files files = {options->ca_file, options->cert_file, options->key_file};
    char address[MQTT_CLIENT_ADDRESS_SIZE];
    const char *setting;
    int tls = paho_uri(uri, address, sizeof(address), reason), rc;

    if (tls < 0)
        return tls;
    if (tls && (rc = tls_files_check(&files, &setting, reason)) < 0)
        return rc;
    return mqtt_client_begin(mqtt, &(struct mqtt_next){address, password, tls}, reason);
}

int mqtt_subscribe(struct mqtt *mqtt, const struct mqtt_subscription *subscription, uint64_t token)
{
    MQTTAsync_responseOptions response = mqtt_answers_subscribe(mqtt, token);
    MQTTProperty property = {.identifier = MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIER,
                             .value.integer4 = subscription->identifier};
    int rc;

    if (mqtt->options.version >= 5 && mqtt->limits.identifiers &&
        MQTTProperties_add(&response.properties, &property) != 0)
        return -ENOMEM;
    if (mqtt->options.version >= 5)
        response.subscribeOptions.retainHandling = (unsigned char)subscription->retained;
    rc = MQTTAsync_subscribe(mqtt->client, subscription->filter, (int)subscription->qos, &response);
    MQTTProperties_free(&response.properties);
    return rc == MQTTASYNC_SUCCESS ? 0 : rc == MQTTASYNC_DISCONNECTED ? -ENOTCONN : -EINVAL;
}

int mqtt_unsubscribe(struct mqtt *mqtt, const char *filter)
{
    MQTTAsync_responseOptions response = MQTTAsync_responseOptions_initializer;

    return MQTTAsync_unsubscribe(mqtt->client, filter, &response) == MQTTASYNC_SUCCESS ? 0 : -ENOTCONN;
}

/* Bytes of the user properties in the packet: a byte of kind, and two strings with two bytes of length each (MQTT
 * 5, 2.2.2.2, 1.5.7). */
static size_t property_bytes(const struct transport_message *message)
{
    size_t bytes = 0;

    for (size_t i = 0; i < message->property_count; i++)
        bytes += 5 + strlen(message->properties[i].name) + strlen(message->properties[i].value);
    return bytes;
}

/* Put the message's properties into `array`, which has room for them. Paho copies the list and its strings; made here
 * and not by MQTTProperties_add it needs no memory of its own. */
static MQTTProperties make_properties(const struct transport_message *message, unsigned alias, MQTTProperty *array)
{
    int count = 0;

    if (alias > 0)
        array[count++] = (MQTTProperty){.identifier = MQTTPROPERTY_CODE_TOPIC_ALIAS,
                                        .value.integer2 = (unsigned short)alias};
    for (size_t i = 0; i < message->property_count && i < TRANSPORT_PROPERTIES; i++) {
        const struct transport_property *property = &message->properties[i];
        MQTTProperty *user = &array[count++];

        *user = (MQTTProperty){.identifier = MQTTPROPERTY_CODE_USER_PROPERTY};
        user->value.data = (MQTTLenString){.len = (int)strlen(property->name), .data = (char *)property->name};
        user->value.value = (MQTTLenString){.len = (int)strlen(property->value), .data = (char *)property->value};
    }
    return (MQTTProperties){.count = count,
                            .max_count = count,
                            .length = (int)(property_bytes(message) + (alias > 0 ? TOPIC_ALIAS_SIZE : 0)),
                            .array = array};
}

/* The number to send a message with, or 0. */
static unsigned alias_for(struct mqtt *mqtt, const struct transport_message *message, unsigned qos, int *known)
{
    const struct mqtt_limits *limits = &mqtt->limits;
    unsigned alias = topic_alias_find(mqtt->aliases, message->topic,
                                      atomic_load(&mqtt->aliases_refused) ? 0 : limits->alias_max, known);

    /* The first one is longer by it than what was found to be small enough. */
    if (alias > 0 && !*known &&
        mqtt_limits_publish_size(mqtt->options.version, strlen(message->topic), message->size, qos,
                                 TOPIC_ALIAS_SIZE + property_bytes(message)) > limits->packet_max)
        return 0;
    return alias;
}

int mqtt_publish(struct mqtt *mqtt, const struct transport_message *message, uint64_t token)
{
    MQTTAsync_responseOptions response = mqtt_answers_publish(mqtt, token);
    MQTTProperty array[TRANSPORT_PROPERTIES + 1];
    struct mqtt_limits_message fit = {mqtt->options.version, strlen(message->topic),
                                      message->size + property_bytes(message), message->qos, message->retain};
    unsigned alias = 0;
    int known = 0, rc = mqtt_limits_apply(&mqtt->limits, &fit);

    if (rc < 0)
        return rc;
    if (message->alias)
        alias = alias_for(mqtt, message, fit.qos, &known);
    if (mqtt->options.version >= 5 && (alias > 0 || message->property_count > 0))
        response.properties = make_properties(message, alias, array);
    rc = MQTTAsync_send(mqtt->client, known ? "" : message->topic, (int)message->size, message->payload, (int)fit.qos,
                        fit.retain, &response);
    switch (rc) {
    case MQTTASYNC_SUCCESS:
        if (alias > 0 && !known)
            topic_alias_keep(mqtt->aliases, message->topic);
        return 0;
    case MQTTASYNC_BAD_UTF8_STRING:
    case MQTTASYNC_BAD_QOS:
    case MQTTASYNC_NULL_PARAMETER:
        return -EINVAL;
    default: /* disconnected, no identifier free, too many buffered, out of memory: these pass */
        return -EAGAIN;
    }
}

void mqtt_give_up(struct mqtt *mqtt)
{
    mqtt->renew = 1;
}

void mqtt_disconnect(struct mqtt *mqtt, unsigned timeout_ms)
{
    MQTTAsync_disconnectOptions options = MQTTAsync_disconnectOptions_initializer;
    const struct timespec pause = {.tv_nsec = DISCONNECT_POLL_MS * 1000000L};

    if (!mqtt->client)
        return;
    options.timeout = (int)timeout_ms;
    if (MQTTAsync_disconnect(mqtt->client, &options) != MQTTASYNC_SUCCESS)
        return;
    for (unsigned waited = 0; waited < timeout_ms && MQTTAsync_isConnected(mqtt->client); waited += DISCONNECT_POLL_MS)
        nanosleep(&pause, NULL);
}
