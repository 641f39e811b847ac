/* reader.c: the types Reader and Message: one place in a channel, and what is read from it. */
#include <errno.h>
#include <string.h>

#include "binding.h"

#define SLICE_MS 1000 /* longest wait without a look for signals that another thread took */

#define MESSAGE_FIELDS 8

static PyStructSequence_Field message_fields[] = {
    {"payload", "bytes; None in a Peek's message"},
    {"topic", "str: the topic it was or will be published to"},
    {"sequence", "int: counts the messages of its lane from 0"},
    {"time_ns", "int: Unix time of the write, in nanoseconds"},
    {"missed", "int: messages overwritten before this reader came to them, since the last message"},
    {"lane", "int: lane of the channel it came through; 0 in subscribe channels"},
    {"retained", "bool: the broker had kept it from before the subscription"},
    {"expired", "int: messages that became too old before this reader came to them, since the last message"},
    {NULL, NULL},
};

PyStructSequence_Desc message_desc = {"shmgate.Message", "A message as a Reader gets it.", message_fields,
                                      MESSAGE_FIELDS};

/* The topic as a string; the one before is used again when it is the same. */
static PyObject *reader_topic_of(ReaderObject *self, const struct shared_memory_message *message)
{
    char *bytes;

    if (self->topic && self->topic_size == message->topic_size &&
        memcmp(self->topic_bytes, message->topic, message->topic_size) == 0)
        return Py_NewRef(self->topic);
    bytes = PyMem_Realloc(self->topic_bytes, message->topic_size + 1);
    if (!bytes)
        return PyErr_NoMemory();
    memcpy(bytes, message->topic, message->topic_size);
    self->topic_bytes = bytes;
    self->topic_size = message->topic_size;
    Py_XDECREF(self->topic);
    /* Brokers pass on only UTF-8; the segment may hold anything. */
    self->topic = PyUnicode_DecodeUTF8(message->topic, (Py_ssize_t)message->topic_size, "replace");
    return Py_XNewRef(self->topic);
}

PyObject *message_new(ReaderObject *reader, const struct shared_memory_message *message, PyObject *payload)
{
    PyObject *object = payload ? PyStructSequence_New(message_type) : NULL;
    PyObject *fields[MESSAGE_FIELDS];

    if (!object) {
        Py_XDECREF(payload);
        return NULL;
    }
    fields[0] = payload;
    fields[1] = reader_topic_of(reader, message);
    fields[2] = PyLong_FromUnsignedLongLong(message->sequence);
    fields[3] = PyLong_FromUnsignedLongLong(message->time_ns);
    fields[4] = PyLong_FromUnsignedLongLong(message->missed);
    fields[5] = PyLong_FromUnsignedLong(message->lane);
    fields[6] = PyBool_FromLong((long)message->retained);
    fields[7] = PyLong_FromUnsignedLongLong(message->expired);
    for (int i = 0; i < MESSAGE_FIELDS; i++)
        PyStructSequence_SetItem(object, i, fields[i]);
    for (int i = 0; i < MESSAGE_FIELDS; i++) {
        if (!fields[i]) {
            Py_DECREF(object);
            return NULL;
        }
    }
    return object;
}

/* Whether the reader can be used now. */
static int reader_usable(ReaderObject *self)
{
    if (!self->reader)
        PyErr_SetString(PyExc_ValueError, "the reader is closed");
    else if (self->busy)
        PyErr_SetString(PyExc_RuntimeError, "another thread is waiting in this reader: open one for each thread");
    else if (self->peeked)
        PyErr_SetString(PyExc_BufferError, "a Peek of this reader has not been released");
    else
        return 1;
    return 0;
}

/* Wait for the next message: into `buffer`, or, when that is NULL, where it lies. Returns 0, or -1 with an exception
 * set. */
static int reader_wait(ReaderObject *self, void *buffer, size_t size, struct shared_memory_message *message,
                       int timeout_ms)
{
    int rc;

    /* What is there already needs no wait and no other thread. */
    rc = buffer ? shared_memory_reader_read(self->reader, buffer, size, message, 0)
                : shared_memory_reader_peek(self->reader, message, 0);
    while (rc == -EAGAIN || rc == -ETIMEDOUT || rc == -EINTR) {
        int slice = timeout_ms < 0 || timeout_ms > SLICE_MS ? SLICE_MS : timeout_ms;

        if (PyErr_CheckSignals() < 0)
            return -1;
        if (slice == 0)
            break;
        self->busy = 1;
        Py_BEGIN_ALLOW_THREADS
        rc = buffer ? shared_memory_reader_read(self->reader, buffer, size, message, slice)
                    : shared_memory_reader_peek(self->reader, message, slice);
        Py_END_ALLOW_THREADS
        self->busy = 0;
        if (timeout_ms > 0 && rc == -ETIMEDOUT)
            timeout_ms -= slice;
    }
    if (rc == 0)
        return 0;
    raise_error(rc == -EAGAIN ? -ETIMEDOUT : rc);
    return -1;
}

/* The gateway may have been given a larger max_payload since. */
static int reader_fit(ReaderObject *self)
{
    size_t size = shared_memory_reader_max_payload(self->reader);
    void *larger;

    if (size <= self->buffer_size)
        return 1;
    larger = PyMem_Realloc(self->buffer, size);
    if (!larger) {
        PyErr_NoMemory();
        return 0;
    }
    self->buffer = larger;
    self->buffer_size = size;
    return 1;
}

static PyObject *reader_take(ReaderObject *self, int timeout_ms)
{
    struct shared_memory_message message;

    if (!reader_fit(self) || reader_wait(self, self->buffer, self->buffer_size, &message, timeout_ms) < 0)
        return NULL;
    return message_new(self, &message, PyBytes_FromStringAndSize(self->buffer, (Py_ssize_t)message.size));
}

static PyObject *reader_read(ReaderObject *self, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"timeout", NULL};
    PyObject *timeout = NULL;
    int timeout_ms;

    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "|O:read", names, &timeout) ||
        convert_timeout(timeout, &timeout_ms) < 0 || !reader_usable(self))
        return NULL;
    return reader_take(self, timeout_ms);
}

static PyObject *reader_read_into(ReaderObject *self, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"buffer", "timeout", NULL};
    struct shared_memory_message message;
    PyObject *target, *timeout = NULL;
    int timeout_ms, rc;
    Py_buffer buffer;

    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "O|O:read_into", names, &target, &timeout) ||
        convert_timeout(timeout, &timeout_ms) < 0 || !reader_usable(self) ||
        PyObject_GetBuffer(target, &buffer, PyBUF_WRITABLE) < 0)
        return NULL;
    rc = reader_wait(self, buffer.buf, (size_t)buffer.len, &message, timeout_ms);
    PyBuffer_Release(&buffer);
    return rc < 0 ? NULL : PyLong_FromSize_t(message.size);
}

/* Copy messages of exactly an item's bytes that are there into the buffer, one behind the other. Returns how many; *rc
 * is why it ended there: 0 all; -EAGAIN there are no more; -EMSGSIZE the next one is of another size, and stays;
 * another error. Needs no interpreter lock. */
static size_t take_records(struct shared_memory_reader *reader, const Py_buffer *buffer,
                           struct shared_memory_message *message, int *rc)
{
    size_t size = (size_t)buffer->itemsize, count = (size_t)(buffer->len / buffer->itemsize), taken = 0;
    char *records = buffer->buf;

    *rc = 0;
    while (taken < count) {
        *rc = shared_memory_reader_peek(reader, message, 0);
        if (*rc == 0 && message->size != size)
            *rc = -EMSGSIZE;
        if (*rc < 0)
            break;
        memcpy(records + taken * size, message->payload, size);
        /* One that was overwritten meanwhile is none: the next one takes its place. */
        taken += shared_memory_reader_advance(reader) == 0;
    }
    return taken;
}

static PyObject *reader_read_many_into(ReaderObject *self, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"records", "timeout", NULL};
    struct shared_memory_message message;
    PyObject *target, *timeout = NULL, *result = NULL;
    size_t taken = 0;
    int timeout_ms, rc;
    Py_buffer buffer;

    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "O|O:read_many_into", names, &target, &timeout) ||
        convert_timeout(timeout, &timeout_ms) < 0 || !reader_usable(self) ||
        PyObject_GetBuffer(target, &buffer, PyBUF_WRITABLE) < 0)
        return NULL;
    if (buffer.itemsize > 0 && buffer.len >= buffer.itemsize && reader_wait(self, NULL, 0, &message, timeout_ms) == 0) {
        self->busy = 1;
        Py_BEGIN_ALLOW_THREADS
        taken = take_records(self->reader, &buffer, &message, &rc);
        Py_END_ALLOW_THREADS
        self->busy = 0;
        if (taken == 0 && rc == -EMSGSIZE)
            PyErr_Format(PyExc_ValueError, "the next message has %zu bytes, a record has %zd: read() takes it",
                         message.size, buffer.itemsize);
        else if (taken == 0 && rc < 0 && rc != -EAGAIN)
            raise_error(rc);
    }
    if (!PyErr_Occurred())
        result = PyLong_FromSize_t(taken);
    PyBuffer_Release(&buffer);
    return result;
}

static PyObject *reader_latest(ReaderObject *self, PyObject *unused)
{
    struct shared_memory_message message;
    int rc;

    (void)unused;
    if (!reader_usable(self) || !reader_fit(self))
        return NULL;
    rc = shared_memory_reader_latest(self->reader, self->buffer, self->buffer_size, &message);
    if (rc == -EAGAIN)
        Py_RETURN_NONE;
    if (rc < 0)
        return raise_error(rc);
    return message_new(self, &message, PyBytes_FromStringAndSize(self->buffer, (Py_ssize_t)message.size));
}

static PyObject *reader_peek(ReaderObject *self, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"timeout", NULL};
    struct shared_memory_message message;
    PyObject *timeout = NULL;
    int timeout_ms;

    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "|O:peek", names, &timeout) ||
        convert_timeout(timeout, &timeout_ms) < 0 || !reader_usable(self) ||
        reader_wait(self, NULL, 0, &message, timeout_ms) < 0)
        return NULL;
    return peek_new(self, &message);
}

static PyObject *reader_close(ReaderObject *self, PyObject *unused)
{
    (void)unused;
    if (self->reader && !reader_usable(self))
        return NULL;
    shared_memory_reader_close(self->reader);
    self->reader = NULL;
    Py_RETURN_NONE;
}

static PyObject *reader_object_enter(ReaderObject *self, PyObject *unused)
{
    (void)unused;
    return reader_usable(self) ? Py_NewRef((PyObject *)self) : NULL;
}

static PyObject *reader_exit(ReaderObject *self, PyObject *arguments)
{
    (void)arguments;
    return reader_close(self, NULL);
}

static PyObject *reader_next(ReaderObject *self)
{
    return reader_usable(self) ? reader_take(self, -1) : NULL;
}

static void reader_dealloc(ReaderObject *self)
{
    PyTypeObject *type = Py_TYPE((PyObject *)self);

    shared_memory_reader_close(self->reader);
    PyMem_Free(self->buffer);
    PyMem_Free(self->topic_bytes);
    Py_XDECREF(self->topic);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyObject *reader_max_payload(ReaderObject *self, void *unused)
{
    (void)unused;
    if (!self->reader) {
        PyErr_SetString(PyExc_ValueError, "the reader is closed");
        return NULL;
    }
    return PyLong_FromSize_t(shared_memory_reader_max_payload(self->reader));
}

static PyMethodDef methods[] = {
    {"read", (PyCFunction)(void (*)(void))reader_read, METH_VARARGS | METH_KEYWORDS,
     "read(timeout=None)\n--\n\nThe next message, waiting up to `timeout` seconds (None: for ever). Returns a "
     "Message.\n\nRaises TimeoutError."},
    {"read_into", (PyCFunction)(void (*)(void))reader_read_into, METH_VARARGS | METH_KEYWORDS,
     "read_into(buffer, timeout=None)\n--\n\nCopy the next message's payload into a writable buffer. Returns its size "
     "in bytes.\n\n"
     "Raises TimeoutError, TooLargeError (the message stays)."},
    {"read_many_into", (PyCFunction)(void (*)(void))reader_read_many_into, METH_VARARGS | METH_KEYWORDS,
     "read_many_into(records, timeout=None)\n--\n\nWait for a message, and copy it and those that follow into a "
     "writable array with records of their size, such as a NumPy\n"
     "structured array. Returns the number of records that were filled.\n\nRaises TimeoutError; ValueError when the "
     "next message is of another size (it stays)."},
    {"latest", (PyCFunction)reader_latest, METH_NOARGS,
     "latest()\n--\n\nThe newest message of the channel, or None when it never had one or that is too old by now. "
     "Leaves the reader's place as it is."},
    {"peek", (PyCFunction)(void (*)(void))reader_peek, METH_VARARGS | METH_KEYWORDS,
     "peek(timeout=None)\n--\n\nLook at the next message where it lies, without a copy. Returns a Peek.\n\nRaises "
     "TimeoutError."},
    {"close", (PyCFunction)reader_close, METH_NOARGS,
     "close()\n--\n\nClose. Refused (BufferError) while a Peek is not released."},
    {"__enter__", (PyCFunction)reader_object_enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)reader_exit, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef properties[] = {
    {"max_payload", (getter)reader_max_payload, NULL, "Bytes that the largest payload of the channel may have.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "One place in a channel; see Segment.reader(). Iterating gives each Message, waiting for it. For one "
                "thread at a time."},
    {Py_tp_dealloc, reader_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_getset, properties},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, reader_next},
    {0, NULL},
};

PyType_Spec reader_spec = {
    .name = "shmgate.Reader",
    .basicsize = sizeof(ReaderObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = slots,
};
