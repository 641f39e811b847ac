/* fuzz_layout.c: any bytes as a segment: what layout_load accepts can be used to its last byte without leaving it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "counters.h"
#include "segment.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void use_lane(const struct segment *segment, uint32_t lane)
{
    struct ring ring = segment_ring(segment, lane);
    struct ring_message message;
    struct ring_ledger ledger;
    uint64_t next = ring_oldest(&ring);
    unsigned char buffer[64];
    struct ring_writer writer;
    char *topic = malloc(ring.topic_max + (size_t)1);

    for (int i = 0; topic && i < 40; i++) {
        int rc = ring_read(&ring, next, &message, &(struct ring_space){buffer, sizeof(buffer), topic});

        if (rc == -EAGAIN && ring_check_damage(&ring, next) == 0)
            break;
        next = rc == 0 || rc == -EBADMSG ? next + 1 : rc == -EMSGSIZE ? next + 1 : ring_resync(&ring, next);
    }
    free(topic);
    ring_ledger_load(ring.lane, &ledger);
    ring_ledger_store(ring.lane, &ledger);
    ring_writer_start(&writer, &ring, (int)(ledger.tail & 1));
    for (int i = 0; i < 4; i++) {
        message = (struct ring_message){.payload = buffer,
                                        .topic = "t",
                                        .size = ring.max_payload < 8 ? ring.max_payload : 8,
                                        .topic_size = ring.topic_max ? 1 : 0};
        ring_write(&writer, &message);
        ring_notify(segment->header, segment->dirty, lane);
    }
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct shared_memory_counters counters;
    struct segment segment = {.fd = -1, .serving = 1, .size = size};
    char json[512];

    /* Aligned as a mapping is, and of just that size. */
    if (posix_memalign((void **)&segment.base, 4096, size ? size : 1) != 0)
        return 0;
    memcpy(segment.base, data, size);
    if (layout_load(&segment.layout, segment.base, size, NULL) == 0) {
        segment.header = (struct layout_header *)segment.base;
        segment.dirty = (_Atomic uint64_t *)(segment.base + segment.layout.dirty_offset);
        for (uint32_t lane = 0; lane < segment.layout.lane_count && lane < 8; lane++)
            use_lane(&segment, lane);
        for (uint32_t channel = 0; channel < segment.layout.channel_count && channel < 8; channel++) {
            counters_collect(&segment, channel, &counters);
            segment_wake_readers(&segment, channel);
        }
        counters_json(&segment, "/fuzz", json, sizeof(json));
        layout_free(&segment.layout);
    }
    free(segment.base);
    return 0;
}
