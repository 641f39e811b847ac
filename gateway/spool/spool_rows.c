/* spool_rows.c: the statements that work on the spool's tables. See spool_rows.h. */
#include "spool/spool_rows.h"

#include <string.h>

#include "base/route.h"
#include "shm/platform.h"
#include "spool/spool_internal.h"

static const char stream_put[] =
    "INSERT OR REPLACE INTO stream (id, channel, generation, lane, boot, topic, qos, retain, source, next, taken, held,"
    " bytes, delivered, over_size, too_old, refused, lost, epoch_ns)"
    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)";

static const char *const texts[ROWS_STATEMENTS] = {
    [ROWS_BEGIN] = "BEGIN IMMEDIATE",
    [ROWS_COMMIT] = "COMMIT",
    [ROWS_ROLLBACK] = "ROLLBACK",
    [ROWS_INSERT] = "INSERT INTO message (stream, sequence, time_ns, spooled_ns, payload) VALUES (?1, ?2, ?3, ?4, ?5)",
    [ROWS_DELETE] =
        "DELETE FROM message WHERE stream = ?1 AND sequence >= ?2 AND sequence < ?3 RETURNING length(payload)",
    [ROWS_NEXT] =
        "SELECT sequence, time_ns, payload FROM message WHERE stream = ?1 AND sequence >= ?2 ORDER BY sequence",
    [ROWS_OLDEST] = "SELECT stream, sequence, spooled_ns, length(payload) FROM message ORDER BY id LIMIT 1",
    [ROWS_OLDEST_OF] =
        "SELECT stream, sequence, spooled_ns, length(payload) FROM message WHERE stream = ?1 ORDER BY sequence LIMIT 1",
    [ROWS_STREAM_PUT] = stream_put,
    [ROWS_STREAM_DELETE] = "DELETE FROM stream WHERE id = ?1",
    [ROWS_PAGES] = "PRAGMA page_count",
    [ROWS_FREE_PAGES] = "PRAGMA freelist_count",
};

static int rows_integer(sqlite3_stmt *statement, uint64_t *value)
{
    int rc = sqlite3_step(statement);

    *value = rc == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(statement, 0) : 0;
    sqlite3_reset(statement);
    return rc == SQLITE_ROW ? SQLITE_OK : rc == SQLITE_DONE ? SQLITE_CORRUPT : rc;
}

int spool_rows_open(struct spool_rows *rows, sqlite3 *db)
{
    sqlite3_stmt *statement = NULL;
    int rc = SQLITE_OK;

    memset(rows, 0, sizeof(*rows));
    rows->db = db;
    for (int i = 0; rc == SQLITE_OK && i < ROWS_STATEMENTS; i++)
        rc = sqlite3_prepare_v3(db, texts[i], -1, SQLITE_PREPARE_PERSISTENT, &rows->statements[i], NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(db, "PRAGMA page_size", -1, &statement, NULL);
    if (rc == SQLITE_OK)
        rc = rows_integer(statement, &rows->page_bytes);
    sqlite3_finalize(statement);
    return rc;
}

void spool_rows_close(struct spool_rows *rows)
{
    for (int i = 0; i < ROWS_STATEMENTS; i++)
        sqlite3_finalize(rows->statements[i]);
    memset(rows, 0, sizeof(*rows));
}

/* Step a statement that gives no row, and make it ready for the next time. */
static int rows_run(struct spool_rows *rows, enum spool_rows_statement which)
{
    sqlite3_stmt *statement = rows->statements[which];
    int rc = sqlite3_step(statement);

    sqlite3_reset(statement);
    return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc;
}

static const char *column_text(sqlite3_stmt *statement, int column)
{
    const char *text = (const char *)sqlite3_column_text(statement, column);

    /* A string with a NUL inside is none that we wrote. */
    return text && strlen(text) == (size_t)sqlite3_column_bytes(statement, column) ? text : NULL;
}

/* What a broker would not take it answers by closing the connection, again and again: it must not come so far. */
static int is_topic(const char *text)
{
    return text && route_topic_valid(text, strlen(text), NULL) == 0;
}

static int is_boot_id(const char *text)
{
    return text && strlen(text) < PLATFORM_BOOT_ID_SIZE &&
           strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(text);
}

/* Read the row that the statement stands on. Somebody else may have written it. */
static int read_stream(sqlite3_stmt *statement, struct spool_stream *stream)
{
    uint64_t *counts[] = {&stream->ledger.next,
                          &stream->ledger.taken,
                          &stream->ledger.held,
                          &stream->ledger.bytes,
                          &stream->ledger.delivered,
                          &stream->ledger.dropped[SPOOL_DROP_SIZE],
                          &stream->ledger.dropped[SPOOL_DROP_AGE],
                          &stream->ledger.dropped[SPOOL_DROP_REFUSED],
                          &stream->ledger.dropped[SPOOL_DROP_LOST],
                          &stream->epoch_ns};
    sqlite3_int64 lane = sqlite3_column_int64(statement, 3), qos = sqlite3_column_int64(statement, 6);

    memset(stream, 0, sizeof(*stream));
    stream->id = sqlite3_column_int64(statement, 0);
    stream->source.channel = column_text(statement, 1);
    stream->source.generation = (uint64_t)sqlite3_column_int64(statement, 2);
    stream->source.lane = (uint32_t)lane;
    stream->source.boot = column_text(statement, 4);
    stream->source.topic = column_text(statement, 5);
    stream->source.qos = (unsigned)qos;
    stream->source.retain = sqlite3_column_int(statement, 7) != 0;
    stream->source.source = sqlite3_column_int(statement, 8) != 0;
    for (int i = 0; i < (int)(sizeof(counts) / sizeof(counts[0])); i++) {
        sqlite3_int64 value = sqlite3_column_int64(statement, 9 + i);

        if (value < 0)
            return SQLITE_CORRUPT;
        *counts[i] = (uint64_t)value;
    }
    return stream->id > 0 && stream->source.channel && is_boot_id(stream->source.boot) &&
                   is_topic(stream->source.topic) && qos >= 0 && qos <= 2 && lane >= 0 && lane <= UINT32_MAX &&
                   spool_ledger_sum(&stream->ledger) == stream->ledger.taken
               ? SQLITE_OK
               : SQLITE_CORRUPT;
}

int spool_rows_streams(struct spool_rows *rows, int (*take)(void *context, const struct spool_stream *stream),
                       void *context)
{
    sqlite3_stmt *statement = NULL;
    struct spool_stream stream;
    int rc = sqlite3_prepare_v2(rows->db,
                                "SELECT id, channel, generation, lane, boot, topic, qos, retain, source, next, taken, "
                                "held, bytes, delivered, over_size,"
                                " too_old, refused, lost, epoch_ns FROM stream ORDER BY id",
                                -1, &statement, NULL);

    while (rc == SQLITE_OK && (rc = sqlite3_step(statement)) == SQLITE_ROW) {
        rc = read_stream(statement, &stream);
        if (rc == SQLITE_OK && take(context, &stream) < 0)
            rc = SQLITE_NOMEM;
    }
    sqlite3_finalize(statement);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int spool_rows_begin(struct spool_rows *rows, int durable)
{
    /* In WAL mode FULL syncs the journal at each commit, NORMAL only at checkpoints
     * (sqlite.org/pragma.html#pragma_synchronous). This pragma acts when it is compiled, not when it is stepped, so it
     * cannot be a prepared statement. */
    int rc = sqlite3_exec(rows->db, durable ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL", NULL, NULL,
                          NULL);

    return rc == SQLITE_OK ? rows_run(rows, ROWS_BEGIN) : rc;
}

int spool_rows_commit(struct spool_rows *rows)
{
    return rows_run(rows, ROWS_COMMIT);
}

void spool_rows_rollback(struct spool_rows *rows)
{
    /* Some errors have rolled it back already (sqlite.org/lang_transaction.html, 3). */
    if (!sqlite3_get_autocommit(rows->db))
        rows_run(rows, ROWS_ROLLBACK);
}

int spool_rows_insert(struct spool_rows *rows, int64_t stream, const struct spool_message *message, uint64_t now_ns)
{
    sqlite3_stmt *statement = rows->statements[ROWS_INSERT];
    /* A NULL pointer would be an SQL NULL. */
    const void *payload = message->size > 0 ? message->payload : "";

    sqlite3_bind_int64(statement, 1, stream);
    sqlite3_bind_int64(statement, 2, (sqlite3_int64)message->sequence);
    sqlite3_bind_int64(statement, 3, (sqlite3_int64)message->time_ns);
    sqlite3_bind_int64(statement, 4, (sqlite3_int64)now_ns);
    sqlite3_bind_blob64(statement, 5, payload, message->size, SQLITE_STATIC);
    return rows_run(rows, ROWS_INSERT);
}

int spool_rows_delete(struct spool_rows *rows, int64_t stream, uint64_t sequence, uint64_t count,
                      struct spool_rows_deleted *deleted)
{
    sqlite3_stmt *statement = rows->statements[ROWS_DELETE];
    uint64_t end = sequence + count;
    int rc;

    *deleted = (struct spool_rows_deleted){0};
    sqlite3_bind_int64(statement, 1, stream);
    sqlite3_bind_int64(statement, 2, (sqlite3_int64)sequence);
    sqlite3_bind_int64(statement, 3, (sqlite3_int64)end);
    while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
        deleted->size += (uint64_t)sqlite3_column_int64(statement, 0);
        deleted->count++;
    }
    sqlite3_reset(statement);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int spool_rows_next(struct spool_rows *rows, int64_t stream, uint64_t sequence, struct spool_message *message)
{
    sqlite3_stmt *statement = rows->statements[ROWS_NEXT];
    int rc;

    /* Most calls want the row behind the last one: the statement stands there, and need not look for it. */
    if (stream != rows->at_stream || sequence != rows->at_sequence) {
        sqlite3_reset(statement);
        sqlite3_bind_int64(statement, 1, stream);
        sqlite3_bind_int64(statement, 2, (sqlite3_int64)sequence);
    }
    rc = sqlite3_step(statement);
    if (rc != SQLITE_ROW) {
        spool_rows_done(rows);
        return rc == SQLITE_DONE ? SQLITE_NOTFOUND : rc;
    }
    message->sequence = (uint64_t)sqlite3_column_int64(statement, 0);
    message->time_ns = (uint64_t)sqlite3_column_int64(statement, 1);
    message->payload = sqlite3_column_blob(statement, 2);
    message->size = (size_t)sqlite3_column_bytes(statement, 2);
    if (message->size > 0 && !message->payload) {
        spool_rows_done(rows);
        return SQLITE_NOMEM;
    }
    rows->at_stream = stream;
    rows->at_sequence = message->sequence + 1;
    return SQLITE_OK;
}

void spool_rows_done(struct spool_rows *rows)
{
    sqlite3_reset(rows->statements[ROWS_NEXT]);
    rows->at_stream = 0;
}

int spool_rows_oldest(struct spool_rows *rows, int64_t stream, struct spool_row *row)
{
    sqlite3_stmt *statement = rows->statements[stream > 0 ? ROWS_OLDEST_OF : ROWS_OLDEST];
    int rc;

    if (stream > 0)
        sqlite3_bind_int64(statement, 1, stream);
    rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW) {
        row->stream = sqlite3_column_int64(statement, 0);
        row->sequence = (uint64_t)sqlite3_column_int64(statement, 1);
        row->spooled_ns = (uint64_t)sqlite3_column_int64(statement, 2);
        row->size = (uint64_t)sqlite3_column_int64(statement, 3);
    }
    sqlite3_reset(statement);
    return rc == SQLITE_ROW ? SQLITE_OK : rc == SQLITE_DONE ? SQLITE_NOTFOUND : rc;
}

int spool_rows_put_stream(struct spool_rows *rows, const struct spool_stream *stream)
{
    const struct spool_ledger *ledger = &stream->batch;
    const uint64_t counts[] = {ledger->next,
                               ledger->taken,
                               ledger->held,
                               ledger->bytes,
                               ledger->delivered,
                               ledger->dropped[SPOOL_DROP_SIZE],
                               ledger->dropped[SPOOL_DROP_AGE],
                               ledger->dropped[SPOOL_DROP_REFUSED],
                               ledger->dropped[SPOOL_DROP_LOST],
                               stream->epoch_ns};
    sqlite3_stmt *statement = rows->statements[ROWS_STREAM_PUT];

    sqlite3_bind_int64(statement, 1, stream->id);
    sqlite3_bind_text(statement, 2, stream->source.channel, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 3, (sqlite3_int64)stream->source.generation);
    sqlite3_bind_int64(statement, 4, stream->source.lane);
    sqlite3_bind_text(statement, 5, stream->source.boot, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 6, stream->source.topic, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 7, stream->source.qos);
    sqlite3_bind_int64(statement, 8, stream->source.retain);
    sqlite3_bind_int64(statement, 9, stream->source.source);
    for (int i = 0; i < (int)(sizeof(counts) / sizeof(counts[0])); i++)
        sqlite3_bind_int64(statement, 10 + i, (sqlite3_int64)counts[i]);
    return rows_run(rows, ROWS_STREAM_PUT);
}

int spool_rows_delete_stream(struct spool_rows *rows, int64_t stream)
{
    sqlite3_bind_int64(rows->statements[ROWS_STREAM_DELETE], 1, stream);
    return rows_run(rows, ROWS_STREAM_DELETE);
}

int spool_rows_used(struct spool_rows *rows, uint64_t *bytes)
{
    uint64_t pages, free_pages;
    int rc = rows_integer(rows->statements[ROWS_PAGES], &pages);

    if (rc == SQLITE_OK)
        rc = rows_integer(rows->statements[ROWS_FREE_PAGES], &free_pages);
    *bytes = rc == SQLITE_OK && pages > free_pages ? (pages - free_pages) * rows->page_bytes : 0;
    return rc;
}

uint64_t spool_rows_journal(struct spool_rows *rows)
{
    sqlite3_file *file = NULL;
    sqlite3_int64 size = 0;

    sqlite3_file_control(rows->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &file);
    if (!file || !file->pMethods || file->pMethods->xFileSize(file, &size) != SQLITE_OK || size < 0)
        return 0;
    return (uint64_t)size;
}

void spool_rows_shorten_journal(struct spool_rows *rows)
{
    spool_rows_done(rows);
    /* That others are in the way is no error: then its size tells. */
    sqlite3_wal_checkpoint_v2(rows->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
}

int spool_rows_shrink(struct spool_rows *rows)
{
    uint64_t pages, free_pages;
    int rc = rows_integer(rows->statements[ROWS_PAGES], &pages);

    if (rc == SQLITE_OK)
        rc = rows_integer(rows->statements[ROWS_FREE_PAGES], &free_pages);
    if (rc != SQLITE_OK || pages * rows->page_bytes <= 1 << 20 || free_pages < pages / 2)
        return rc;
    rc = sqlite3_exec(rows->db, "VACUUM", NULL, NULL, NULL);
    return rc == SQLITE_OK ? sqlite3_exec(rows->db, "PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL) : rc;
}
