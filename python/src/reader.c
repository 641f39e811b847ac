/* reader.c: the type Reader: one place in a channel. reader_tasks.c has what event loops need of it. */
#include "reader.h"

#include <errno.h>

#define SLICE_MS 1000 /* longest wait without a look for signals that another thread took */

PyObject *reader_raise_closed(void)
{
    PyErr_SetString(PyExc_ValueError, "the reader is closed");
    return NULL;
}

int reader_object_use(ReaderObject *self)
{
    switch (guard_enter_alone(&self->guard)) {
    case GUARD_IN:
        atomic_store(&self->use, READER_CALL);
        return 1;
    case GUARD_IS_CLOSED:
        reader_raise_closed();
        return 0;
    default:
        if (atomic_load(&self->use) == READER_PEEK)
            PyErr_SetString(PyExc_BufferError, "a Peek of this reader has not been released");
        else
            PyErr_SetString(PyExc_RuntimeError,
                            "another call is inside this reader: open one for each thread, and for a signal handler");
        return 0;
    }
}

void reader_object_done(ReaderObject *self)
{
    atomic_store(&self->max_payload, shared_memory_reader_max_payload(self->reader));
    atomic_store(&self->use, READER_FREE);
    if (guard_leave_alone(&self->guard))
        shared_memory_reader_close(self->reader);
}

/* Nothing came in time. */
static PyObject *raise_timeout(ReaderObject *self, const struct limit *limit)
{
    char text[CHANNEL_NAME_SIZE + LIMIT_TEXT_SIZE + 32], seconds[LIMIT_TEXT_SIZE];

    if (limit->seconds > 0)
        PyOS_snprintf(text, sizeof(text), "no message in channel %s within %s", self->channel,
                      limit_text(limit, seconds));
    else
        PyOS_snprintf(text, sizeof(text), "no message in channel %s", self->channel);
    return raise_error_text(module_state_of(self), -ETIMEDOUT, text);
}

/* Wait for the next message: into `target`, or, when its `buf` is NULL, where it lies. The caller is alone in the
 * reader. Returns 0; -1 with an exception set; READER_CLOSED and READER_OUTGROWN, without an exception. */
static int reader_wait(ReaderObject *self, const struct target *target, struct shared_memory_message *message,
                       const struct limit *limit)
{
    /* What is there already needs no wait and no other thread. */
    int rc = target->bytes ? shared_memory_reader_read(self->reader, target->bytes, target->size, message, 0)
                           : shared_memory_reader_peek(self->reader, message, 0);

    while (rc == -EAGAIN || rc == -ETIMEDOUT || rc == -EINTR || rc == -ECANCELED) {
        int slice_ms;

        /* Handlers may do anything, close this reader too. */
        if (PyErr_CheckSignals() < 0)
            return -1;
        if (guard_is_closed(&self->guard))
            return READER_CLOSED;
        if (rc == -ECANCELED)
            break;
        slice_ms = limit_slice_ms(limit, SLICE_MS);
        if (slice_ms == 0) {
            raise_timeout(self, limit);
            return -1;
        }
        Py_BEGIN_ALLOW_THREADS
        rc = target->bytes ? shared_memory_reader_read(self->reader, target->bytes, target->size, message, slice_ms)
                           : shared_memory_reader_peek(self->reader, message, slice_ms);
        Py_END_ALLOW_THREADS
    }
    if (rc == 0)
        return 0;
    if (target->bytes && target->bytes == self->buffer && reader_outgrown(self, rc))
        return READER_OUTGROWN;
    raise_error(module_state_of(self), rc);
    return -1;
}

/* The same for calls that are not an iteration's: closed meanwhile is an error. */
static int reader_wait_open(ReaderObject *self, const struct target *target, struct shared_memory_message *message,
                            const struct limit *limit)
{
    int rc = reader_wait(self, target, message, limit);

    if (rc == READER_CLOSED)
        PyErr_SetString(PyExc_ValueError, "the reader was closed while a call waited in it");
    return rc == 0 ? 0 : -1;
}

int reader_fit(ReaderObject *self)
{
    size_t size = shared_memory_reader_max_payload(self->reader);
    void *larger;

    /* The gateway may have been given a larger max_payload since. */
    if (self->buffer && size <= self->buffer_size)
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

int reader_outgrown(const ReaderObject *self, int rc)
{
    return rc == -EMSGSIZE && shared_memory_reader_max_payload(self->reader) > self->buffer_size;
}

/* The Message that was read into the reader's own buffer. */
static PyObject *reader_message(ReaderObject *self, const struct shared_memory_message *message)
{
    return message_new(self, message, PyBytes_FromStringAndSize(self->buffer, (Py_ssize_t)message->size));
}

PyObject *reader_message_or_none(ReaderObject *self, int rc, const struct shared_memory_message *message)
{
    if (rc == 0)
        return reader_message(self, message);
    return rc == -EAGAIN ? Py_NewRef(Py_None) : raise_error(module_state_of(self), rc);
}

/* The next message. The caller is alone in the reader. *closed: NULL was answered because it was closed meanwhile. */
static PyObject *reader_take(ReaderObject *self, const struct limit *limit, int *closed)
{
    struct shared_memory_message message;
    struct target target;
    int rc;

    *closed = 0;
    do {
        if (!reader_fit(self))
            return NULL;
        target = (struct target){self->buffer, self->buffer_size};
        rc = reader_wait(self, &target, &message, limit);
    } while (rc == READER_OUTGROWN);
    *closed = rc == READER_CLOSED;
    return rc == 0 ? reader_message(self, &message) : NULL;
}

static PyObject *reader_read(ReaderObject *self, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"timeout", NULL};
    PyObject *timeout = NULL, *message;
    struct limit limit;
    int closed, loop = 0;

    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "|O:read", names, &timeout) ||
        limit_from(&limit, timeout) < 0)
        return NULL;
    if (limit.seconds != 0 && (loop = event_loop_runs(module_state_of(self))) < 0)
        return NULL;
    if (loop)
        return reader_read_in_task(self, timeout);
    if (!reader_object_use(self))
        return NULL;
    message = reader_take(self, &limit, &closed);
    if (closed)
        PyErr_SetString(PyExc_ValueError, "the reader was closed while a call waited in it");
    reader_object_done(self);
    return message;
}

static PyObject *reader_read_into(ReaderObject *self, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"buffer", "timeout", NULL};
    struct shared_memory_message message;
    PyObject *object, *timeout = NULL;
    struct limit limit;
    Py_buffer buffer;
    int rc = -1;

    /* The buffer first: to get it can run Python code. */
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "O|O:read_into", names, &object, &timeout) ||
        limit_from(&limit, timeout) < 0 || PyObject_GetBuffer(object, &buffer, PyBUF_WRITABLE) < 0)
        return NULL;
    if (reader_object_use(self)) {
        static char nothing;
        struct target target = {buffer.buf ? buffer.buf : &nothing, (size_t)buffer.len};

        rc = reader_wait_open(self, &target, &message, &limit);
        reader_object_done(self);
    }
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

/* Wait for a message and take what is there. The caller is alone in the reader. */
static PyObject *read_records(ReaderObject *self, const Py_buffer *buffer, const struct limit *limit)
{
    struct target where_it_lies = {NULL, 0};
    struct shared_memory_message message;
    size_t taken;
    int rc;

    if (reader_wait_open(self, &where_it_lies, &message, limit) < 0)
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    taken = take_records(self->reader, buffer, &message, &rc);
    Py_END_ALLOW_THREADS
    if (taken == 0 && rc == -EMSGSIZE)
        return PyErr_Format(PyExc_ValueError, "the next message has %zu bytes, a record has %zd: read() takes it",
                            message.size, buffer->itemsize);
    if (taken == 0 && rc < 0 && rc != -EAGAIN)
        return raise_error(module_state_of(self), rc);
    return PyLong_FromSize_t(taken);
}

static PyObject *reader_read_many_into(ReaderObject *self, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"records", "timeout", NULL};
    PyObject *object, *timeout = NULL, *result = NULL;
    struct limit limit;
    Py_buffer buffer;

    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "O|O:read_many_into", names, &object, &timeout) ||
        limit_from(&limit, timeout) < 0 || PyObject_GetBuffer(object, &buffer, PyBUF_WRITABLE) < 0)
        return NULL;
    if (reader_object_use(self)) {
        result = buffer.itemsize > 0 && buffer.len >= buffer.itemsize ? read_records(self, &buffer, &limit)
                                                                      : PyLong_FromLong(0);
        reader_object_done(self);
    }
    PyBuffer_Release(&buffer);
    return result;
}

static PyObject *reader_latest(ReaderObject *self, PyObject *unused)
{
    struct shared_memory_message message;
    PyObject *result;
    int rc;

    (void)unused;
    if (!reader_object_use(self))
        return NULL;
    do {
        rc = reader_fit(self) ? shared_memory_reader_latest(self->reader, self->buffer, self->buffer_size, &message)
                              : -ENOMEM;
    } while (reader_outgrown(self, rc));
    result = reader_message_or_none(self, rc, &message);
    reader_object_done(self);
    return result;
}

static PyObject *reader_peek(ReaderObject *self, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"timeout", NULL};
    struct target where_it_lies = {NULL, 0};
    struct shared_memory_message message;
    PyObject *timeout = NULL, *peek = NULL;
    struct limit limit;

    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "|O:peek", names, &timeout) ||
        limit_from(&limit, timeout) < 0 || !reader_object_use(self))
        return NULL;
    if (reader_wait_open(self, &where_it_lies, &message, &limit) == 0)
        peek = peek_new(self, &message);
    if (!peek)
        reader_object_done(self);
    return peek;
}

static PyObject *reader_cancel(ReaderObject *self, PyObject *unused)
{
    (void)unused;
    if (guard_enter(&self->guard) != GUARD_IN)
        return reader_raise_closed();
    shared_memory_reader_cancel(self->reader);
    if (guard_leave(&self->guard))
        shared_memory_reader_close(self->reader);
    Py_RETURN_NONE;
}

static PyObject *reader_close(ReaderObject *self, PyObject *unused)
{
    (void)unused;
    if (guard_close(&self->guard)) {
        /* Whoever waits ends, and the last one inside closes. */
        shared_memory_reader_cancel(self->reader);
        reader_wake_task(self);
        if (guard_leave(&self->guard))
            shared_memory_reader_close(self->reader);
    }
    Py_RETURN_NONE;
}

static PyObject *reader_open(ReaderObject *self)
{
    return guard_is_closed(&self->guard) ? reader_raise_closed() : Py_NewRef((PyObject *)self);
}

static PyObject *reader_object_enter(ReaderObject *self, PyObject *unused)
{
    (void)unused;
    return reader_open(self);
}

static PyObject *reader_exit(ReaderObject *self, PyObject *arguments)
{
    (void)arguments;
    return reader_close(self, NULL);
}

/* An iteration ends when the reader is closed. */
static PyObject *reader_next(ReaderObject *self)
{
    static const struct limit for_ever = {-1, 0};
    PyObject *message;
    int closed;

    if (guard_is_closed(&self->guard) || !reader_object_use(self))
        return NULL;
    message = reader_take(self, &for_ever, &closed);
    reader_object_done(self);
    return message;
}

PyObject *reader_new(struct module_state *state, struct shared_memory_reader *reader, const char *channel)
{
    ReaderObject *self = PyObject_New(ReaderObject, state->reader_type);

    if (!self) {
        shared_memory_reader_close(reader);
        return NULL;
    }
    self->reader = reader;
    atomic_init(&self->guard.state, 0);
    atomic_init(&self->use, READER_FREE);
    PyOS_snprintf(self->channel, sizeof(self->channel), "%s", channel);
    atomic_init(&self->max_payload, shared_memory_reader_max_payload(reader));
    atomic_init(&self->descriptor, -1);
    atomic_init(&self->task_waits, 0);
    atomic_init(&self->task_wake, NULL);
    atomic_init(&self->task_reads, 0);
    self->buffer = NULL;
    self->buffer_size = 0;
    self->topic = NULL;
    self->topic_bytes = NULL;
    self->topic_size = 0;
    return (PyObject *)self;
}

static void reader_dealloc(ReaderObject *self)
{
    PyTypeObject *type = Py_TYPE((PyObject *)self);

    /* Nobody is inside: all who are hold a reference to us. */
    if (guard_close_unused(&self->guard))
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
    return guard_is_closed(&self->guard) ? reader_raise_closed() : PyLong_FromSize_t(atomic_load(&self->max_payload));
}

static PyObject *reader_channel(ReaderObject *self, void *unused)
{
    (void)unused;
    return PyUnicode_FromString(self->channel);
}

static PyObject *reader_closed(ReaderObject *self, void *unused)
{
    (void)unused;
    return PyBool_FromLong(guard_is_closed(&self->guard));
}

static PyMethodDef methods[] = {
    {"read", (PyCFunction)(void (*)(void))reader_read, METH_VARARGS | METH_KEYWORDS,
     "read($self, timeout=None)\n--\n\nThe next message, waiting up to `timeout` seconds (None: for ever). Returns a "
     "Message.\n\n"
     "In a thread where an event loop of asyncio runs it returns a coroutine instead, unless `timeout` is 0: `await "
     "reader.read()`.\n\n"
     "Raises TimeoutError; CancelledError after cancel(); ValueError when the reader is, or is being, closed."},
    {"read_into", (PyCFunction)(void (*)(void))reader_read_into, METH_VARARGS | METH_KEYWORDS,
     "read_into($self, buffer, timeout=None)\n--\n\nCopy the next message's payload into a writable buffer. Returns "
     "its size "
     "in bytes.\n\n"
     "Raises TimeoutError, TooLargeError (the message stays), and as read()."},
    {"read_many_into", (PyCFunction)(void (*)(void))reader_read_many_into, METH_VARARGS | METH_KEYWORDS,
     "read_many_into($self, records, timeout=None)\n--\n\nWait for a message, and copy it and those that follow into a "
     "writable array with records of their size, such as a NumPy\n"
     "structured array. Returns the number of records that were filled.\n\nRaises TimeoutError; ValueError when the "
     "next message is of another size (it stays); and as read()."},
    {"latest", (PyCFunction)reader_latest, METH_NOARGS,
     "latest($self)\n--\n\nThe newest message of the channel, or None when it never had one or that is too old by now. "
     "Leaves the reader's place as it is."},
    {"peek", (PyCFunction)(void (*)(void))reader_peek, METH_VARARGS | METH_KEYWORDS,
     "peek($self, timeout=None)\n--\n\nLook at the next message where it lies, without a copy. Returns a "
     "Peek.\n\nRaises "
     "TimeoutError, and as read()."},
    {"cancel", (PyCFunction)reader_cancel, METH_NOARGS,
     "cancel($self)\n--\n\nEnd the wait that another thread is in, or the reader's next one: it raises CancelledError, "
     "and "
     "the reader stays at its place.\n"
     "A task that awaits is cancelled by its own cancel()."},
    {"fileno", (PyCFunction)reader_fileno, METH_NOARGS,
     "fileno($self)\n--\n\nA descriptor for selectors and event loops: readable whenever there may be a message. Then "
     "call "
     "read(0) until it raises\n"
     "TimeoutError, which sets the descriptor down. It may be readable when there is nothing, some once a second. It "
     "belongs to the\n"
     "reader; only poll it."},
    {"close", (PyCFunction)reader_close, METH_NOARGS,
     "close($self)\n--\n\nClose. From any thread, task or signal handler: a call that waits raises ValueError, and an "
     "iteration ends. While a Peek\n"
     "is not released, its memory stays."},
    {"__enter__", (PyCFunction)reader_object_enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)reader_exit, METH_VARARGS, NULL},
    {"__aenter__", (PyCFunction)reader_async_enter, METH_NOARGS, NULL},
    {"__aexit__", (PyCFunction)reader_async_exit, METH_VARARGS, NULL},
    {"_hold", (PyCFunction)reader_hold, METH_O, NULL},
    {"_take", (PyCFunction)reader_take_now, METH_NOARGS, NULL},
    {"_let_go", (PyCFunction)reader_let_go, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef properties[] = {
    {"max_payload", (getter)reader_max_payload, NULL, "Bytes that the largest payload of the channel may have.", NULL},
    {"closed", (getter)reader_closed, NULL, "Whether close() was called.", NULL},
    {"channel", (getter)reader_channel, NULL, "The channel's name.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc,
     "One place in a channel; see Segment.reader(). Iterating gives each Message, waiting for it: `for message in "
     "reader`, or `async for`.\n"
     "For one call at a time: a second one, of another thread or a signal handler, raises RuntimeError; only close(), "
     "cancel() and the\n"
     "properties can be used beside it."},
    {Py_tp_dealloc, reader_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_getset, properties},
    {Py_tp_iter, reader_open},
    {Py_tp_iternext, reader_next},
    {Py_am_aiter, reader_open},
    {Py_am_anext, reader_async_next},
    {0, NULL},
};

PyType_Spec reader_spec = {
    .name = "shmgate.Reader",
    .basicsize = sizeof(ReaderObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = slots,
};
