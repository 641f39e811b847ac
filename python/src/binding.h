/* binding.h: what the C files of the Python extension share.
 *
 * Built for Python's stable ABI, 3.11 and later (buffers are in it since then); a free-threaded Python has no stable
 * ABI yet and gets a build of its own. Everything Python lies in the module's state, so that each interpreter of a
 * process has its own. No field of an object is guarded by the GIL: calls enter the handle's guard (guard.h). The GIL
 * is released only while the library may wait.
 */
#ifndef SHMGATE_PYTHON_BINDING_H
#define SHMGATE_PYTHON_BINDING_H

#define PY_SSIZE_T_CLEAN
/* Says whether this Python has a GIL; Python.h, which includes it, comes too late. */
#include <pyconfig.h>
#if !defined(Py_LIMITED_API) && !defined(Py_GIL_DISABLED)
#define Py_LIMITED_API 0x030B0000
#endif
#include <Python.h>

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include <shared_memory.h>

#include "guard.h"

#define CHANNEL_NAME_SIZE 64 /* with its NUL; names are no longer, see shared_memory_counters */

/* What one interpreter has of the module. */
struct module_state {
    PyTypeObject *segment_type, *writer_type, *reader_type, *peek_type, *message_type;
    PyObject *errors;                 /* the module shmgate._errors */
    PyObject *asyncio_name;           /* "asyncio" */
    _Atomic(PyObject *) running_loop; /* asyncio._get_running_loop; NULL: asyncio was never seen */
    _Atomic(PyObject *) tasks;        /* the module shmgate._tasks; NULL: not needed yet */
};

typedef struct {
    PyObject_HEAD struct shared_memory *shm; /* valid inside the guard */
    struct guard guard;
} SegmentObject;

typedef struct {
    PyObject_HEAD struct shared_memory_writer *writer; /* valid inside the guard */
    struct guard guard;
    pthread_mutex_t lock; /* one write at a time; only held while the library copies */
} WriterObject;

/* Who is alone in a reader. */
enum reader_use { READER_FREE, READER_CALL, READER_PEEK };

typedef struct {
    PyObject_HEAD struct shared_memory_reader *reader; /* valid inside the guard; used by who is alone there */
    struct guard guard;
    _Atomic int use; /* enum reader_use; for what a second one is told */
    char channel[CHANNEL_NAME_SIZE];
    _Atomic size_t max_payload;    /* as last seen */
    _Atomic int descriptor;        /* -1: not made */
    _Atomic int task_waits;        /* 1: a task of an event loop waits for a message; it is inside the guard */
    _Atomic(PyObject *) task_wake; /* wakes that task, from any thread; or NULL */
    _Atomic unsigned task_reads;   /* by tasks */
    /* The rest is for who is alone. */
    void *buffer;
    size_t buffer_size;
    PyObject *topic;   /* of the last message, so that equal ones share a string; or NULL */
    char *topic_bytes; /* the same, as it came */
    size_t topic_size;
} ReaderObject;

typedef struct {
    PyObject_HEAD ReaderObject *reader; /* the Peek is alone in it until it is released */
    struct guard guard;                 /* inside are the buffers that point into the slot; closed: released */
    PyObject *message;                  /* a Message without its payload */
    const void *payload;
    Py_ssize_t size;
} PeekObject;

extern PyType_Spec segment_spec, writer_spec, reader_spec, peek_spec;
extern PyStructSequence_Desc message_desc;

/* The state of the module that an object's type belongs to. */
struct module_state *module_state_of(void *object);

/* Raise the exception that belongs to an error of the library, with its reason. Returns NULL. */
PyObject *raise_error(const struct module_state *state, int rc);

/* The same with a reason of our own. */
PyObject *raise_error_text(const struct module_state *state, int rc, const char *text);

/* A new reference to shmgate._tasks, with what event loops need; NULL with an exception set. */
PyObject *tasks_module(struct module_state *state);

/* Whether an event loop runs in this thread: 1 or 0, or -1 with an exception set. */
int event_loop_runs(struct module_state *state);

/* A Reader that owns `reader`, or NULL with an exception set and `reader` closed. */
PyObject *reader_new(struct module_state *state, struct shared_memory_reader *reader, const char *channel);

/* A Message; steals `payload`. The caller is alone in the reader. */
PyObject *message_new(ReaderObject *reader, const struct shared_memory_message *message, PyObject *payload);

/* The caller, who was alone in the reader, leaves it. */
void reader_object_done(ReaderObject *self);

/* A Peek at the message that the reader's last peek found. The caller is alone in the reader, and stays so when this
 * fails; else the Peek is. */
PyObject *peek_new(ReaderObject *reader, const struct shared_memory_message *message);

#endif
