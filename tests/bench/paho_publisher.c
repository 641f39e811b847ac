/* paho_publisher.c: publishes stamped messages with Paho's asynchronous client, as a program does that has nothing
 * between it and MQTT.
 *
 *   paho_publisher PORT TOPIC QOS COUNT INTERVAL_NS WINDOW
 *
 * At most WINDOW messages are handed over and not answered yet. Paho's two threads answer on one of theirs. */
#include <MQTTAsync.h>
#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

#define USAGE "paho_publisher PORT TOPIC QOS COUNT INTERVAL_NS WINDOW"

static sem_t connected, room;

static void take(sem_t *semaphore)
{
    while (sem_wait(semaphore) < 0 && errno == EINTR)
        ;
}

static void on_connected(void *context, MQTTAsync_successData5 *data)
{
    (void)context;
    (void)data;
    sem_post(&connected);
}

static void on_failure(void *context, MQTTAsync_failureData5 *data)
{
    (void)context;
    bench_die("Paho: %s", data && data->message ? data->message : "failed");
}

static void on_answer(void *context, MQTTAsync_successData5 *data)
{
    (void)context;
    (void)data;
    sem_post(&room);
}

static MQTTAsync connect_to(unsigned port, int window)
{
    MQTTAsync_createOptions create = MQTTAsync_createOptions_initializer5;
    MQTTAsync_connectOptions options = MQTTAsync_connectOptions_initializer5;
    char address[64], name[64];
    MQTTAsync client;

    snprintf(address, sizeof(address), "tcp://127.0.0.1:%u", port);
    snprintf(name, sizeof(name), "paho-publisher-%ld", (long)getpid());
    create.maxBufferedMessages = window + 16;
    if (MQTTAsync_createWithOptions(&client, address, name, MQTTCLIENT_PERSISTENCE_NONE, NULL, &create) !=
        MQTTASYNC_SUCCESS)
        bench_die("could not make a Paho client");
    options.cleanstart = 1;
    options.maxInflight = window;
    options.onSuccess5 = on_connected;
    options.onFailure5 = on_failure;
    if (MQTTAsync_connect(client, &options) != MQTTASYNC_SUCCESS)
        bench_die("Paho could not begin to connect");
    take(&connected);
    return client;
}

int main(int argc, char **argv)
{
    unsigned port = (unsigned)bench_argument(argc, argv, 1, USAGE);
    int qos = (int)bench_argument(argc, argv, 3, USAGE), window = (int)bench_argument(argc, argv, 6, USAGE);
    uint64_t count = bench_argument(argc, argv, 4, USAGE), interval_ns = bench_argument(argc, argv, 5, USAGE), at,
             begin;
    MQTTAsync_responseOptions response = MQTTAsync_responseOptions_initializer;
    char message[BENCH_MESSAGE];
    MQTTAsync client;

    sem_init(&connected, 0, 0);
    sem_init(&room, 0, (unsigned)window);
    response.onSuccess5 = on_answer;
    response.onFailure5 = on_failure;
    client = connect_to(port, window);
    at = begin = bench_now_ns();
    for (uint64_t i = 0; i < count; i++, at += interval_ns) {
        if (interval_ns > 0)
            bench_sleep_until(at);
        take(&room);
        bench_message_fill(message, i);
        if (MQTTAsync_send(client, argv[2], sizeof(message), message, qos, 0, &response) != MQTTASYNC_SUCCESS)
            bench_die("Paho does not take message %llu", (unsigned long long)i);
    }
    for (int i = 0; i < window; i++)
        take(&room);
    printf("{\"seconds\": %.6f}\n", (double)(bench_now_ns() - begin) / 1e9);
    fflush(stdout);
    /* Paho takes a second to end its threads. */
    _exit(0);
}
