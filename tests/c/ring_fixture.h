/* ring_fixture.h: a lane of its own for the tests of ring.c; its slots end just before a page that nobody may touch. */
#ifndef SHMGATE_TESTS_RING_FIXTURE_H
#define SHMGATE_TESTS_RING_FIXTURE_H

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"
#include "ring.h"

struct test_ring {
    struct ring ring;
    struct layout_lane *lane;
    unsigned char *map;
    size_t map_size;
};

static inline void ring_unmake(struct test_ring *made)
{
    if (made->map)
        munmap(made->map, made->map_size);
    free(made->lane);
    memset(made, 0, sizeof(*made));
}

/* Make an empty ring; what `made` had before goes. Returns 0 or -ENOMEM. */
static inline int ring_make(struct test_ring *made, uint32_t slots, uint32_t max_payload, uint32_t topic_max)
{
    uint32_t bytes = topic_max ? layout_topic_offset(max_payload) + topic_max : 32 + max_payload;
    uint32_t stride = (bytes + 63) / 64 * 64;
    size_t page = (size_t)sysconf(_SC_PAGESIZE), size = (size_t)slots * stride, whole = (size + page - 1) / page * page;

    ring_unmake(made);
    made->map_size = whole + 2 * page;
    made->map = mmap(NULL, made->map_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    made->lane = aligned_alloc(LAYOUT_ALIGN, sizeof(*made->lane));
    if (made->map == MAP_FAILED || !made->lane || mprotect(made->map + page, whole, PROT_READ | PROT_WRITE) < 0) {
        if (made->map == MAP_FAILED)
            made->map = NULL;
        ring_unmake(made);
        return -ENOMEM;
    }
    memset(made->lane, 0, sizeof(*made->lane));
    made->ring = (struct ring){.lane = made->lane,
                               .slots = made->map + page + whole - size,
                               .mask = slots - 1,
                               .stride = stride,
                               .max_payload = max_payload,
                               .topic_max = topic_max};
    return 0;
}

static inline struct layout_slot *ring_slot(const struct ring *ring, uint64_t sequence)
{
    return (struct layout_slot *)(ring->slots + (sequence & ring->mask) * ring->stride);
}

/* Byte `i` of the payload that the tests give message `sequence`. */
static inline unsigned char payload_byte(uint64_t sequence, size_t i)
{
    return (unsigned char)(sequence * 131 + i * 7 + (sequence >> 8));
}

static inline int payload_right(const void *payload, size_t size, uint64_t sequence)
{
    for (size_t i = 0; i < size; i++)
        if (((const unsigned char *)payload)[i] != payload_byte(sequence, i))
            return 0;
    return 1;
}

/* Write the writer's next message, of `size` bytes (at most 4096). */
static inline int write_next(struct ring_writer *writer, size_t size)
{
    unsigned char payload[4096];
    struct ring_message message = {
        .payload = payload, .topic = "", .size = (uint32_t)size, .time_ns = 1000 + writer->next};

    for (size_t i = 0; i < size; i++)
        payload[i] = payload_byte(writer->next, i);
    return ring_write(writer, &message);
}

#endif
