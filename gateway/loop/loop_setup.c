/* loop_setup.c: put the gateway's parts together, and take them apart. See loop_internal.h. */
#include "loop/loop_internal.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mqtt/mqtt.h"
#include "observe/log.h"
#include "observe/metrics.h"
#include "publish/origin.h"
#include "shm/platform.h"

/* An event waits in the queue; on one of the MQTT client's threads. */
static void ring_doorbell(void *context)
{
    struct loop *loop = context;

    pthread_mutex_lock(&loop->lock);
    if (loop->segment.base && atomic_exchange(&loop->patient, 0))
        platform_doorbell_post(loop->segment.doorbell);
    else if (loop->segment.base)
        segment_wake_gateway(&loop->segment);
    pthread_mutex_unlock(&loop->lock);
}

/* A message has come; on the MQTT client's receive thread. It waits while the loop changes the segment: some
 * milliseconds. */
static void receive(void *context, const struct transport_arrival *message)
{
    struct loop *loop = context;

    pthread_mutex_lock(&loop->lock);
    if (loop->subscribe)
        subscribe_arrival(loop->subscribe, message);
    pthread_mutex_unlock(&loop->lock);
}

static int send_message(void *context, const struct outward_channel *channel, const struct outward_message *message,
                        uint64_t token)
{
    struct loop *loop = context;
    struct transport_message outgoing = {.topic = message->topic,
                                         .payload = message->payload,
                                         .size = message->size,
                                         .qos = channel->qos,
                                         .retain = channel->retain};
    struct origin origin;

    if (!message->topic)
        return -EINVAL;
    if (channel->source) {
        origin_describe(&origin, message, loop->boot);
        outgoing.properties = origin.properties;
        outgoing.property_count = ORIGIN_PROPERTIES;
    }
    return connection_publish(loop->connection, &outgoing, token);
}

__attribute__((format(printf, 3, 0))) static void report_spool(void *context, int fault, const char *format,
                                                               va_list arguments)
{
    (void)context;
    log_write_list(fault ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO, format, arguments);
}

/* The group's number, -1 when none is asked for. config_load has checked that it exists; it may have gone since. */
static int find_group(const char *name, long *gid)
{
    struct group *group;

    *gid = -1;
    if (!name)
        return 0;
    errno = 0;
    group = getgrnam(name);
    if (!group)
        return errno ? -errno : -ENOENT;
    *gid = (long)group->gr_gid;
    return 0;
}

static int open_segment(struct loop *loop)
{
    static const char *const origins[] = {
        [SEGMENT_CREATED] = "created", [SEGMENT_ADOPTED] = "adopted", [SEGMENT_REPLACED] = "replaced"};
    struct segment_options options = {.name = loop->config->segment,
                                      .mode = loop->config->mode,
                                      .plan = &loop->table.layout,
                                      .topics = loop->table.topics};
    struct reason reason;
    int rc = find_group(loop->config->group, &options.gid);

    if (rc < 0) {
        log_write(LOG_LEVEL_ERROR, "could not find group %s: %s", loop->config->group, strerror(-rc));
        return rc;
    }
    rc = segment_serve(&loop->segment, loop->olds, &options, &reason);
    if (rc < 0) {
        log_write(LOG_LEVEL_ERROR, "could not serve segment: %s", reason.text);
        return rc;
    }
    loop->created = rc == SEGMENT_CREATED;
    log_write(LOG_LEVEL_INFO, "segment %s %s: channels=%u lanes=%u size_kib=%llu", loop->config->segment, origins[rc],
              loop->segment.layout.channel_count, loop->segment.layout.lane_count,
              (unsigned long long)(loop->segment.size / 1024));
    return 0;
}

/* Open the spool, if a channel asks for it or an earlier configuration has left one with messages in it. */
static int open_spool(struct loop *loop)
{
    const struct config *config = loop->config;
    struct spool_options options = {.path = config->spool_path,
                                    .max_bytes = config->spool_max_size,
                                    .max_age_ms = config->spool_max_age_ms,
                                    .limits = loop->table.limits,
                                    .limit_count = config->channel_count};
    int rc;

    ring_set_spool(loop->segment.header, LAYOUT_SPOOL_OFF, 0);
    if (!loop->table.spools && access(config->spool_path, F_OK) < 0)
        return 0;
    if ((rc = spool_open(&loop->spool, &options, report_spool, NULL)) < 0 ||
        (rc = backlog_create(&loop->backlog, loop->spool, &loop->segment, loop->table.channels, loop->olds,
                             loop->created, &loop->flight, send_message, loop)) < 0)
        return rc;
    loop->spool_state = spool_state(loop->spool);
    if (spool_held(loop->spool) > 0)
        log_write(LOG_LEVEL_INFO, "spool has a backlog: path=%s messages=%llu", config->spool_path,
                  (unsigned long long)spool_held(loop->spool));
    return 0;
}

/* What works on the segment. */
static int open_modules(struct loop *loop)
{
    int rc;

    if ((rc = open_spool(loop)) == 0 &&
        (rc = former_create(&loop->former, loop->olds, &loop->segment, loop->table.channels, &loop->flight,
                            loop->backlog, send_message, loop)) == 0 &&
        (rc = outward_create(&loop->outward, &loop->segment, loop->table.channels, &loop->flight, loop->backlog,
                             send_message, loop)) == 0 &&
        (rc = subscribe_create(&loop->subscribe, &loop->segment, loop->table.subscribe)) == 0)
        rc = loss_report_create(&loop->loss_report, &loop->segment);
    if (rc < 0)
        log_write(LOG_LEVEL_ERROR, "could not start: out of memory");
    return rc;
}

static int open_link(struct loop *loop)
{
    /* One answer a message in flight, one a subscription and the end of one, and the link's own few. A reload may bring
     * more channels. */
    size_t capacity = FLIGHT_WINDOW + 2 * LAYOUT_CHANNELS_MAX + 16;
    char error[256] = "out of memory";
    int rc = event_queue_create(&loop->queue, capacity, ring_doorbell, loop);

    if (rc == 0)
        rc = connection_create(&loop->connection, loop->config, FLIGHT_WINDOW, loop->queue, receive, loop, error,
                               sizeof(error));
    if (rc < 0)
        log_write(LOG_LEVEL_ERROR, "could not start: %s", error);
    return rc;
}

/* Whether the segment was made by this run and nobody has used it: then a failed start takes it away again. */
static int unused(const struct loop *loop)
{
    if (!loop->created)
        return 0;
    for (uint32_t i = 0; i < loop->segment.layout.lane_count; i++) {
        struct ring ring = segment_ring(&loop->segment, i);

        if (ring_head(&ring) > 0 || segment_lane_locked(&loop->segment, i) != 0)
            return 0;
    }
    return 1;
}

/* Everything between the table and the connection. */
static int open_service(struct loop *loop)
{
    struct reason reason;
    int rc = channel_table_create(&loop->table, loop->config, &reason);

    if (rc < 0) {
        log_write(LOG_LEVEL_ERROR, "could not lay out the segment: %s", reason.text);
        return rc;
    }
    if ((rc = open_segment(loop)) == 0)
        rc = open_modules(loop);
    if (rc < 0)
        return rc;
    loop_settle_ledgers(loop);
    if (loop->backlog)
        backlog_settle(loop->backlog);
    return 0;
}

static void close_service(struct loop *loop)
{
    if (loop->loss_report)
        loop_settle_ledgers(loop);
    loss_report_destroy(loop->loss_report);
    subscribe_destroy(loop->subscribe);
    former_destroy(loop->former);
    outward_destroy(loop->outward);
    backlog_destroy(loop->backlog);
    spool_close(loop->spool);
    loop->loss_report = NULL;
    loop->subscribe = NULL;
    loop->former = NULL;
    loop->outward = NULL;
    loop->backlog = NULL;
    loop->spool = NULL;
    if (loop->segment.base)
        ring_wake(loop->segment.header);
    for (int i = 0; i < SEGMENT_OLD_MAX; i++)
        segment_close(&loop->olds[i]);
    segment_close(&loop->segment);
    channel_table_destroy(&loop->table);
}

int loop_open(struct loop *loop)
{
    int rc;

    platform_boot_id(loop->boot);
    drain_begin(&loop->drain);
    flight_init(&loop->flight);
    if ((rc = -pthread_mutex_init(&loop->lock, NULL)) < 0) {
        log_write(LOG_LEVEL_ERROR, "could not start: %s", strerror(-rc));
        return rc;
    }
    loop->lock_made = 1;
    rc = open_service(loop);
    return rc < 0 ? rc : open_link(loop);
}

int loop_serve_metrics(struct loop *loop, const struct config *config)
{
    struct reason reason;
    int rc = metrics_serve(loop->metrics, config->metrics_listen, config->segment, &reason);

    if (rc < 0)
        log_write(LOG_LEVEL_ERROR, "could not serve metrics: listen=%s: %s", config->metrics_listen, reason.text);
    return rc;
}

int loop_change(struct loop *loop, struct config *next)
{
    struct config before = *loop->config;
    int rc;

    pthread_mutex_lock(&loop->lock);
    close_service(loop);
    *loop->config = *next;
    *next = before;
    rc = open_service(loop);
    if (rc < 0)
        close_service(loop);
    pthread_mutex_unlock(&loop->lock);
    if (rc < 0) {
        /* The caller takes the rest down, and begins again with what was. */
        *next = *loop->config;
        *loop->config = before;
        return rc;
    }
    flight_set_limit(&loop->flight, connection_window(loop->connection));
    ring_set_link(loop->segment.header, connection_is_up(loop->connection) ? LAYOUT_LINK_UP : LAYOUT_LINK_DOWN,
                  platform_time_ns());
    connection_take(loop->connection, next, loop->config);
    /* The link's strings are those of the configuration that it was made with. */
    if (!loop->kept.path)
        loop->kept = *next;
    else
        config_free(next);
    memset(next, 0, sizeof(*next));
    return 0;
}

void loop_settle_ledgers(struct loop *loop)
{
    unsigned dropped = outward_settle(loop->outward) | subscribe_dropped(loop->subscribe);

    if (loop->former)
        former_settle(loop->former);
    if (dropped)
        loss_report_suspect(loop->loss_report);
}

void loop_close(struct loop *loop, int failed)
{
    struct reason reason;
    int remove = failed && loop->segment.base && unused(loop);

    drain_end(&loop->drain);
    /* Its threads end first: afterwards nobody else knows the loop. */
    connection_destroy(loop->connection);
    if (loop->segment.base)
        ring_set_link(loop->segment.header, LAYOUT_LINK_DOWN, platform_time_ns());
    close_service(loop);
    event_queue_destroy(loop->queue);
    if (loop->lock_made)
        pthread_mutex_destroy(&loop->lock);
    if (remove && segment_remove(loop->config->segment, &reason) < 0)
        log_write(LOG_LEVEL_WARNING, "could not remove the unused segment: %s", reason.text);
    config_free(&loop->kept);
    free(loop->stats);
}
