/* log.h: one line on standard error for each message, for the journal or for a person.
 *
 * Only main and the loop log. Say "could not VERB OBJECT: reason" with key=value, on a change of state and not per
 * message; never a payload, never a password.
 */
#ifndef SHMGATE_LOG_H
#define SHMGATE_LOG_H

#include <stdarg.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Leave out what is less urgent than `level`; LOG_LEVEL_INFO at the start. Any thread. */
void log_set_level(enum log_level level);

/* From now on no line waits for standard error: a thread of its own writes (log_writer.h), and what that cannot take is
 * lost, counted, and said in a line where it is missing. Returns 0, or -errno when there can be no such thread: lines
 * are written all the same, and may wait. */
int log_start(void);

/* The end: lines that were written are given a moment to get out, 0.2 s while standard error takes nothing. */
void log_stop(void);

/* Write one line, in one write(2), so that lines of several threads never mix. When standard error is the journal
 * ($JOURNAL_STREAM, systemd.exec(5)) the line is sent as an entry whose fields are the key=value pairs of `format`: for
 * channel=%s the field SHMGATE_CHANNEL. Where the journal does not take that, the line is written to standard error all
 * the same, and begins with its priority as <3>, <4>, <6> or <7> (sd-daemon(3)); for a person it begins with the time
 * in UTC and "error: ", "warning: ", "debug: " or nothing. Control characters are written as \xNN, so that a topic from
 * the network cannot forge a line; text beyond 2000 bytes is cut and ends in "...". errno stays as it was, nothing is
 * allocated, a line that cannot be written is lost. Between log_start and log_stop it waits for nobody, but for at
 * most 20 ms in a burst of some hundred lines; otherwise as long as standard error does. Any thread; not in a signal
 * handler. */
void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same, for whoever hands a format on. */
void log_write_list(enum log_level level, const char *format, va_list arguments) __attribute__((format(printf, 2, 0)));

/* Send entries to another socket than the journal's; for tests. `path` is borrowed for good. */
void log_set_journal(const char *path);

#endif
