/* spool_batch.c: messages in and out of the spool, by batches. See spool.h.
 *
 * The happy path of a batch:
 *   1. spool_take begins a transaction and inserts; spool_done only remembers what was delivered
 *   2. spool_commit deletes what was remembered, drops what is beyond the limits (spool_trim.c), writes the streams'
 * counts, and commits
 *   3. each touched stream's `batch` becomes its `ledger`
 * What can go wrong:
 *   - any statement fails: the transaction is rolled back, `batch` goes back to `ledger`, what was done with stays
 * remembered
 *   - the commit fails in its sync: whether it happened is seen when the file is opened again
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "shm/platform.h"
#include "spool/spool_file.h"
#include "spool/spool_internal.h"

#define DONE_MS 200                      /* that long at most a delivered message stays on disk */
#define SEQUENCE_MAX (UINT64_C(1) << 62) /* SQLite's integers have a sign */

/* Undo the batch; what was done with stays remembered. */
static void roll_back(struct spool *spool)
{
    spool_rows_done(&spool->rows);
    spool_rows_rollback(&spool->rows);
    spool->in_transaction = 0;
    spool->trim_wanted = 0;
    for (size_t i = 0; i < spool->stream_count; i++) {
        spool->streams[i]->batch = spool->streams[i]->ledger;
        /* A stream that has no row yet keeps wanting one. */
        spool->streams[i]->touched = !spool->streams[i]->in_file && spool->streams[i]->ledger.taken > 0;
    }
}

/* A statement has failed: undo the batch, and see to the file. Returns the result as -errno. */
static int batch_failed(struct spool *spool, int result)
{
    struct reason reason;
    int rc = spool_file_errno(spool->db, result), replaced;

    reason_set(&reason, 0, "%s", sqlite3_errmsg(spool->db));
    roll_back(spool);
    spool->retry_ms = platform_monotonic_ns() / 1000000 + SPOOL_RETRY_MS;
    spool->may_try = 0;
    if (rc == -EBADMSG) {
        spool_close_file(spool);
        replaced = spool_replace_file(spool, &reason);
        spool->batch_wanted = 0;
        spool_set_state(spool, replaced, reason.text);
        spool->may_try = replaced == 0;
        return rc;
    }
    spool->batch_wanted |= spool->taking;
    spool_set_state(spool, rc, reason.text);
    /* After an error of the disk, what is really there is read anew. */
    if (rc != -ENOSPC && rc != -EBUSY)
        spool_close_file(spool);
    return rc;
}

int spool_ready(const struct spool *spool)
{
    return spool->db && (spool->state == SPOOL_STATE_OK || spool->may_try);
}

void spool_abandon(struct spool *spool)
{
    if (spool->in_transaction)
        roll_back(spool);
}

/* Whether file and journal take more than the limit because the journal cannot be shortened. Dropping messages would
 * only make it longer. */
static int is_held_open(struct spool *spool)
{
    if (spool->journal == 0 || spool->used <= spool->options.max_bytes)
        return 0;
    spool_rows_shorten_journal(&spool->rows);
    return spool_measure(spool) == SQLITE_OK && spool->journal > 0 && spool->used > spool->options.max_bytes;
}

/* Take nothing more for the time being. */
static int refuse_to_grow(struct spool *spool)
{
    char reason[160];

    snprintf(reason, sizeof(reason), "its journal has grown to %llu MiB, as another program keeps reading it",
             (unsigned long long)((spool->journal + SPOOL_JOURNAL_BYTES) >> 20));
    spool->retry_ms = platform_monotonic_ns() / 1000000 + SPOOL_RETRY_MS;
    spool->may_try = 0;
    spool->batch_wanted = 1;
    spool_set_state(spool, -EFBIG, reason);
    return -ENOSPC;
}

static int batch_begin(struct spool *spool, int durable)
{
    int result;

    if (!spool_ready(spool))
        return -EAGAIN;
    if (spool->in_transaction)
        return 0;
    if (durable && is_held_open(spool))
        return refuse_to_grow(spool);
    result = spool_rows_begin(&spool->rows, durable);
    if (result != SQLITE_OK)
        return batch_failed(spool, result);
    spool->in_transaction = 1;
    spool->taking = durable;
    spool->changes = sqlite3_total_changes64(spool->db);
    return 0;
}

int spool_take(struct spool *spool, struct spool_stream *stream, const struct spool_message *message, uint64_t now_ns)
{
    int rc;

    if (message->sequence < stream->batch.next || message->sequence >= SEQUENCE_MAX)
        return -EINVAL;
    if ((rc = batch_begin(spool, 1)) < 0)
        return rc;
    rc = spool_rows_insert(&spool->rows, stream->id, message, stream->epoch_ns > 0 ? platform_boot_ns() : now_ns);
    if (rc != SQLITE_OK)
        return batch_failed(spool, rc);
    stream->batch.taken++;
    stream->batch.held++;
    stream->batch.bytes += message->size + SPOOL_MESSAGE_BYTES;
    stream->batch.next = message->sequence + 1;
    spool_touch(stream);
    spool->trim_wanted = 1;
    return 0;
}

int spool_next(struct spool *spool, const struct spool_stream *stream, uint64_t sequence, struct spool_message *message)
{
    int rc;

    if (!spool->db)
        return -EAGAIN;
    if (sequence >= SEQUENCE_MAX)
        return -ENOENT;
    rc = spool_rows_next(&spool->rows, stream->id, sequence, message);
    return rc == SQLITE_OK ? 0 : rc == SQLITE_NOTFOUND ? -ENOENT : batch_failed(spool, rc);
}

int spool_done(struct spool *spool, struct spool_stream *stream, uint64_t sequence, uint32_t count, int dropped)
{
    struct spool_done *last = &spool->done[spool->done_count - (spool->done_count > 0)];

    /* Most answers follow the one before, and are deleted with it. */
    if (spool->done_count > 0 && last->stream == stream && last->dropped == dropped &&
        last->sequence + last->count == sequence && last->count <= UINT32_MAX - count) {
        last->count += count;
        spool->done_messages += count;
        return 0;
    }
    if (spool->done_count == SPOOL_DONE_MAX)
        return -ENOBUFS;
    if (spool->done_count == 0)
        spool->done_ms = platform_monotonic_ns() / 1000000 + DONE_MS;
    spool->done[spool->done_count++] = (struct spool_done){stream, sequence, count, dropped};
    spool->done_messages += count;
    return 0;
}

int spool_can_drain(const struct spool *spool)
{
    return spool->db && spool->done_count + SPOOL_DONE_RESERVE < SPOOL_DONE_MAX;
}

int spool_remove(struct spool *spool, struct spool_stream *stream, uint64_t sequence, uint64_t count, int dropped)
{
    struct spool_rows_deleted deleted;
    int rc = spool_rows_delete(&spool->rows, stream->id, sequence, count, &deleted);
    uint64_t size = deleted.size + deleted.count * SPOOL_MESSAGE_BYTES;

    if (rc != SQLITE_OK || deleted.count == 0)
        return rc;
    /* A file that disagrees with itself is not to make the counts run below zero. */
    if (stream->batch.held < deleted.count || stream->batch.bytes < size)
        return SQLITE_CORRUPT;
    stream->batch.held -= deleted.count;
    stream->batch.bytes -= size;
    if (dropped < 0)
        stream->batch.delivered += deleted.count;
    else
        stream->batch.dropped[dropped] += deleted.count;
    spool_touch(stream);
    return SQLITE_OK;
}

/* Write the stream's row; one of which nothing counts any more has none. */
static int batch_put_stream(struct spool *spool, const struct spool_stream *stream)
{
    return stream->batch.taken > 0 ? spool_rows_put_stream(&spool->rows, stream)
                                   : spool_rows_delete_stream(&spool->rows, stream->id);
}

/* Everything of a commit between the first change and the last. */
static int finish_batch(struct spool *spool)
{
    int rc = SQLITE_OK;

    for (size_t i = 0; rc == SQLITE_OK && i < spool->done_count; i++)
        rc = spool_remove(spool, spool->done[i].stream, spool->done[i].sequence, spool->done[i].count,
                          spool->done[i].dropped);
    if (rc == SQLITE_OK && spool->trim_wanted)
        rc = spool_trim(spool, platform_time_ns());
    for (size_t i = 0; rc == SQLITE_OK && i < spool->stream_count; i++)
        if (spool->streams[i]->touched)
            rc = batch_put_stream(spool, spool->streams[i]);
    return rc == SQLITE_OK ? spool_rows_commit(&spool->rows) : rc;
}

int spool_commit(struct spool *spool)
{
    int rc;

    if (!spool->in_transaction && spool->done_count == 0 && !spool->touched && !spool->trim_wanted)
        return 0;
    spool_rows_done(&spool->rows);
    if ((rc = batch_begin(spool, 0)) < 0)
        return rc;
    if ((rc = finish_batch(spool)) != SQLITE_OK)
        return batch_failed(spool, rc);
    spool->in_transaction = 0;
    spool->done_count = spool->done_messages = 0;
    spool->touched = 0;
    spool->trim_wanted = spool->trim_more;
    for (size_t i = 0; i < spool->stream_count; i++) {
        struct spool_stream *stream = spool->streams[i];

        if (!stream->touched)
            continue;
        assert(spool_ledger_sum(&stream->batch) == stream->batch.taken);
        stream->ledger = stream->batch;
        stream->touched = 0;
        stream->in_file = stream->ledger.taken > 0;
    }
    spool_measure(spool);
    /* A batch that wrote nothing, or less than the one that failed, does not show that it works again. */
    if (sqlite3_total_changes64(spool->db) != spool->changes && (spool->taking || !spool->batch_wanted)) {
        spool->batch_wanted = 0;
        spool_set_state(spool, 0, "");
    }
    return 0;
}
