/* reader.h: what reader.c and reader_tasks.c share: the type Reader. */
#ifndef SHMGATE_PYTHON_READER_H
#define SHMGATE_PYTHON_READER_H

#include "binding.h"
#include "limit.h"

#define READER_CLOSED 1   /* the reader was closed while the call waited in it */
#define READER_OUTGROWN 2 /* the reader's own buffer is too small since the gateway has a larger max_payload */

/* Where a payload goes; `bytes` NULL: it stays where it lies. */
struct target {
    void *bytes;
    size_t size;
};

/* Be alone in the reader. Returns 1, and the caller must call reader_leave; 0 with an exception set. */
int reader_object_use(ReaderObject *self);

/* Raise ValueError. Returns NULL. */
PyObject *reader_raise_closed(void);

/* Give the reader's own buffer room for any message of the channel. Returns 1; 0 with an exception set. The caller is
 * alone in the reader. */
int reader_fit(ReaderObject *self);

/* Whether that is why a read into the reader's own buffer has failed: then reader_fit makes room. The message stays. */
int reader_outgrown(const ReaderObject *self, int rc);

/* What a call that does not wait returns after reading into the reader's own buffer: the Message; None for -EAGAIN; or
 * NULL with an exception set. */
PyObject *reader_message_or_none(ReaderObject *self, int rc, const struct shared_memory_message *message);

/* ---- For event loops ---- */

/* The coroutine shmgate._tasks.read(reader, timeout). */
PyObject *reader_read_in_task(ReaderObject *self, PyObject *timeout);

/* Let the task that waits, if there is one, look again; from any thread. */
void reader_wake_task(ReaderObject *self);

/* Methods. */
PyObject *reader_fileno(ReaderObject *self, PyObject *unused);
PyObject *reader_async_enter(ReaderObject *self, PyObject *unused);
PyObject *reader_async_exit(ReaderObject *self, PyObject *arguments);
PyObject *reader_async_next(ReaderObject *self);
PyObject *reader_hold(ReaderObject *self, PyObject *wake);
PyObject *reader_take_now(ReaderObject *self, PyObject *unused);
PyObject *reader_let_go(ReaderObject *self, PyObject *unused);

#endif
