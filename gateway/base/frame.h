/* frame.h: several samples in one MQTT message, and the way back. Pure: no clock, no input or output.
 *
 * A binary frame; all numbers are little-endian:
 *
 *       0   4 bytes "SGF1"
 *       4   u32     number of samples, at least 1
 *       8   u64     sequence number of the first; each of the others has one more than the one before it
 *      16   the samples, one behind the other without padding, and nothing behind the last:
 *              u32  bytes of payload
 *              u64  Unix time of its write, in nanoseconds
 *              the payload
 *
 * Lines: the samples as they are, with a newline between two. A sample that is empty or contains a newline has a
 * message of its own.
 */
#ifndef SHMGATE_FRAME_H
#define SHMGATE_FRAME_H

#include <stddef.h>
#include <stdint.h>

/* FRAME_NONE: a message is a sample. */
enum frame_format { FRAME_NONE, FRAME_BINARY, FRAME_LINES };

#define FRAME_HEADER_SIZE 16
#define FRAME_SAMPLE_SIZE 12 /* of what stands before each payload */

/* A frame gets no larger than this unless a single sample is: past some 64 KiB the bytes cost more than the packet
 * (measured with 64-byte samples), and other messages of the connection wait behind it. */
#define FRAME_BYTES (128 * 1024)

/* A frame in the making. Begins as all zero; frame_free it. */
struct frame {
    enum frame_format format;
    unsigned char *bytes;
    size_t size, capacity;
    uint32_t count; /* of samples */
    int closed;     /* 1: no other sample may follow */
};

/* Make room for a sample of `payload` bytes alone, and for frames of up to FRAME_BYTES. 0 or -ENOMEM; then the frame is
 * as it was. */
int frame_reserve(struct frame *frame, size_t payload);
void frame_free(struct frame *frame);

/* Begin anew. `sequence` is that of the first sample. */
void frame_begin(struct frame *frame, enum frame_format format, uint64_t sequence);

/* Where the next payload may be put, and how large it may be: NULL when nothing more goes in. */
void *frame_room(struct frame *frame, size_t *room);

/* What was put there, `size` bytes, is the next sample. Returns 1; 0: it does not go with those before it, and is not
 * in. */
int frame_add(struct frame *frame, size_t size, uint64_t time_ns);

/* The message is complete: frame->bytes, frame->size. */
void frame_end(struct frame *frame);

struct frame_sample {
    const void *payload; /* points into the message */
    size_t size;
    uint64_t time_ns; /* of the write; 0: the message does not say */
};

struct frame_reader {
    enum frame_format format;
    const unsigned char *at, *end;
    uint32_t left; /* samples */
};

/* Begin to take a message apart, which is checked as a whole first and must stay while it is read. Returns 0; -EBADMSG
 * it is no such frame. */
int frame_open(struct frame_reader *reader, enum frame_format format, const void *bytes, size_t size);

/* The next sample. Returns 1; 0 there is none. */
int frame_next(struct frame_reader *reader, struct frame_sample *sample);

#endif
