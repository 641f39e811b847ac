/* loop_setup.c: put the gateway's parts together, and take them apart. See loop_internal.h. */
#include "loop/loop_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/group_lookup.h"
#include "mqtt/mqtt_transport.h"
#include "observe/log.h"
#include "observe/metrics.h"
#include "shm/platform.h"

__attribute__((format(printf, 3, 0))) static void report_spool(void *context, int fault, const char *format,
                                                               va_list arguments)
{
    (void)context;
    log_write_list(fault ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO, format, arguments);
}

/* The group's number, -1 when none is asked for. config_load has checked that it exists; it may have gone since. */
static int find_group(const char *name, long *gid)
{
    *gid = -1;
    return name ? group_lookup(name, gid) : 0;
}

static void warn(void *context, const char *text)
{
    (void)context;
    log_write(LOG_LEVEL_WARNING, "%s", text);
}

static int make_options(const struct loop *loop, struct segment_options *options)
{
    int rc;

    *options = (struct segment_options){.name = loop->config->segment,
                                        .mode = loop->config->mode,
                                        .plan = &loop->table.layout,
                                        .topics = loop->table.topics,
                                        .report = warn};
    if ((rc = find_group(loop->config->group, &options->gid)) < 0)
        log_write(LOG_LEVEL_ERROR, "could not find group %s: %s", loop->config->group, strerror(-rc));
    return rc;
}

/* Some program has removed the segment's name or its semaphore: keep what is in it for whoever serves the name next. */
static void rescue_segment(struct loop *loop)
{
    struct segment_options options;
    struct reason reason;

    if (!loop->segment.base || segment_has_names(&loop->segment) || make_options(loop, &options) < 0)
        return;
    log_write(
        LOG_LEVEL_WARNING,
        "segment %s or its semaphore was removed by another program: what is in it is kept, and attached programs "
        "move over",
        options.name);
    if (segment_rescue(&loop->segment, &options, &reason) < 0)
        log_write(LOG_LEVEL_ERROR, "could not %s", reason.text);
}

static int open_segment(struct loop *loop)
{
    static const char *const origins[] = {
        [SEGMENT_CREATED] = "created", [SEGMENT_ADOPTED] = "adopted", [SEGMENT_REPLACED] = "replaced"};
    struct segment_options options;
    unsigned set_aside = 0;
    struct reason reason;
    int rc = make_options(loop, &options);

    if (rc < 0)
        return rc;
    options.set_aside = &set_aside;
    rc = segment_serve(&loop->segment, &loop->olds, &options, &reason);
    metrics_count_set_aside(loop->metrics, set_aside);
    if (rc < 0) {
        log_write(LOG_LEVEL_ERROR, "could not serve segment: %s", reason.text);
        return rc;
    }
    loop->created = rc == SEGMENT_CREATED;
    loop_names_watch(loop->names, loop->config->segment);
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
    if ((rc = spool_open(&loop->spool, &options, report_spool, NULL)) < 0)
        return rc;
    loop->spool_state = spool_state(loop->spool);
    if (spool_held(loop->spool) > 0)
        log_write(LOG_LEVEL_INFO, "spool has a backlog: path=%s messages=%llu", config->spool_path,
                  (unsigned long long)spool_held(loop->spool));
    return 0;
}

/* What works on the segment. */
static int open_parts(struct loop *loop)
{
    struct publish_options publish = {.segment = &loop->segment,
                                      .olds = &loop->olds,
                                      .channels = loop->table.channels,
                                      .sender = loop->sender,
                                      .created = loop->created};
    int rc = open_spool(loop);

    publish.spool = loop->spool;
    if (rc == 0 && (rc = publish_create(&loop->publish, &publish)) == 0 &&
        (rc = subscribe_serve(loop->subscribe, &loop->segment, loop->table.subscribe)) == 0)
        rc = loss_report_create(&loop->loss_report, &loop->segment);
    if (rc < 0)
        log_write(LOG_LEVEL_ERROR, "could not start: out of memory");
    return rc;
}

static int open_transport(struct loop *loop)
{
    const struct mqtt_transport_options options = {.config = loop->config,
                                                   .window = INFLIGHT_WINDOW,
                                                   .listener = {.answered = loop_answered,
                                                                .changed = loop_transport_changed,
                                                                .wake = loop_wake,
                                                                .context = loop,
                                                                .arrived = subscribe_arrival,
                                                                .arrival_context = loop->subscribe}};
    struct reason reason;
    int rc = mqtt_transport_create(&loop->transport, &options, &reason);

    if (rc < 0)
        log_write(LOG_LEVEL_ERROR, "could not start: %s", reason.text);
    else
        sender_set_transport(loop->sender, loop->transport);
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
    if ((rc = open_segment(loop)) < 0)
        return rc;
    loop_wake_set(&loop->wake, &loop->segment);
    if ((rc = open_parts(loop)) < 0)
        return rc;
    loop_flush_ledgers(loop);
    publish_spool_changed(loop->publish);
    return 0;
}

static void close_service(struct loop *loop)
{
    if (loop->loss_report)
        loop_flush_ledgers(loop);
    loop_wake_set(&loop->wake, NULL);
    subscribe_suspend(loop->subscribe);
    loss_report_destroy(loop->loss_report);
    publish_destroy(loop->publish);
    spool_close(loop->spool);
    loop->loss_report = NULL;
    loop->publish = NULL;
    loop->spool = NULL;
    if (loop->segment.base)
        ring_wake(loop->segment.header);
    segment_list_close(&loop->olds);
    rescue_segment(loop);
    segment_close(&loop->segment);
    channel_table_destroy(&loop->table);
}

int loop_open(struct loop *loop)
{
    int rc;

    replay_progress_begin(&loop->replay_progress);
    if ((rc = loop_wake_init(&loop->wake)) < 0 || (rc = subscribe_create(&loop->subscribe)) < 0 ||
        (rc = sender_create(&loop->sender)) < 0) {
        log_write(LOG_LEVEL_ERROR, "could not start: %s", strerror(-rc));
        return rc;
    }
    rc = open_service(loop);
    return rc < 0 ? rc : open_transport(loop);
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

    close_service(loop);
    *loop->config = *next;
    *next = before;
    rc = open_service(loop);
    if (rc < 0) {
        /* The caller takes the rest down, and begins again with what was. */
        close_service(loop);
        *next = *loop->config;
        *loop->config = before;
        return rc;
    }
    loop_show_link(loop);
    loop->transport->type->take(loop->transport, next, loop->config);
    config_free(next);
    memset(next, 0, sizeof(*next));
    return 0;
}

int loop_serve_anew(struct loop *loop)
{
    int rc;

    close_service(loop);
    if ((rc = open_service(loop)) == 0)
        loop_show_link(loop);
    return rc;
}

void loop_close(struct loop *loop, int failed)
{
    int remove = failed && loop->segment.base && unused(loop);
    struct reason reason;

    replay_progress_end(&loop->replay_progress);
    /* A change of the configuration that came to nothing may have left arrivals waiting, and with them the transport.
     */
    if (loop->subscribe)
        subscribe_let_go(loop->subscribe);
    /* Its threads end first: afterwards nobody else knows the loop. */
    if (loop->transport)
        loop->transport->type->destroy(loop->transport);
    if (loop->segment.base)
        ring_set_link(loop->segment.header, LAYOUT_LINK_DOWN, platform_time_ns());
    if (loop->subscribe)
        close_service(loop);
    subscribe_destroy(loop->subscribe);
    sender_destroy(loop->sender);
    loop_wake_destroy(&loop->wake);
    if (remove && segment_remove(loop->config->segment, &reason) < 0)
        log_write(LOG_LEVEL_WARNING, "could not remove the unused segment: %s", reason.text);
    free(loop->stats);
}
