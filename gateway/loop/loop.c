/* loop.c: the gateway at work: turns (loop_turn.c) for as long as there is something to do, rest in between, reloads,
 * the end.
 *
 * When a turn found nothing to do, the loop says that it sleeps, looks once more, and waits on the doorbell.
 */
#include "loop/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "config/config_diff.h"
#include "loop/loop_internal.h"
#include "observe/log.h"
#include "observe/notify.h"
#include "shm/platform.h"

#define STOP_MS 5000 /* an orderly stop waits that long for the broker's answers; what has none stays in the ring */
#define PATIENCE_MS \
    3 /* a rest that waits for several answers is no longer than this, and no shorter than a millisecond less */
#define DISCONNECT_MS 1000

static _Atomic(struct segment *) ringing; /* whose doorbell a signal handler rings */
static atomic_int stop_wanted, reload_wanted;

void loop_signal(int signal_number)
{
    struct segment *segment = atomic_load(&ringing);

    atomic_store(signal_number == SIGHUP ? &reload_wanted : &stop_wanted, 1);
    if (segment)
        segment_wake_gateway(segment);
}

void loop_report_fault(void *context, const char *file, unsigned line, const char *message)
{
    (void)context;
    if (line > 0)
        log_write(LOG_LEVEL_ERROR, "%s:%u: %s", file, line, message);
    else
        log_write(LOG_LEVEL_ERROR, "%s: %s", file, message);
}

/* ---- Rest ---- */

/* Wait until there is something to do, or the deadline. */
static void rest(struct loop *loop, uint64_t deadline_ms)
{
    const struct segment *segment = &loop->segment;

    ring_sleep(segment->header);
    if (!ring_any_dirty(segment->dirty, segment->layout.dirty_words) && !event_queue_pending(loop->queue) &&
        !atomic_load(&stop_wanted) && !atomic_load(&reload_wanted))
        platform_doorbell_wait(segment->doorbell,
                               deadline_ms < UINT64_MAX / 1000000 ? deadline_ms * 1000000 : UINT64_MAX);
    ring_wake(segment->header);
}

/* The window, or the backlog's part of it, is full, and answers are coming: wait for half of them. Little could be sent
 * for a single one, and each wake-up costs two switches between threads. With the window full writers are not told of
 * this rest: what they write must wait in any case. It is short, so that neither a local reader nor the spool waits
 * long; and when it brings nothing the next one is a common one. */
static void rest_patiently(struct loop *loop)
{
    event_queue_set_coalesce_count(loop->queue, loop->flight.used / 2);
    loop->answered = 0;
    if (flight_is_full(&loop->flight)) {
        atomic_store(&loop->patient, 1);
        if (!event_queue_pending(loop->queue))
            platform_doorbell_wait(loop->segment.doorbell, (loop->now_ms + PATIENCE_MS) * 1000000);
        atomic_store(&loop->patient, 0);
    } else {
        rest(loop, loop->now_ms + PATIENCE_MS);
    }
    event_queue_set_coalesce_count(loop->queue, 1);
}

/* Whether nothing, or only what is new, can be sent before answers come; and they come. */
static int may_be_patient(const struct loop *loop)
{
    return loop->answered && connection_is_up(loop->connection) &&
           (flight_is_full(&loop->flight) || (loop->backlog && backlog_is_full(loop->backlog)));
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
    while (connection_is_up(loop->connection) && (connection_closing(loop->connection) || loop->flight.used > 0) &&
           loop->now_ms < deadline_ms) {
        ring_sleep(loop->segment.header);
        if (!event_queue_pending(loop->queue))
            platform_doorbell_wait(loop->segment.doorbell, deadline_ms * 1000000);
        ring_wake(loop->segment.header);
        loop->now_ms = platform_monotonic_ns() / 1000000;
        loop_take_events(loop);
        loop_settle(loop);
    }
    return loop->flight.used == 0;
}

/* Send what waits, publish "offline", let the messages in flight be answered, and close the connection. */
static void finish(struct loop *loop)
{
    if (!connection_is_up(loop->connection))
        return;
    loop->now_ms = platform_monotonic_ns() / 1000000;
    /* Samples that wait for others wait no longer. */
    outward_collect(loop->outward);
    if (!loop->former)
        outward_pump(loop->outward, UINT64_MAX);
    connection_say_offline(loop->connection);
    land(loop, loop->now_ms + STOP_MS);
    connection_disconnect(loop->connection, DISCONNECT_MS);
}

/* Keep the running configuration. Returns what serve goes on with. */
static enum loop_end refuse_reload(const struct loop *loop)
{
    log_write(LOG_LEVEL_ERROR, "could not reload %s: the running configuration stays as it is", loop->config->path);
    notify_ready("reload failed: see the log; serving the former configuration");
    return LOOP_STOPPED;
}

/* Answer SIGHUP. Returns LOOP_STOPPED to go on serving; LOOP_RELOAD, and *next holds what to begin anew with;
 * LOOP_AGAIN. */
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
    if (change >= CONFIG_RELOAD_RECONNECT || !connection_can_take(loop->connection, next) ||
        !land(loop, loop->now_ms + STOP_MS))
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

/* The machine may be about to go off, and the shared memory with it: what channels with a spool still have goes to the
 * disk. */
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
    loop_spool_changed(loop);
}

static enum loop_end serve(struct loop *loop, struct config *next)
{
    enum loop_end end;

    for (;;) {
        int worked = loop_turn(loop);

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
        if (connection_refused(loop->connection))
            return LOOP_FAILED;
        if (!worked && may_be_patient(loop))
            rest_patiently(loop);
        else if (!worked)
            rest(loop, loop_deadline_ms(loop));
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
