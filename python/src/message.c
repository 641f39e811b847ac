/* message.c: the type Message: what a Reader gives out. */
#include "binding.h"

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
static PyObject *message_topic(ReaderObject *self, const struct shared_memory_message *message)
{
    PyObject *before = self->topic;
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
    /* Brokers pass on only UTF-8; the segment may hold anything. */
    self->topic = PyUnicode_DecodeUTF8(message->topic, (Py_ssize_t)message->topic_size, "replace");
    Py_XDECREF(before);
    return Py_XNewRef(self->topic);
}

PyObject *message_new(ReaderObject *reader, const struct shared_memory_message *message, PyObject *payload)
{
    PyObject *object = payload ? PyStructSequence_New(module_state_of(reader)->message_type) : NULL;
    PyObject *fields[MESSAGE_FIELDS];

    if (!object) {
        Py_XDECREF(payload);
        return NULL;
    }
    fields[0] = payload;
    fields[1] = message_topic(reader, message);
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
