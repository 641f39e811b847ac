/* flood_writer.c: a writer of the system tests: COUNT numbered messages of 64 bytes into one channel, as fast as it
 * takes them.
 *
 *   flood_writer SEGMENT CHANNEL COUNT WRITER
 *
 * Each message is the text "WRITER NUMBER" with NUMBER from 0, filled up with dots. A full ring (overflow = reject) is
 * tried again. Prints "written N rejected M".
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "shared_memory.h"

#define MESSAGE_SIZE 64
#define ATTACH_MS 60000
#define PAUSE_NS 50000 /* before a full ring is tried again */

static int write_all(struct shared_memory_writer *writer, unsigned long count, const char *id, unsigned long *rejected)
{
    const struct timespec pause = {.tv_nsec = PAUSE_NS};
    char message[MESSAGE_SIZE + 1];

    for (unsigned long i = 0; i < count; i++) {
        int rc, length = snprintf(message, sizeof(message), "%s %lu ", id, i);

        if (length < 0 || length > MESSAGE_SIZE)
            return -EMSGSIZE;
        memset(message + length, '.', MESSAGE_SIZE - (size_t)length);
        while ((rc = shared_memory_writer_write(writer, message, MESSAGE_SIZE)) == -EAGAIN) {
            (*rejected)++;
            nanosleep(&pause, NULL);
        }
        if (rc < 0)
            return rc;
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct shared_memory *shm = NULL;
    struct shared_memory_writer *writer = NULL;
    unsigned long count, rejected = 0;
    int rc;

    if (argc != 5) {
        fputs("usage: flood_writer SEGMENT CHANNEL COUNT WRITER\n", stderr);
        return 2;
    }
    count = strtoul(argv[3], NULL, 10);
    if ((rc = shared_memory_attach(&shm, argv[1], ATTACH_MS)) == 0 &&
        (rc = shared_memory_writer_open(shm, argv[2], &writer)) == 0)
        rc = write_all(writer, count, argv[4], &rejected);
    if (rc < 0)
        fprintf(stderr, "flood_writer: %s\n", shared_memory_error());
    else
        printf("written %lu rejected %lu\n", count, rejected);
    shared_memory_writer_close(writer);
    shared_memory_detach(shm);
    return rc < 0;
}
