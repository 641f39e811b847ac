/* binding.h: what the C files of the Python extension share.
 *
 * Built for Python's stable ABI, 3.11 and later (buffers are in it since then). The GIL guards all fields; it is
 * released only while the library may wait, and `busy` keeps other threads out of the handle meanwhile.
 */
#ifndef SHMGATE_PYTHON_BINDING_H
#define SHMGATE_PYTHON_BINDING_H

#define PY_SSIZE_T_CLEAN
#ifndef Py_LIMITED_API
#define Py_LIMITED_API 0x030B0000
#endif
#include <Python.h>

#include <string.h>

#include <shared_memory.h>

typedef struct {
    PyObject_HEAD struct shared_memory *shm; /* NULL: closed */
} SegmentObject;

typedef struct {
    PyObject_HEAD struct shared_memory_writer *writer; /* NULL: closed */
} WriterObject;

typedef struct {
    PyObject_HEAD struct shared_memory_reader *reader; /* NULL: closed */
    void *buffer;
    size_t buffer_size;
    PyObject *topic;   /* of the last message, so that equal ones share a string; or NULL */
    char *topic_bytes; /* the same, as it came */
    size_t topic_size;
    int busy;   /* a thread waits in the library */
    int peeked; /* a Peek has not been released */
} ReaderObject;

typedef struct {
    PyObject_HEAD ReaderObject *reader; /* NULL: released */
    PyObject *message;                  /* a Message without its payload */
    const void *payload;
    Py_ssize_t size;
    Py_ssize_t exports; /* buffers that point into the slot */
} PeekObject;

extern PyTypeObject *segment_type, *writer_type, *reader_type, *peek_type, *message_type;
extern PyType_Spec segment_spec, writer_spec, reader_spec, peek_spec;
extern PyStructSequence_Desc message_desc;

/* Raise the exception that belongs to an error of the library, with its reason. Returns NULL. */
PyObject *raise_error(int rc);

/* Turn a timeout in seconds (None: for ever) into milliseconds. Returns -1 with an exception set, else 0. */
int convert_timeout(PyObject *timeout, int *timeout_ms);

/* A Message; steals `payload`. */
PyObject *message_new(ReaderObject *reader, const struct shared_memory_message *message, PyObject *payload);

/* A Peek at the message that the reader's last peek found. */
PyObject *peek_new(ReaderObject *reader, const struct shared_memory_message *message);

#endif
