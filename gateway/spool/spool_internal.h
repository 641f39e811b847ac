/* spool_internal.h: what spool.c and spool_trim.c share, and nobody else includes. */
#ifndef SHMGATE_SPOOL_INTERNAL_H
#define SHMGATE_SPOOL_INTERNAL_H

#include "shm/platform.h"
#include "shm/reason.h"
#include "spool/spool.h"
#include "spool/spool_rows.h"

/* What became of a stream's messages; it is what was taken. */
static inline uint64_t spool_ledger_sum(const struct spool_ledger *ledger)
{
    uint64_t sum = ledger->held + ledger->delivered;

    for (int reason = 0; reason < SPOOL_DROP_REASONS; reason++)
        sum += ledger->dropped[reason];
    return sum;
}

/* Messages that were delivered, or will not be. */
struct spool_done {
    struct spool_stream *stream;
    uint64_t sequence;
    uint32_t count;
    int dropped;
};

struct spool {
    struct spool_options options;
    spool_report report;
    void *context;
    sqlite3 *db; /* NULL: not open */
    struct spool_rows rows;
    int lock_fd;
    char boot[PLATFORM_BOOT_ID_SIZE]; /* this one */
    enum spool_state state;
    int taking;       /* 1: the open transaction takes messages */
    int batch_wanted; /* 1: a batch that took messages has failed, and none has succeeded since */
    int may_try;      /* 1: though the state is not OK, the next batch is a try */
    uint64_t retry_ms, trim_ms, done_ms;
    uint64_t used;    /* bytes of pages, and `journal` */
    uint64_t journal; /* bytes of the journal beyond its usual size */
    struct spool_stream **streams;
    size_t stream_count, stream_capacity;
    int64_t last_id;
    int in_transaction;
    int64_t changes;            /* rows changed since the file was opened, when the transaction began */
    int touched;                /* 1: a stream's counts changed outside a transaction */
    int trim_wanted, trim_more; /* look at the limits with the next commit; there is more to drop than one commit does
                                 */
    struct spool_done *done;
    size_t done_count, done_messages;
};

/* Take messages out of the open transaction; those that are not there are no error. Returns an SQLite result. */
int spool_remove(struct spool *spool, struct spool_stream *stream, uint64_t sequence, uint64_t count, int dropped);

/* Close the database; the streams stay in memory. */
void spool_close_file(struct spool *spool);

/* Give the damaged file another name and begin a new one. The reason says what was wrong; on failure
 * also why it is still there.
 * Returns 0 or -errno. */
int spool_replace_file(struct spool *spool, struct reason *reason);

/* It works (0), or it does not (-errno, for that reason): said once a change. */
void spool_set_state(struct spool *spool, int rc, const char *reason);

/* Look how much the file and its journal take now. Returns an SQLite result. */
int spool_measure(struct spool *spool);

/* Whether the stream's messages came in this boot of the machine, as far as that is known. */
int spool_is_of_this_boot(const struct spool *spool, const struct spool_stream *stream);

/* The stream's counts have changed: the next commit writes its row. */
void spool_touch(struct spool_stream *stream);

struct spool_stream *spool_stream_by_id(const struct spool *spool, int64_t id);

/* Drop the oldest messages until all limits hold, a bounded number of them. Returns an SQLite result. */
int spool_trim(struct spool *spool, uint64_t now_ns);

/* Whether the oldest message is too old. Looks only. */
int spool_trim_due(struct spool *spool, uint64_t now_ns);

#endif
