/* replay_progress.c: how far the replay of the spool is, for a person. See replay_progress.h. */
#include "publish/replay_progress.h"

void replay_progress_begin(struct replay_progress *progress)
{
    *progress = (struct replay_progress){0};
    progress_begin(&progress->progress, "draining", 0, 0);
    progress->watched = progress->progress.on;
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

void replay_progress_end(struct replay_progress *progress)
{
    if (progress->under_way)
        progress_end(&progress->progress);
    progress->under_way = 0;
}

void replay_progress_show(struct replay_progress *progress, const struct spool *spool, int is_up, uint64_t now_ms)
{
    uint64_t held, left;

    if (!progress->watched || now_ms < progress->due_ms)
        return;
    progress->due_ms = now_ms + PROGRESS_INTERVAL_MS;
    held = spool && is_up ? spool_held(spool) : 0;
    if (held == 0 || (!progress->under_way && held < REPLAY_PROGRESS_WORTH_TELLING)) {
        replay_progress_end(progress);
        return;
    }
    left = count_left(spool);
    /* A file that was set aside takes its counts with it. */
    if (!progress->under_way || left < progress->left_before) {
        progress->under_way = 1;
        progress->left_before = left;
        progress_begin(&progress->progress, "draining", now_ms, 0);
        return;
    }
    progress_show(&progress->progress, now_ms, left - progress->left_before, left - progress->left_before + held);
}

uint64_t replay_progress_deadline_ms(const struct replay_progress *progress)
{
    return progress->under_way ? progress->due_ms : UINT64_MAX;
}
