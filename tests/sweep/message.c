/* message.c: messages that show whether they are whole. See message.h. */
#include "message.h"

#include <string.h>

struct head {
    uint32_t writer, number;
    uint64_t checksum;
};

/* Every byte of the filler differs from that of the writer's other messages, so that a mixture of two cannot pass. */
static unsigned char filler(uint32_t writer, uint32_t number, size_t at)
{
    uint64_t word = ((uint64_t)writer << 32 | number) + at / 8 * UINT64_C(0x9e3779b97f4a7c15);

    word = (word ^ word >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    word = (word ^ word >> 27) * UINT64_C(0x94d049bb133111eb);
    return (unsigned char)(word >> (8 * (at % 8)));
}

/* FNV-1a, 64 bits. */
static uint64_t checksum(const unsigned char *bytes, size_t size, uint32_t writer, uint32_t number)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ writer ^ (uint64_t)number << 32 ^ size;

    for (size_t i = 0; i < size; i++)
        hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    return hash;
}

void message_fill(void *buffer, size_t size, uint32_t writer, uint32_t number)
{
    unsigned char *bytes = buffer;
    struct head head = {.writer = writer, .number = number};

    if (size < MESSAGE_NAMED_SIZE)
        return;
    for (size_t i = sizeof(head); i < size; i++)
        bytes[i] = filler(writer, number, i);
    head.checksum = checksum(bytes + sizeof(head), size - sizeof(head), writer, number);
    memcpy(bytes, &head, sizeof(head));
}

int message_whole(const void *buffer, size_t size, uint32_t *writer, uint32_t *number)
{
    const unsigned char *bytes = buffer;
    struct head head = {0};

    if (size >= MESSAGE_NAMED_SIZE)
        memcpy(&head, bytes, sizeof(head));
    *writer = head.writer;
    *number = head.number;
    return size < MESSAGE_NAMED_SIZE ||
           (head.writer > 0 &&
            head.checksum == checksum(bytes + sizeof(head), size - sizeof(head), head.writer, head.number));
}
