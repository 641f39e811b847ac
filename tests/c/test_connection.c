/* test_connection.c: the connection's state machine, with a client library that does not keep its word. */
#include <MQTTAsync.h>
#include <stdatomic.h>

#include "config_file.h"
#include "mqtt/connection.h"
#include "mqtt/mqtt.h"
#include "platform.h"

#define SECOND_MS 1000

static atomic_uint attempts, clients; /* calls of the client library */
static atomic_int is_stuck;           /* 1: its lock is held, as while a name server does not answer */

int __wrap_MQTTAsync_connect(MQTTAsync handle, const MQTTAsync_connectOptions *options);
int __real_MQTTAsync_createWithOptions(MQTTAsync *handle, const char *uri, const char *client_id, int persistence,
                                       void *context, MQTTAsync_createOptions *options);
int __wrap_MQTTAsync_createWithOptions(MQTTAsync *handle, const char *uri, const char *client_id, int persistence,
                                       void *context, MQTTAsync_createOptions *options);
void __real_MQTTAsync_destroy(MQTTAsync *handle);
void __wrap_MQTTAsync_destroy(MQTTAsync *handle);

static void wait_for_the_lock(void)
{
    while (atomic_load(&is_stuck))
        platform_sleep_ms(1);
}

/* An attempt that is taken, and of which nothing is heard any more. */
int __wrap_MQTTAsync_connect(MQTTAsync handle, const MQTTAsync_connectOptions *options)
{
    (void)handle;
    (void)options;
    atomic_fetch_add(&attempts, 1);
    return MQTTASYNC_SUCCESS;
}

int __wrap_MQTTAsync_createWithOptions(MQTTAsync *handle, const char *uri, const char *client_id, int persistence,
                                       void *context, MQTTAsync_createOptions *options)
{
    wait_for_the_lock();
    atomic_fetch_add(&clients, 1);
    return __real_MQTTAsync_createWithOptions(handle, uri, client_id, persistence, context, options);
}

void __wrap_MQTTAsync_destroy(MQTTAsync *handle)
{
    wait_for_the_lock();
    __real_MQTTAsync_destroy(handle);
}

/* The client library is called on a thread of its own. Returns whether there come to be that many attempts. */
static int are_made(unsigned count)
{
    for (int i = 0; i < 10000 && atomic_load(&attempts) < count; i++)
        platform_sleep_ms(1);
    /* It may not have returned yet. */
    platform_sleep_ms(20);
    return atomic_load(&attempts) == count && atomic_load(&clients) == count;
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
    CHECK(are_made(1));
    due_ms = connection_deadline_ms(connection);
    CHECK(due_ms >= now_ms + 3 * SECOND_MS && due_ms <= now_ms + 10 * SECOND_MS);
    connection_step(connection, due_ms - 1);
    CHECK_EQUAL(connection_deadline_ms(connection), due_ms);
    connection_step(connection, due_ms);
    due_ms = connection_deadline_ms(connection);
    CHECK(due_ms < UINT64_MAX);
    connection_step(connection, due_ms);
    CHECK(are_made(2));
    connection_destroy(connection);
    event_queue_destroy(queue);
    config_free(&config);
}

/* While the client library's lock is held, nothing here waits for it: not the attempt after one that was given up, not
 * the end. Afterwards there is nobody left behind. */
static void test_nobody_waits_for_the_lock(void)
{
    struct connection_options options = {.config = &config, .window = 10, .arrived = arrived};
    struct connection *connection = NULL;
    struct event_queue *queue;
    struct reason reason;
    uint64_t now_ms = 1000 * SECOND_MS, begin_ns = platform_monotonic_ns();

    atomic_store(&is_stuck, 1);
    CHECK_EQUAL(load(MQTT "connect_timeout = 3s\n" CHANNEL), 0);
    CHECK_EQUAL(event_queue_create(&queue, 100, wake, NULL), 0);
    options.queue = queue;
    CHECK_EQUAL(connection_create(&connection, &options, &reason), 0);
    for (int i = 0; i < 10; i++) {
        connection_step(connection, now_ms);
        now_ms = connection_deadline_ms(connection);
    }
    connection_destroy(connection);
    event_queue_destroy(queue);
    config_free(&config);
    CHECK(platform_monotonic_ns() - begin_ns < UINT64_C(3000) * 1000000);
    CHECK(mqtt_is_left_behind());
    atomic_store(&is_stuck, 0);
    for (int i = 0; i < 10000 && mqtt_is_left_behind(); i++)
        platform_sleep_ms(1);
    CHECK(!mqtt_is_left_behind());
}

static const struct check_test tests[] = {
    {"test_attempt_without_an_answer_is_given_up", test_attempt_without_an_answer_is_given_up},
    {"test_nobody_waits_for_the_lock", test_nobody_waits_for_the_lock},
};

CHECK_MAIN(tests)
