/* loop_internal.h: the gateway's parts, as loop_setup.c puts them together, and loop.c and loop_turn.c run them. Nobody
 * else includes this. */
#ifndef SHMGATE_LOOP_INTERNAL_H
#define SHMGATE_LOOP_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "config/config.h"
#include "loop/channel_table.h"
#include "mqtt/connection.h"
#include "mqtt/event_queue.h"
#include "observe/loss_report.h"
#include "publish/backlog.h"
#include "publish/drain.h"
#include "publish/flight.h"
#include "publish/former.h"
#include "publish/outward.h"
#include "shm/platform.h"
#include "shm/segment.h"
#include "spool/spool.h"
#include "subscribe/subscribe.h"

struct loop {
    struct config *config; /* the caller's */
    struct config kept;    /* whose strings the link was made with, after a reload; otherwise empty */
    struct channel_table table;
    struct segment segment, olds[SEGMENT_OLD_MAX];
    int lock_made;
    int created; /* 1: this run made the segment */
    struct event_queue *queue;
    atomic_int patient;   /* 1: the loop waits for answers only */
    pthread_mutex_t lock; /* the MQTT client's threads hold it while they use the segment or `inward`, the loop while it
                             changes these */
    struct flight flight;
    struct spool *spool;     /* NULL: no channel asks for it and there is no file */
    struct backlog *backlog; /* of the spool; NULL without one */
    struct outward *outward;
    struct former *former; /* of `olds`; NULL: nothing to drain */
    struct subscribe *subscribe;
    struct connection *connection;
    struct loss_report *loss_report;
    struct metrics *metrics;          /* the caller's */
    char boot[PLATFORM_BOOT_ID_SIZE]; /* of the machine */
    char *stats;
    size_t stats_size;
    uint64_t now_ms, stats_ms, watchdog_ms, watchdog_interval_ms, old_ms, retry_ms, outage_ms, latency_ms,
        latency_window_ms;
    int answered;                 /* 1: answers have come since the last patient rest */
    int latency_stale;            /* 1: messages have moved since the latencies were shown */
    enum spool_state spool_state; /* when last looked at */
    struct drain drain;
};

/* Lay out and serve the segment, and start everything that works on it, in the order of dependence. Logs. Returns 0 or
 * -errno; in both cases *loop, which begins as all zero but for `config` and closed segments, must be given to
 * loop_close. */
int loop_open(struct loop *loop);

/* Change to *next, with the connection kept: *loop->config becomes that, and *next is empty. Nothing may be in flight.
 * Logs. Returns 0, or -errno: then *loop must be given to loop_close, and *next holds what was before. */
int loop_change(struct loop *loop, struct config *next);

/* Serve the metrics where `config` wants them; what was served before goes on when that fails. Logs. Returns 0 or
 * -errno. */
int loop_serve_metrics(struct loop *loop, const struct config *config);

/* One turn. Returns whether there was anything to do. */
int loop_turn(struct loop *loop);

/* When something is due, on the clock of loop->now_ms, though nobody rings; UINT64_MAX: never. */
uint64_t loop_deadline_ms(const struct loop *loop);

/* Parts of a turn, for when the loop waits for one thing only: take the events in the queue (returns whether there
 * were any); write the ledgers and tell of losses; take note that the spool's counts have changed, which are part of
 * the ledgers. */
int loop_take_events(struct loop *loop);
void loop_settle(struct loop *loop);
void loop_spool_changed(struct loop *loop);

/* Take everything down, in the reverse order. `failed`: a segment that this run has made and nobody has used goes, too.
 */
void loop_close(struct loop *loop, int failed);

/* Bring the segment's ledgers up to what the modules know; also at the very end. */
void loop_settle_ledgers(struct loop *loop);

#endif
