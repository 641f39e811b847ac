/* drain.h: tell a person at the terminal how far the draining of the spool's backlog is. */
#ifndef SHMGATE_DRAIN_H
#define SHMGATE_DRAIN_H

#include "observe/progress.h"
#include "spool/spool.h"

/* Fewer messages are gone before one has read the line; with spool = always some are on the disk at any time. */
#define DRAIN_WORTH_TELLING 1000

struct drain {
    struct progress progress;
    int watched; /* 1: standard error is a terminal */
    int under_way;
    uint64_t left_before; /* messages that had left the spool when it began */
    uint64_t due_ms;      /* of the next look, on the clock of now_ms */
};

/* Begin. Without a terminal everything below costs one comparison. */
void drain_begin(struct drain *drain);

/* Look, at most four times a second, and show what there is to be shown. `spool` may be NULL. For the loop's thread;
 * never blocks. */
void drain_show(struct drain *drain, const struct spool *spool, int link_up, uint64_t now_ms);

/* When drain_show wants to be called; UINT64_MAX: no need. */
uint64_t drain_deadline_ms(const struct drain *drain);

/* Take the line away. */
void drain_end(struct drain *drain);

#endif
