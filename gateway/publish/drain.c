/* drain.c: how far the draining of the backlog is, for a person. See drain.h. */
#include "publish/drain.h"

void drain_begin(struct drain *drain)
{
    *drain = (struct drain){0};
    progress_begin(&drain->progress, "draining", 0, 0);
    drain->watched = drain->progress.on;
}

/* Messages that have left the spool, ever: delivered or dropped. */
static uint64_t count_left(const struct spool *spool)
{
    uint64_t left = 0;

    for (size_t i = 0; i < spool_stream_count(spool); i++) {
        const struct spool_ledger *ledger = &spool_stream(spool, i)->ledger;

        left += ledger->taken - ledger->held;
    }
    return left;
}

void drain_end(struct drain *drain)
{
    if (drain->under_way)
        progress_end(&drain->progress);
    drain->under_way = 0;
}

void drain_show(struct drain *drain, const struct spool *spool, int link_up, uint64_t now_ms)
{
    uint64_t held, left;

    if (!drain->watched || now_ms < drain->due_ms)
        return;
    drain->due_ms = now_ms + PROGRESS_INTERVAL_MS;
    held = spool && link_up ? spool_held(spool) : 0;
    if (held == 0 || (!drain->under_way && held < DRAIN_WORTH_TELLING)) {
        drain_end(drain);
        return;
    }
    left = count_left(spool);
    /* A file that was set aside takes its counts with it. */
    if (!drain->under_way || left < drain->left_before) {
        drain->under_way = 1;
        drain->left_before = left;
        progress_begin(&drain->progress, "draining", now_ms, 0);
        return;
    }
    progress_show(&drain->progress, now_ms, left - drain->left_before, left - drain->left_before + held);
}

uint64_t drain_deadline_ms(const struct drain *drain)
{
    return drain->under_way ? drain->due_ms : UINT64_MAX;
}
