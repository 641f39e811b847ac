/* writer.c: the type Writer: one lane of a publish channel. */
#include "binding.h"

static int writer_object_use(WriterObject *self)
{
    if (guard_enter(&self->guard) == GUARD_IN)
        return 1;
    PyErr_SetString(PyExc_ValueError, "the writer is closed");
    return 0;
}

static void writer_object_done(WriterObject *self)
{
    if (guard_leave(&self->guard))
        shared_memory_writer_close(self->writer);
}

static void writer_dealloc(WriterObject *self)
{
    PyTypeObject *type = Py_TYPE((PyObject *)self);

    if (guard_close(&self->guard))
        writer_object_done(self);
    pthread_mutex_destroy(&self->lock);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyObject *writer_close(WriterObject *self, PyObject *unused)
{
    (void)unused;
    if (guard_close(&self->guard))
        writer_object_done(self);
    Py_RETURN_NONE;
}

static PyObject *writer_object_enter(WriterObject *self, PyObject *unused)
{
    (void)unused;
    if (!writer_object_use(self))
        return NULL;
    writer_object_done(self);
    return Py_NewRef((PyObject *)self);
}

static PyObject *writer_exit(WriterObject *self, PyObject *arguments)
{
    (void)arguments;
    return writer_close(self, NULL);
}

/* The GIL is kept: a write never waits, and giving the GIL away would cost more than the write. */
static PyObject *writer_write(WriterObject *self, PyObject *payload)
{
    Py_buffer buffer;
    int rc;

    /* The buffer first: to get it can run Python code. */
    if (PyObject_GetBuffer(payload, &buffer, PyBUF_SIMPLE) < 0)
        return NULL;
    if (!writer_object_use(self)) {
        PyBuffer_Release(&buffer);
        return NULL;
    }
    pthread_mutex_lock(&self->lock);
    rc = shared_memory_writer_write(self->writer, buffer.buf, (size_t)buffer.len);
    pthread_mutex_unlock(&self->lock);
    if (rc < 0)
        raise_error(module_state_of(self), rc);
    writer_object_done(self);
    PyBuffer_Release(&buffer);
    return rc < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *writer_max_payload(WriterObject *self, void *unused)
{
    size_t size;

    (void)unused;
    if (!writer_object_use(self))
        return NULL;
    /* A write can take the handle to another segment. */
    pthread_mutex_lock(&self->lock);
    size = shared_memory_writer_max_payload(self->writer);
    pthread_mutex_unlock(&self->lock);
    writer_object_done(self);
    return PyLong_FromSize_t(size);
}

static PyMethodDef methods[] = {
    {"write", (PyCFunction)writer_write, METH_O,
     "write($self, payload, /)\n--\n\nWrite one message: any contiguous bytes-like object, which is copied. Never "
     "waits.\n\n"
     "Raises TooLargeError, FullError (the ring is full and the channel has overflow = reject)."},
    {"close", (PyCFunction)writer_close, METH_NOARGS,
     "close($self)\n--\n\nGive the lane back. From any thread; a write under way in another one is finished first."},
    {"__enter__", (PyCFunction)writer_object_enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)writer_exit, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef properties[] = {
    {"max_payload", (getter)writer_max_payload, NULL, "Bytes that the largest payload of the channel may have.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "One lane of a publish channel; see Segment.writer(). Threads may share it: a lock lets them write one "
                "after the other."},
    {Py_tp_dealloc, writer_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_getset, properties},
    {0, NULL},
};

PyType_Spec writer_spec = {
    .name = "shmgate.Writer",
    .basicsize = sizeof(WriterObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = slots,
};
