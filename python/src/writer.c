/* writer.c: the type Writer: one lane of a publish channel. */
#include "binding.h"

static int writer_open(WriterObject *self)
{
    if (self->writer)
        return 1;
    PyErr_SetString(PyExc_ValueError, "the writer is closed");
    return 0;
}

static void writer_dealloc(WriterObject *self)
{
    PyTypeObject *type = Py_TYPE((PyObject *)self);

    shared_memory_writer_close(self->writer);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyObject *writer_close(WriterObject *self, PyObject *unused)
{
    (void)unused;
    shared_memory_writer_close(self->writer);
    self->writer = NULL;
    Py_RETURN_NONE;
}

static PyObject *writer_object_enter(WriterObject *self, PyObject *unused)
{
    (void)unused;
    return writer_open(self) ? Py_NewRef((PyObject *)self) : NULL;
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

    if (!writer_open(self) || PyObject_GetBuffer(payload, &buffer, PyBUF_SIMPLE) < 0)
        return NULL;
    rc = shared_memory_writer_write(self->writer, buffer.buf, (size_t)buffer.len);
    PyBuffer_Release(&buffer);
    if (rc < 0)
        return raise_error(rc);
    Py_RETURN_NONE;
}

static PyObject *writer_max_payload(WriterObject *self, void *unused)
{
    (void)unused;
    return writer_open(self) ? PyLong_FromSize_t(shared_memory_writer_max_payload(self->writer)) : NULL;
}

static PyMethodDef methods[] = {
    {"write", (PyCFunction)writer_write, METH_O,
     "write(payload)\n--\n\nWrite one message: any contiguous bytes-like object, which is copied. Never waits.\n\n"
     "Raises TooLargeError, FullError (the ring is full and the channel has overflow = reject)."},
    {"close", (PyCFunction)writer_close, METH_NOARGS, "close()\n--\n\nGive the lane back."},
    {"__enter__", (PyCFunction)writer_object_enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)writer_exit, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef properties[] = {
    {"max_payload", (getter)writer_max_payload, NULL, "Bytes that the largest payload of the channel may have.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "One lane of a publish channel; see Segment.writer(). For one thread at a time; the GIL sees to it."},
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
