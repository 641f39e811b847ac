/* loop.c: the gateway at work.
 *
 * One turn of the loop:
 *   1. take the events that the MQTT client's threads left in the mailbox: answers, the link's ups and downs
 *   2. take the lanes' word that they have news, wake their local readers
 *   3. move to the spool what the rings cannot keep
 *   4. send, as far as the window and the broker allow
 *   5. write the ledgers: slots become free, counters become visible
 *   6. do what is due: connect, publish the statistics, feed the watchdog
 * When a turn found nothing to do, the loop says that it sleeps, looks once more, and waits on the doorbell.
 */
#include "loop.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "config_diff.h"
#include "counters.h"
#include "log.h"
#include "loop_parts.h"
#include "notify.h"
#include "platform.h"

#define EVENTS 32                /* taken from the mailbox at a time */
#define STOP_MS 5000             /* an orderly stop waits that long for the broker's answers; what has none stays in the ring */
#define OLD_CHECK_MS 200         /* how often to look whether the writers have left a replaced segment */
#define LATENCY_SHOW_MS 1000
#define LATENCY_WINDOW_MS 60000   /* latencies are those of the present window, or of the last one that had messages */
#define PATIENCE_MS 3            /* a rest that waits for several answers is no longer than this, and no shorter than a millisecond less */
#define RETRY_MS 20              /* when the MQTT client takes no more for reasons of its own */
#define DISCONNECT_MS 1000

static _Atomic(struct segment *) ringing; /* whose doorbell a signal handler rings */
static atomic_int stop_wanted, reload_wanted;

void loop_signal(int signal_number)
{
    struct segment *segment = atomic_load(&ringing);

    atomic_store(signal_number == SIGHUP ? &reload_wanted : &stop_wanted, 1);
    if (segment)
        segment_summon_gateway(segment);
}

void loop_report_fault(void *context, const char *file, unsigned line, const char *message)
{
    (void)context;
    if (line > 0)
        log_write(LOG_LEVEL_ERROR, "%s:%u: %s", file, line, message);
    else
        log_write(LOG_LEVEL_ERROR, "%s: %s", file, message);
}

__attribute__((format(printf, 2, 0))) static void report_loss(void *context, const char *format, va_list arguments)
{
    (void)context;
    log_write_list(LOG_LEVEL_WARNING, format, arguments);
}

/* ---- One turn ---- */

static enum flight_answer answer_of(enum mailbox_kind kind)
{
    return kind == MAILBOX_DELIVERED ? FLIGHT_DELIVERED : kind == MAILBOX_REFUSED ? FLIGHT_REFUSED : FLIGHT_FAILED;
}

static void handle_event(struct loop *loop, const struct mailbox_event *event)
{
    switch (event->kind) {
    case MAILBOX_DELIVERED:
    case MAILBOX_FAILED:
    case MAILBOX_REFUSED:
        if (!flight_answer(&loop->flight, event->token, answer_of(event->kind), event->time_ns))
            link_event(loop->link, event, loop->now_ms);
        break;
    default:
        link_event(loop->link, event, loop->now_ms);
        flight_set_limit(&loop->flight, link_window(loop->link));
        ring_set_link(loop->segment.header, link_up(loop->link) ? LAYOUT_LINK_UP : LAYOUT_LINK_DOWN, platform_time_ns());
        loop->retry_ms = 0;
    }
}

static int take_events(struct loop *loop)
{
    struct mailbox_event events[EVENTS];
    size_t count = mailbox_take(loop->mailbox, events, EVENTS);

    for (size_t i = 0; i < count; i++)
        handle_event(loop, &events[i]);
    loop->answered |= count > 0;
    return count > 0;
}

/* The spool's counts have changed: they are part of the ledgers. */
static void spool_changed(struct loop *loop)
{
    outward_spool_changed(loop->outward);
    if (loop->former)
        former_spool_changed(loop->former);
    backlog_settle(loop->backlog);
    losses_suspect(loop->losses);
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
    if (link_up(loop->link)) {
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
        spool_changed(loop);
    return worked;
}

/* Send from the spool, in the order of writing: what is in it comes before what is in the rings. `earlier`: only what was written into segments of before. */
static int pump_backlog(struct loop *loop, int earlier)
{
    int rc = earlier ? backlog_pump_earlier(loop->backlog) : backlog_pump(loop->backlog);

    if (rc == -EAGAIN)
        loop->retry_ms = loop->now_ms + RETRY_MS;
    if (rc > 0)
        outward_collect_all(loop->outward);
    return rc > 0;
}

/* Send what the broker will take. A replaced segment goes first: what a writer wrote there comes before what it writes here. */
static int pump(struct loop *loop)
{
    int sent = 0, rc;

    if (!link_up(loop->link) || loop->now_ms < loop->retry_ms)
        return 0;
    if (loop->former) {
        /* How far the present lanes are is noted first: what a writer wrote into a former segment before that is in it by then. */
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

static void settle(struct loop *loop)
{
    loop_settle_ledgers(loop);
    losses_check(loop->losses, loop->now_ms, report_loss, NULL);
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
        link_publish_stats(loop->link, loop->stats, length);
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
    link_step(loop->link, loop->now_ms);
    check_former(loop);
    drain_show(&loop->drain, loop->spool, link_up(loop->link), loop->now_ms);
    if (loop->config->stats_interval_ms > 0 && link_up(loop->link) && loop->now_ms >= loop->stats_ms) {
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

static uint64_t next_deadline_ms(const struct loop *loop)
{
    uint64_t deadline = earlier(link_deadline_ms(loop->link), losses_deadline_ms(loop->losses));

    if (loop->config->stats_interval_ms > 0 && link_up(loop->link))
        deadline = earlier(deadline, loop->stats_ms);
    if (loop->watchdog_interval_ms > 0)
        deadline = earlier(deadline, loop->watchdog_ms);
    if (loop->former)
        deadline = earlier(deadline, loop->old_ms);
    if (loop->retry_ms > loop->now_ms)
        deadline = earlier(deadline, loop->retry_ms);
    /* With a former segment nothing is held. */
    if (link_up(loop->link) && !loop->former && loop->now_ms >= loop->retry_ms)
        deadline = earlier(deadline, outward_deadline_ms(loop->outward));
    if (loop->latency_stale)
        deadline = earlier(deadline, loop->latency_ms);
    if (loop->spool)
        deadline = earlier(deadline, spool_deadline_ms(loop->spool));
    if (loop->spool && !link_up(loop->link))
        deadline = earlier(deadline, loop->outage_ms);
    return earlier(deadline, drain_deadline_ms(&loop->drain));
}

/* Returns whether there was anything to do. */
static int turn(struct loop *loop)
{
    int worked;

    loop->now_ms = platform_monotonic_ns() / 1000000;
    worked = take_events(loop);
    worked |= outward_collect(loop->outward);
    worked |= spool_work(loop);
    worked |= pump(loop);
    loop->latency_stale |= worked;
    settle(loop);
    do_timers(loop);
    return worked;
}

/* The window is full, and answers are coming: wait for half of them. Nothing could be sent for a single one, and each wake-up costs two switches between threads. The
 * writers are not told of this rest: what they write must wait in any case. It is short, so that neither a local reader nor the spool waits long; and when it brings
 * nothing the next one is a common one. */
static void rest_patiently(struct loop *loop)
{
    mailbox_set_patience(loop->mailbox, loop->flight.used / 2);
    atomic_store(&loop->patient, 1);
    loop->answered = 0;
    if (!mailbox_pending(loop->mailbox))
        platform_doorbell_wait(loop->segment.doorbell, (loop->now_ms + PATIENCE_MS) * 1000000);
    atomic_store(&loop->patient, 0);
    mailbox_set_patience(loop->mailbox, 1);
}

/* Wait until there is something to do, or the deadline. */
static void rest(struct loop *loop, uint64_t deadline_ms)
{
    const struct segment *segment = &loop->segment;

    ring_sleep(segment->header);
    if (!ring_any_dirty(segment->dirty, segment->layout.dirty_words) && !mailbox_pending(loop->mailbox) &&
        !atomic_load(&stop_wanted) && !atomic_load(&reload_wanted))
        platform_doorbell_wait(segment->doorbell, deadline_ms < UINT64_MAX / 1000000 ? deadline_ms * 1000000 : UINT64_MAX);
    ring_wake(segment->header);
}

/* ---- The whole ---- */

static void log_change(void *context, const char *line)
{
    (void)context;
    log_write(LOG_LEVEL_INFO, "reload: changed: %s", line);
}

/* Let the messages in flight be answered. Returns whether they all were. */
static int land(struct loop *loop, uint64_t deadline_ms)
{
    while (link_up(loop->link) && (link_closing(loop->link) || loop->flight.used > 0) && loop->now_ms < deadline_ms) {
        ring_sleep(loop->segment.header);
        if (!mailbox_pending(loop->mailbox))
            platform_doorbell_wait(loop->segment.doorbell, deadline_ms * 1000000);
        ring_wake(loop->segment.header);
        loop->now_ms = platform_monotonic_ns() / 1000000;
        take_events(loop);
        settle(loop);
    }
    return loop->flight.used == 0;
}

/* Send what waits, publish "offline", let the messages in flight be answered, and close the connection. */
static void finish(struct loop *loop)
{
    if (!link_up(loop->link))
        return;
    loop->now_ms = platform_monotonic_ns() / 1000000;
    /* Samples that wait for others wait no longer. */
    outward_collect(loop->outward);
    if (!loop->former)
        outward_pump(loop->outward, UINT64_MAX);
    link_say_offline(loop->link);
    land(loop, loop->now_ms + STOP_MS);
    link_disconnect(loop->link, DISCONNECT_MS);
}

/* Keep the running configuration. Returns what serve goes on with. */
static enum loop_end refuse_reload(const struct loop *loop)
{
    log_write(LOG_LEVEL_ERROR, "could not reload %s: the running configuration stays as it is", loop->config->path);
    notify_ready("reload failed: see the log; serving the former configuration");
    return LOOP_STOPPED;
}

/* Answer SIGHUP. Returns LOOP_STOPPED to go on serving; LOOP_RELOAD, and *next holds what to begin anew with; LOOP_AGAIN. */
static enum loop_end reload(struct loop *loop, struct config *next)
{
    int change;

    atomic_store(&reload_wanted, 0);
    notify_reloading();
    if (config_load(next, loop->config->path, loop_report_fault, NULL) < 0)
        return refuse_reload(loop);
    /* First, as it can fail and be taken back: whoever goes back to the former configuration serves that again. */
    if (loop_serve_metrics(loop, next) < 0) {
        config_free(next);
        return refuse_reload(loop);
    }
    change = config_diff(loop->config, next, log_change, NULL);
    log_write(LOG_LEVEL_INFO, "reload: %s read%s", loop->config->path, change == 0 ? ": nothing has changed" : "");
    if (change == 0) {
        config_free(next);
        notify_ready("serving");
        return LOOP_STOPPED;
    }
    loop->now_ms = platform_monotonic_ns() / 1000000;
    /* What flies belongs to the lanes as they are: it is answered first. A broker that does not answer is left. */
    if (change >= CONFIG_RELOAD_RECONNECT || !link_can_take(loop->link, next) || !land(loop, loop->now_ms + STOP_MS))
        return LOOP_RELOAD;
    atomic_store(&ringing, NULL);
    if (loop_change(loop, next) < 0) {
        log_write(LOG_LEVEL_ERROR, "could not reload %s: going back to the former configuration", loop->config->path);
        config_free(next);
        return LOOP_AGAIN;
    }
    atomic_store(&ringing, &loop->segment);
    loop->stats_ms = 0;
    notify_ready("serving");
    return LOOP_STOPPED;
}

/* The machine may be about to go off, and the shared memory with it: what channels with a spool still have goes to the disk. */
static void save_rings(struct loop *loop)
{
    int taken = 1;

    if (!loop->spool)
        return;
    while (taken) {
        outward_collect(loop->outward);
        outward_take_all(loop->outward);
        taken = outward_take(loop->outward);
        if (loop->former)
            taken |= former_take(loop->former);
    }
    spool_commit(loop->spool);
    spool_changed(loop);
}

static enum loop_end serve(struct loop *loop, struct config *next)
{
    enum loop_end end;

    for (;;) {
        int worked = turn(loop);

        if (atomic_load(&stop_wanted)) {
            notify_stopping();
            finish(loop);
            save_rings(loop);
            return LOOP_STOPPED;
        }
        if (atomic_load(&reload_wanted)) {
            if ((end = reload(loop, next)) == LOOP_RELOAD)
                finish(loop);
            if (end != LOOP_STOPPED)
                return end;
        }
        if (link_refused(loop->link))
            return LOOP_FAILED;
        if (!worked && loop->answered && link_up(loop->link) && flight_is_full(&loop->flight))
            rest_patiently(loop);
        else if (!worked)
            rest(loop, next_deadline_ms(loop));
    }
}

enum loop_end loop_run(struct config *config, struct config *next, struct metrics *metrics)
{
    struct loop loop = {.config = config, .metrics = metrics, .segment.fd = -1};
    enum loop_end end = LOOP_UNABLE;

    for (int i = 0; i < SEGMENT_OLD_MAX; i++)
        loop.olds[i].fd = -1;
    if (loop_open(&loop) == 0 && loop_serve_metrics(&loop, config) == 0) {
        atomic_store(&ringing, &loop.segment);
        loop.watchdog_interval_ms = notify_watchdog_interval_ms();
        notify_ready("serving");
        end = serve(&loop, next);
    }
    atomic_store(&ringing, NULL);
    loop_close(&loop, end == LOOP_FAILED || end == LOOP_UNABLE);
    if (end == LOOP_STOPPED)
        log_write(LOG_LEVEL_INFO, "stopped: segment=%s stays for the next start", config->segment);
    return end;
}
