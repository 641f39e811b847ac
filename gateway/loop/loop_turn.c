/* loop_turn.c: one turn of the gateway's loop.
 *
 *   1. take the events that the MQTT client's threads left in the queue: answers, the link's ups and downs
 *   2. take the lanes' word that they have news, wake their local readers
 *   3. move to the spool what the rings cannot keep
 *   4. send, as far as the window and the broker allow
 *   5. write the ledgers: slots become free, counters become visible
 *   6. do what is due: connect, publish the statistics, feed the watchdog
 */
#include <errno.h>
#include <stdlib.h>

#include "loop/loop_internal.h"
#include "observe/log.h"
#include "observe/notify.h"
#include "shm/counters.h"
#include "shm/platform.h"

#define EVENTS 32        /* taken from the queue at a time */
#define OLD_CHECK_MS 200 /* how often to look whether the writers have left a replaced segment */
#define LATENCY_SHOW_MS 1000
#define LATENCY_WINDOW_MS 60000 /* latencies are those of the present window, or of the last one that had messages */
#define RETRY_MS 20             /* when the MQTT client takes no more for reasons of its own */

__attribute__((format(printf, 2, 0))) static void report_loss(void *context, const char *format, va_list arguments)
{
    (void)context;
    log_write_list(LOG_LEVEL_WARNING, format, arguments);
}

static enum flight_answer answer_of(enum event_kind kind)
{
    return kind == EVENT_DELIVERED ? FLIGHT_DELIVERED : kind == EVENT_REFUSED ? FLIGHT_REFUSED : FLIGHT_FAILED;
}

static void handle_event(struct loop *loop, const struct event *event)
{
    switch (event->kind) {
    case EVENT_DELIVERED:
    case EVENT_FAILED:
    case EVENT_REFUSED:
        if (!flight_answer(&loop->flight, event->token, answer_of(event->kind), event->time_ns))
            connection_event(loop->connection, event, loop->now_ms);
        break;
    default:
        connection_event(loop->connection, event, loop->now_ms);
        flight_set_limit(&loop->flight, connection_window(loop->connection));
        ring_set_link(loop->segment.header, connection_is_up(loop->connection) ? LAYOUT_LINK_UP : LAYOUT_LINK_DOWN,
                      platform_time_ns());
        loop->retry_ms = 0;
    }
}

int loop_take_events(struct loop *loop)
{
    struct event events[EVENTS];
    size_t count = event_queue_take(loop->queue, events, EVENTS);

    for (size_t i = 0; i < count; i++)
        handle_event(loop, &events[i]);
    loop->answered |= count > 0;
    return count > 0;
}

void loop_spool_changed(struct loop *loop)
{
    outward_spool_changed(loop->outward);
    if (loop->former)
        former_spool_changed(loop->former);
    backlog_settle(loop->backlog);
    loss_report_suspect(loop->loss_report);
    if (spool_state(loop->spool) != loop->spool_state) {
        loop->spool_state = spool_state(loop->spool);
        loop->stats_ms = 0;
    }
    /* Lanes may have waited for it. */
    outward_collect_all(loop->outward);
}

/* Move to the disk what the rings cannot keep. Returns whether there was anything to do. */
static int spool_work(struct loop *loop)
{
    int worked = 0;

    if (!loop->spool)
        return 0;
    if (connection_is_up(loop->connection)) {
        loop->outage_ms = loop->now_ms + loop->config->spool_interval_ms;
    } else if (loop->now_ms >= loop->outage_ms) {
        /* In an outage the power may fail as well: what waits goes to the disk though the rings could hold it. */
        loop->outage_ms = loop->now_ms + loop->config->spool_interval_ms;
        outward_take_all(loop->outward);
        worked = loop->former && former_take(loop->former);
        /* It takes a batch at a time. */
        if (worked)
            loop->outage_ms = loop->now_ms;
    }
    worked |= outward_take(loop->outward);
    worked |= spool_step(loop->spool, loop->now_ms, platform_time_ns());
    if (worked || spool_state(loop->spool) != loop->spool_state)
        loop_spool_changed(loop);
    return worked;
}

/* Send from the spool, in the order of writing: what is in it comes before what is in the rings. `earlier`: only what
 * was written into segments of before. */
static int pump_backlog(struct loop *loop, int earlier)
{
    int rc = earlier ? backlog_pump_earlier(loop->backlog) : backlog_pump(loop->backlog);

    if (rc == -EAGAIN)
        loop->retry_ms = loop->now_ms + RETRY_MS;
    if (rc > 0)
        outward_collect_all(loop->outward);
    return rc > 0;
}

/* Send what the broker will take. A replaced segment goes first: what a writer wrote there comes before what it writes
 * here. */
static int pump(struct loop *loop)
{
    int sent = 0, rc;

    if (!connection_is_up(loop->connection) || loop->now_ms < loop->retry_ms)
        return 0;
    if (loop->former) {
        /* How far the present lanes are is noted first: what a writer wrote into a former segment before that is in it
         * by then. */
        outward_bound(loop->outward);
        if (loop->backlog)
            sent = pump_backlog(loop, 1);
        if (loop->backlog && !backlog_earlier_sent(loop->backlog))
            return sent;
        sent |= former_pump(loop->former);
        if (!former_drained(loop->former))
            return sent > 0;
    }
    if (loop->backlog)
        sent |= pump_backlog(loop, 0);
    rc = outward_pump(loop->outward, loop->now_ms);
    if (rc == -EAGAIN)
        loop->retry_ms = loop->now_ms + RETRY_MS;
    return sent > 0 || rc > 0;
}

void loop_settle(struct loop *loop)
{
    loop_settle_ledgers(loop);
    loss_report_check(loop->loss_report, loop->now_ms, report_loss, NULL);
}

/* Whether the replaced segments have served their time. */
static void check_former(struct loop *loop)
{
    if (!loop->former || loop->now_ms < loop->old_ms)
        return;
    loop->old_ms = loop->now_ms + OLD_CHECK_MS;
    if (!former_finish(loop->former))
        return;
    former_destroy(loop->former);
    loop->former = NULL;
    outward_unbound(loop->outward);
    log_write(LOG_LEVEL_INFO, "replaced segment drained: name=%s", loop->config->segment);
}

static void publish_stats(struct loop *loop)
{
    size_t length = counters_json(&loop->segment, loop->config->segment, loop->stats, loop->stats_size);

    if (length >= loop->stats_size) {
        char *larger = realloc(loop->stats, length + 1024);

        if (!larger)
            return;
        loop->stats = larger;
        loop->stats_size = length + 1024;
        length = counters_json(&loop->segment, loop->config->segment, loop->stats, loop->stats_size);
    }
    if (length < loop->stats_size)
        connection_publish_stats(loop->connection, loop->stats, length);
}

/* Show how long messages take, once a second while there are any, over windows of a minute. */
static void show_latency(struct loop *loop)
{
    int clear = loop->now_ms >= loop->latency_window_ms;

    if (loop->now_ms < loop->latency_ms)
        return;
    loop->latency_ms = loop->now_ms + LATENCY_SHOW_MS;
    loop->latency_stale = 0;
    outward_show_latency(loop->outward, clear);
    if (clear)
        loop->latency_window_ms = loop->now_ms + LATENCY_WINDOW_MS;
}

static void do_timers(struct loop *loop)
{
    show_latency(loop);
    connection_step(loop->connection, loop->now_ms);
    check_former(loop);
    drain_show(&loop->drain, loop->spool, connection_is_up(loop->connection), loop->now_ms);
    if (loop->config->stats_interval_ms > 0 && connection_is_up(loop->connection) && loop->now_ms >= loop->stats_ms) {
        loop->stats_ms = loop->now_ms + loop->config->stats_interval_ms;
        publish_stats(loop);
    }
    if (loop->watchdog_interval_ms > 0 && loop->now_ms >= loop->watchdog_ms) {
        loop->watchdog_ms = loop->now_ms + loop->watchdog_interval_ms;
        notify_watchdog();
    }
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t loop_deadline_ms(const struct loop *loop)
{
    uint64_t deadline = earlier(connection_deadline_ms(loop->connection), loss_report_deadline_ms(loop->loss_report));

    if (loop->config->stats_interval_ms > 0 && connection_is_up(loop->connection))
        deadline = earlier(deadline, loop->stats_ms);
    if (loop->watchdog_interval_ms > 0)
        deadline = earlier(deadline, loop->watchdog_ms);
    if (loop->former)
        deadline = earlier(deadline, loop->old_ms);
    if (loop->retry_ms > loop->now_ms)
        deadline = earlier(deadline, loop->retry_ms);
    /* With a former segment nothing is held. */
    if (connection_is_up(loop->connection) && !loop->former && loop->now_ms >= loop->retry_ms)
        deadline = earlier(deadline, outward_deadline_ms(loop->outward));
    if (loop->latency_stale)
        deadline = earlier(deadline, loop->latency_ms);
    if (loop->spool)
        deadline = earlier(deadline, spool_deadline_ms(loop->spool));
    if (loop->spool && !connection_is_up(loop->connection))
        deadline = earlier(deadline, loop->outage_ms);
    return earlier(deadline, drain_deadline_ms(&loop->drain));
}

int loop_turn(struct loop *loop)
{
    int worked;

    loop->now_ms = platform_monotonic_ns() / 1000000;
    worked = loop_take_events(loop);
    worked |= outward_collect(loop->outward);
    worked |= spool_work(loop);
    worked |= pump(loop);
    loop->latency_stale |= worked;
    loop_settle(loop);
    do_timers(loop);
    return worked;
}
