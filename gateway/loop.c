/* loop.c: the gateway at work.
 *
 * One turn of the loop:
 *   1. take the events that the MQTT client's threads left in the mailbox: answers, the link's ups and downs
 *   2. take the lanes' word that they have news, wake their local readers
 *   3. send, as far as the window and the broker allow
 *   4. write the ledgers: slots become free, counters become visible
 *   5. do what is due: connect, publish the statistics, feed the watchdog
 * When a turn found nothing to do, the loop says that it sleeps, looks once more, and waits on the doorbell.
 */
#include "loop.h"

#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "counters.h"
#include "flight.h"
#include "former.h"
#include "inward.h"
#include "link.h"
#include "log.h"
#include "losses.h"
#include "mailbox.h"
#include "notify.h"
#include "outward.h"
#include "plan.h"
#include "platform.h"
#include "segment.h"

#define EVENTS 32                /* taken from the mailbox at a time */
#define STOP_MS 5000             /* an orderly stop waits that long for the broker's answers; what has none stays in the ring */
#define OLD_CHECK_MS 200         /* how often to look whether the writers have left a replaced segment */
#define RETRY_MS 20              /* when the MQTT client takes no more for reasons of its own */
#define DISCONNECT_MS 1000

static _Atomic(struct segment *) ringing; /* whose doorbell a signal handler rings */
static atomic_int stop_wanted, reload_wanted;

struct loop {
    const struct config *config;
    struct plan plan;
    struct segment segment, olds[SEGMENT_OLD_MAX];
    int created;                    /* 1: this run made the segment */
    struct mailbox *mailbox;
    struct flight flight;
    struct outward *outward;
    struct former *former;          /* of `olds`; NULL: nothing to drain */
    struct inward *inward;
    struct link *link;
    struct losses *losses;
    char *stats;
    size_t stats_size;
    uint64_t now_ms, stats_ms, watchdog_ms, watchdog_interval_ms, old_ms, retry_ms;
};

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

static void report_loss(void *context, const char *line)
{
    (void)context;
    log_write(LOG_LEVEL_WARNING, "%s", line);
}

static void ring_doorbell(void *context)
{
    segment_summon_gateway(context);
}

static int send_message(void *context, const struct outward_channel *channel, const void *payload, size_t size, uint64_t token)
{
    struct loop *loop = context;

    return link_publish(loop->link, channel->topic, payload, size, channel->qos, channel->retain, token);
}

/* ---- Setting up and taking down ---- */

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
    static const char *const origins[] = {[SEGMENT_CREATED] = "created", [SEGMENT_ADOPTED] = "adopted", [SEGMENT_REPLACED] = "replaced"};
    struct segment_options options = {.name = loop->config->segment, .mode = loop->config->mode, .plan = &loop->plan.layout,
                                      .topics = loop->plan.topics};
    char error[SEGMENT_ERROR_SIZE];
    int rc = find_group(loop->config->group, &options.gid);

    if (rc < 0) {
        log_write(LOG_LEVEL_ERROR, "could not find group %s: %s", loop->config->group, strerror(-rc));
        return rc;
    }
    rc = segment_serve(&loop->segment, loop->olds, &options, error, sizeof(error));
    if (rc < 0) {
        log_write(LOG_LEVEL_ERROR, "could not serve segment: %s", error);
        return rc;
    }
    loop->created = rc == SEGMENT_CREATED;
    log_write(LOG_LEVEL_INFO, "segment %s %s: channels=%u lanes=%u size_kib=%llu", loop->config->segment, origins[rc],
              loop->segment.layout.channel_count, loop->segment.layout.lane_count, (unsigned long long)(loop->segment.size / 1024));
    return 0;
}

static int open_modules(struct loop *loop)
{
    /* One answer a message in flight, one a subscription, and the link's own few. */
    size_t capacity = FLIGHT_WINDOW + loop->config->channel_count + 16;
    char error[256] = "out of memory";
    int rc;

    flight_init(&loop->flight);
    if ((rc = former_create(&loop->former, loop->olds, &loop->segment, &loop->flight, send_message, loop)) == 0 &&
        (rc = mailbox_create(&loop->mailbox, capacity, ring_doorbell, &loop->segment)) == 0 &&
        (rc = outward_create(&loop->outward, &loop->segment, loop->plan.channels, &loop->flight, send_message, loop)) == 0 &&
        (rc = inward_create(&loop->inward, &loop->segment, loop->plan.inward)) == 0 &&
        (rc = losses_create(&loop->losses, &loop->segment)) == 0)
        rc = link_create(&loop->link, loop->config, FLIGHT_WINDOW, loop->mailbox, inward_message, loop->inward, error, sizeof(error));
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

static void close_all(struct loop *loop, int failed)
{
    char error[SEGMENT_ERROR_SIZE];
    int remove = failed && loop->segment.base && unused(loop);

    atomic_store(&ringing, NULL);
    link_destroy(loop->link);
    if (loop->outward)
        outward_settle(loop->outward);
    if (loop->former)
        former_settle(loop->former);
    losses_destroy(loop->losses);
    inward_destroy(loop->inward);
    former_destroy(loop->former);
    outward_destroy(loop->outward);
    mailbox_destroy(loop->mailbox);
    if (loop->segment.base) {
        ring_wake(loop->segment.header);
        ring_set_link(loop->segment.header, LAYOUT_LINK_DOWN, platform_time_ns());
    }
    for (int i = 0; i < SEGMENT_OLD_MAX; i++)
        segment_close(&loop->olds[i]);
    segment_close(&loop->segment);
    if (remove && segment_remove(loop->config->segment, error, sizeof(error)) < 0)
        log_write(LOG_LEVEL_WARNING, "could not remove the unused segment: %s", error);
    plan_destroy(&loop->plan);
    free(loop->stats);
}

/* ---- One turn ---- */

static enum flight_answer answer_of(enum mailbox_kind kind)
{
    return kind == MAILBOX_DELIVERED ? FLIGHT_DELIVERED : kind == MAILBOX_REFUSED ? FLIGHT_REFUSED : FLIGHT_FAILED;
}

static void handle_event(struct loop *loop, const struct mailbox_event *event)
{
    void *owner;

    switch (event->kind) {
    case MAILBOX_DELIVERED:
    case MAILBOX_FAILED:
    case MAILBOX_REFUSED:
        owner = flight_answer(&loop->flight, outward_flight_lane, event->token, answer_of(event->kind));
        if (owner)
            outward_answered(owner);
        else
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
    return count > 0;
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
        sent = former_pump(loop->former);
        if (!former_drained(loop->former))
            return sent > 0;
    }
    rc = outward_pump(loop->outward);
    if (rc == -EAGAIN)
        loop->retry_ms = loop->now_ms + RETRY_MS;
    return sent > 0 || rc > 0;
}

static void settle(struct loop *loop)
{
    unsigned dropped = outward_settle(loop->outward) | inward_dropped(loop->inward);

    if (loop->former)
        former_settle(loop->former);
    if (dropped)
        losses_suspect(loop->losses);
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

static void do_timers(struct loop *loop)
{
    link_step(loop->link, loop->now_ms);
    check_former(loop);
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
    return deadline;
}

/* Returns whether there was anything to do. */
static int turn(struct loop *loop)
{
    int worked;

    loop->now_ms = platform_monotonic_ns() / 1000000;
    worked = take_events(loop);
    worked |= outward_collect(loop->outward);
    worked |= pump(loop);
    settle(loop);
    do_timers(loop);
    return worked;
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

/* Answer SIGHUP. Returns 1 when `next` holds a valid configuration. */
static int reload(struct loop *loop, struct config *next)
{
    int rc;

    atomic_store(&reload_wanted, 0);
    notify_reloading();
    rc = config_load(next, loop->config->path, loop_report_fault, NULL);
    if (rc == 0) {
        log_write(LOG_LEVEL_INFO, "reload: %s read", loop->config->path);
        return 1;
    }
    log_write(LOG_LEVEL_ERROR, "could not reload %s: the running configuration stays as it is", loop->config->path);
    notify_ready("reload failed: see the log; serving the former configuration");
    return 0;
}

/* Publish "offline", let the messages in flight be answered, and close the connection. */
static void finish(struct loop *loop)
{
    uint64_t deadline_ms;

    if (!link_up(loop->link))
        return;
    loop->now_ms = platform_monotonic_ns() / 1000000;
    deadline_ms = loop->now_ms + STOP_MS;
    link_say_offline(loop->link);
    while (link_up(loop->link) && (link_closing(loop->link) || loop->flight.used > 0) && loop->now_ms < deadline_ms) {
        ring_sleep(loop->segment.header);
        if (!mailbox_pending(loop->mailbox))
            platform_doorbell_wait(loop->segment.doorbell, deadline_ms * 1000000);
        ring_wake(loop->segment.header);
        loop->now_ms = platform_monotonic_ns() / 1000000;
        take_events(loop);
        settle(loop);
    }
    link_disconnect(loop->link, DISCONNECT_MS);
}

static enum loop_end serve(struct loop *loop, struct config *next)
{
    for (;;) {
        int worked = turn(loop);

        if (atomic_load(&stop_wanted)) {
            notify_stopping();
            finish(loop);
            return LOOP_STOPPED;
        }
        if (atomic_load(&reload_wanted) && reload(loop, next)) {
            finish(loop);
            return LOOP_RELOAD;
        }
        if (link_refused(loop->link))
            return LOOP_FAILED;
        if (!worked)
            rest(loop, next_deadline_ms(loop));
    }
}

enum loop_end loop_run(const struct config *config, struct config *next)
{
    struct loop loop = {.config = config, .segment.fd = -1};
    enum loop_end end = LOOP_UNABLE;
    char error[256];

    for (int i = 0; i < SEGMENT_OLD_MAX; i++)
        loop.olds[i].fd = -1;
    if (plan_create(&loop.plan, config, error, sizeof(error)) < 0) {
        log_write(LOG_LEVEL_ERROR, "could not lay out the segment: %s", error);
        return LOOP_UNABLE;
    }
    if (open_segment(&loop) == 0) {
        atomic_store(&ringing, &loop.segment);
        if (open_modules(&loop) == 0) {
            loop.watchdog_interval_ms = notify_watchdog_interval_ms();
            notify_ready("serving");
            end = serve(&loop, next);
        }
    }
    close_all(&loop, end == LOOP_FAILED || end == LOOP_UNABLE);
    if (end == LOOP_STOPPED)
        log_write(LOG_LEVEL_INFO, "stopped: segment=%s stays for the next start", config->segment);
    return end;
}
