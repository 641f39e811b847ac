/* segment.c: the type Segment: one attachment. (Its file name is that of the Python type, not of shm/segment.c.) */
#include <errno.h>

#include "binding.h"

static int segment_open(SegmentObject *self)
{
    if (self->shm)
        return 1;
    PyErr_SetString(PyExc_ValueError, "the segment is closed");
    return 0;
}

static void segment_dealloc(SegmentObject *self)
{
    PyTypeObject *type = Py_TYPE((PyObject *)self);

    shared_memory_detach(self->shm);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyObject *segment_close(SegmentObject *self, PyObject *unused)
{
    (void)unused;
    shared_memory_detach(self->shm);
    self->shm = NULL;
    Py_RETURN_NONE;
}

static PyObject *segment_enter(SegmentObject *self, PyObject *unused)
{
    (void)unused;
    return segment_open(self) ? Py_NewRef((PyObject *)self) : NULL;
}

static PyObject *segment_exit(SegmentObject *self, PyObject *arguments)
{
    (void)arguments;
    return segment_close(self, NULL);
}

static PyObject *segment_writer(SegmentObject *self, PyObject *arguments)
{
    struct shared_memory_writer *writer;
    const char *channel;
    WriterObject *object;
    int rc;

    if (!PyArg_ParseTuple(arguments, "s:writer", &channel) || !segment_open(self))
        return NULL;
    rc = shared_memory_writer_open(self->shm, channel, &writer);
    if (rc < 0)
        return raise_error(rc);
    object = PyObject_New(WriterObject, writer_type);
    if (!object) {
        shared_memory_writer_close(writer);
        return NULL;
    }
    object->writer = writer;
    return (PyObject *)object;
}

static PyObject *segment_reader(SegmentObject *self, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"channel", "from_now", NULL};
    struct shared_memory_reader *reader;
    const char *channel;
    int from_now = 0, rc;
    ReaderObject *object;

    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "s|p:reader", names, &channel, &from_now) ||
        !segment_open(self))
        return NULL;
    rc = shared_memory_reader_open(self->shm, channel, from_now ? SHARED_MEMORY_FROM_NOW : SHARED_MEMORY_FROM_OLDEST,
                                   &reader);
    if (rc < 0)
        return raise_error(rc);
    object = PyObject_New(ReaderObject, reader_type);
    if (!object) {
        shared_memory_reader_close(reader);
        return NULL;
    }
    object->reader = reader;
    object->buffer_size = shared_memory_reader_max_payload(reader);
    object->buffer = PyMem_Malloc(object->buffer_size);
    object->topic = NULL;
    object->topic_bytes = NULL;
    object->topic_size = 0;
    object->busy = 0;
    object->peeked = 0;
    if (!object->buffer) {
        Py_DECREF(object);
        return PyErr_NoMemory();
    }
    return (PyObject *)object;
}

static PyObject *dropped_of(const struct shared_memory_counters *counters)
{
    PyObject *dropped = PyDict_New();

    for (unsigned i = 0; dropped && i < SHARED_MEMORY_DROP_REASONS; i++) {
        PyObject *count;

        if (counters->dropped[i] == 0)
            continue;
        count = PyLong_FromUnsignedLongLong(counters->dropped[i]);
        if (!count || PyDict_SetItemString(dropped, shared_memory_drop_name(i), count) < 0)
            Py_CLEAR(dropped);
        Py_XDECREF(count);
    }
    return dropped;
}

static PyObject *segment_counters(SegmentObject *self, PyObject *unused)
{
    PyObject *all;
    int count;

    (void)unused;
    if (!segment_open(self))
        return NULL;
    count = shared_memory_channel_count(self->shm);
    if (count < 0)
        return raise_error(count);
    all = PyDict_New();
    for (int i = 0; all && i < count; i++) {
        struct shared_memory_counters counters;
        PyObject *channel, *dropped;
        int rc = shared_memory_channel_counters(self->shm, i, &counters);

        if (rc < 0) {
            Py_DECREF(all);
            return raise_error(rc);
        }
        dropped = dropped_of(&counters);
        channel = !dropped ? NULL
                           : Py_BuildValue(
                                 "{s:s, s:N, s:I, s:K, s:K, s:K, s:K, s:K, s:N}", "direction",
                                 counters.is_subscribe ? "subscribe" : "publish", "topic",
                                 PyUnicode_DecodeUTF8(counters.topic, (Py_ssize_t)strlen(counters.topic), "replace"),
                                 "lanes", counters.lanes, "written", (unsigned long long)counters.written, "delivered",
                                 (unsigned long long)counters.delivered, "queued", (unsigned long long)counters.queued,
                                 "spooled", (unsigned long long)counters.spooled, "rejected",
                                 (unsigned long long)counters.rejected, "dropped", dropped);
        if (!channel || PyDict_SetItemString(all, counters.name, channel) < 0)
            Py_CLEAR(all);
        Py_XDECREF(channel);
    }
    return all;
}

static PyObject *segment_gateway_alive(SegmentObject *self, PyObject *unused)
{
    int rc;

    (void)unused;
    if (!segment_open(self))
        return NULL;
    rc = shared_memory_gateway_alive(self->shm);
    return rc < 0 ? raise_error(rc) : PyBool_FromLong(rc);
}

static PyMethodDef methods[] = {
    {"writer", (PyCFunction)segment_writer, METH_VARARGS,
     "writer(channel)\n--\n\nOpen a publish channel for writing; takes one of its lanes. Returns a Writer.\n\n"
     "Raises NotFoundError, DirectionError, BusyError."},
    {"reader", (PyCFunction)(void (*)(void))segment_reader, METH_VARARGS | METH_KEYWORDS,
     "reader(channel, from_now=False)\n--\n\nOpen a channel for reading, from the oldest message its ring still holds, "
     "or from now on.\n"
     "Returns a Reader.\n\nRaises NotFoundError."},
    {"counters", (PyCFunction)segment_counters, METH_NOARGS,
     "counters()\n--\n\nThe ledger: a dict by channel name of dicts with direction, topic, lanes, written, delivered, "
     "queued,\n"
     "spooled, rejected and dropped (a dict by reason)."},
    {"gateway_alive", (PyCFunction)segment_gateway_alive, METH_NOARGS,
     "gateway_alive()\n--\n\nWhether a gateway serves the segment now."},
    {"close", (PyCFunction)segment_close, METH_NOARGS,
     "close()\n--\n\nDetach. Writers and readers that are open stay usable."},
    {"__enter__", (PyCFunction)segment_enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)segment_exit, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "One attachment to a segment; see attach()."},
    {Py_tp_dealloc, segment_dealloc},
    {Py_tp_methods, methods},
    {0, NULL},
};

PyType_Spec segment_spec = {
    .name = "shmgate.Segment",
    .basicsize = sizeof(SegmentObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = slots,
};
