/* frame.c: several samples in one MQTT message, and the way back. See frame.h. */
#include "base/frame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char magic[4] = {'S', 'G', 'F', '1'};

static void frame_put(unsigned char *to, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        to[i] = (unsigned char)(value >> 8 * i);
}

static uint64_t get(const unsigned char *from, unsigned bytes)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < bytes; i++)
        value |= (uint64_t)from[i] << 8 * i;
    return value;
}

/* ---- Together ---- */

int frame_reserve(struct frame *frame, size_t payload)
{
    size_t need = FRAME_HEADER_SIZE + FRAME_SAMPLE_SIZE + payload;
    unsigned char *larger;

    if (need < FRAME_BYTES)
        need = FRAME_BYTES;
    if (need <= frame->capacity)
        return 0;
    larger = realloc(frame->bytes, need);
    if (!larger)
        return -ENOMEM;
    frame->bytes = larger;
    frame->capacity = need;
    return 0;
}

void frame_free(struct frame *frame)
{
    free(frame->bytes);
    memset(frame, 0, sizeof(*frame));
}

void frame_begin(struct frame *frame, enum frame_format format, uint64_t sequence)
{
    frame->format = format;
    frame->size = 0;
    frame->count = 0;
    frame->closed = 0;
    if (format != FRAME_BINARY)
        return;
    memcpy(frame->bytes, magic, sizeof(magic));
    frame_put(frame->bytes + 8, sequence, 8);
    frame->size = FRAME_HEADER_SIZE;
}

/* Bytes between what is in the frame and the next payload. */
static size_t gap(const struct frame *frame)
{
    return frame->format == FRAME_BINARY ? FRAME_SAMPLE_SIZE : frame->format == FRAME_LINES && frame->count > 0 ? 1 : 0;
}

void *frame_room(struct frame *frame, size_t *room)
{
    size_t end = frame->count > 0 ? FRAME_BYTES : frame->capacity, start = frame->size + gap(frame);

    if (frame->closed || start >= end)
        return NULL;
    *room = end - start;
    return frame->bytes + start;
}

int frame_add(struct frame *frame, size_t size, uint64_t time_ns)
{
    unsigned char *at = frame->bytes + frame->size;
    int alone = frame->format == FRAME_LINES && (size == 0 || memchr(at + gap(frame), '\n', size));

    if (alone && frame->count > 0)
        return 0;
    if (frame->format == FRAME_BINARY) {
        frame_put(at, size, 4);
        frame_put(at + 4, time_ns, 8);
    } else if (gap(frame) > 0) {
        *at = '\n';
    }
    frame->size += gap(frame) + size;
    frame->count++;
    frame->closed = alone || frame->format == FRAME_NONE;
    return 1;
}

void frame_end(struct frame *frame)
{
    if (frame->format == FRAME_BINARY)
        frame_put(frame->bytes + 4, frame->count, 4);
}

/* ---- Apart ---- */

int frame_open(struct frame_reader *reader, enum frame_format format, const void *bytes, size_t size)
{
    const unsigned char *at = bytes, *end = at + size;
    struct frame_sample sample;
    struct frame_reader check;

    *reader = (struct frame_reader){.format = format, .at = at, .end = end, .left = 1};
    if (format != FRAME_BINARY)
        return 0;
    if (size < FRAME_HEADER_SIZE || memcmp(at, magic, sizeof(magic)) != 0)
        return -EBADMSG;
    reader->left = (uint32_t)get(at + 4, 4);
    reader->at += FRAME_HEADER_SIZE;
    check = *reader;
    while (frame_next(&check, &sample))
        continue;
    return reader->left > 0 && check.left == 0 && check.at == end ? 0 : -EBADMSG;
}

static int next_line(struct frame_reader *reader, struct frame_sample *sample)
{
    size_t left = (size_t)(reader->end - reader->at);
    const unsigned char *newline = left > 0 ? memchr(reader->at, '\n', left) : NULL;

    sample->payload = reader->at;
    sample->size = newline ? (size_t)(newline - reader->at) : left;
    sample->time_ns = 0;
    /* A newline at the very end begins no other line. */
    reader->left = newline && newline + 1 < reader->end;
    reader->at = newline ? newline + 1 : reader->end;
    return 1;
}

int frame_next(struct frame_reader *reader, struct frame_sample *sample)
{
    size_t left = (size_t)(reader->end - reader->at), size;

    if (reader->left == 0)
        return 0;
    if (reader->format == FRAME_LINES)
        return next_line(reader, sample);
    if (reader->format == FRAME_NONE) {
        *sample = (struct frame_sample){.payload = reader->at, .size = left};
        reader->left = 0;
        return 1;
    }
    if (left < FRAME_SAMPLE_SIZE || (size = (size_t)get(reader->at, 4)) > left - FRAME_SAMPLE_SIZE)
        return 0;
    *sample = (struct frame_sample){
        .payload = reader->at + FRAME_SAMPLE_SIZE, .size = size, .time_ns = get(reader->at + 4, 8)};
    reader->at += FRAME_SAMPLE_SIZE + size;
    reader->left--;
    return 1;
}
