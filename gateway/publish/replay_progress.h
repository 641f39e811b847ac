/* replay_progress.h: tell a person at the terminal how far the replay of the spool is. */
#ifndef SHMGATE_REPLAY_PROGRESS_H
#define SHMGATE_REPLAY_PROGRESS_H

#include "observe/progress.h"
#include "spool/spool.h"

/* Fewer messages are gone before one has read the line; with spool = always some are on the disk at any time. */
#define REPLAY_PROGRESS_WORTH_TELLING 1000

struct replay_progress {
    struct progress progress;
    int watched; /* 1: standard error is a terminal */
    int under_way;
    uint64_t left_before; /* messages that had left the spool when it began */
    uint64_t due_ms;      /* of the next look, on the clock of now_ms */
};

/* Begin. Without a terminal everything below costs one comparison. */
void replay_progress_begin(struct replay_progress *progress);

/* Look, at most four times a second, and show what there is to be shown. `spool` may be NULL. For the loop's thread;
 * never blocks. */
void replay_progress_show(struct replay_progress *progress, const struct spool *spool, int is_up, uint64_t now_ms);

/* When replay_progress_show wants to be called; UINT64_MAX: no need. */
uint64_t replay_progress_deadline_ms(const struct replay_progress *progress);

/* Take the line away. */
void replay_progress_end(struct replay_progress *progress);

#endif
