/* reader_tasks.c: what event loops need of a Reader. The waiting itself is Python, in shmgate/_tasks.py, by these:
 *
 *      turn = reader._hold(wake)     a task is going to wait; close() calls wake(), from whatever thread
 *      reader._take()                the next message, or None: then the descriptor will become readable
 *      reader._let_go()              it does not wait any more
 *
 * The task is inside the reader's guard in between, so that a close() meanwhile leaves the descriptor until the task
 * has taken it out of its loop. It is not alone there but in _take: the loop's other callbacks may read as well. */
#include "reader.h"

#include <errno.h>

PyObject *reader_fileno(ReaderObject *self, PyObject *unused)
{
    int fd = atomic_load(&self->descriptor);

    (void)unused;
    if (guard_is_closed(&self->guard))
        return reader_raise_closed();
    if (fd >= 0)
        return PyLong_FromLong(fd);
    if (!reader_object_use(self))
        return NULL;
    fd = shared_memory_reader_fd(self->reader);
    if (fd >= 0)
        atomic_store(&self->descriptor, fd);
    else
        raise_error_text(module_state_of(self), fd == -EAGAIN ? -ENOSPC : fd, shared_memory_error());
    reader_object_done(self);
    return fd < 0 ? NULL : PyLong_FromLong(fd);
}

PyObject *reader_hold(ReaderObject *self, PyObject *wake)
{
    PyObject *before;
    int free = 0;

    if (guard_enter(&self->guard) != GUARD_IN)
        return reader_raise_closed();
    if (!atomic_compare_exchange_strong(&self->task_waits, &free, 1)) {
        if (guard_leave(&self->guard))
            shared_memory_reader_close(self->reader);
        PyErr_SetString(PyExc_RuntimeError, "another task waits in this reader: open one for each task");
        return NULL;
    }
    before = atomic_exchange(&self->task_wake, Py_NewRef(wake));
    Py_XDECREF(before);
    return PyLong_FromUnsignedLong(atomic_fetch_add(&self->task_reads, 1));
}

PyObject *reader_take_now(ReaderObject *self, PyObject *unused)
{
    struct shared_memory_message message;
    PyObject *result;
    int rc;

    (void)unused;
    if (!reader_object_use(self))
        return NULL;
    do {
        rc = reader_fit(self) ? shared_memory_reader_read(self->reader, self->buffer, self->buffer_size, &message, 0)
                              : -ENOMEM;
    } while (reader_outgrown(self, rc));
    result = reader_message_or_none(self, rc, &message);
    reader_object_done(self);
    return result;
}

PyObject *reader_let_go(ReaderObject *self, PyObject *unused)
{
    PyObject *wake = atomic_exchange(&self->task_wake, NULL);

    (void)unused;
    Py_XDECREF(wake);
    if (atomic_exchange(&self->task_waits, 0) && guard_leave(&self->guard))
        shared_memory_reader_close(self->reader);
    Py_RETURN_NONE;
}

void reader_wake_task(ReaderObject *self)
{
    PyObject *wake = atomic_exchange(&self->task_wake, NULL), *result, *type, *value, *traceback;

    if (!wake)
        return;
    PyErr_Fetch(&type, &value, &traceback);
    result = PyObject_CallFunctionObjArgs(wake, NULL);
    if (!result)
        PyErr_WriteUnraisable(wake);
    Py_XDECREF(result);
    Py_DECREF(wake);
    PyErr_Restore(type, value, traceback);
}

/* Call a function of shmgate._tasks with this reader and perhaps one argument more. */
static PyObject *call_tasks(ReaderObject *self, const char *function, PyObject *argument)
{
    PyObject *tasks = tasks_module(module_state_of(self)), *callable, *result;

    if (!tasks)
        return NULL;
    callable = PyObject_GetAttrString(tasks, function);
    Py_DECREF(tasks);
    if (!callable)
        return NULL;
    result = PyObject_CallFunctionObjArgs(callable, (PyObject *)self, argument, NULL);
    Py_DECREF(callable);
    return result;
}

PyObject *reader_read_in_task(ReaderObject *self, PyObject *timeout)
{
    return call_tasks(self, "read", timeout ? timeout : Py_None);
}

PyObject *reader_async_next(ReaderObject *self)
{
    return call_tasks(self, "read_next", NULL);
}

PyObject *reader_async_enter(ReaderObject *self, PyObject *unused)
{
    (void)unused;
    return call_tasks(self, "enter", NULL);
}

PyObject *reader_async_exit(ReaderObject *self, PyObject *arguments)
{
    (void)arguments;
    return call_tasks(self, "leave", NULL);
}
