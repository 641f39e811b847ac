/* mqtt_answers.c: what Paho reports, on its own threads, put into the queue. See mqtt.h.
 *
 * All callbacks run with Paho's one lock held: they only copy what they are told.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/expiry.h"
#include "base/utf8.h"
#include "mqtt/connect_watch.h"
#include "mqtt/mqtt_codes.h"
#include "mqtt/mqtt_internal.h"
#include "mqtt/mqtt_text.h"
#include "mqtt/write_guard.h"
#include "shm/platform.h"

#define BROKER_WORDS_SIZE 100 /* bytes shown of a text that the broker sends */

/* Held by a callback while it tells what it was told, so that nobody is told any more once they are closed. */
static pthread_mutex_t answers_lock = PTHREAD_MUTEX_INITIALIZER;
static struct event_queue *answers; /* where the answers to publishes go: their context has room for the token only */
static unsigned left;               /* clients that are closed and not gone: while there are any, nobody is told */

static void put(const struct event *event)
{
    pthread_mutex_lock(&answers_lock);
    /* It cannot be full: see event_queue.h. Were it, the message would be sent again after a restart. */
    if (answers && left == 0)
        event_queue_put(answers, event);
    pthread_mutex_unlock(&answers_lock);
}

static uint64_t token_of(const void *context)
{
    return (uint64_t)(uintptr_t)context;
}

static void answer(enum event_kind kind, void *context, int reason, const char *text)
{
    struct event event = {
        .kind = kind, .token = token_of(context), .time_ns = platform_monotonic_ns(), .reason = reason};

    snprintf(event.text, sizeof(event.text), "%s", text);
    put(&event);
}

static void on_sent(void *context, int qos)
{
    /* A failed write that was hidden from Paho (write_guard.h) has delivered nothing. For QoS 1 and 2 the broker's
     * answer counts. */
    if (qos == 0 && write_guard_take_failure())
        answer(EVENT_FAILED, context, 0, "");
    else
        answer(EVENT_DELIVERED, context, 0, "");
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
    answer(EVENT_FAILED, context, data ? data->code : 0, "");
}

static void on_send_failure5(void *context, MQTTAsync_failureData5 *data)
{
    /* The reason is set only when the broker gave one; otherwise there is a code of Paho's own, below 0. */
    int reason = !data ? 0 : data->code < 0 ? data->code : (int)data->reasonCode;

    if (mqtt_text_publish_refused(reason))
        answer(EVENT_REFUSED, context, reason, mqtt_codes_text(MQTT_PACKET_PUBACK, reason));
    else
        answer(EVENT_FAILED, context, reason, "");
}

static void on_subscribe_success(void *context, MQTTAsync_successData *data)
{
    answer(EVENT_SUBSCRIBED, context, data->alt.qos, "");
}

static void on_subscribe_success5(void *context, MQTTAsync_successData5 *data)
{
    answer(EVENT_SUBSCRIBED, context, (int)data->reasonCode, "");
}

static void on_subscribe_failure(void *context, MQTTAsync_failureData *data)
{
    /* Without an answer from the broker (a lost connection) the next connection subscribes again. */
    if (data && data->code == 0x80)
        answer(EVENT_SUBSCRIBE_REFUSED, context, data->code,
               "the broker refused the subscription: check its access rules");
}

static void on_subscribe_failure5(void *context, MQTTAsync_failureData5 *data)
{
    if (data && (int)data->reasonCode >= 0x80)
        answer(EVENT_SUBSCRIBE_REFUSED, context, (int)data->reasonCode,
               mqtt_codes_text(MQTT_PACKET_SUBACK, (int)data->reasonCode));
}

static void report_connected(struct mqtt *mqtt, int session_present)
{
    struct event event = {.kind = EVENT_CONNECTED, .session_present = session_present, .limits = mqtt->limits};
    struct connect_record record;

    mqtt->connected_once = 1;
    connect_watch_end(&record);
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
    return MQTTProperties_hasProperty(properties, code) ? (uint32_t)MQTTProperties_getNumericValue(properties, code)
                                                        : otherwise;
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
    struct event event = {.kind = EVENT_CONNECT_FAILED, .adapted = 1};

    mqtt->renew = 1;
    snprintf(event.text, sizeof(event.text), "%s", text);
    put(&event);
}

static void on_connect_success5(void *context, MQTTAsync_successData5 *data)
{
    struct mqtt *mqtt = context;
    unsigned server_s = property(&data->properties, MQTTPROPERTY_CODE_SERVER_KEEP_ALIVE, 0);

    read_limits(&mqtt->limits, &data->properties);
    if (server_s == 0 || server_s >= mqtt_client_interval_s(mqtt->keepalive_s)) {
        report_connected(mqtt, data->alt.connect.sessionPresent);
        return;
    }
    /* The broker's keep-alive holds (MQTT 5, 3.2.2.3.14), and Paho does not know it: the broker would find us silent
     * and close. */
    mqtt->connected_once = 1;
    mqtt->keepalive_s = server_s;
    report_adapted(mqtt, "the broker wants a shorter keep-alive");
}

/* Add what a broker of MQTT 5 says beside the code: its reason, and where else to go (MQTT 5, 3.2.2.3.9, 3.2.2.3.16).
 */
static void add_broker_words(struct event *event, MQTTProperties *properties)
{
    static const enum MQTTPropertyCodes codes[] = {MQTTPROPERTY_CODE_REASON_STRING, MQTTPROPERTY_CODE_SERVER_REFERENCE};

    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        MQTTProperty *property = MQTTProperties_getProperty(properties, codes[i]);
        size_t used = strlen(event->text);
        char shown[BROKER_WORDS_SIZE];

        if (!property || property->value.data.len <= 0)
            continue;
        utf8_escape(shown, sizeof(shown), property->value.data.data, (size_t)property->value.data.len);
        snprintf(event->text + used, sizeof(event->text) - used, "%s\"%s\"", i == 0 ? ": it says " : ", use server ",
                 shown);
    }
}

static void report_connect_failed(struct mqtt *mqtt, int code, MQTTProperties *properties)
{
    struct event event = {.kind = EVENT_CONNECT_FAILED, .reason = code};
    struct connect_record record;
    const struct mqtt_text_failure failure = {
        mqtt->options.version, code, {&record, mqtt->tls_reason, mqtt->options.cert_file != NULL, time(NULL)}};

    connect_watch_end(&record);
    event.permanent = mqtt_text_connect(event.text, sizeof(event.text), &failure);
    if (properties && code > 0)
        add_broker_words(&event, properties);
    put(&event);
}

static void on_connect_failure(void *context, MQTTAsync_failureData *data)
{
    report_connect_failed(context, data ? data->code : 0, NULL);
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
        report_connect_failed(mqtt, code, data ? &data->properties : NULL);
    }
}

static void on_lost(void *context, char *cause)
{
    struct event event = {.kind = EVENT_LOST};

    (void)context;
    snprintf(event.text, sizeof(event.text), "%s",
             cause ? cause : "the broker or the network closed it, or the broker does not answer");
    put(&event);
}

/* MQTT 5: the broker says goodbye; Paho then does not call on_lost. */
static void on_disconnected(void *context, MQTTProperties *properties, enum MQTTReasonCodes reason)
{
    struct event event = {.kind = EVENT_LOST, .reason = (int)reason};
    struct mqtt *mqtt = context;

    if (reason == MQTTREASONCODE_TOPIC_ALIAS_INVALID)
        atomic_store(&mqtt->aliases_refused, 1);
    snprintf(event.text, sizeof(event.text), "the broker closed it: %s",
             mqtt_codes_text(MQTT_PACKET_DISCONNECT, (int)reason));
    add_broker_words(&event, properties);
    put(&event);
}

static void take_identifiers(struct transport_arrival *message, MQTTProperties *properties)
{
    int count = MQTTProperties_propertyCount(properties, MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIER);

    /* With more than fit, all filters that match count, as if the broker had said nothing. */
    if (count > TRANSPORT_IDENTIFIERS)
        return;
    for (int i = 0; i < count; i++)
        message->identifiers[message->identifier_count++] = (uint32_t)MQTTProperties_getNumericValueAt(
            properties, MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIER, i);
}

static void take_age(struct transport_arrival *message, const MQTTProperties *properties)
{
    /* Paho's own look-up starts at the first property each time; there may be as many as a packet holds. */
    for (int i = 0; i < properties->count; i++) {
        const MQTTProperty *property = &properties->array[i];

        if (property->identifier == MQTTPROPERTY_CODE_MESSAGE_EXPIRY_INTERVAL) {
            message->expires = 1;
            message->expiry_s = property->value.integer4;
        } else if (property->identifier == MQTTPROPERTY_CODE_USER_PROPERTY && !message->made &&
                   property->value.data.len == (int)strlen(EXPIRY_TIME_PROPERTY) &&
                   memcmp(property->value.data.data, EXPIRY_TIME_PROPERTY, strlen(EXPIRY_TIME_PROPERTY)) == 0 &&
                   property->value.value.len > 0) {
            message->made = property->value.value.data;
            message->made_size = (size_t)property->value.value.len;
        }
    }
}

static int on_message(void *context, char *topic, int topic_length, MQTTAsync_message *message)
{
    struct mqtt *mqtt = context;
    struct transport_arrival copy = {
        .topic = topic,
        /* A length is given only when the topic holds a NUL byte. */
        .topic_size = topic_length > 0 ? (size_t)topic_length : strlen(topic),
        .payload = message->payload,
        .size = (size_t)message->payloadlen,
        .retained = message->retained,
    };

    if (mqtt->options.version >= 5) {
        take_identifiers(&copy, &message->properties);
        take_age(&copy, &message->properties);
    }
    pthread_mutex_lock(&answers_lock);
    if (answers && left == 0)
        mqtt->options.on_message(mqtt->options.context, &copy);
    pthread_mutex_unlock(&answers_lock);
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

/* ---- Who is called ---- */

int mqtt_answers_open(struct event_queue *queue)
{
    int rc = 0;

    pthread_mutex_lock(&answers_lock);
    if (answers)
        rc = -EBUSY;
    else
        answers = queue;
    pthread_mutex_unlock(&answers_lock);
    return rc;
}

void mqtt_answers_close(void)
{
    pthread_mutex_lock(&answers_lock);
    answers = NULL;
    left++;
    pthread_mutex_unlock(&answers_lock);
}

void mqtt_answers_gone(void)
{
    pthread_mutex_lock(&answers_lock);
    left--;
    pthread_mutex_unlock(&answers_lock);
}

unsigned mqtt_answers_left(void)
{
    unsigned count;

    pthread_mutex_lock(&answers_lock);
    count = left;
    pthread_mutex_unlock(&answers_lock);
    return count;
}

void mqtt_answers_failed(const char *text)
{
    struct event event = {.kind = EVENT_CONNECT_FAILED};

    snprintf(event.text, sizeof(event.text), "%s", text);
    put(&event);
}

int mqtt_answers_watch(struct mqtt *mqtt, MQTTAsync client)
{
    int rc = MQTTAsync_setCallbacks(client, mqtt, on_lost, on_message, NULL);

    return rc == MQTTASYNC_SUCCESS ? MQTTAsync_setDisconnected(client, mqtt, on_disconnected) : rc;
}

void mqtt_answers_connect(struct mqtt *mqtt, MQTTAsync_connectOptions *options)
{
    options->context = mqtt;
    if (mqtt->options.version >= 5) {
        options->onSuccess5 = on_connect_success5;
        options->onFailure5 = on_connect_failure5;
    } else {
        options->onSuccess = on_connect_success;
        options->onFailure = on_connect_failure;
    }
}

void mqtt_answers_tls(struct mqtt *mqtt, MQTTAsync_SSLOptions *options)
{
    mqtt->tls_reason[0] = '\0';
    options->ssl_error_cb = on_tls_error;
    options->ssl_error_context = mqtt;
}

MQTTAsync_responseOptions mqtt_answers_publish(const struct mqtt *mqtt, uint64_t token)
{
    MQTTAsync_responseOptions response = MQTTAsync_responseOptions_initializer;

    response.context = (void *)(uintptr_t)token;
    if (mqtt->options.version >= 5) {
        response.onSuccess5 = on_send_success5;
        response.onFailure5 = on_send_failure5;
    } else {
        response.onSuccess = on_send_success;
        response.onFailure = on_send_failure;
    }
    return response;
}

MQTTAsync_responseOptions mqtt_answers_subscribe(const struct mqtt *mqtt, uint64_t token)
{
    MQTTAsync_responseOptions response = MQTTAsync_responseOptions_initializer;

    response.context = (void *)(uintptr_t)token;
    if (mqtt->options.version >= 5) {
        response.onSuccess5 = on_subscribe_success5;
        response.onFailure5 = on_subscribe_failure5;
    } else {
        response.onSuccess = on_subscribe_success;
        response.onFailure = on_subscribe_failure;
    }
    return response;
}
