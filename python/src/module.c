/* module.c: the extension module: its types, its exceptions, and attach(). */
#include <errno.h>
#include <math.h>

#include "binding.h"

PyTypeObject *segment_type, *writer_type, *reader_type, *peek_type, *message_type;
static PyObject *errors; /* the module shmgate._errors */

PyObject *raise_error(int rc)
{
    static const struct {
        int code;
        const char *name;
    } classes[] = {
        {ENOENT, "NotFoundError"},   {EBADF, "DirectionError"},   {EMSGSIZE, "TooLargeError"},
        {EBUSY, "BusyError"},        {ETIMEDOUT, "TimeoutError"}, {EAGAIN, "FullError"},
        {EACCES, "PermissionError"}, {EPERM, "PermissionError"},  {EPROTO, "IncompatibleError"},
        {ESTALE, "StaleError"},
    };
    const char *name = "Error";
    PyObject *class, *arguments;

    if (rc == -ENOMEM)
        return PyErr_NoMemory();
    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
        if (classes[i].code == -rc)
            name = classes[i].name;
    class = PyObject_GetAttrString(errors, name);
    if (!class)
        return NULL;
    arguments = Py_BuildValue("(is)", -rc, shared_memory_error());
    if (arguments)
        PyErr_SetObject(class, arguments);
    Py_XDECREF(arguments);
    Py_DECREF(class);
    return NULL;
}

int convert_timeout(PyObject *timeout, int *timeout_ms)
{
    double seconds;

    if (!timeout || timeout == Py_None) {
        *timeout_ms = -1;
        return 0;
    }
    seconds = PyFloat_AsDouble(timeout);
    if (seconds == -1.0 && PyErr_Occurred())
        return -1;
    if (isnan(seconds) || seconds < 0) {
        PyErr_SetString(PyExc_ValueError, "timeout: expected None or seconds from 0 up");
        return -1;
    }
    *timeout_ms = seconds > 2e6 ? 2000000000 : (int)ceil(seconds * 1000);
    return 0;
}

static PyObject *module_attach(PyObject *module, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"segment", "timeout", NULL};
    const char *segment = NULL;
    PyObject *timeout = NULL;
    SegmentObject *self;
    int timeout_ms = 0, rc;
    struct shared_memory *shm;

    (void)module;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "|zO:attach", names, &segment, &timeout) ||
        (timeout && convert_timeout(timeout, &timeout_ms) < 0))
        return NULL;
    /* Slices, so that Ctrl-C is heard. */
    do {
        int slice = timeout_ms < 0 || timeout_ms > 100 ? 100 : timeout_ms;

        Py_BEGIN_ALLOW_THREADS
        rc = shared_memory_attach(&shm, segment, slice);
        Py_END_ALLOW_THREADS
        if (timeout_ms > 0)
            timeout_ms -= slice;
        if (rc == -ETIMEDOUT && PyErr_CheckSignals() < 0)
            return NULL;
    } while (rc == -ETIMEDOUT && timeout_ms != 0);
    if (rc < 0)
        return raise_error(rc);
    self = PyObject_New(SegmentObject, segment_type);
    if (!self) {
        shared_memory_detach(shm);
        return NULL;
    }
    self->shm = shm;
    return (PyObject *)self;
}

static PyObject *module_remove(PyObject *module, PyObject *arguments)
{
    const char *segment = NULL;
    int rc;

    (void)module;
    if (!PyArg_ParseTuple(arguments, "|z:remove", &segment))
        return NULL;
    rc = shared_memory_remove(segment);
    if (rc < 0)
        return raise_error(rc);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"attach", (PyCFunction)(void (*)(void))module_attach, METH_VARARGS | METH_KEYWORDS,
     "attach(segment=None, timeout=0)\n--\n\nAttach to a segment (default \"/shmgate\"), waiting up to `timeout` "
     "seconds (None: for ever) for a\n"
     "gateway to make it. Returns a Segment.\n\nRaises TimeoutError, PermissionError, IncompatibleError."},
    {"remove", module_remove, METH_VARARGS,
     "remove(segment=None)\n--\n\nRemove the segment and the semaphore of a gateway that is gone.\n\nRaises "
     "NotFoundError, BusyError, PermissionError."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "shmgate._shmgate", .m_doc = "The C part of shmgate.",
    .m_size = -1,          .m_methods = methods,
};

static int add_type(PyObject *module, PyType_Spec *spec, PyTypeObject **type, const char *name)
{
    *type = (PyTypeObject *)PyType_FromSpec(spec);
    return !*type || PyModule_AddObjectRef(module, name, (PyObject *)*type) < 0 ? -1 : 0;
}

PyMODINIT_FUNC PyInit__shmgate(void)
{
    PyObject *module = PyModule_Create(&definition);

    if (!module)
        return NULL;
    errors = PyImport_ImportModule("shmgate._errors");
    message_type = PyStructSequence_NewType(&message_desc);
    if (!errors || !message_type || PyModule_AddObjectRef(module, "Message", (PyObject *)message_type) < 0 ||
        add_type(module, &segment_spec, &segment_type, "Segment") < 0 ||
        add_type(module, &writer_spec, &writer_type, "Writer") < 0 ||
        add_type(module, &reader_spec, &reader_type, "Reader") < 0 ||
        add_type(module, &peek_spec, &peek_type, "Peek") < 0) {
        Py_DECREF(module);
        return NULL;
    }
    return module;
}
