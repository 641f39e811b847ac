/* spool.c: look at the gateway's spool file: list, show, export, check. The gateway may be at work with it.
 *
 * As long as a statement is being read, SQLite can take nothing out of the journal, which the gateway writes on. So
 * what is to be printed is first gathered, a page at a time, and printed when no statement is open: whoever reads our
 * output, such as less(1), may take their time. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "observe/progress.h"
#include "shm/shared_memory.h"
#include "spool/spool_file.h"
#include "tool/tool.h"

/* What is gathered before it is printed: at most so many messages; or so many bytes, and the message with which they
 * are reached. */
#define PAGE_MESSAGES 256
#define PAGE_BYTES (256 << 10)

/* All messages above ?2 and below ?3, with their streams' columns. ?1: the channel or NULL. A cross join is SQLite's
 * way to be told the order of the loops: by the messages' numbers, without sorting. */
#define COLUMNS "m.id, m.sequence, m.time_ns, m.payload, s.topic, s.lane, s.retain"
#define JSON                                                                                                          \
    "json_object('channel', s.channel, 'topic', s.topic, 'qos', s.qos, 'retain', s.retain, 'boot', s.boot, 'stream'," \
    " printf('%016x', s.generation), 'lane', s.lane, 'sequence', m.sequence, 'time_ns', m.time_ns, 'payload_hex', "   \
    "hex(m.payload))"
#define FROM                                                                                                         \
    " FROM message m CROSS JOIN stream s ON s.id = m.stream WHERE (?1 IS NULL OR s.channel = ?1) AND m.id > ?2 AND " \
    "m.id < ?3 ORDER BY m.id"

static int failed(const struct tool_options *options, sqlite3 *db)
{
    return tool_fail(options, "%s: %s", options->file, sqlite3_errmsg(db));
}

/* What is gathered: a stream into memory. */
struct page {
    FILE *out;
    char *text;
    size_t size;
};

static int page_begin(struct page *page)
{
    *page = (struct page){0};
    page->out = open_memstream(&page->text, &page->size);
    return page->out ? 0 : -ENOMEM;
}

/* Print the page and free it. No statement must be open. -ENOMEM: it was too large. */
static int page_end(struct page *page)
{
    int rc = fclose(page->out) == 0 ? 0 : -ENOMEM;

    if (rc == 0)
        fwrite(page->text, 1, page->size, stdout);
    free(page->text);
    return rc;
}

static void print_time(FILE *out, sqlite3_int64 time_ns)
{
    time_t seconds = (time_t)(time_ns / 1000000000);
    struct tm tm;
    char text[32] = "-";

    if (time_ns > 0 && gmtime_r(&seconds, &tm))
        strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
    fprintf(out, " %-20s", text);
}

static int list(const struct tool_options *options, sqlite3 *db)
{
    static const char sql[] =
        "SELECT s.channel, s.lane, s.held, s.bytes, (SELECT m.time_ns FROM message m WHERE m.stream = s.id ORDER BY "
        "m.sequence LIMIT 1),"
        " (SELECT m.time_ns FROM message m WHERE m.stream = s.id ORDER BY m.sequence DESC LIMIT 1), s.topic"
        " FROM stream s WHERE s.held > 0 AND (?1 IS NULL OR s.channel = ?1) ORDER BY s.id";
    sqlite3_stmt *statement = NULL;
    struct page page;
    int rc;

    if (page_begin(&page) < 0)
        return tool_fail(options, "out of memory");
    rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_text(statement, 1, options->channel, -1, SQLITE_STATIC);
    fprintf(page.out, "%-16s %5s %12s %12s %-20s %-20s %s\n", "channel", "lane", "messages", "bytes", "oldest",
            "newest", "topic");
    while (rc == SQLITE_OK && sqlite3_step(statement) == SQLITE_ROW) {
        fprintf(page.out, "%-16s %5d %12lld %12lld", (const char *)sqlite3_column_text(statement, 0),
                sqlite3_column_int(statement, 1), (long long)sqlite3_column_int64(statement, 2),
                (long long)sqlite3_column_int64(statement, 3));
        print_time(page.out, sqlite3_column_int64(statement, 4));
        print_time(page.out, sqlite3_column_int64(statement, 5));
        fprintf(page.out, " %s\n", (const char *)sqlite3_column_text(statement, 6));
    }
    rc = sqlite3_finalize(statement);
    if (page_end(&page) < 0)
        return tool_fail(options, "out of memory");
    return rc == SQLITE_OK ? TOOL_DONE : failed(options, db);
}

static void print_row(FILE *out, const struct tool_options *options, sqlite3_stmt *statement, int as_json)
{
    struct shared_memory_message message = {
        .sequence = (uint64_t)sqlite3_column_int64(statement, 1),
        .time_ns = (uint64_t)sqlite3_column_int64(statement, 2),
        .lane = (uint32_t)sqlite3_column_int(statement, 5),
        .retained = (uint32_t)sqlite3_column_int(statement, 6),
    };

    if (as_json) {
        fprintf(out, "%s\n", (const char *)sqlite3_column_text(statement, 7));
        return;
    }
    message.payload = sqlite3_column_blob(statement, 3);
    message.size = (size_t)sqlite3_column_bytes(statement, 3);
    message.topic = (const char *)sqlite3_column_text(statement, 4);
    message.topic_size = (size_t)sqlite3_column_bytes(statement, 4);
    format_print(out, options->format ? options->format : "%p", &message);
}

/* How far show or export is. */
struct spool_export {
    const struct tool_options *options;
    sqlite3 *db;
    int as_json;
    sqlite3_int64 above, below; /* the numbers of the messages that are left lie between these */
    long done;                  /* messages printed */
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
    if (export->watched)
        progress_show(&export->progress, now_ms(), (uint64_t)export->done, export->total);
}

static void export_end(struct spool_export *export)
{
    progress_end(&export->progress);
    if (export->watched)
        fprintf(stderr, "%ld messages\n", export->done);
}

static int is_done(const struct spool_export *export)
{
    return export->options->count > 0 && export->done >= export->options->count;
}

/* Read on until a page is full. Returns SQLITE_ROW when it is; SQLITE_DONE when that was the last message that is
 * wanted; or an error. */
static int gather(struct spool_export *export, sqlite3_stmt *statement, int backwards, FILE *out)
{
    for (long rows = 0; !is_done(export); rows++) {
        int step;

        if (rows == PAGE_MESSAGES || ftell(out) >= PAGE_BYTES)
            return SQLITE_ROW;
        if ((step = sqlite3_step(statement)) != SQLITE_ROW)
            return step;
        *(backwards ? &export->below : &export->above) = sqlite3_column_int64(statement, 0);
        print_row(out, export->options, statement, export->as_json);
        export->done++;
    }
    return SQLITE_DONE;
}

/* Print rows in one direction, those that are left. Returns SQLITE_DONE or an error. */
static int print_rows(struct spool_export *export, int backwards)
{
    static const char *const queries[2] = {"SELECT " COLUMNS ", " JSON FROM, "SELECT " COLUMNS ", " JSON FROM " DESC"};
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(export->db, queries[backwards], -1, &statement, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_bind_text(statement, 1, export->options->channel, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = SQLITE_ROW;
    while (rc == SQLITE_ROW && !ferror(stdout)) {
        struct page page;

        if (page_begin(&page) < 0) {
            rc = SQLITE_NOMEM;
            break;
        }
        sqlite3_bind_int64(statement, 2, export->above);
        sqlite3_bind_int64(statement, 3, export->below);
        rc = gather(export, statement, backwards, page.out);
        sqlite3_reset(statement);
        if (page_end(&page) < 0)
            rc = SQLITE_NOMEM;
        export_show(export);
    }
    sqlite3_finalize(statement);
    return rc == SQLITE_ROW ? SQLITE_DONE : rc;
}

/* Print messages, the oldest first. Where the file is damaged, what can be read from its end follows, the newest first.
 */
static int print_messages(const struct tool_options *options, sqlite3 *db, int as_json)
{
    struct spool_export export = {.options = options, .db = db, .as_json = as_json, .above = -1, .below = INT64_MAX};
    int result = TOOL_DONE, rc;

    export_begin(&export);
    rc = print_rows(&export, 0);
    if (rc != SQLITE_DONE) {
        progress_hide();
        result = tool_fail(options, "%s: %s", options->file, sqlite3_errstr(rc));
        print_rows(&export, 1);
    }
    export_end(&export);
    if (fflush(stdout) != 0 || ferror(stdout))
        return tool_fail(options, "write standard output: %s", strerror(errno));
    return result;
}

/* The faults of a check, gathered. */
struct check {
    const struct tool_options *options;
    FILE *out;
};

static void print_fault(void *context, const char *line)
{
    const struct check *check = context;

    fprintf(check->out, "%s: %s\n", check->options->file, line);
}

/* The line of a file without faults. */
static int print_sums(const struct tool_options *options, sqlite3 *db)
{
    sqlite3_stmt *statement = NULL;

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

static int check(const struct tool_options *options, sqlite3 *db)
{
    struct check check = {.options = options};
    struct page page;
    int faults;

    if (page_begin(&page) < 0)
        return tool_fail(options, "out of memory");
    check.out = page.out;
    faults = spool_file_check(db, print_fault, &check);
    if (page_end(&page) < 0)
        return tool_fail(options, "out of memory");
    return faults > 0 ? TOOL_FAILED : print_sums(options, db);
}

/* A copy that was made while a gateway ran is not all of it. */
static void warn_of_missing_journal(const struct tool_options *options)
{
    if (spool_file_lacks_journal(options->file))
        fprintf(
            stderr,
            "shmgate: spool %s: there is no %s-wal, the journal of %s: if this is a copy that was made while a gateway "
            "ran, messages are missing that stood only there: copy both files\n",
            options->action, options->file, options->file);
}

int spool_run(const struct tool_options *given)
{
    struct tool_options options = *given;
    struct reason reason;
    sqlite3 *db;
    int rc;

    if (!options.file)
        options.file = TOOL_SPOOL_PATH;
    warn_of_missing_journal(&options);
    if ((rc = spool_file_open_to_read(&db, options.file, &reason)) < 0)
        return tool_fail(&options, "could not open %s: %s%s", options.file, reason.text,
                         rc == -EACCES ? ": run it with sudo, or as a member of the group of its folder" : "");
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
