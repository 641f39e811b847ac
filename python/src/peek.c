/* peek.c: the type Peek: a message where it lies in the segment. It is alone in its reader until it is released. */
#include <errno.h>

#include "binding.h"

PyObject *peek_new(ReaderObject *reader, const struct shared_memory_message *message)
{
    PeekObject *self = PyObject_New(PeekObject, module_state_of(reader)->peek_type);

    if (!self)
        return NULL;
    atomic_init(&self->guard.state, 0);
    self->reader = NULL;
    self->payload = message->payload;
    self->size = (Py_ssize_t)message->size;
    self->message = message_new(reader, message, Py_NewRef(Py_None));
    if (!self->message) {
        Py_DECREF(self);
        return NULL;
    }
    self->reader = (ReaderObject *)Py_NewRef((PyObject *)reader);
    atomic_store(&reader->use, READER_PEEK);
    return (PyObject *)self;
}

/* Step over the message; by whoever has closed the guard. Returns 0: it was whole all the time, or -ESTALE. */
static int peek_end(PeekObject *self)
{
    ReaderObject *reader = self->reader;
    int rc = shared_memory_reader_advance(reader->reader);

    reader_object_done(reader);
    return rc;
}

static PyObject *raise_released(void)
{
    PyErr_SetString(PyExc_ValueError, "the Peek is released");
    return NULL;
}

static PyObject *peek_release(PeekObject *self, PyObject *unused)
{
    (void)unused;
    if (guard_close_unused(&self->guard)) {
        int rc = peek_end(self);

        /* In a child of fork the memory is not there any more. */
        return rc == -EPERM ? raise_error(module_state_of(self), rc) : PyBool_FromLong(rc == 0);
    }
    if (guard_is_closed(&self->guard))
        return raise_released();
    PyErr_SetString(PyExc_BufferError, "a memoryview of this Peek is still in use");
    return NULL;
}

static PyObject *peek_enter(PeekObject *self, PyObject *unused)
{
    (void)unused;
    return guard_is_closed(&self->guard) ? raise_released() : Py_NewRef((PyObject *)self);
}

static PyObject *peek_exit(PeekObject *self, PyObject *arguments)
{
    PyObject *type = NULL, *value, *traceback, *whole;
    int stale;

    if (!PyArg_ParseTuple(arguments, "OOO:__exit__", &type, &value, &traceback))
        return NULL;
    if (guard_is_closed(&self->guard))
        Py_RETURN_NONE;
    whole = peek_release(self, NULL);
    if (!whole)
        return NULL;
    stale = whole == Py_False;
    Py_DECREF(whole);
    if (stale && type == Py_None)
        return raise_error_text(module_state_of(self), -ESTALE,
                                "the message was overwritten while it was looked at: discard what was seen");
    Py_RETURN_NONE;
}

static void peek_dealloc(PeekObject *self)
{
    PyTypeObject *type = Py_TYPE((PyObject *)self);

    /* No buffer can be left: each holds a reference to us. */
    if (self->reader && guard_close_unused(&self->guard))
        peek_end(self);
    Py_XDECREF((PyObject *)self->reader);
    Py_XDECREF(self->message);
    PyObject_Free(self);
    Py_DECREF(type);
}

static int peek_get_buffer(PeekObject *self, Py_buffer *view, int flags)
{
    view->obj = NULL;
    if (guard_enter(&self->guard) != GUARD_IN) {
        raise_released();
        return -1;
    }
    if (PyBuffer_FillInfo(view, (PyObject *)self, (void *)self->payload, self->size, 1, flags) < 0) {
        guard_leave(&self->guard);
        return -1;
    }
    return 0;
}

static void peek_release_buffer(PeekObject *self, Py_buffer *view)
{
    (void)view;
    guard_leave(&self->guard);
}

static PyObject *peek_message(PeekObject *self, void *unused)
{
    (void)unused;
    return Py_NewRef(self->message);
}

static Py_ssize_t peek_length(PeekObject *self)
{
    return self->size;
}

static PyMethodDef methods[] = {
    {"release", (PyCFunction)peek_release, METH_NOARGS,
     "release($self)\n--\n\nStep over the message. Returns True when the bytes seen were the message, False when it "
     "was "
     "overwritten\n"
     "meanwhile: then discard what was seen.\n\nRaises BufferError while a memoryview of it is in use."},
    {"__enter__", (PyCFunction)peek_enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)peek_exit, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef properties[] = {
    {"message", (getter)peek_message, NULL, "The Message without its payload.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc,
     "A message where it lies in the segment: memoryview(peek) shows its payload, read-only and without a copy. Its "
     "bytes may\n"
     "change meanwhile when the channel overwrites; only release() tells whether they were the message. As a context\n"
     "manager it raises StaleError at the end when they were not. It, and its memoryviews, stay valid when the Reader "
     "is closed\n"
     "meanwhile."},
    {Py_tp_dealloc, peek_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_getset, properties},
    {Py_sq_length, peek_length},
    {Py_bf_getbuffer, peek_get_buffer},
    {Py_bf_releasebuffer, peek_release_buffer},
    {0, NULL},
};

PyType_Spec peek_spec = {
    .name = "shmgate.Peek",
    .basicsize = sizeof(PeekObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = slots,
};
