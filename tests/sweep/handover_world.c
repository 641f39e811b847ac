/* handover_world.c: writers, reader and messages of the scenes of handover.h. */
#include <errno.h>

#include "handover.h"
#include "message.h"
#include "world.h"

#define SIZE 64         /* bytes of a message */
#define READ_TRIES 2000 /* a reader that nobody wakes looks thoroughly at every 64th */

static const char *const channel_names[CHANNELS] = CHANNEL_NAMES;

/* ---- Time. The linker puts these in the place of the library's. ---- */

static uint64_t passed_ns;
uint64_t __real_platform_time_ns(void);
uint64_t __wrap_platform_time_ns(void);
int __wrap_platform_sleep_ms(unsigned ms);

void handover_pass_seconds(unsigned seconds)
{
    passed_ns += seconds * UINT64_C(1000000000);
}

uint64_t __wrap_platform_time_ns(void)
{
    return __real_platform_time_ns() + passed_ns;
}

/* Whoever is waited for stands still or is dead. */
int __wrap_platform_sleep_ms(unsigned ms)
{
    (void)ms;
    return 0;
}

/* ---- Writing and reading ---- */

void handover_attach(struct handover *handover)
{
    if (shared_memory_attach(&handover->shm, handover->name, 0) < 0) {
        violation("a process could not attach: %s", shared_memory_error());
        handover->shm = NULL;
        return;
    }
    for (int channel = NEWEST; channel <= STRICT; channel++) {
        struct handover_writer *writer = &handover->writers[channel];

        *writer = (struct handover_writer){.self = world_identity()};
        if (shared_memory_writer_open(handover->shm, channel_names[channel], &writer->handle) < 0)
            violation("a writer could not open channel %s: %s", channel_names[channel], shared_memory_error());
    }
    if (shared_memory_reader_open(handover->shm, channel_names[NEWEST], SHARED_MEMORY_FROM_OLDEST, &handover->reader) <
        0)
        violation("a reader could not open its channel: %s", shared_memory_error());
    handover->read = 0;
}

void handover_write(struct handover *handover, int must)
{
    unsigned char payload[SIZE];

    for (int channel = NEWEST; channel <= STRICT && handover->shm; channel++) {
        struct handover_writer *writer = &handover->writers[channel];
        int rc;

        if (!writer->handle)
            continue;
        message_fill(payload, SIZE, writer->self, writer->number + 1);
        rc = shared_memory_writer_write(writer->handle, payload, SIZE);
        writer->number += rc == 0;
        if (rc < 0 && must)
            violation("a writer of %s could not write: %s", channel_names[channel], shared_memory_error());
    }
}

/* A message of the first writer, or one of those before it. */
static void note_read(struct handover *handover, const struct shared_memory_message *message, const void *payload)
{
    uint32_t writer, number;

    if (!message_whole(payload, message->size, &writer, &number))
        violation("the reader got a torn message");
    else if (writer == handover->writers[0].self && number != handover->read + 1)
        violation("the reader got number %u after %u", number, handover->read);
    if (writer == handover->writers[0].self)
        handover->read = number;
}

void handover_read(struct handover *handover)
{
    unsigned char payload[PAYLOAD];
    struct shared_memory_message message;
    int rc = -EAGAIN;

    if (!handover->reader)
        return;
    for (int i = 0; i < READ_TRIES && handover->read < handover->writers[0].number; i++) {
        rc = shared_memory_reader_read(handover->reader, payload, sizeof(payload), &message, 0);
        if (rc == 0)
            note_read(handover, &message, payload);
        else if (rc != -EAGAIN)
            break;
    }
    if (handover->read < handover->writers[0].number)
        violation("the reader got %u messages of %u: %s", handover->read, handover->writers[0].number,
                  shared_memory_error());
}

/* ---- What the next gateway finds ---- */

static void note_found(struct handover *handover, uint32_t self, uint32_t number)
{
    struct handover_writer *writer = NULL;

    for (int i = 0; i < HANDOVER_WRITERS; i++)
        if (handover->writers[i].self == self)
            writer = &handover->writers[i];
    if (!writer) {
        violation("number %u of writer %u was found, whom nobody knows", number, self);
        return;
    }
    if (number != writer->found + 1 && (number <= writer->found || number > writer->lost + 1))
        violation("number %u of writer %u was found after %u, of %u: lost, there twice, or not in order", number, self,
                  writer->found, writer->number);
    if (number > writer->found)
        writer->found = number;
}

/* Messages of layout version 1 are too short to tell whose they are, but keep their places. */
static void note_old(struct handover *handover, uint64_t bit)
{
    if (bit >= 64 || handover->passed >> bit & 1)
        violation("a message of layout version 1 is there twice");
    else
        handover->passed |= UINT64_C(1) << bit;
}

static void gather_lane(struct handover *handover, const struct segment *segment, uint32_t lane)
{
    struct ring ring = segment_ring(segment, lane);
    struct ring_ledger ledger;
    uint64_t head = ring_head(&ring);

    ring_ledger_load_checked(&ring, &ledger);
    for (uint64_t next = ledger.tail; next < head; next++) {
        unsigned char buffer[PAYLOAD];
        struct ring_message message;
        uint32_t writer, number;

        if (ring_read(&ring, next, &message, &(struct ring_space){buffer, sizeof(buffer), NULL}) < 0 ||
            !message_whole(buffer, message.size, &writer, &number))
            violation("message %llu of lane %u of %s cannot be read", (unsigned long long)next, lane, segment->name);
        else if (writer == 0)
            note_old(handover, 8 * lane + next);
        else
            note_found(handover, writer, number);
    }
}

void handover_gather(struct handover *handover, const struct segment *segment)
{
    for (uint32_t lane = 0; lane < segment->layout.lane_count; lane++)
        if (segment->layout.channels[segment->layout.lane_channel[lane]].direction == LAYOUT_PUBLISH)
            gather_lane(handover, segment, lane);
}
