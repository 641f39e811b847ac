/* spool.c: look at the gateway's spool file: list, show, export, check. The gateway may be at work with it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "observe/progress.h"
#include "shm/shared_memory.h"
#include "spool/spool_file.h"
#include "tool/tool.h"

#define LOOK_EVERY 64 /* messages between two looks at the clock */

/* All messages, with their streams' columns; from the oldest, or the newest, that is behind ?2. ?1: the channel or
 * NULL. */
#define COLUMNS "m.id, m.sequence, m.time_ns, m.payload, s.topic, s.lane, s.retain"
#define JSON                                                                                                          \
    "json_object('channel', s.channel, 'topic', s.topic, 'qos', s.qos, 'retain', s.retain, 'boot', s.boot, 'stream'," \
    " printf('%016x', s.generation), 'lane', s.lane, 'sequence', m.sequence, 'time_ns', m.time_ns, 'payload_hex', "   \
    "hex(m.payload))"
#define FROM                                                                                                        \
    " FROM message m JOIN stream s ON s.id = m.stream WHERE (?1 IS NULL OR s.channel = ?1) AND m.id > ?2 ORDER BY " \
    "m.id"

static int failed(const struct tool_options *options, sqlite3 *db)
{
    return tool_fail(options, "%s: %s", options->file, sqlite3_errmsg(db));
}

static void print_time(sqlite3_int64 time_ns)
{
    time_t seconds = (time_t)(time_ns / 1000000000);
    struct tm tm;
    char text[32] = "-";

    if (time_ns > 0 && gmtime_r(&seconds, &tm))
        strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
    printf(" %-20s", text);
}

static int list(const struct tool_options *options, sqlite3 *db)
{
    static const char sql[] =
        "SELECT s.channel, s.lane, s.held, s.bytes, (SELECT m.time_ns FROM message m WHERE m.stream = s.id ORDER BY "
        "m.sequence LIMIT 1),"
        " (SELECT m.time_ns FROM message m WHERE m.stream = s.id ORDER BY m.sequence DESC LIMIT 1), s.topic"
        " FROM stream s WHERE s.held > 0 AND (?1 IS NULL OR s.channel = ?1) ORDER BY s.id";
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_bind_text(statement, 1, options->channel, -1, SQLITE_STATIC);
    printf("%-16s %5s %12s %12s %-20s %-20s %s\n", "channel", "lane", "messages", "bytes", "oldest", "newest", "topic");
    while (rc == SQLITE_OK && sqlite3_step(statement) == SQLITE_ROW) {
        printf("%-16s %5d %12lld %12lld", (const char *)sqlite3_column_text(statement, 0),
               sqlite3_column_int(statement, 1), (long long)sqlite3_column_int64(statement, 2),
               (long long)sqlite3_column_int64(statement, 3));
        print_time(sqlite3_column_int64(statement, 4));
        print_time(sqlite3_column_int64(statement, 5));
        printf(" %s\n", (const char *)sqlite3_column_text(statement, 6));
    }
    rc = sqlite3_finalize(statement);
    return rc == SQLITE_OK ? TOOL_DONE : failed(options, db);
}

static void print_row(const struct tool_options *options, sqlite3_stmt *statement, int as_json)
{
    struct shared_memory_message message = {
        .sequence = (uint64_t)sqlite3_column_int64(statement, 1),
        .time_ns = (uint64_t)sqlite3_column_int64(statement, 2),
        .lane = (uint32_t)sqlite3_column_int(statement, 5),
        .retained = (uint32_t)sqlite3_column_int(statement, 6),
    };

    if (as_json) {
        puts((const char *)sqlite3_column_text(statement, 7));
        return;
    }
    message.payload = sqlite3_column_blob(statement, 3);
    message.size = (size_t)sqlite3_column_bytes(statement, 3);
    message.topic = (const char *)sqlite3_column_text(statement, 4);
    message.topic_size = (size_t)sqlite3_column_bytes(statement, 4);
    format_print(options->format ? options->format : "%p", &message);
}

/* How far an export is. */
struct spool_export {
    const struct tool_options *options;
    sqlite3 *db;
    int as_json;
    sqlite3_int64 id; /* of the last message that was printed on the way forwards */
    long done;        /* messages printed */
    struct progress progress;
    uint64_t total; /* 0: not known */
    int watched;    /* 1: by a person who does not get the messages themselves */
};

static uint64_t now_ms(void)
{
    struct timespec now = {0};

    /* The clock always exists. */
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* How many messages there are to print; 0 when the file does not say. */
static uint64_t count_messages(const struct tool_options *options, sqlite3 *db)
{
    sqlite3_stmt *statement = NULL;
    sqlite3_int64 count = 0;

    if (sqlite3_prepare_v2(db, "SELECT sum(held) FROM stream WHERE ?1 IS NULL OR channel = ?1", -1, &statement, NULL) ==
            SQLITE_OK &&
        sqlite3_bind_text(statement, 1, options->channel, -1, SQLITE_STATIC) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW)
        count = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    if (options->count > 0 && count > options->count)
        count = options->count;
    return count > 0 ? (uint64_t)count : 0;
}

static void export_begin(struct spool_export *export)
{
    progress_begin(&export->progress, "exporting", now_ms(), 0);
    export->watched = export->as_json && export->progress.on && !isatty(STDOUT_FILENO);
    if (export->watched)
        export->total = count_messages(export->options, export->db);
}

static void export_show(struct spool_export *export)
{
    if (export->watched && export->done % LOOK_EVERY == 0)
        progress_show(&export->progress, now_ms(), (uint64_t)export->done, export->total);
}

static void export_end(struct spool_export *export)
{
    progress_end(&export->progress);
    if (export->watched)
        fprintf(stderr, "%ld messages\n", export->done);
}

/* Print rows in one direction, those behind export->id. Returns an SQLite result. */
static int print_rows(struct spool_export *export, int backwards)
{
    static const char *const queries[2] = {"SELECT " COLUMNS ", " JSON FROM, "SELECT " COLUMNS ", " JSON FROM " DESC"};
    const struct tool_options *options = export->options;
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(export->db, queries[backwards], -1, &statement, NULL), step = SQLITE_ROW;

    if (rc == SQLITE_OK)
        rc = sqlite3_bind_text(statement, 1, options->channel, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_int64(statement, 2, export->id);
    while (rc == SQLITE_OK && (options->count == 0 || export->done < options->count) &&
           (step = sqlite3_step(statement)) == SQLITE_ROW) {
        if (!backwards)
            export->id = sqlite3_column_int64(statement, 0);
        print_row(options, statement, export->as_json);
        export->done++;
        export_show(export);
        if (ferror(stdout))
            break;
    }
    if (rc == SQLITE_OK && step != SQLITE_ROW && step != SQLITE_DONE)
        rc = step;
    sqlite3_finalize(statement);
    return rc;
}

/* Print messages, the oldest first. Where the file is damaged, what can be read from its end follows, the newest first.
 */
static int print_messages(const struct tool_options *options, sqlite3 *db, int as_json)
{
    struct spool_export export = {.options = options, .db = db, .as_json = as_json, .id = -1};
    int result = TOOL_DONE;

    export_begin(&export);
    if (print_rows(&export, 0) != SQLITE_OK) {
        progress_hide();
        result = failed(options, db);
        print_rows(&export, 1);
    }
    export_end(&export);
    if (fflush(stdout) != 0 || ferror(stdout))
        return tool_fail(options, "write standard output: %s", strerror(errno));
    return result;
}

static void print_fault(void *context, const char *line)
{
    const struct tool_options *options = context;

    printf("%s: %s\n", options->file, line);
}

static int check(struct tool_options *options, sqlite3 *db)
{
    sqlite3_stmt *statement = NULL;

    if (spool_file_check(db, print_fault, options) > 0)
        return TOOL_FAILED;
    if (sqlite3_prepare_v2(db, "SELECT count(*), coalesce(sum(held), 0) FROM stream", -1, &statement, NULL) !=
            SQLITE_OK ||
        sqlite3_step(statement) != SQLITE_ROW) {
        sqlite3_finalize(statement);
        return failed(options, db);
    }
    printf("%s: ok: %lld messages in %lld streams\n", options->file, (long long)sqlite3_column_int64(statement, 1),
           (long long)sqlite3_column_int64(statement, 0));
    sqlite3_finalize(statement);
    return TOOL_DONE;
}

int spool_run(const struct tool_options *given)
{
    struct tool_options options = *given;
    struct reason reason;
    sqlite3 *db;
    int rc;

    if (!options.file)
        options.file = TOOL_SPOOL_PATH;
    if (spool_file_open_to_read(&db, options.file, &reason) < 0)
        return tool_fail(&options, "could not open %s: %s", options.file, reason.text);
    if (strcmp(options.action, "list") == 0)
        rc = list(&options, db);
    else if (strcmp(options.action, "check") == 0)
        rc = check(&options, db);
    else
        rc = print_messages(&options, db, strcmp(options.action, "export") == 0);
    sqlite3_close(db);
    if (fflush(stdout) != 0)
        return tool_fail(&options, "write standard output: %s", strerror(errno));
    return rc;
}
