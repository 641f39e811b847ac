/* message.h: messages that show whether they are whole: writer, number, checksum, and a filler that follows from them.
 */
#ifndef SHMGATE_TESTS_SWEEP_MESSAGE_H
#define SHMGATE_TESTS_SWEEP_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

/* Below this size a message has no room to name its writer: only its size can be checked. */
#define MESSAGE_NAMED_SIZE 16

void message_fill(void *buffer, size_t size, uint32_t writer, uint32_t number);

/* Returns 1 when the bytes are those of one message, else 0. *writer is 0 when the message is too short to tell. */
int message_whole(const void *buffer, size_t size, uint32_t *writer, uint32_t *number);

#endif
