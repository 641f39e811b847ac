/* segment.c: the type Segment: one attachment. (Its file name is that of the Python type, not of shm/segment.c.) */
#include <errno.h>

#include "binding.h"

static int segment_enter(SegmentObject *self)
{
    if (guard_enter(&self->guard) == GUARD_IN)
        return 1;
    PyErr_SetString(PyExc_ValueError, "the segment is closed");
    return 0;
}

static void segment_leave(SegmentObject *self)
{
    if (guard_leave(&self->guard))
        shared_memory_detach(self->shm);
}

static PyObject *segment_close(SegmentObject *self, PyObject *unused)
{
    (void)unused;
    if (guard_close(&self->guard))
        segment_leave(self);
    Py_RETURN_NONE;
}

static void segment_dealloc(SegmentObject *self)
{
    PyTypeObject *type = Py_TYPE((PyObject *)self);

    if (guard_close(&self->guard))
        segment_leave(self);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyObject *segment_object_enter(SegmentObject *self, PyObject *unused)
{
    (void)unused;
    if (!segment_enter(self))
        return NULL;
    segment_leave(self);
    return Py_NewRef((PyObject *)self);
}

static PyObject *segment_exit(SegmentObject *self, PyObject *arguments)
{
    (void)arguments;
    return segment_close(self, NULL);
}

/* A Writer that owns `writer`, or NULL with an exception set and `writer` closed. */
static PyObject *writer_new(const struct module_state *state, struct shared_memory_writer *writer)
{
    WriterObject *object = PyObject_New(WriterObject, state->writer_type);

    if (!object) {
        shared_memory_writer_close(writer);
        return NULL;
    }
    object->writer = writer;
    atomic_init(&object->guard.state, 0);
    /* A lock with standard attributes needs nothing that could be missing on Linux, pthread_mutex_init(3). */
    pthread_mutex_init(&object->lock, NULL);
    return (PyObject *)object;
}

static PyObject *segment_writer(SegmentObject *self, PyObject *arguments)
{
    struct shared_memory_writer *writer;
    const char *channel;
    PyObject *result;
    int rc;

    if (!PyArg_ParseTuple(arguments, "s:writer", &channel) || !segment_enter(self))
        return NULL;
    rc = shared_memory_writer_open(self->shm, channel, &writer);
    result = rc < 0 ? raise_error(module_state_of(self), rc) : writer_new(module_state_of(self), writer);
    segment_leave(self);
    return result;
}

static PyObject *segment_reader(SegmentObject *self, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"channel", "from_now", NULL};
    struct shared_memory_reader *reader;
    const char *channel;
    int from_now = 0, rc;
    PyObject *result;

    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "s|p:reader", names, &channel, &from_now) ||
        !segment_enter(self))
        return NULL;
    rc = shared_memory_reader_open(self->shm, channel, from_now ? SHARED_MEMORY_FROM_NOW : SHARED_MEMORY_FROM_OLDEST,
                                   &reader);
    result = rc < 0 ? raise_error(module_state_of(self), rc) : reader_new(module_state_of(self), reader, channel);
    segment_leave(self);
    return result;
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

/* The dict of one channel. */
static PyObject *counters_of(const struct shared_memory_counters *counters)
{
    PyObject *dropped = dropped_of(counters);

    return !dropped
               ? NULL
               : Py_BuildValue("{s:s, s:N, s:I, s:K, s:K, s:K, s:K, s:K, s:K, s:N}", "direction",
                               counters->is_subscribe ? "subscribe" : "publish", "topic",
                               PyUnicode_DecodeUTF8(counters->topic, (Py_ssize_t)strlen(counters->topic), "replace"),
                               "lanes", counters->lanes, "written", (unsigned long long)counters->written, "delivered",
                               (unsigned long long)counters->delivered, "queued", (unsigned long long)counters->queued,
                               "spooled", (unsigned long long)counters->spooled, "filtered",
                               (unsigned long long)counters->filtered, "rejected",
                               (unsigned long long)counters->rejected, "dropped", dropped);
}

/* Add the channels to `all`. Returns 0, or -1 with an exception set. The caller is inside the guard. */
static int add_counters(SegmentObject *self, PyObject *all)
{
    int count = shared_memory_channel_count(self->shm), rc = count;

    for (int i = 0; i < count; i++) {
        struct shared_memory_counters counters;
        PyObject *channel;

        if ((rc = shared_memory_channel_counters(self->shm, i, &counters)) < 0)
            break;
        channel = counters_of(&counters);
        if (!channel || PyDict_SetItemString(all, counters.name, channel) < 0) {
            Py_XDECREF(channel);
            return -1;
        }
        Py_DECREF(channel);
    }
    if (rc < 0)
        raise_error(module_state_of(self), rc);
    return rc < 0 ? -1 : 0;
}

static PyObject *segment_counters(SegmentObject *self, PyObject *unused)
{
    PyObject *all;

    (void)unused;
    if (!segment_enter(self))
        return NULL;
    all = PyDict_New();
    if (all && add_counters(self, all) < 0)
        Py_CLEAR(all);
    segment_leave(self);
    return all;
}

static PyObject *segment_gateway_alive(SegmentObject *self, PyObject *unused)
{
    PyObject *result;
    int rc;

    (void)unused;
    if (!segment_enter(self))
        return NULL;
    rc = shared_memory_gateway_alive(self->shm);
    result = rc < 0 ? raise_error(module_state_of(self), rc) : PyBool_FromLong(rc);
    segment_leave(self);
    return result;
}

static PyMethodDef methods[] = {
    {"writer", (PyCFunction)segment_writer, METH_VARARGS,
     "writer($self, channel, /)\n--\n\nOpen a publish channel for writing; takes one of its lanes. Returns a "
     "Writer.\n\n"
     "Raises NotFoundError, DirectionError, BusyError."},
    {"reader", (PyCFunction)(void (*)(void))segment_reader, METH_VARARGS | METH_KEYWORDS,
     "reader($self, channel, from_now=False)\n--\n\nOpen a channel for reading, from the oldest message its ring still "
     "holds, "
     "or from now on.\n"
     "Returns a Reader.\n\nRaises NotFoundError."},
    {"counters", (PyCFunction)segment_counters, METH_NOARGS,
     "counters($self)\n--\n\nThe ledger: a dict by channel name of dicts with direction, topic, lanes, written, "
     "delivered, "
     "queued,\n"
     "spooled, filtered, rejected and dropped (a dict by reason)."},
    {"gateway_alive", (PyCFunction)segment_gateway_alive, METH_NOARGS,
     "gateway_alive($self)\n--\n\nWhether a gateway serves the segment now."},
    {"close", (PyCFunction)segment_close, METH_NOARGS,
     "close($self)\n--\n\nDetach. Writers and readers that are open stay usable. From any thread; calls under way are "
     "finished first."},
    {"__enter__", (PyCFunction)segment_object_enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)segment_exit, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "One attachment to a segment; see module_wait(). Threads may share it."},
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
