/* mqtt.c: the MQTT client over Eclipse Paho's MQTTAsync. See mqtt.h.
 *
 * What this file knows of Paho, read in its source and tried (1.3.12, 1.3.14):
 *   - its callbacks run on its threads with its one lock held: they only copy what they are told into the mailbox
 *   - a list of several URIs with automatic reconnection sticks at the last one: each attempt here gets one URI, and reconnection is ours
 *   - one client object that has used TLS uses it for ever after: it is made anew when the scheme changes
 *   - the answer to a publish of QoS 0 comes from the thread that wrote it, right after the write
 *   - when the session is not there any more, it gives all messages in flight back with an error: they are sent again
 */
#include "mqtt.h"

#include <MQTTAsync.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "age.h"
#include "mqtt_text.h"
#include "platform.h"
#include "tls_files.h"
#include "topic_alias.h"
#include "write_guard.h"

#define DISCONNECT_POLL_MS 2
#define URI_SIZE 512

struct mqtt {
    MQTTAsync client;
    struct mqtt_options options;
    char *client_id, *will_topic, *will_payload;
    int tls;                       /* of the present client object: 1 or 0; -1: there is none */
    int renew;                     /* 1: the next attempt takes a new client object */
    int connected_once;            /* 1: an attempt of this process has succeeded; written before CONNECTED is put */
    struct mqtt_limits limits;     /* of the present connection; written before CONNECTED is put */
    /* What the broker at `address` cannot do as we would like; forgotten when another is tried. Written before CONNECT_FAILED is put. */
    char address[URI_SIZE];
    unsigned keepalive_s;
    int will_qos, will_retained;
    struct topic_alias *aliases;
    atomic_int aliases_refused;    /* 1: a broker that says it takes them does not */
    char tls_reason[128];          /* what OpenSSL said last; written on Paho's thread, under its lock */
};

static struct mailbox *answers;    /* where the answers to publishes go: their context has room for the token only */

static void put(const struct mailbox_event *event)
{
    /* It cannot be full: see mailbox.h. Were it, the message would be sent again after a restart. */
    mailbox_put(answers, event);
}

static uint64_t token_of(const void *context)
{
    return (uint64_t)(uintptr_t)context;
}

static void *context_of(uint64_t token)
{
    return (void *)(uintptr_t)token;
}

/* ---- Paho's callbacks ---- */

static void answer(enum mailbox_kind kind, void *context, int reason, const char *text)
{
    struct mailbox_event event = {.kind = kind, .token = token_of(context), .time_ns = platform_monotonic_ns(), .reason = reason};

    snprintf(event.text, sizeof(event.text), "%s", text);
    put(&event);
}

static void on_sent(void *context, int qos)
{
    /* A failed write that was hidden from Paho (write_guard.h) has delivered nothing. For QoS 1 and 2 the broker's answer counts. */
    if (qos == 0 && write_guard_take_failure())
        answer(MAILBOX_FAILED, context, 0, "");
    else
        answer(MAILBOX_DELIVERED, context, 0, "");
}

static void on_send_success(void *context, MQTTAsync_successData *data)
{
    on_sent(context, data->alt.pub.message.qos);
}

static void on_send_success5(void *context, MQTTAsync_successData5 *data)
{
    on_sent(context, data->alt.pub.message.qos);
}

static void on_send_failure(void *context, MQTTAsync_failureData *data)
{
    answer(MAILBOX_FAILED, context, data ? data->code : 0, "");
}

static void on_send_failure5(void *context, MQTTAsync_failureData5 *data)
{
    /* The reason is set only when the broker gave one; otherwise there is a code of Paho's own, below 0. */
    int reason = !data ? 0 : data->code < 0 ? data->code : (int)data->reasonCode;

    if (mqtt_text_publish_refused(reason))
        answer(MAILBOX_REFUSED, context, reason, mqtt_text_reason(reason));
    else
        answer(MAILBOX_FAILED, context, reason, "");
}

static void on_subscribe_success(void *context, MQTTAsync_successData *data)
{
    answer(MAILBOX_SUBSCRIBED, context, data->alt.qos, "");
}

static void on_subscribe_success5(void *context, MQTTAsync_successData5 *data)
{
    answer(MAILBOX_SUBSCRIBED, context, (int)data->reasonCode, "");
}

static void on_subscribe_failure(void *context, MQTTAsync_failureData *data)
{
    /* Without an answer from the broker (a lost connection) the next connection subscribes again. */
    if (data && data->code == 0x80)
        answer(MAILBOX_SUBSCRIBE_REFUSED, context, data->code, "the broker refused the subscription: check its access rules");
}

static void on_subscribe_failure5(void *context, MQTTAsync_failureData5 *data)
{
    if (data && (int)data->reasonCode >= 0x80)
        answer(MAILBOX_SUBSCRIBE_REFUSED, context, (int)data->reasonCode, mqtt_text_reason((int)data->reasonCode));
}

/* Paho's interval for a keep-alive. It sends a ping after one interval without sending or without receiving, and gives up one and a half
 * intervals after that, and its clock adds a tenth of the interval (at most 5 s) twice, and a second. With nearly half of the
 * keep-alive that makes less than 1.5 of them: 6.5 s for 5 s (an interval of 2 s), 80 s for 60 s. */
static unsigned paho_interval_s(unsigned keepalive_s)
{
    return keepalive_s > 2 ? (keepalive_s - 1) / 2 : 1;
}

static void report_connected(struct mqtt *mqtt, int session_present)
{
    struct mailbox_event event = {.kind = MAILBOX_CONNECTED, .session_present = session_present, .limits = mqtt->limits};

    mqtt->connected_once = 1;
    write_guard_new_connection(mqtt->keepalive_s * 1000);
    put(&event);
}

static void on_connect_success(void *context, MQTTAsync_successData *data)
{
    struct mqtt *mqtt = context;

    mqtt_limits_init(&mqtt->limits);
    report_connected(mqtt, data->alt.connect.sessionPresent);
}

/* A numeric property, or `otherwise` when the broker does not say. */
static uint32_t property(MQTTProperties *properties, enum MQTTPropertyCodes code, uint32_t otherwise)
{
    return MQTTProperties_hasProperty(properties, code) ? (uint32_t)MQTTProperties_getNumericValue(properties, code) : otherwise;
}

static void read_limits(struct mqtt_limits *limits, MQTTProperties *properties)
{
    mqtt_limits_init(limits);
    limits->receive_max = property(properties, MQTTPROPERTY_CODE_RECEIVE_MAXIMUM, 0);
    limits->qos_max = property(properties, MQTTPROPERTY_CODE_MAXIMUM_QOS, 2);
    limits->alias_max = property(properties, MQTTPROPERTY_CODE_TOPIC_ALIAS_MAXIMUM, 0);
    limits->retain = property(properties, MQTTPROPERTY_CODE_RETAIN_AVAILABLE, 1) == 1;
    limits->identifiers = property(properties, MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIERS_AVAILABLE, 1) == 1;
    limits->packet_max = property(properties, MQTTPROPERTY_CODE_MAXIMUM_PACKET_SIZE, MQTT_LIMITS_PACKET_MAX);
    /* MQTT 5, 3.2.2.3.6 forbids 0; a broker that says it cannot mean that it takes nothing. */
    if (limits->packet_max == 0)
        limits->packet_max = MQTT_LIMITS_PACKET_MAX;
}

/* The next attempt at this broker asks for less; the client object, perhaps connected, is not used any more. */
static void report_adapted(struct mqtt *mqtt, const char *text)
{
    struct mailbox_event event = {.kind = MAILBOX_CONNECT_FAILED, .adapted = 1};

    mqtt->renew = 1;
    snprintf(event.text, sizeof(event.text), "%s", text);
    put(&event);
}

static void on_connect_success5(void *context, MQTTAsync_successData5 *data)
{
    struct mqtt *mqtt = context;
    unsigned server_s = property(&data->properties, MQTTPROPERTY_CODE_SERVER_KEEP_ALIVE, 0);

    read_limits(&mqtt->limits, &data->properties);
    if (server_s == 0 || server_s >= paho_interval_s(mqtt->keepalive_s)) {
        report_connected(mqtt, data->alt.connect.sessionPresent);
        return;
    }
    /* The broker's keep-alive holds (MQTT 5, 3.2.2.3.14), and Paho does not know it: the broker would find us silent and close. */
    mqtt->connected_once = 1;
    mqtt->keepalive_s = server_s;
    report_adapted(mqtt, "the broker wants a shorter keep-alive");
}

static void report_connect_failed(struct mqtt *mqtt, int code, const char *message)
{
    struct mailbox_event event = {.kind = MAILBOX_CONNECT_FAILED, .reason = code};

    event.permanent = mqtt_text_connect(event.text, sizeof(event.text), mqtt->options.version, code, message, mqtt->tls_reason);
    put(&event);
}

static void on_connect_failure(void *context, MQTTAsync_failureData *data)
{
    report_connect_failed(context, data ? data->code : 0, data ? data->message : NULL);
}

static void on_connect_failure5(void *context, MQTTAsync_failureData5 *data)
{
    struct mqtt *mqtt = context;
    int code = !data ? 0 : data->code == 0 ? (int)data->reasonCode : data->code;

    if (code == MQTTREASONCODE_RETAIN_NOT_SUPPORTED && mqtt->will_retained) {
        mqtt->will_retained = 0;
        report_adapted(mqtt, "the broker keeps no retained messages, so our will is not retained");
    } else if (code == MQTTREASONCODE_QOS_NOT_SUPPORTED && mqtt->will_qos > 0) {
        mqtt->will_qos = 0;
        report_adapted(mqtt, "the broker takes QoS 0 only, so does our will");
    } else {
        report_connect_failed(mqtt, code, data ? data->message : NULL);
    }
}

static void on_lost(void *context, char *cause)
{
    struct mailbox_event event = {.kind = MAILBOX_LOST};

    (void)context;
    snprintf(event.text, sizeof(event.text), "%s", cause ? cause : "the broker or the network closed it, or the broker does not answer");
    put(&event);
}

/* MQTT 5: the broker says goodbye; Paho then does not call on_lost. */
static void on_disconnected(void *context, MQTTProperties *properties, enum MQTTReasonCodes reason)
{
    struct mailbox_event event = {.kind = MAILBOX_LOST, .reason = (int)reason};
    struct mqtt *mqtt = context;

    (void)properties;
    if (reason == MQTTREASONCODE_TOPIC_ALIAS_INVALID)
        atomic_store(&mqtt->aliases_refused, 1);
    snprintf(event.text, sizeof(event.text), "the broker closed it: %s", mqtt_text_reason((int)reason));
    put(&event);
}

static void take_identifiers(struct mqtt_message *message, MQTTProperties *properties)
{
    int count = MQTTProperties_propertyCount(properties, MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIER);

    /* With more than fit, all filters that match count, as if the broker had said nothing. */
    if (count > MQTT_IDENTIFIERS)
        return;
    for (int i = 0; i < count; i++)
        message->identifiers[message->identifier_count++] =
            (uint32_t)MQTTProperties_getNumericValueAt(properties, MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIER, i);
}

static void take_age(struct mqtt_message *message, const MQTTProperties *properties)
{
    /* Paho's own look-up starts at the first property each time; there may be as many as a packet holds. */
    for (int i = 0; i < properties->count; i++) {
        const MQTTProperty *property = &properties->array[i];

        if (property->identifier == MQTTPROPERTY_CODE_MESSAGE_EXPIRY_INTERVAL) {
            message->expires = 1;
            message->expiry_s = property->value.integer4;
        } else if (property->identifier == MQTTPROPERTY_CODE_USER_PROPERTY && !message->made &&
                   property->value.data.len == (int)strlen(AGE_PROPERTY) &&
                   memcmp(property->value.data.data, AGE_PROPERTY, strlen(AGE_PROPERTY)) == 0 && property->value.value.len > 0) {
            message->made = property->value.value.data;
            message->made_size = (size_t)property->value.value.len;
        }
    }
}

static int on_message(void *context, char *topic, int topic_length, MQTTAsync_message *message)
{
    struct mqtt *mqtt = context;
    struct mqtt_message copy = {
        .topic = topic,
        /* A length is given only when the topic holds a NUL byte. */
        .topic_size = topic_length > 0 ? (size_t)topic_length : strlen(topic),
        .payload = message->payload,
        .size = (size_t)message->payloadlen,
        .qos = (unsigned)message->qos,
        .retained = message->retained,
    };

    if (mqtt->options.version >= 5) {
        take_identifiers(&copy, &message->properties);
        take_age(&copy, &message->properties);
    }
    mqtt->options.on_message(mqtt->options.context, &copy);
    MQTTAsync_freeMessage(&message);
    MQTTAsync_free(topic);
    return 1;
}

/* OpenSSL's error queue, a line a call; the first one of an attempt is the cause. */
static int on_tls_error(const char *text, size_t size, void *context)
{
    struct mqtt *mqtt = context;

    if (mqtt->tls_reason[0] == '\0')
        mqtt_text_tls(mqtt->tls_reason, sizeof(mqtt->tls_reason), text, size);
    return 1;
}

/* ---- The client object ---- */

static char *copy_string(const char *string)
{
    return string ? strdup(string) : NULL;
}

int mqtt_create(struct mqtt **out, const struct mqtt_options *options, char *error, size_t error_size)
{
    struct mqtt *mqtt;

    *out = NULL;
    if (answers) {
        snprintf(error, error_size, "there is an MQTT client already");
        return -EBUSY;
    }
    if (!write_guard_active()) {
        snprintf(error, error_size, "this program was linked without its guard against Paho's use of freed memory: build it with its CMakeLists.txt");
        return -ENOSYS;
    }
    snprintf(error, error_size, "out of memory");
    mqtt = calloc(1, sizeof(*mqtt));
    if (!mqtt)
        return -ENOMEM;
    mqtt->options = *options;
    mqtt->tls = -1;
    mqtt->client_id = copy_string(options->client_id);
    mqtt->will_topic = copy_string(options->will_topic);
    mqtt->will_payload = copy_string(options->will_payload);
    answers = options->mailbox;
    if (!mqtt->client_id || !mqtt->will_topic || !mqtt->will_payload || topic_alias_create(&mqtt->aliases, options->topics) < 0) {
        mqtt_destroy(mqtt);
        return -ENOMEM;
    }
    *out = mqtt;
    return 0;
}

void mqtt_destroy(struct mqtt *mqtt)
{
    if (!mqtt)
        return;
    if (mqtt->client)
        MQTTAsync_destroy(&mqtt->client);
    answers = NULL;
    topic_alias_destroy(mqtt->aliases);
    free(mqtt->client_id);
    free(mqtt->will_topic);
    free(mqtt->will_payload);
    free(mqtt);
}

/* Make sure there is a client object that fits the scheme. */
static int prepare_client(struct mqtt *mqtt, int tls, char *error, size_t error_size)
{
    MQTTAsync_createOptions options = MQTTAsync_createOptions_initializer5;
    MQTTAsync client = NULL;
    int rc;

    if (mqtt->client && mqtt->tls == tls && !mqtt->renew)
        return 0;
    if (mqtt->options.version < 5)
        options.MQTTVersion = MQTTVERSION_3_1_1;
    options.sendWhileDisconnected = 0;
    options.maxBufferedMessages = (int)mqtt->options.window + 16;
    rc = MQTTAsync_createWithOptions(&client, tls ? "ssl://localhost" : "tcp://localhost", mqtt->client_id, MQTTCLIENT_PERSISTENCE_NONE,
                                     NULL, &options);
    if (rc == MQTTASYNC_SUCCESS)
        rc = MQTTAsync_setCallbacks(client, mqtt, on_lost, on_message, NULL);
    if (rc == MQTTASYNC_SUCCESS)
        rc = MQTTAsync_setDisconnected(client, mqtt, on_disconnected);
    if (rc != MQTTASYNC_SUCCESS) {
        snprintf(error, error_size, "make an MQTT client: %s", MQTTAsync_strerror(rc));
        if (client)
            MQTTAsync_destroy(&client);
        return -EIO;
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
static int paho_uri(const char *uri, char *out, size_t size, char *error, size_t error_size)
{
    int tls = strncmp(uri, "mqtts://", 8) == 0;
    const char *address = uri + (tls ? 8 : 7);
    const char *port = strrchr(address, ':');
    int has_port = port && !strchr(port, ']');
    int length;

    if (!tls && strncmp(uri, "mqtt://", 7) != 0) {
        snprintf(error, error_size, "uri: expected mqtt://HOST or mqtts://HOST");
        return -EINVAL;
    }
    length = snprintf(out, size, "%s%s%s", tls ? "ssl://" : "tcp://", address, has_port ? "" : tls ? ":8883" : ":1883");
    if (length < 0 || (size_t)length >= size) {
        snprintf(error, error_size, "uri: longer than %zu characters", size - 1);
        return -EINVAL;
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

int mqtt_connect(struct mqtt *mqtt, const char *uri, const char *password, char *error, size_t error_size)
{
    MQTTAsync_connectOptions connect = MQTTAsync_connectOptions_initializer, connect5 = MQTTAsync_connectOptions_initializer5;
    MQTTAsync_willOptions will = MQTTAsync_willOptions_initializer;
    MQTTAsync_SSLOptions ssl = MQTTAsync_SSLOptions_initializer;
    MQTTProperties properties = MQTTProperties_initializer;
    MQTTProperty expiry = {.identifier = MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL, .value.integer4 = mqtt->options.session_expiry_s};
    const struct mqtt_options *options = &mqtt->options;
    char address[URI_SIZE], *addresses[] = {address};
    const char *setting;
    int tls = paho_uri(uri, address, sizeof(address), error, error_size), rc;

    if (tls < 0)
        return tls;
    if (tls && (rc = tls_files_check(options->ca_file, options->cert_file, options->key_file, &setting, error, error_size)) < 0)
        return rc;
    if ((rc = prepare_client(mqtt, tls, error, error_size)) < 0)
        return rc;
    know_broker(mqtt, address);
    topic_alias_reset(mqtt->aliases);
    if (options->version >= 5) {
        connect = connect5;
        connect.cleanstart = options->forget_session && !mqtt->connected_once;
        connect.onSuccess5 = on_connect_success5;
        connect.onFailure5 = on_connect_failure5;
        if (MQTTProperties_add(&properties, &expiry) != 0) {
            snprintf(error, error_size, "out of memory");
            return -ENOMEM;
        }
        connect.connectProperties = &properties;
    } else {
        connect.cleansession = 0;
        connect.MQTTVersion = MQTTVERSION_3_1_1;
        connect.onSuccess = on_connect_success;
        connect.onFailure = on_connect_failure;
    }
    connect.context = mqtt;
    connect.keepAliveInterval = (int)paho_interval_s(mqtt->keepalive_s);
    connect.connectTimeout = (int)((options->connect_timeout_ms + 999) / 1000);
    connect.maxInflight = (int)options->window;
    connect.username = options->username;
    connect.password = password;
    connect.automaticReconnect = 0;
    connect.serverURIcount = 1;
    connect.serverURIs = addresses;
    will.topicName = mqtt->will_topic;
    will.message = mqtt->will_payload;
    will.qos = mqtt->will_qos;
    will.retained = mqtt->will_retained;
    connect.will = &will;
    ssl.trustStore = options->ca_file;
    ssl.keyStore = options->cert_file;
    ssl.privateKey = options->key_file;
    ssl.privateKeyPassword = ""; /* an encrypted key is an error, not a prompt on the terminal */
    ssl.enableServerCertAuth = 1;
    ssl.verify = 1;
    ssl.ssl_error_cb = on_tls_error;
    ssl.ssl_error_context = mqtt;
    mqtt->tls_reason[0] = '\0';
    if (tls)
        connect.ssl = &ssl;
    rc = MQTTAsync_connect(mqtt->client, &connect);
    MQTTProperties_free(&properties);
    if (rc == MQTTASYNC_SUCCESS)
        return 0;
    snprintf(error, error_size, "connect: %s", MQTTAsync_strerror(rc));
    return -EIO;
}

static MQTTAsync_responseOptions response_for(const struct mqtt *mqtt, uint64_t token)
{
    MQTTAsync_responseOptions response = MQTTAsync_responseOptions_initializer;

    response.context = context_of(token);
    if (mqtt->options.version >= 5) {
        response.onSuccess5 = on_send_success5;
        response.onFailure5 = on_send_failure5;
    } else {
        response.onSuccess = on_send_success;
        response.onFailure = on_send_failure;
    }
    return response;
}

int mqtt_subscribe(struct mqtt *mqtt, const char *filter, unsigned qos, enum mqtt_retained retained, uint32_t identifier, uint64_t token)
{
    MQTTAsync_responseOptions response = response_for(mqtt, token);
    MQTTProperty property = {.identifier = MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIER, .value.integer4 = identifier};
    int rc;

    if (mqtt->options.version >= 5 && mqtt->limits.identifiers && MQTTProperties_add(&response.properties, &property) != 0)
        return -ENOMEM;
    if (mqtt->options.version >= 5) {
        response.onSuccess5 = on_subscribe_success5;
        response.onFailure5 = on_subscribe_failure5;
        response.subscribeOptions.retainHandling = (unsigned char)retained;
    } else {
        response.onSuccess = on_subscribe_success;
        response.onFailure = on_subscribe_failure;
    }
    rc = MQTTAsync_subscribe(mqtt->client, filter, (int)qos, &response);
    MQTTProperties_free(&response.properties);
    return rc == MQTTASYNC_SUCCESS ? 0 : rc == MQTTASYNC_DISCONNECTED ? -ENOTCONN : -EINVAL;
}

int mqtt_unsubscribe(struct mqtt *mqtt, const char *filter)
{
    MQTTAsync_responseOptions response = MQTTAsync_responseOptions_initializer;

    return MQTTAsync_unsubscribe(mqtt->client, filter, &response) == MQTTASYNC_SUCCESS ? 0 : -ENOTCONN;
}

/* Bytes of the user properties in the packet: a byte of kind, and two strings with two bytes of length each (MQTT 5, 2.2.2.2, 1.5.7). */
static size_t property_bytes(const struct mqtt_outgoing *message)
{
    size_t bytes = 0;

    for (size_t i = 0; i < message->property_count; i++)
        bytes += 5 + strlen(message->properties[i].name) + strlen(message->properties[i].value);
    return bytes;
}

/* Put the message's properties into `array`, which has room for them. Paho copies the list and its strings; made here and not by MQTTProperties_add it needs
 * no memory of its own. */
static MQTTProperties make_properties(const struct mqtt_outgoing *message, unsigned alias, MQTTProperty *array)
{
    int count = 0;

    if (alias > 0)
        array[count++] = (MQTTProperty){.identifier = MQTTPROPERTY_CODE_TOPIC_ALIAS, .value.integer2 = (unsigned short)alias};
    for (size_t i = 0; i < message->property_count && i < MQTT_PROPERTIES; i++) {
        const struct mqtt_property *property = &message->properties[i];
        MQTTProperty *user = &array[count++];

        *user = (MQTTProperty){.identifier = MQTTPROPERTY_CODE_USER_PROPERTY};
        user->value.data = (MQTTLenString){.len = (int)strlen(property->name), .data = (char *)property->name};
        user->value.value = (MQTTLenString){.len = (int)strlen(property->value), .data = (char *)property->value};
    }
    return (MQTTProperties){.count = count, .max_count = count, .length = (int)(property_bytes(message) + (alias > 0 ? TOPIC_ALIAS_SIZE : 0)),
                            .array = array};
}

/* The number to send a message with, or 0. */
static unsigned alias_for(struct mqtt *mqtt, const struct mqtt_outgoing *message, unsigned qos, int *known)
{
    const struct mqtt_limits *limits = &mqtt->limits;
    unsigned alias = topic_alias_find(mqtt->aliases, message->topic, atomic_load(&mqtt->aliases_refused) ? 0 : limits->alias_max, known);

    /* The first one is longer by it than what was found to be small enough. */
    if (alias > 0 && !*known && mqtt_limits_publish_size(mqtt->options.version, strlen(message->topic), message->size, qos,
                                                       TOPIC_ALIAS_SIZE + property_bytes(message)) > limits->packet_max)
        return 0;
    return alias;
}

int mqtt_publish(struct mqtt *mqtt, const struct mqtt_outgoing *message, uint64_t token)
{
    MQTTAsync_responseOptions response = response_for(mqtt, token);
    MQTTProperty array[MQTT_PROPERTIES + 1];
    unsigned alias = 0, qos = message->qos;
    int retain = message->retain, known = 0;
    int rc = mqtt_limits_apply(&mqtt->limits, mqtt->options.version, strlen(message->topic), message->size + property_bytes(message), &qos, &retain);

    if (rc < 0)
        return rc;
    if (message->alias)
        alias = alias_for(mqtt, message, qos, &known);
    if (mqtt->options.version >= 5 && (alias > 0 || message->property_count > 0))
        response.properties = make_properties(message, alias, array);
    rc = MQTTAsync_send(mqtt->client, known ? "" : message->topic, (int)message->size, message->payload, (int)qos, retain, &response);
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
