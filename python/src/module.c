/* module.c: the extension module: its types, its exceptions, and attach(). */
#include <errno.h>

#include "binding.h"
#include "limit.h"

#define ATTACH_SLICE_MS 100 /* longest wait without a look for signals */
#define ERROR_TEXT_SIZE 512

struct module_state *module_state_of(void *object)
{
    return PyType_GetModuleState(Py_TYPE((PyObject *)object));
}

static const char *class_name(int rc)
{
    static const struct {
        int code;
        const char *name;
    } classes[] = {
        {ENOENT, "NotFoundError"},     {EBADF, "DirectionError"},   {EMSGSIZE, "TooLargeError"},
        {EBUSY, "BusyError"},          {ETIMEDOUT, "TimeoutError"}, {EAGAIN, "FullError"},
        {EACCES, "PermissionError"},   {EPERM, "PermissionError"},  {EPROTO, "IncompatibleError"},
        {ECANCELED, "CancelledError"}, {ESTALE, "StaleError"},
    };

    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
        if (classes[i].code == -rc)
            return classes[i].name;
    return "Error";
}

PyObject *raise_error_text(const struct module_state *state, int rc, const char *text)
{
    PyObject *class, *arguments;

    if (rc == -ENOMEM)
        return PyErr_NoMemory();
    /* First of all: what follows can run finalizers, which may call the library. */
    arguments = Py_BuildValue("(is)", -rc, text);
    class = arguments ? PyObject_GetAttrString(state->errors, class_name(rc)) : NULL;
    if (class)
        PyErr_SetObject(class, arguments);
    Py_XDECREF(class);
    Py_XDECREF(arguments);
    return NULL;
}

PyObject *raise_error(const struct module_state *state, int rc)
{
    return raise_error_text(state, rc, shared_memory_error());
}

/* Import once. A second thread may do so at the same time; the first result stays. */
static PyObject *keep_import(_Atomic(PyObject *) *place, PyObject *object)
{
    PyObject *none = NULL;

    if (object && !atomic_compare_exchange_strong(place, &none, object)) {
        Py_DECREF(object);
        object = none;
    }
    return object;
}

PyObject *tasks_module(struct module_state *state)
{
    PyObject *tasks = atomic_load(&state->tasks);

    if (!tasks)
        tasks = keep_import(&state->tasks, PyImport_ImportModule("shmgate._tasks"));
    return Py_XNewRef(tasks);
}

int event_loop_runs(struct module_state *state)
{
    PyObject *running_loop = atomic_load(&state->running_loop), *loop;
    int runs;

    if (!running_loop) {
        /* Without the module there is no loop; importing it takes a good while, and is not for us to do. */
        PyObject *asyncio = PyImport_GetModule(state->asyncio_name);

        if (!asyncio)
            return PyErr_Occurred() ? -1 : 0;
        loop = PyObject_GetAttrString(asyncio, "_get_running_loop");
        Py_DECREF(asyncio);
        if (!loop) {
            /* Another thread is importing it just now. */
            PyErr_Clear();
            return 0;
        }
        running_loop = keep_import(&state->running_loop, loop);
    }
    loop = PyObject_CallFunctionObjArgs(running_loop, NULL);
    runs = loop ? loop != Py_None : -1;
    Py_XDECREF(loop);
    return runs;
}

/* Nothing was there in time: say so with the timeout that was given, not with that of the library's last call. */
static PyObject *raise_attach_timeout(const struct module_state *state, const struct limit *limit)
{
    const char *reason = shared_memory_error(), *within = strstr(reason, " within "),
               *rest = within ? strstr(within, " ms") : NULL;
    char text[ERROR_TEXT_SIZE], seconds[LIMIT_TEXT_SIZE];

    if (!rest)
        return raise_error(state, -ETIMEDOUT);
    PyOS_snprintf(text, sizeof(text), "%.*s within %s%s", (int)(within - reason), reason, limit_text(limit, seconds),
                  rest + strlen(" ms"));
    return raise_error_text(state, -ETIMEDOUT, text);
}

/* Attach, hearing signals. Returns 0, or -1 with an exception set. */
static int module_wait(const struct module_state *state, const char *segment, const struct limit *limit,
                       struct shared_memory **shm)
{
    int rc, slice_ms = limit_slice_ms(limit, ATTACH_SLICE_MS);

    for (;;) {
        Py_BEGIN_ALLOW_THREADS
        rc = shared_memory_attach(shm, segment, slice_ms);
        Py_END_ALLOW_THREADS
        if (rc != -ETIMEDOUT && rc != -EINTR)
            break;
        if (PyErr_CheckSignals() < 0)
            return -1;
        slice_ms = limit_slice_ms(limit, ATTACH_SLICE_MS);
        if (rc == -ETIMEDOUT && slice_ms == 0) {
            raise_attach_timeout(state, limit);
            return -1;
        }
    }
    if (rc < 0)
        raise_error(state, rc);
    return rc < 0 ? -1 : 0;
}

static PyObject *module_attach(PyObject *module, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"segment", "timeout", NULL};
    const struct module_state *state = PyModule_GetState(module);
    const char *segment = NULL;
    struct shared_memory *shm;
    PyObject *timeout = NULL;
    struct limit limit = {0, 0};
    SegmentObject *self;

    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "|zO:attach", names, &segment, &timeout) ||
        (timeout && limit_from(&limit, timeout) < 0) || module_wait(state, segment, &limit, &shm) < 0)
        return NULL;
    self = PyObject_New(SegmentObject, state->segment_type);
    if (!self) {
        shared_memory_detach(shm);
        return NULL;
    }
    self->shm = shm;
    atomic_init(&self->guard.state, 0);
    return (PyObject *)self;
}

static PyObject *module_remove(PyObject *module, PyObject *arguments)
{
    const char *segment = NULL;
    int rc;

    if (!PyArg_ParseTuple(arguments, "|z:remove", &segment))
        return NULL;
    rc = shared_memory_remove(segment);
    if (rc < 0)
        return raise_error(PyModule_GetState(module), rc);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"attach", (PyCFunction)(void (*)(void))module_attach, METH_VARARGS | METH_KEYWORDS,
     "attach(segment=None, timeout=0)\n--\n\nAttach to a segment (default \"/shmgate\"), waiting up to `timeout` "
     "seconds (None: for ever) for a\n"
     "gateway to make it. Returns a Segment.\n\nRaises TimeoutError, PermissionError, IncompatibleError."},
    {"remove", module_remove, METH_VARARGS,
     "remove(segment=None, /)\n--\n\nRemove the segment and the semaphore of a gateway that is gone.\n\nRaises "
     "NotFoundError, BusyError, PermissionError."},
    {NULL, NULL, 0, NULL},
};

static int add_type(PyObject *module, PyType_Spec *spec, PyTypeObject **type, const char *name)
{
    *type = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, NULL);
    return !*type || PyModule_AddObjectRef(module, name, (PyObject *)*type) < 0 ? -1 : 0;
}

static int module_exec(PyObject *module)
{
    struct module_state *state = PyModule_GetState(module);

    state->errors = PyImport_ImportModule("shmgate._errors");
    state->asyncio_name = PyUnicode_InternFromString("asyncio");
    state->message_type = PyStructSequence_NewType(&message_desc);
    if (!state->errors || !state->asyncio_name || !state->message_type ||
        PyModule_AddObjectRef(module, "Message", (PyObject *)state->message_type) < 0 ||
        add_type(module, &segment_spec, &state->segment_type, "Segment") < 0 ||
        add_type(module, &writer_spec, &state->writer_type, "Writer") < 0 ||
        add_type(module, &reader_spec, &state->reader_type, "Reader") < 0 ||
        add_type(module, &peek_spec, &state->peek_type, "Peek") < 0)
        return -1;
    return 0;
}

static int module_traverse(PyObject *module, visitproc visit, void *arg)
{
    struct module_state *state = PyModule_GetState(module);

    Py_VISIT(state->segment_type);
    Py_VISIT(state->writer_type);
    Py_VISIT(state->reader_type);
    Py_VISIT(state->peek_type);
    Py_VISIT(state->message_type);
    Py_VISIT(state->errors);
    Py_VISIT(atomic_load(&state->running_loop));
    Py_VISIT(atomic_load(&state->tasks));
    return 0;
}

static int module_clear(PyObject *module)
{
    struct module_state *state = PyModule_GetState(module);
    PyObject *running_loop = atomic_exchange(&state->running_loop, NULL), *tasks = atomic_exchange(&state->tasks, NULL);

    Py_XDECREF(running_loop);
    Py_XDECREF(tasks);
    Py_CLEAR(state->segment_type);
    Py_CLEAR(state->writer_type);
    Py_CLEAR(state->reader_type);
    Py_CLEAR(state->peek_type);
    Py_CLEAR(state->message_type);
    Py_CLEAR(state->errors);
    Py_CLEAR(state->asyncio_name);
    return 0;
}

static void module_free(void *module)
{
    module_clear((PyObject *)module);
}

/* Slots that Pythons after 3.11 know, by the numbers and values that the stable ABI gives them (moduleobject.h
 * of 3.13). An older one refuses to load a module with a slot that it does not know. */
#define SLOT_MULTIPLE_INTERPRETERS 3
#define SLOT_GIL 4
#define PER_INTERPRETER_GIL ((void *)2)
#define GIL_NOT_USED ((void *)1)
#define VERSION_3_12 0x030C0000
#define VERSION_3_13 0x030D0000

static PyModuleDef_Slot module_slots[4] = {{Py_mod_exec, module_exec}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "shmgate._shmgate",
    .m_doc = "The C part of shmgate.",
    .m_size = sizeof(struct module_state),
    .m_methods = methods,
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC PyInit__shmgate(void)
{
    /* The same values every time, whichever interpreter comes first. */
    if (Py_Version >= VERSION_3_12)
        module_slots[1] = (PyModuleDef_Slot){SLOT_MULTIPLE_INTERPRETERS, PER_INTERPRETER_GIL};
    if (Py_Version >= VERSION_3_13)
        module_slots[2] = (PyModuleDef_Slot){SLOT_GIL, GIL_NOT_USED};
    return PyModuleDef_Init(&definition);
}
