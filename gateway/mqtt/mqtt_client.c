/* mqtt_client.c: what waits for Paho's lock waits on a thread of its own.
 *
 * Paho looks names up with its one lock held, so a name server that does not answer holds up every call, for a minute
 * and longer. While a connection is up that lock is free; the calls that may come while it is not, to make an object,
 * to connect and to destroy, are made here: a thread for each attempt, and one for the end.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/thread.h"
#include "mqtt/mqtt_internal.h"
#include "mqtt/topic_alias.h"

#define POLL_MS 1 /* between two looks whether the end has come */

static pthread_mutex_t client_lock = PTHREAD_MUTEX_INITIALIZER;

static int start_waiter(void *(*run)(void *), struct mqtt *mqtt)
{
    const struct thread_options options = {.run = run, .context = mqtt};

    return thread_start(NULL, &options);
}

static void forget_password(struct mqtt *mqtt)
{
    if (mqtt->password)
        explicit_bzero(mqtt->password, strlen(mqtt->password));
    free(mqtt->password);
    mqtt->password = NULL;
}

static void *end_client(void *context)
{
    mqtt_free(context);
    mqtt_answers_gone();
    return NULL;
}

static void *make_attempt(void *context)
{
    struct mqtt *mqtt = context;
    struct reason reason;
    int rc = mqtt_attempt(mqtt, &reason), is_end;

    forget_password(mqtt);
    if (rc < 0)
        mqtt_answers_failed(reason.text);
    pthread_mutex_lock(&client_lock);
    mqtt->is_busy = 0;
    is_end = mqtt->is_end;
    pthread_mutex_unlock(&client_lock);
    return is_end ? end_client(mqtt) : NULL;
}

int mqtt_client_begin(struct mqtt *mqtt, const struct mqtt_next *next, struct reason *reason)
{
    int rc, is_busy;

    pthread_mutex_lock(&client_lock);
    is_busy = mqtt->is_busy;
    pthread_mutex_unlock(&client_lock);
    if (is_busy || mqtt_answers_left() > 0)
        return reason_set(reason, -EBUSY,
                          "the attempt before has not come to its end: no name server answers, as it seems, for the "
                          "broker's name");
    topic_alias_reset(mqtt->aliases);
    strcpy(mqtt->next_address, next->address);
    mqtt->next_tls = next->tls;
    mqtt->password = next->password ? strdup(next->password) : NULL;
    if (next->password && !mqtt->password)
        return reason_set(reason, -ENOMEM, "out of memory");
    mqtt->is_busy = 1;
    rc = start_waiter(make_attempt, mqtt);
    if (rc == 0)
        return 0;
    mqtt->is_busy = 0;
    forget_password(mqtt);
    return reason_set(reason, rc, "start a thread: %s", strerror(-rc));
}

void mqtt_client_end(struct mqtt *mqtt)
{
    const struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};
    int is_busy;

    pthread_mutex_lock(&client_lock);
    is_busy = mqtt->is_busy;
    mqtt->is_end = 1;
    pthread_mutex_unlock(&client_lock);
    /* Without a client there is nothing to wait for; without a thread there is no other way. */
    if (!is_busy && (!mqtt->client || start_waiter(end_client, mqtt) < 0))
        end_client(mqtt);
    for (unsigned waited = 0; waited < MQTT_CLIENT_END_MS && mqtt_answers_left() > 0; waited += POLL_MS)
        nanosleep(&pause, NULL);
}
