/* loop_turn.c: one turn of the gateway's loop.
 *
 *   1. let the transport take what its threads have left: answers, ups and downs; and do what is due: connect
 *   2. take the lanes' word that they have news, wake their local readers
 *   3. move to the spool what the rings cannot keep
 *   4. send, as far as the window and the transport allow
 *   5. write the ledgers: slots become free, counters become visible
 *   6. do what is due: publish the statistics, feed the watchdog
 * Each step is bounded, whatever the segment says, and so is each wait of the loop's thread but the last:
 *
 *   the doorbell          until the next deadline (loop_rest.c)
 *   the log               20 ms in a burst, 1 s at the end; 0.2 s when it is stuck (log_writer.h)
 *   the service manager   not at all: what it does not take is given up (notify.h)
 *   the metrics' thread   for the answer that it builds, when [metrics] or the segment changes (metrics.h)
 *   Paho's lock           while a connection is up: nobody holds it long; otherwise a thread waits, and the end for
 * that 1.2 s (mqtt_client.c) the group's name      2 s, at a start and a reload (group_lookup.h) files regular ones
 * only: no FIFO is waited for (config_reader.c, config.c, tls_files.c) another SQLite user   20 ms (spool_file.c) the
 * disk              as long as it takes for one sync: a disk that hangs, hangs the spool's channels and the rest
 */
#include <errno.h>
#include <stdlib.h>

#include "loop/loop_internal.h"
#include "observe/log.h"
#include "observe/notify.h"
#include "shm/counters.h"
#include "shm/platform.h"

#define RETIRED_CHECK_MS 200 /* how often to look whether the writers have left a replaced segment */
#define LATENCY_SHOW_MS 1000
#define TAILS_CHECK_MS 1000     /* when there is a turn anyway: nobody is woken for it */
#define LATENCY_WINDOW_MS 60000 /* latencies are those of the present window, or of the last one that had messages */

__attribute__((format(printf, 2, 0))) static void report_loss(void *context, const char *format, va_list arguments)
{
    (void)context;
    log_write_list(LOG_LEVEL_WARNING, format, arguments);
}

/* ---- The transport ---- */

void loop_answered(void *context, uint64_t token, enum transport_answer answer, uint64_t time_ns)
{
    struct loop *loop = context;

    loop->answered = 1;
    sender_answered(loop->sender, token, answer, time_ns);
}

static int is_up(const struct loop *loop)
{
    return loop->transport->type->is_up(loop->transport);
}

void loop_show_link(struct loop *loop)
{
    ring_set_link(loop->segment.header, is_up(loop) ? LAYOUT_LINK_UP : LAYOUT_LINK_DOWN, platform_time_ns());
}

void loop_transport_changed(void *context)
{
    struct loop *loop = context;

    loop->answered = 1;
    sender_transport_changed(loop->sender);
    loop_show_link(loop);
}

int loop_step_transport(struct loop *loop)
{
    return loop->transport->type->step(loop->transport, loop->now_ms);
}

/* ---- The spool ---- */

void loop_spool_changed(struct loop *loop)
{
    publish_spool_changed(loop->publish);
    loss_report_suspect(loop->loss_report);
    if (spool_state(loop->spool) != loop->spool_state) {
        loop->spool_state = spool_state(loop->spool);
        loop->stats_ms = 0;
    }
}

/* Move to the disk what the rings cannot keep. Returns whether there was anything to do. */
static int step_spool(struct loop *loop)
{
    int worked;

    if (!loop->spool)
        return 0;
    if (is_up(loop)) {
        loop->outage_ms = loop->now_ms + loop->config->spool_interval_ms;
    } else if (loop->now_ms >= loop->outage_ms) {
        /* In an outage the power may fail as well: what waits goes to the disk though the rings could hold it. */
        loop->outage_ms = loop->now_ms + loop->config->spool_interval_ms;
        publish_spill_all(loop->publish);
    }
    worked = publish_spill(loop->publish);
    worked |= spool_step(loop->spool, loop->now_ms, platform_time_ns());
    if (worked || spool_state(loop->spool) != loop->spool_state)
        loop_spool_changed(loop);
    return worked;
}

/* ---- What is shown ---- */

void loop_flush_ledgers(struct loop *loop)
{
    if (publish_flush_ledgers(loop->publish) | subscribe_dropped(loop->subscribe))
        loss_report_suspect(loop->loss_report);
}

void loop_flush(struct loop *loop)
{
    loop_flush_ledgers(loop);
    loss_report_check(loop->loss_report, loop->now_ms, report_loss, NULL);
}

/* Whether the replaced segments have served their time. */
static void check_retired(struct loop *loop)
{
    if (!publish_has_retired(loop->publish) || loop->now_ms < loop->retired_ms)
        return;
    loop->retired_ms = loop->now_ms + RETIRED_CHECK_MS;
    if (publish_finish_retired(loop->publish))
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
        loop->transport->type->publish_stats(loop->transport, loop->stats, length);
}

/* Show how long messages take, once a second while there are any, over windows of a minute. */
static void show_latency(struct loop *loop)
{
    int clear = loop->now_ms >= loop->latency_window_ms;

    if (loop->now_ms < loop->latency_ms)
        return;
    loop->latency_ms = loop->now_ms + LATENCY_SHOW_MS;
    loop->latency_stale = 0;
    publish_show_latency(loop->publish, clear);
    if (clear)
        loop->latency_window_ms = loop->now_ms + LATENCY_WINDOW_MS;
}

static void do_timers(struct loop *loop)
{
    show_latency(loop);
    check_retired(loop);
    if (loop->now_ms >= loop->tails_ms) {
        loop->tails_ms = loop->now_ms + TAILS_CHECK_MS;
        publish_check_tails(loop->publish);
    }
    replay_progress_show(&loop->replay_progress, loop->spool, is_up(loop), loop->now_ms);
    if (loop->config->stats_interval_ms > 0 && is_up(loop) && loop->now_ms >= loop->stats_ms) {
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
    uint64_t deadline = earlier(loop->transport->type->deadline_ms(loop->transport),
                                loss_report_deadline_ms(loop->loss_report));

    if (loop->config->stats_interval_ms > 0 && is_up(loop))
        deadline = earlier(deadline, loop->stats_ms);
    if (loop->watchdog_interval_ms > 0)
        deadline = earlier(deadline, loop->watchdog_ms);
    if (publish_has_retired(loop->publish))
        deadline = earlier(deadline, loop->retired_ms);
    deadline = earlier(deadline, sender_deadline_ms(loop->sender, loop->now_ms));
    if (loop->latency_stale)
        deadline = earlier(deadline, loop->latency_ms);
    if (loop->spool)
        deadline = earlier(deadline, spool_deadline_ms(loop->spool));
    if (loop->spool && !is_up(loop))
        deadline = earlier(deadline, loop->outage_ms);
    return earlier(deadline, replay_progress_deadline_ms(&loop->replay_progress));
}

int loop_turn(struct loop *loop)
{
    int worked;

    loop->now_ms = platform_monotonic_ns() / 1000000;
    worked = loop_step_transport(loop);
    worked |= publish_poll_dirty(loop->publish);
    worked |= step_spool(loop);
    worked |= sender_send_ready(loop->sender, loop->now_ms) > 0;
    loop->latency_stale |= worked;
    loop_flush(loop);
    do_timers(loop);
    /* Only another program can have said that it was replaced; those who are attached look each second until then. */
    ring_revive(loop->segment.header);
    return worked;
}
