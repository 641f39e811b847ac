/* loop.c: the gateway at work: turns (loop_turn.c) for as long as there is something to do, rest in between
 * (loop_rest.c), reloads, the end. */
#include "loop/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "config/config_diff.h"
#include "loop/loop_internal.h"
#include "mqtt/mqtt_transport.h"
#include "observe/log.h"
#include "observe/notify.h"
#include "shm/platform.h"

/* An orderly stop takes five seconds at the most: */
#define STOP_MS 2500 /* for the other side's answers; what has none stays in the ring */
#define SAVE_MS 800  /* for moving messages to the disk */
#define DISCONNECT_MS 300

static _Atomic(struct segment *) ringing; /* whose doorbell a signal handler rings */
static atomic_int stop_wanted, reload_wanted, names_changed;

void loop_signal(int signal_number)
{
    struct segment *segment = atomic_load(&ringing);

    atomic_store(signal_number == SIGHUP ? &reload_wanted : &stop_wanted, 1);
    if (segment)
        segment_wake_gateway(segment);
}

/* On the thread that watches the names. */
static void change_names(void *context)
{
    atomic_store(&names_changed, 1);
    loop_wake(context);
}

void loop_report_fault(void *context, const char *file, unsigned line, const char *message)
{
    (void)context;
    if (line > 0)
        log_write(LOG_LEVEL_ERROR, "%s:%u: %s", file, line, message);
    else
        log_write(LOG_LEVEL_ERROR, "%s: %s", file, message);
}

void loop_log_warnings(const struct config *config)
{
    for (size_t i = 0; i < config->warning_count; i++)
        log_write(LOG_LEVEL_WARNING, "%s", config->warnings[i]);
}

int loop_is_left_behind(void)
{
    return mqtt_transport_is_left_behind();
}

static int is_wanted(void)
{
    return atomic_load(&stop_wanted) || atomic_load(&reload_wanted) || atomic_load(&names_changed);
}

static void log_change(void *context, const char *line)
{
    (void)context;
    log_write(LOG_LEVEL_INFO, "reload: changed: %s", line);
}

static int is_up(const struct loop *loop)
{
    return loop->transport->type->is_up(loop->transport);
}

/* Let the messages in flight be answered. Returns whether they all were. */
static int wait_for_answers(struct loop *loop, uint64_t deadline_ms)
{
    while (is_up(loop) && loop->now_ms < deadline_ms &&
           (loop->transport->type->is_saying_goodbye(loop->transport) || sender_in_flight(loop->sender) > 0)) {
        loop_rest_for_transport(loop, deadline_ms);
        loop->now_ms = platform_monotonic_ns() / 1000000;
        loop_step_transport(loop);
        loop_flush(loop);
    }
    return sender_in_flight(loop->sender) == 0;
}

/* Send what waits, say goodbye, let the messages in flight be answered, and close the connection. */
static void finish(struct loop *loop)
{
    if (!is_up(loop))
        return;
    loop->now_ms = platform_monotonic_ns() / 1000000;
    /* Samples that wait for others wait no longer. */
    publish_poll_dirty(loop->publish);
    sender_send_ready(loop->sender, UINT64_MAX);
    loop->transport->type->say_goodbye(loop->transport);
    wait_for_answers(loop, loop->now_ms + STOP_MS);
    loop->transport->type->close(loop->transport, DISCONNECT_MS);
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
    loop_log_warnings(next);
    /* First, as it can fail and be taken back: whoever goes back to the former configuration serves that again. */
    if (loop_serve_metrics(loop, next) < 0) {
        config_free(next);
        return refuse_reload(loop);
    }
    change = config_diff(loop->config, next, log_change, NULL);
    log_write(LOG_LEVEL_INFO, "reload: %s read%s", loop->config->path, change == 0 ? ": nothing has changed" : "");
    if (change == 0) {
        config_free(next);
        notify_ready(NULL);
        return LOOP_STOPPED;
    }
    loop->now_ms = platform_monotonic_ns() / 1000000;
    /* What flies belongs to the lanes as they are: it is answered first. A broker that does not answer is left. */
    if (change >= CONFIG_RELOAD_RECONNECT || !loop->transport->type->can_take(loop->transport, next) ||
        !wait_for_answers(loop, loop->now_ms + STOP_MS))
        return LOOP_RELOAD;
    atomic_store(&ringing, NULL);
    if (loop_change(loop, next) < 0) {
        log_write(LOG_LEVEL_ERROR, "could not reload %s: going back to the former configuration", loop->config->path);
        config_free(next);
        return LOOP_AGAIN;
    }
    atomic_store(&ringing, &loop->segment);
    loop->stats_ms = 0;
    notify_ready(NULL);
    return LOOP_STOPPED;
}

/* Something has happened to the names of segment and semaphore: put them back if they are gone. Returns LOOP_STOPPED to
 * go on serving, or LOOP_AGAIN. */
static enum loop_end put_names_back(struct loop *loop)
{
    atomic_store(&names_changed, 0);
    if (segment_has_names(&loop->segment))
        return LOOP_STOPPED;
    loop->now_ms = platform_monotonic_ns() / 1000000;
    if (is_up(loop) && !wait_for_answers(loop, loop->now_ms + STOP_MS))
        return LOOP_AGAIN;
    atomic_store(&ringing, NULL);
    if (loop_serve_anew(loop) < 0)
        return LOOP_AGAIN;
    atomic_store(&ringing, &loop->segment);
    loop->stats_ms = 0;
    return LOOP_STOPPED;
}

/* The machine may be about to go off, and the shared memory with it: what channels with a spool still have goes to the
 * disk. What is written meanwhile can wait for the next start: a writer that is as fast as the disk must not keep us.
 */
static void save_rings(struct loop *loop)
{
    uint64_t deadline_ms = platform_monotonic_ns() / 1000000 + SAVE_MS;

    if (!loop->spool)
        return;
    publish_poll_dirty(loop->publish);
    publish_spill_all(loop->publish);
    while (publish_spill(loop->publish) && platform_monotonic_ns() / 1000000 < deadline_ms)
        publish_spill_all(loop->publish);
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
        if (atomic_load(&names_changed) && (end = put_names_back(loop)) != LOOP_STOPPED)
            return end;
        if (loop->transport->type->is_refused(loop->transport))
            return LOOP_FAILED;
        if (!worked && loop_may_be_patient(loop))
            loop_rest_patiently(loop, is_wanted);
        else if (!worked)
            loop_rest(loop, loop_deadline_ms(loop), is_wanted);
    }
}

enum loop_end loop_run(struct config *config, struct config *next, struct metrics *metrics)
{
    struct loop loop = {.config = config, .metrics = metrics, .segment.fd = -1};
    enum loop_end end = LOOP_UNABLE;
    int rc = loop_names_create(&loop.names, change_names, &loop);

    if (rc < 0)
        log_write(LOG_LEVEL_WARNING, "could not watch the segment's name: %s: nobody notices when it is removed",
                  strerror(-rc));
    if (loop_open(&loop) == 0 && loop_serve_metrics(&loop, config) == 0) {
        atomic_store(&ringing, &loop.segment);
        loop.watchdog_interval_ms = notify_watchdog_interval_ms();
        notify_ready("serving; not connected to the broker yet");
        end = serve(&loop, next);
    }
    atomic_store(&ringing, NULL);
    loop_names_destroy(loop.names);
    loop.names = NULL;
    loop_close(&loop, end == LOOP_FAILED || end == LOOP_UNABLE);
    if (end == LOOP_STOPPED)
        log_write(LOG_LEVEL_INFO, "stopped: segment=%s stays for the next start", config->segment);
    return end;
}
