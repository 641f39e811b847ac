/* log_writer.h: lines to standard error that keep nobody waiting.
 *
 * Standard error may take nothing for as long as it likes: Ctrl-S on a terminal, a pipe whose reader has stopped, a log
 * driver that hangs. So a thread of its own writes, and the caller only puts the line into a queue of bounded size. To
 * make the descriptor non-blocking instead would do that to everybody who shares the terminal or pipe with us; poll(2)
 * before each write(2) is no help, as a terminal that takes one byte is writable.
 *
 * Lines come out in the order of their putting, each in one write(2) unless standard error takes only part of it. What
 * finds no room, or cannot be written, is counted, and said where it is missing. The thread sleeps without a timeout
 * while there is nothing to write. Without the thread (before log_writer_start and after log_writer_stop, in the tool,
 * in tests) a line is written at once, by whoever puts it, and that waits as long as standard error does.
 */
#ifndef SHMGATE_LOG_WRITER_H
#define SHMGATE_LOG_WRITER_H

#include <stddef.h>
#include <stdint.h>

#define LOG_WRITER_LINE_MAX 2072 /* bytes of one line: log.c's, with its prefix and what erases a line of progress */

/* Say in one line that `lost` lines are missing: into `line`, of LOG_WRITER_LINE_MAX bytes. Returns its size. On the
 * writer's thread. */
typedef size_t (*log_writer_notice)(char *line, uint64_t lost);

/* Start the thread. Returns 0, or -errno of sem_init(3) or pthread_create(3): lines are then written as without it. */
int log_writer_start(log_writer_notice notice);

/* Put a line of at most LOG_WRITER_LINE_MAX bytes; it is copied. Waits at most LOG_WRITER_PATIENCE_MS, and only when
 * the queue is full though standard error takes lines. Returns 0; -EAGAIN there was no room, and it is counted as lost;
 * without the thread -errno of write(2). Any thread. */
#define LOG_WRITER_PATIENCE_MS 20
int log_writer_put(const char *line, size_t size);

/* Whether a line would be written at once: nothing is in the queue. */
int log_writer_is_idle(void);

/* Let the thread write what is in the queue, and end it: waits until it is empty, at most LOG_WRITER_STOP_MS, and only
 * LOG_WRITER_STUCK_MS while standard error takes nothing. A thread that is stuck is left behind, and what is put from
 * then on is lost. */
#define LOG_WRITER_STOP_MS 1000
#define LOG_WRITER_STUCK_MS 200
void log_writer_stop(void);

#endif
