/* spool_file.h: the spool's file: an SQLite database in WAL mode, its tables, and what to do with one that cannot be
 * used.
 *
 *      stream     one row for each lane of each segment that ever gave messages to this file: where they come from, how
 * they are to be published, and what became of them: taken = held + delivered + over_size + too_old + refused + lost
 *      message    one row for each message that is held; id is the order of arrival, (stream, sequence) its place
 *
 * The counts change in the same transaction as the messages, so they agree at every instant, also after a power cut.
 * Several programs may read the file while the gateway works with it.
 */
#ifndef SHMGATE_SPOOL_FILE_H
#define SHMGATE_SPOOL_FILE_H

#include <sqlite3.h>
#include <stddef.h>

#include "shm/reason.h"

/* In the database's header, for file(1) and for ourselves: "SHMG", and the version of the tables. */
#define SPOOL_FILE_APPLICATION 0x53484d47
#define SPOOL_FILE_VERSION 1

/* Set-aside files that are kept at most: a disk that damages each new file must not be filled with them. */
#define SPOOL_FILE_ASIDE_MAX 4

/* Open the file, or make it (mode 0640) when there is none. On success *db must be given to sqlite3_close. Blocks on
 * the disk. Returns 0; with the reason: -EBADMSG it is damaged or no spool; -EPROTO it is of a later
 * version; -EROFS, -EACCES, -ENOSPC, -ENOENT (no such directory), -EBUSY another program has locked it, -EIO, -ENOMEM.
 */
int spool_file_open(sqlite3 **db, const char *path, struct reason *reason);

/* The same for looking only; the file is neither made nor changed. */
int spool_file_open_to_read(sqlite3 **db, const char *path, struct reason *reason);

/* Whether the file is one to which a journal, PATH-wal, belongs, and there is none: 1 or 0. A gateway leaves one
 * behind, however it ends, so the file was copied without it, or was last closed in order by a program that does not
 * keep it. */
int spool_file_lacks_journal(const char *path);

/* Give the file another name, PATH.damaged-TIME, so that a new one can be begun; `name` gets it. -EEXIST: there are
 * SPOOL_FILE_ASIDE_MAX already; or -errno of rename(2). The database must be closed. */
int spool_file_set_aside(const char *path, char *name, size_t name_size);

/* SQLite's result of a failed call as -errno, from those of spool_file_open. */
int spool_file_errno(sqlite3 *db, int result);

/* Takes one fault as a line, which is valid during the call. */
typedef void (*spool_file_report)(void *context, const char *line);

/* Look at every page and every count. Each fault is given to `report`. Returns the number of faults, or
 * -errno. */
int spool_file_check(sqlite3 *db, spool_file_report report, void *context);

#endif
