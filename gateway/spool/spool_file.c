/* spool_file.c: the spool's file. See spool_file.h. */
#include "spool/spool_file.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Bytes of a page. With 4 KiB a message up to some 4,000 bytes lies in one page, and a page is what flash and file
 * systems write at once. */
#define PAGE_SIZE "4096"
/* KiB of pages kept in memory: the tops of the trees and the ends where messages come and go. What is held does not
 * change it. */
#define CACHE_KIB "256"
/* Pages of the journal after which they are written into the file itself, and bytes of it that stay allocated
 * afterwards. */
#define CHECKPOINT_PAGES "256"
#define JOURNAL_BYTES "1048576"

/* Milliseconds that somebody who looks at the file may keep us waiting. */
#define BUSY_MS 20
#define READER_BUSY_MS 5000

#define URI_IMMUTABLE "?immutable=1"
#define URI_SIZE (3 * PATH_MAX + 32) /* a path of which each byte is escaped */

#define TEXT(number) TEXT_(number)
#define TEXT_(number) #number

static const char schema[] =
    "PRAGMA page_size = " PAGE_SIZE ";"
    "PRAGMA journal_mode = WAL;"
    "BEGIN IMMEDIATE;"
    "CREATE TABLE stream ("
    " id INTEGER PRIMARY KEY,"
    " channel TEXT NOT NULL, generation INTEGER NOT NULL, lane INTEGER NOT NULL, boot TEXT NOT NULL,"
    " topic TEXT NOT NULL, qos INTEGER NOT NULL, retain INTEGER NOT NULL, source INTEGER NOT NULL,"
    " next INTEGER NOT NULL," /* sequence number behind the last message that was taken */
    " taken INTEGER NOT NULL, held INTEGER NOT NULL, bytes INTEGER NOT NULL, delivered INTEGER NOT NULL,"
    " over_size INTEGER NOT NULL, too_old INTEGER NOT NULL, refused INTEGER NOT NULL, lost INTEGER NOT NULL,"
    " epoch_ns INTEGER NOT NULL DEFAULT 0);" /* struct spool_stream */
    "CREATE TABLE message ("
    " id INTEGER PRIMARY KEY,"
    " stream INTEGER NOT NULL, sequence INTEGER NOT NULL,"
    " time_ns INTEGER NOT NULL,"    /* Unix time of the write into shared memory */
    " spooled_ns INTEGER NOT NULL," /* when it came here: since the stream's epoch_ns, or Unix time */
    " payload BLOB NOT NULL);"
    "CREATE UNIQUE INDEX message_place ON message (stream, sequence);"
    "PRAGMA application_id = " TEXT(SPOOL_FILE_APPLICATION) ";"
                                                            "PRAGMA user_version = " TEXT(SPOOL_FILE_VERSION) ";"
                                                                                                              "COMMIT;";

static const char settings[] = "PRAGMA cache_size = -" CACHE_KIB ";"
                               "PRAGMA mmap_size = 0;"
                               "PRAGMA wal_autocheckpoint = " CHECKPOINT_PAGES ";"
                               "PRAGMA journal_size_limit = " JOURNAL_BYTES ";"
                               /* A file in which somebody has planted triggers or views must not make us run them. */
                               "PRAGMA trusted_schema = OFF;";

/* What the system said to the last call on the file or its journal that failed; 0: nothing. */
static int system_errno(sqlite3 *db)
{
    sqlite3_file *files[2] = {NULL, NULL};
    int number = db ? sqlite3_system_errno(db) : 0;

    if (!db || number != 0)
        return number;
    /* It remembers that of an open only; the files remember their own. */
    sqlite3_file_control(db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &files[0]);
    sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &files[1]);
    for (int i = 0; i < 2 && number == 0; i++)
        if (files[i] && files[i]->pMethods)
            files[i]->pMethods->xFileControl(files[i], SQLITE_FCNTL_LAST_ERRNO, &number);
    return number;
}

int spool_file_errno(sqlite3 *db, int result)
{
    switch (result & 0xff) {
    case SQLITE_OK:
        return 0;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_MISMATCH:
    case SQLITE_CONSTRAINT:
    case SQLITE_ERROR: /* a table or column that should be there is not */
    case SQLITE_SCHEMA:
        return -EBADMSG;
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_READONLY:
        return -EROFS;
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return -EACCES;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EBUSY;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_CANTOPEN:
    case SQLITE_IOERR: {
        int number = system_errno(db);

        /* A file as large as the process may have (setrlimit(2)) is as good as a full disk. */
        if (number == EFBIG)
            return -ENOSPC;
        return number == ENOSPC || number == EDQUOT || number == EROFS || number == EACCES || number == ENOENT ? -number
                                                                                                               : -EIO;
    }
    default:
        return -EIO;
    }
}

static int file_integer(sqlite3 *db, const char *sql, sqlite3_int64 *value)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);

    if (rc == SQLITE_OK) {
        rc = sqlite3_step(statement);
        *value = rc == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
        rc = rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
    }
    sqlite3_finalize(statement);
    return rc;
}

/* Whether an open database is a spool of ours. `fresh` is 1 when it is empty. */
static int file_look(sqlite3 *db, int *fresh, struct reason *reason)
{
    sqlite3_int64 application = 0, version = 0, tables = 0;
    int rc = file_integer(db, "PRAGMA application_id", &application);

    if (rc == SQLITE_OK)
        rc = file_integer(db, "PRAGMA user_version", &version);
    if (rc == SQLITE_OK)
        rc = file_integer(db, "SELECT count(*) FROM sqlite_master", &tables);
    if (rc != SQLITE_OK) {
        return reason_set(reason, spool_file_errno(db, rc), "%s", sqlite3_errmsg(db));
    }
    *fresh = tables == 0;
    if (*fresh)
        return 0;
    if (application != SPOOL_FILE_APPLICATION)
        return reason_set(reason, -EBADMSG, "it is a database of another program");
    if (version < 1)
        return reason_set(reason, -EBADMSG, "it is of version %lld, which there is not", (long long)version);
    if (version > SPOOL_FILE_VERSION)
        return reason_set(reason, -EPROTO, "it is of version %lld, this program knows version %d", (long long)version,
                          SPOOL_FILE_VERSION);
    return 0;
}

static int file_run(sqlite3 *db, const char *sql, struct reason *reason)
{
    int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);

    if (rc == SQLITE_OK)
        return 0;
    return reason_set(reason, spool_file_errno(db, rc), "%s", sqlite3_errmsg(db));
}

/* A column that a file of before has not got yet. Programs of before pass it over, so the file's version stays. */
static int add_epoch(sqlite3 *db, struct reason *reason)
{
    sqlite3_int64 there = 0;
    int rc = file_integer(db, "SELECT count(*) FROM pragma_table_info('stream') WHERE name = 'epoch_ns'", &there);

    if (rc != SQLITE_OK)
        return reason_set(reason, spool_file_errno(db, rc), "%s", sqlite3_errmsg(db));
    return there ? 0 : file_run(db, "ALTER TABLE stream ADD COLUMN epoch_ns INTEGER NOT NULL DEFAULT 0", reason);
}

static int open_flags(sqlite3 **db, const char *path, int flags, struct reason *reason)
{
    int rc = sqlite3_open_v2(path, db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);

    if (rc == SQLITE_OK)
        return 0;
    rc = reason_set(reason, *db ? spool_file_errno(*db, rc) : -ENOMEM, "%s",
                    *db ? sqlite3_errmsg(*db) : "out of memory");
    sqlite3_close(*db);
    *db = NULL;
    return rc;
}

int spool_file_open(sqlite3 **db, const char *path, struct reason *reason)
{
    int fresh = 0, rc;
    /* SQLite would make it readable for all; its other files take their mode from this one. */
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);

    *db = NULL;
    if (fd < 0) {
        rc = reason_set(reason, -errno, "%s", strerror(errno));
        return rc == -EISDIR ? -EACCES : rc;
    }
    close(fd);
    if ((rc = open_flags(db, path, SQLITE_OPEN_READWRITE, reason)) < 0)
        return rc;
    sqlite3_busy_timeout(*db, BUSY_MS);
    rc = file_look(*db, &fresh, reason);
    /* We may write the file, and SQLite will not: so says a number in its header that only a later version, or damage,
     * makes (SQLite's file format, 1.3.3). */
    if (rc == 0 && sqlite3_db_readonly(*db, "main") == 1)
        rc = reason_set(reason, -EBADMSG, "it is of a version of SQLite that this one cannot write");
    if (rc == 0)
        rc = file_run(*db, settings, reason);
    if (rc == 0 && fresh)
        rc = file_run(*db, schema, reason);
    if (rc == 0 && !fresh)
        rc = add_epoch(*db, reason);
    if (rc == 0) {
        /* The journal stays, empty, when the file is closed in order: a file without one is then a copy to which it is
         * missing. See spool_file_lacks_journal. */
        sqlite3_file_control(*db, "main", SQLITE_FCNTL_PERSIST_WAL, &(int){1});
        return 0;
    }
    sqlite3_close(*db);
    *db = NULL;
    return rc;
}

int spool_file_lacks_journal(const char *path)
{
    unsigned char mode = 0;
    char journal[PATH_MAX];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

    if (fd < 0)
        return 0;
    /* SQLite's file format, 1.3: the version to read it, 2 when there is a journal of the kind "wal". */
    if (pread(fd, &mode, 1, 19) != 1)
        mode = 0;
    close(fd);
    return mode == 2 && snprintf(journal, sizeof(journal), "%s-wal", path) < (int)sizeof(journal) &&
           access(journal, F_OK) < 0 && errno == ENOENT;
}

/* Write the file's name as a URI of one that does not change while it is open (sqlite.org/uri.html). */
static void immutable_uri(char uri[URI_SIZE], const char *path)
{
    size_t used = (size_t)snprintf(uri, URI_SIZE, "file:");

    for (; *path && used + 4 + sizeof(URI_IMMUTABLE) <= URI_SIZE; path++)
        used += (size_t)snprintf(uri + used, URI_SIZE - used, strchr("%?#", *path) ? "%%%02x" : "%c",
                                 (unsigned char)*path);
    snprintf(uri + used, URI_SIZE - used, URI_IMMUTABLE);
}

int spool_file_open_to_read(sqlite3 **db, const char *path, struct reason *reason)
{
    char uri[URI_SIZE];
    int fresh = 0, flags = SQLITE_OPEN_READONLY, rc;

    *db = NULL;
    if (access(path, R_OK) < 0) {
        rc = -errno;
        return reason_set(reason, rc, "%s", strerror(-rc));
    }
    /* Without its journal nobody works with it. SQLite would make one, also where we only read. */
    if (spool_file_lacks_journal(path)) {
        immutable_uri(uri, path);
        path = uri;
        flags |= SQLITE_OPEN_URI;
    }
    if ((rc = open_flags(db, path, flags, reason)) < 0)
        return rc;
    sqlite3_busy_timeout(*db, READER_BUSY_MS);
    if ((rc = file_look(*db, &fresh, reason)) == 0 && fresh) {
        rc = reason_set(reason, -EBADMSG, "it is empty");
    }
    if (rc == 0)
        rc = file_run(*db, settings, reason);
    if (rc == 0)
        return 0;
    sqlite3_close(*db);
    *db = NULL;
    return rc;
}

static int rename_suffix(const char *path, const char *name, const char *suffix)
{
    char from[PATH_MAX], to[PATH_MAX];

    if (snprintf(from, sizeof(from), "%s%s", path, suffix) >= (int)sizeof(from) ||
        snprintf(to, sizeof(to), "%s%s", name, suffix) >= (int)sizeof(to))
        return -ENAMETOOLONG;
    return rename(from, to) == 0 || errno == ENOENT ? 0 : -errno;
}

/* How many files PATH.damaged-TIME there are already, or PATH.version-TIME of an earlier program. */
static size_t count_aside(const char *path)
{
    char pattern[PATH_MAX];
    size_t used = 0, count = 0;
    glob_t found = {0};

    for (; *path && used + 2 < sizeof(pattern) - 64; path++) {
        if (strchr("*?[\\", *path))
            pattern[used++] = '\\';
        pattern[used++] = *path;
    }
    snprintf(pattern + used, sizeof(pattern) - used, ".*-[0-9]*T[0-9]*Z*");
    if (glob(pattern, GLOB_NOSORT, NULL, &found) == 0)
        for (size_t i = 0; i < found.gl_pathc; i++) {
            const char *suffix = strrchr(found.gl_pathv[i], '-');

            /* A file's journal is none of its own. */
            count += strcmp(suffix, "-wal") != 0 && strcmp(suffix, "-shm") != 0;
        }
    globfree(&found);
    return count;
}

int spool_file_set_aside(const char *path, char *name, size_t name_size)
{
    time_t now = time(NULL);
    struct tm tm;
    char stamp[32], index[PATH_MAX];
    int rc;

    if (count_aside(path) >= SPOOL_FILE_ASIDE_MAX)
        return -EEXIST;
    gmtime_r(&now, &tm);
    strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &tm);
    for (int same = 0; same == 0 || access(name, F_OK) == 0; same++)
        if (snprintf(name, name_size, same ? "%s.damaged-%s-%d" : "%s.damaged-%s", path, stamp, same) >= (int)name_size)
            return -ENAMETOOLONG;
    /* The journal first: without it the file is whole as of some time ago, but a new file must never find the old one's
     * journal. */
    if ((rc = rename_suffix(path, name, "-wal")) < 0 || (rc = rename_suffix(path, name, "")) < 0)
        return rc;
    /* The index of the journal is made anew from it. */
    if (snprintf(index, sizeof(index), "%s-shm", path) < (int)sizeof(index))
        unlink(index);
    return 0;
}

/* Report each row that the query gives as one fault. */
static int report_rows(sqlite3 *db, const char *sql, const char *fine, spool_file_report report, void *context)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL), faults = 0;

    if (rc != SQLITE_OK) {
        report(context, sqlite3_errmsg(db));
        return 1;
    }
    while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(statement, 0);

        if (fine && text && strcmp(text, fine) == 0)
            continue;
        report(context, text ? text : "out of memory");
        faults++;
    }
    if (rc != SQLITE_DONE) {
        report(context, sqlite3_errmsg(db));
        faults++;
    }
    sqlite3_finalize(statement);
    return faults;
}

int spool_file_check(sqlite3 *db, spool_file_report report, void *context)
{
    return report_rows(db, "PRAGMA integrity_check(20)", "ok", report, context) +
           report_rows(db,
                       "SELECT 'channel ' || channel || ' lane ' || lane || ': taken ' || taken || ' is not held ' || "
                       "held || ' + delivered ' ||"
                       " delivered || ' + dropped ' || (over_size + too_old + refused + lost)"
                       " FROM stream WHERE taken != held + delivered + over_size + too_old + refused + lost",
                       NULL, report, context) +
           report_rows(db,
                       "SELECT 'channel ' || channel || ' lane ' || lane || ': held ' || held || ', but there are ' || "
                       "count(message.id)"
                       " FROM stream LEFT JOIN message ON message.stream = stream.id GROUP BY stream.id HAVING held != "
                       "count(message.id)",
                       NULL, report, context) +
           report_rows(
               db,
               "SELECT 'message ' || id || ': of no stream' FROM message WHERE stream NOT IN (SELECT id FROM stream)",
               NULL, report, context);
}
