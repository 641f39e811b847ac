/* paho_subscriber.c: receives stamped messages with Paho's asynchronous client and reports their latencies.
 *
 *   paho_subscriber PORT TOPIC QOS COUNT
 */
#include <MQTTAsync.h>
#include <errno.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

#define USAGE "paho_subscriber PORT TOPIC QOS COUNT"

static sem_t connected, subscribed, complete;
static struct bench_arrivals arrivals;
static atomic_ullong latest_ns;

static void on_connected(void *context, MQTTAsync_successData5 *data)
{
    (void)context;
    (void)data;
    sem_post(&connected);
}

static void on_subscribed(void *context, MQTTAsync_successData5 *data)
{
    (void)context;
    (void)data;
    sem_post(&subscribed);
}

static void on_failure(void *context, MQTTAsync_failureData5 *data)
{
    (void)context;
    bench_die("Paho: %s", data && data->message ? data->message : "failed");
}

static int on_message(void *context, char *topic, int topic_size, MQTTAsync_message *message)
{
    uint64_t now_ns = bench_now_ns(), sent_ns = bench_message_time(message->payload, (size_t)message->payloadlen);

    (void)context;
    (void)topic_size;
    if (sent_ns > 0)
        bench_arrivals_add(&arrivals, sent_ns, now_ns);
    atomic_store(&latest_ns, now_ns);
    if (arrivals.count == arrivals.capacity)
        sem_post(&complete);
    MQTTAsync_freeMessage(&message);
    MQTTAsync_free(topic);
    return 1;
}

static void take(sem_t *semaphore)
{
    while (sem_wait(semaphore) < 0 && errno == EINTR)
        ;
}

/* Wait until all have come, or none for a while. */
static void wait_for_end(void)
{
    atomic_store(&latest_ns, bench_now_ns());
    for (;;) {
        uint64_t until = atomic_load(&latest_ns) + BENCH_QUIET_S * UINT64_C(1000000000);
        struct timespec at = {.tv_sec = (time_t)(until / 1000000000), .tv_nsec = (long)(until % 1000000000)};

        if (sem_clockwait(&complete, CLOCK_MONOTONIC, &at) == 0)
            return;
        if (errno == ETIMEDOUT && until == atomic_load(&latest_ns) + BENCH_QUIET_S * UINT64_C(1000000000))
            return;
    }
}

int main(int argc, char **argv)
{
    MQTTAsync_createOptions create = MQTTAsync_createOptions_initializer5;
    MQTTAsync_connectOptions options = MQTTAsync_connectOptions_initializer5;
    MQTTAsync_responseOptions response = MQTTAsync_responseOptions_initializer;
    unsigned port = (unsigned)bench_argument(argc, argv, 1, USAGE);
    int qos = (int)bench_argument(argc, argv, 3, USAGE);
    char address[64], name[64];
    MQTTAsync client;

    bench_arrivals_init(&arrivals, bench_argument(argc, argv, 4, USAGE));
    sem_init(&connected, 0, 0);
    sem_init(&subscribed, 0, 0);
    sem_init(&complete, 0, 0);
    snprintf(address, sizeof(address), "tcp://127.0.0.1:%u", port);
    snprintf(name, sizeof(name), "paho-subscriber-%ld", (long)getpid());
    if (MQTTAsync_createWithOptions(&client, address, name, MQTTCLIENT_PERSISTENCE_NONE, NULL, &create) !=
            MQTTASYNC_SUCCESS ||
        MQTTAsync_setMessageArrivedCallback(client, NULL, on_message) != MQTTASYNC_SUCCESS)
        bench_die("could not make a Paho client");
    options.cleanstart = 1;
    options.onSuccess5 = on_connected;
    options.onFailure5 = on_failure;
    if (MQTTAsync_connect(client, &options) != MQTTASYNC_SUCCESS)
        bench_die("Paho could not begin to connect");
    take(&connected);
    response.onSuccess5 = on_subscribed;
    response.onFailure5 = on_failure;
    if (MQTTAsync_subscribe(client, argv[2], qos, &response) != MQTTASYNC_SUCCESS)
        bench_die("Paho could not subscribe");
    take(&subscribed);
    bench_ready();
    wait_for_end();
    bench_arrivals_print(&arrivals);
    _exit(0);
}
