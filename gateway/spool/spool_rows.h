/* spool_rows.h: the statements that work on the spool's tables (spool_file.h). All return 0 or an SQLite result. */
#ifndef SHMGATE_SPOOL_ROWS_H
#define SHMGATE_SPOOL_ROWS_H

#include <sqlite3.h>

#include "spool/spool.h"

enum spool_rows_statement {
    ROWS_BEGIN,
    ROWS_COMMIT,
    ROWS_ROLLBACK,
    ROWS_INSERT,
    ROWS_DELETE,
    ROWS_NEXT,
    ROWS_OLDEST,
    ROWS_OLDEST_OF,
    ROWS_STREAM_PUT,
    ROWS_STREAM_DELETE,
    ROWS_PAGES,
    ROWS_FREE_PAGES,
    ROWS_STATEMENTS
};

struct spool_rows {
    sqlite3 *db;
    sqlite3_stmt *statements[ROWS_STATEMENTS];
    uint64_t page_bytes;
    int64_t at_stream;    /* of the message that spool_rows_next gave last; 0: spool_rows_done was called since */
    uint64_t at_sequence; /* the one behind it */
};

/* The place and age of a message. */
struct spool_row {
    int64_t stream;
    uint64_t sequence, spooled_ns, size;
};

/* Prepare for an open database, which is borrowed. Whatever the result, *rows must be given to spool_rows_close. */
int spool_rows_open(struct spool_rows *rows, sqlite3 *db);
void spool_rows_close(struct spool_rows *rows);

/* Give each stream of the file to `take`, which returns 0 or -errno; strings are valid during the call. A row that
 * makes no sense ends it with SQLITE_CORRUPT. */
int spool_rows_streams(struct spool_rows *rows, int (*take)(void *context, const struct spool_stream *stream),
                       void *context);

/* Begin a transaction; `durable`: its commit waits for the disk. */
int spool_rows_begin(struct spool_rows *rows, int durable);
int spool_rows_commit(struct spool_rows *rows);
void spool_rows_rollback(struct spool_rows *rows);

int spool_rows_insert(struct spool_rows *rows, int64_t stream, const struct spool_message *message, uint64_t now_ns);

/* What was deleted: messages, and the bytes of their payloads. */
struct spool_rows_deleted {
    uint64_t count, size;
};

/* Delete those of `count` messages from `sequence` on that are there. */
int spool_rows_delete(struct spool_rows *rows, int64_t stream, uint64_t sequence, uint64_t count,
                      struct spool_rows_deleted *deleted);

/* The first message of the stream at or above `sequence`; its payload is valid until the next call, or spool_rows_done,
 * which must come before a commit. SQLITE_NOTFOUND. */
int spool_rows_next(struct spool_rows *rows, int64_t stream, uint64_t sequence, struct spool_message *message);
void spool_rows_done(struct spool_rows *rows);

/* The oldest message of all, or of one stream (stream > 0). SQLITE_NOTFOUND. */
int spool_rows_oldest(struct spool_rows *rows, int64_t stream, struct spool_row *row);

/* Write a stream's row as stream->batch has it, or take it away. */
int spool_rows_put_stream(struct spool_rows *rows, const struct spool_stream *stream);
int spool_rows_delete_stream(struct spool_rows *rows, int64_t stream);

/* Give the space of free pages back to the disk, when they are most of a file of more than 1 MiB. */
int spool_rows_shrink(struct spool_rows *rows);

/* Bytes of the journal's file. It grows beyond its usual size while another program reads the database in one go: as
 * long as that lasts, nothing can be taken out of it. */
uint64_t spool_rows_journal(struct spool_rows *rows);

/* Take all out of the journal that can be taken, and shorten its file. Waits for others as long as every call does. */
void spool_rows_shorten_journal(struct spool_rows *rows);

/* Bytes of pages in use, the open transaction included. */
int spool_rows_used(struct spool_rows *rows, uint64_t *bytes);

#endif
