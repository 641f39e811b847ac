/* loop_internal.h: the gateway's parts, as loop_setup.c puts them together, and loop.c, loop_turn.c and loop_rest.c run
 * them. */
#ifndef SHMGATE_LOOP_INTERNAL_H
#define SHMGATE_LOOP_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "config/config.h"
#include "loop/channel_table.h"
#include "loop/loop_names.h"
#include "observe/loss_report.h"
#include "publish/publish.h"
#include "publish/replay_progress.h"
#include "shm/segment.h"
#include "spool/spool.h"
#include "subscribe/subscribe.h"
#include "transport/transport.h"

/* How other threads, and signal handlers, wake the loop. */
struct loop_wake {
    pthread_mutex_t lock;    /* held by who wakes, and by the loop while it changes the segment below */
    struct segment *segment; /* whose doorbell is rung; NULL: between two segments, when the loop does not sleep */
    atomic_int patient;      /* 1: the loop waits for answers only */
    int made;
};

struct loop {
    struct config *config; /* the caller's */
    struct channel_table table;
    struct segment segment;
    struct segment_list olds; /* those that were replaced and are being drained */
    struct loop_names *names; /* the caller's; NULL: the system has no watch to give */
    int created;              /* 1: this run made the segment */
    struct loop_wake wake;
    struct transport *transport;
    struct sender *sender;       /* to the transport */
    struct spool *spool;         /* NULL: no channel asks for it and there is no file */
    struct publish *publish;     /* from the segments and the spool to the sender */
    struct subscribe *subscribe; /* from the transport into the segment */
    struct loss_report *loss_report;
    struct metrics *metrics; /* the caller's */
    char *stats;
    size_t stats_size;
    uint64_t now_ms, stats_ms, watchdog_ms, watchdog_interval_ms, retired_ms, outage_ms, latency_ms, latency_window_ms,
        tails_ms;
    int answered;                 /* 1: answers have come since the last patient rest */
    int latency_stale;            /* 1: messages have moved since the latencies were shown */
    enum spool_state spool_state; /* when last looked at */
    struct replay_progress replay_progress;
};

/* ---- loop_setup.c ---- */

/* Lay out and serve the segment, and start everything that works on it, in the order of dependence. Logs. Returns 0 or
 * -errno; in both cases *loop, which begins as all zero but for `config` and closed segments, must be given to
 * loop_close. */
int loop_open(struct loop *loop);

/* Change to *next, with the connection kept: *loop->config becomes that, and *next is empty. Nothing may be in flight.
 * Logs. Returns 0, or -errno: then *loop must be given to loop_close, and *next holds what was before. */
int loop_change(struct loop *loop, struct config *next);

/* Serve the segment anew, with the same configuration and the connection kept: it has lost its name. Nothing may be in
 * flight. Logs. Returns 0, or -errno: then *loop must be given to loop_close. */
int loop_serve_anew(struct loop *loop);

/* Serve the metrics where `config` wants them; what was served before goes on when that fails. Logs. Returns 0 or
 * -errno. */
int loop_serve_metrics(struct loop *loop, const struct config *config);

/* Take everything down, in the reverse order. `failed`: a segment that this run has made and nobody has used goes, too.
 */
void loop_close(struct loop *loop, int failed);

/* ---- loop_turn.c ---- */

/* One turn. Returns whether there was anything to do. */
int loop_turn(struct loop *loop);

/* When something is due, on the clock of loop->now_ms, though nobody rings; UINT64_MAX: never. */
uint64_t loop_deadline_ms(const struct loop *loop);

/* Parts of a turn, for when the loop waits for one thing only: let the transport take what has happened (returns
 * whether there was anything); write the ledgers and tell of losses; take note that the spool's counts have changed,
 * which are part of the ledgers. */
int loop_step_transport(struct loop *loop);
void loop_flush(struct loop *loop);
void loop_spool_changed(struct loop *loop);

/* Bring the segment's ledgers up to what the modules know; also at the very end. */
void loop_flush_ledgers(struct loop *loop);

/* Show in the segment whether the transport is up. */
void loop_show_link(struct loop *loop);

/* The transport's word: a transport_listener's functions; `context` is the struct loop. */
void loop_answered(void *context, uint64_t token, enum transport_answer answer, uint64_t time_ns);
void loop_transport_changed(void *context);

/* ---- loop_rest.c ---- */

int loop_wake_init(struct loop_wake *wake);
void loop_wake_destroy(struct loop_wake *wake);

/* From now on this segment's doorbell is rung; NULL: none is. */
void loop_wake_set(struct loop_wake *wake, struct segment *segment);

/* There is something to do. Any thread. `context` is the struct loop. */
void loop_wake(void *context);

/* Wait until there is something to do, or the deadline. `wanted` (NULL: nothing) is looked at once more before. */
void loop_rest(struct loop *loop, uint64_t deadline_ms, int (*wanted)(void));

/* The same while only answers matter: whether nothing, or only what is new, can be sent before answers come, and they
 * come; and the rest for it. */
int loop_may_be_patient(const struct loop *loop);
void loop_rest_patiently(struct loop *loop, int (*wanted)(void));

/* Wait for the transport only. */
void loop_rest_for_transport(struct loop *loop, uint64_t deadline_ms);

#endif
