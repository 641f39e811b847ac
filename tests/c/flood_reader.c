/* flood_reader.c: a reader of the system tests: COUNT messages from one channel, checked for order.
 *
 *   flood_reader SEGMENT CHANNEL COUNT
 *
 * The messages are decimal numbers, expected to be 0, 1, 2, ... Prints "ready" once the reader is open, and at the end
 * "read N missed M disordered D". Gives up when nothing comes for a minute.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "shared_memory.h"

#define WAIT_MS 60000
#define BUFFER_SIZE 4096

struct tally {
    unsigned long read, missed, disordered;
};

static int read_all(struct shared_memory_reader *reader, unsigned long count, struct tally *tally)
{
    char buffer[BUFFER_SIZE + 1];

    while (tally->read < count) {
        struct shared_memory_message message;
        int rc = shared_memory_reader_read(reader, buffer, BUFFER_SIZE, &message, WAIT_MS);

        if (rc == -EINTR)
            continue;
        if (rc < 0)
            return rc;
        buffer[message.size] = '\0';
        tally->missed += message.missed;
        tally->disordered += strtoul(buffer, NULL, 10) != tally->read + tally->missed;
        tally->read++;
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct shared_memory *shm = NULL;
    struct shared_memory_reader *reader = NULL;
    struct tally tally = {0};
    int rc;

    if (argc != 4) {
        fputs("usage: flood_reader SEGMENT CHANNEL COUNT\n", stderr);
        return 2;
    }
    if ((rc = shared_memory_attach(&shm, argv[1], WAIT_MS)) == 0 &&
        (rc = shared_memory_reader_open(shm, argv[2], SHARED_MEMORY_FROM_OLDEST, &reader)) == 0) {
        puts("ready");
        fflush(stdout);
        rc = read_all(reader, strtoul(argv[3], NULL, 10), &tally);
    }
    if (rc < 0)
        fprintf(stderr, "flood_reader: %s\n", shared_memory_error());
    printf("read %lu missed %lu disordered %lu\n", tally.read, tally.missed, tally.disordered);
    shared_memory_reader_close(reader);
    shared_memory_detach(shm);
    return rc < 0 || tally.missed > 0 || tally.disordered > 0;
}
