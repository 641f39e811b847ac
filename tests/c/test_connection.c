/* test_connection.c: the connection's state machine, with a client library that does not keep its word. */
#include <MQTTAsync.h>

#include "config_file.h"
#include "mqtt/connection.h"

#define SECOND_MS 1000

static unsigned attempts, clients; /* calls of the client library */

int __wrap_MQTTAsync_connect(MQTTAsync handle, const MQTTAsync_connectOptions *options);
int __real_MQTTAsync_createWithOptions(MQTTAsync *handle, const char *uri, const char *client_id, int persistence,
                                       void *context, MQTTAsync_createOptions *options);
int __wrap_MQTTAsync_createWithOptions(MQTTAsync *handle, const char *uri, const char *client_id, int persistence,
                                       void *context, MQTTAsync_createOptions *options);

/* An attempt that is taken, and of which nothing is heard any more. */
int __wrap_MQTTAsync_connect(MQTTAsync handle, const MQTTAsync_connectOptions *options)
{
    (void)handle;
    (void)options;
    attempts++;
    return MQTTASYNC_SUCCESS;
}

int __wrap_MQTTAsync_createWithOptions(MQTTAsync *handle, const char *uri, const char *client_id, int persistence,
                                       void *context, MQTTAsync_createOptions *options)
{
    clients++;
    return __real_MQTTAsync_createWithOptions(handle, uri, client_id, persistence, context, options);
}

static void wake(void *context)
{
    (void)context;
}

static void arrived(void *context, const struct transport_arrival *arrival)
{
    (void)context;
    (void)arrival;
}

/* An attempt that never answers is given up in time, with the object that owes the answer; the next one takes another.
 */
static void test_attempt_without_an_answer_is_given_up(void)
{
    struct connection_options options = {.config = &config, .window = 10, .arrived = arrived};
    struct connection *connection = NULL;
    struct event_queue *queue;
    struct reason reason;
    uint64_t now_ms = 1000 * SECOND_MS, due_ms;

    CHECK_EQUAL(load(MQTT "connect_timeout = 3s\n" CHANNEL), 0);
    CHECK_EQUAL(event_queue_create(&queue, 100, wake, NULL), 0);
    options.queue = queue;
    CHECK_EQUAL(connection_create(&connection, &options, &reason), 0);
    connection_step(connection, now_ms);
    CHECK(attempts == 1 && clients == 1);
    due_ms = connection_deadline_ms(connection);
    CHECK(due_ms >= now_ms + 3 * SECOND_MS && due_ms <= now_ms + 10 * SECOND_MS);
    connection_step(connection, due_ms - 1);
    CHECK_EQUAL(connection_deadline_ms(connection), due_ms);
    connection_step(connection, due_ms);
    due_ms = connection_deadline_ms(connection);
    CHECK(due_ms < UINT64_MAX);
    connection_step(connection, due_ms);
    CHECK(attempts == 2 && clients == 2);
    connection_destroy(connection);
    event_queue_destroy(queue);
    config_free(&config);
}

static const struct check_test tests[] = {
    {"test_attempt_without_an_answer_is_given_up", test_attempt_without_an_answer_is_given_up},
};

CHECK_MAIN(tests)
