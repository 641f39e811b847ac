/* stepped_read.c: the stepped operations of a reader. */
#include <errno.h>
#include <string.h>

#include "message.h"
#include "stepped_parts.h"

static struct shared_memory_reader *reader;
static struct shared_memory_message message;
static unsigned char payload[PAYLOAD];

static struct {
    uint64_t next[WRITERS]; /* sequence number to come, where known */
    int known[WRITERS];
    uint64_t gaps, missed; /* what was stepped over by sequence numbers, and by the reader's own count */
} seen;

static void note_message(const void *bytes)
{
    uint32_t from, count, lane = message.lane;

    if (!message_whole(bytes, message.size, &from, &count))
        violation("torn message %llu of lane %u", (unsigned long long)message.sequence, lane);
    if (lane >= WRITERS) {
        violation("lane %u", lane);
        return;
    }
    if (seen.known[lane] && message.sequence < seen.next[lane])
        violation("message %llu of lane %u came twice", (unsigned long long)message.sequence, lane);
    seen.gaps += seen.known[lane] ? message.sequence - seen.next[lane] : 0;
    seen.missed += message.missed;
    seen.next[lane] = message.sequence + 1;
    seen.known[lane] = 1;
}

static void drain(void)
{
    unsigned char bytes[PAYLOAD];
    int rc;

    while ((rc = shared_memory_reader_read(reader, bytes, sizeof(bytes), &message, 0)) == 0)
        note_message(bytes);
    stepped_expect(rc == -EAGAIN, "read what is left", rc);
}

static int prepare_reader(const char *channel)
{
    int rc = stepped_attach();

    return rc < 0 ? rc : shared_memory_reader_open(stepped_shm, channel, SHARED_MEMORY_FROM_OLDEST, &reader);
}

int stepped_act_read(void)
{
    return shared_memory_reader_read(reader, payload, sizeof(payload), &message, 0);
}

/* One message of each lane is read, so that it is known where the reader is in them; the rest of the ring lies before
 * it. */
int stepped_prepare_reader_newest(void)
{
    int rc = prepare_reader("newest");

    for (int i = 0; i < WRITERS && rc == 0; i++)
        if ((rc = stepped_act_read()) == 0)
            note_message(payload);
    return rc == -EAGAIN ? 0 : rc;
}

int stepped_prepare_reader_empty(void)
{
    int rc = prepare_reader("newest");

    if (rc == 0)
        drain();
    return rc;
}

int stepped_prepare_reader_inward(void)
{
    return prepare_reader("inward");
}

int stepped_act_peek(void)
{
    int rc = shared_memory_reader_peek(reader, &message, 0);

    if (rc < 0)
        return rc;
    memcpy(payload, message.payload, message.size <= sizeof(payload) ? message.size : 0);
    return shared_memory_reader_advance(reader);
}

int stepped_act_latest(void)
{
    return shared_memory_reader_latest(reader, payload, sizeof(payload), &message);
}

/* The rest of the ring must follow, and the numbers that were stepped over must be those the reader says it missed. */
static void finish_rest(void)
{
    drain();
    if (seen.gaps != seen.missed)
        violation("%llu messages were stepped over, but %llu counted as missed", (unsigned long long)seen.gaps,
                  (unsigned long long)seen.missed);
}

void stepped_finish_read(int rc)
{
    stepped_expect(rc == 0, "the stepped read", rc);
    note_message(payload);
    finish_rest();
}

void stepped_finish_read_empty(int rc)
{
    stepped_expect(rc == 0 || rc == -EAGAIN, "the stepped read", rc);
    if (rc == 0)
        note_message(payload);
    finish_rest();
}

void stepped_finish_read_inward(int rc)
{
    stepped_expect(rc == 0, "the stepped read", rc);
    stepped_expect(strcmp(message.topic, TOPIC) == 0, "the topic", 0);
    note_message(payload);
    seen.missed = 0; /* up to here: where the reader began is not known */
    finish_rest();
}

void stepped_finish_peek(int rc)
{
    stepped_expect(rc == 0 || rc == -ESTALE, "the stepped advance", rc);
    /* What was not whole the reader itself counts, with its next message. */
    if (rc == 0)
        note_message(payload);
    finish_rest();
}

void stepped_finish_latest(int rc)
{
    uint32_t from, count;

    stepped_expect(rc == 0, "the stepped latest", rc);
    if (!message_whole(payload, message.size, &from, &count))
        violation("latest gave a torn message");
    finish_rest();
}
