/* vandal.c: a hostile member of the segment's group: flips bits and writes extreme values into a live segment's fields.
 *
 *   vandal SEGMENT ROUNDS SEED
 *
 * Half of the blows hit header, channels, lanes and dirty words, half the slots' own fields; payloads are hit too, but
 * that harms nobody. It knows nothing but the file's size: the tables are where they are. Prints "done".
 */
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define TABLES 16384 /* bytes from the start that hold header, channels and lanes of a few channels */

#define KEEP 20000 /* one in so many blows at the tables stays */

static uint64_t seed;

static uint64_t next_random(void)
{
    seed ^= seed >> 12;
    seed ^= seed << 25;
    seed ^= seed >> 27;
    return seed * UINT64_C(0x2545f4914f6cdd1d);
}

static uint64_t evil(uint64_t size, uint64_t old)
{
    switch (next_random() % 12) {
    case 0:
        return 0;
    case 1:
        return 1;
    case 2:
        return ~UINT64_C(0);
    case 3:
        return UINT64_C(1) << 31;
    case 4:
        return UINT64_C(1) << 63;
    case 5:
        return size - 1;
    case 6:
        return size;
    case 7:
        return size + 1;
    case 8:
        return old + 1;
    case 9:
        return old - 1;
    case 10:
        return next_random();
    default:
        return old ^ UINT64_C(1) << (next_random() % 64);
    }
}

int main(int argc, char **argv)
{
    struct stat status;
    unsigned char *map;
    uint64_t size;
    long rounds;
    int fd;

    if (argc != 4) {
        fputs("usage: vandal SEGMENT ROUNDS SEED\n", stderr);
        return 2;
    }
    rounds = atol(argv[2]);
    seed = strtoull(argv[3], NULL, 10) | 1;
    fd = shm_open(argv[1], O_RDWR, 0);
    if (fd < 0 || fstat(fd, &status) < 0) {
        perror(argv[1]);
        return 1;
    }
    size = (uint64_t)status.st_size;
    map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    for (long i = 0; i < rounds; i++) {
        uint64_t tables = size < TABLES ? size : TABLES, old, blow;
        uint64_t at = (next_random() % 2 ? next_random() % tables : next_random() % size) & ~UINT64_C(7);
        size_t width = (size_t)1 << (1 + next_random() % 3);

        if (at + sizeof(old) > size)
            continue;
        at += next_random() % (8 / width) * width;
        old = 0;
        memcpy(&old, map + at, width);
        blow = evil(size, old);
        memcpy(map + at, &blow, width);
        /* Most blows at the tables are taken back after a while: a segment that nobody can attach to any more is soon
         * of no interest. */
        if (at < TABLES && next_random() % KEEP != 0) {
            for (volatile uint64_t left = next_random() % 4096; left > 0; left--)
                ;
            memcpy(map + at, &old, width);
        }
        if (i % 64 == 0)
            sched_yield();
    }
    puts("done");
    return 0;
}
