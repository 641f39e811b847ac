/* fuzz_frame.c: any bytes as a message with several samples: it is refused, or each sample lies in it and all of it is
 * samples; and what was taken apart goes together again. */
#include <stdlib.h>
#include <string.h>

#include "base/frame.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void take_apart(enum frame_format format, const unsigned char *data, size_t size)
{
    struct frame_reader reader;
    struct frame_sample sample;
    struct frame again = {0};
    size_t total = 0, count = 0, room;
    void *to;

    if (frame_open(&reader, format, data, size) < 0) {
        if (format != FRAME_BINARY)
            abort();
        return;
    }
    if (frame_reserve(&again, size) < 0)
        return;
    frame_begin(&again, format, 0);
    while (frame_next(&reader, &sample)) {
        const unsigned char *payload = sample.payload;

        if (sample.size > 0 && (payload < data || payload + sample.size > data + size))
            abort();
        total += sample.size;
        if (count++ == again.count && (to = frame_room(&again, &room)) && room >= sample.size) {
            if (sample.size > 0)
                memcpy(to, sample.payload, sample.size);
            frame_add(&again, sample.size, sample.time_ns);
        }
    }
    if (count == 0 || total > size ||
        (format == FRAME_BINARY && total + FRAME_HEADER_SIZE + count * FRAME_SAMPLE_SIZE != size))
        abort();
    frame_end(&again);
    /* Numbers aside, a binary frame is the same again. */
    if (format == FRAME_BINARY && again.count == count &&
        (again.size != size ||
         memcmp(again.bytes + FRAME_HEADER_SIZE, data + FRAME_HEADER_SIZE, size - FRAME_HEADER_SIZE) != 0))
        abort();
    frame_free(&again);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    take_apart(FRAME_BINARY, data, size);
    take_apart(FRAME_LINES, data, size);
    take_apart(FRAME_NONE, data, size);
    return 0;
}
