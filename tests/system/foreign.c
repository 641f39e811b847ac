/* foreign.c: a program that test_foreign.py builds with another C library, or for another word size, than the
 * gateway's.
 *
 *   foreign SEGMENT    writes COUNT messages into "out", each when the gateway has fallen asleep; says "written", and
 * waits for a message in "in"; then waits for one that does not come, and prints how long that took, and how much
 * processor time, in seconds
 */
#include <stdio.h>
#include <time.h>

#include "shared_memory.h"

#define COUNT 5
#define LIMIT_MS 20000
#define WAIT_MS 1500

static int failed(const char *what)
{
    printf("%s: %s\n", what, shared_memory_error());
    return 1;
}

int main(int argc, char **argv)
{
    const struct timespec pause = {.tv_nsec = 200000000};
    struct timespec begin, end;
    char buffer[64];
    clock_t used;

    if (argc != 2)
        return 2;
    if (shared_memory_init(argv[1], LIMIT_MS) < 0)
        return failed("init");
    for (int i = 0; i < COUNT; i++) {
        nanosleep(&pause, NULL);
        if (shared_memory_write("out", "x", 1) < 0)
            return failed("write");
    }
    puts("written");
    fflush(stdout);
    if (shared_memory_read("in", buffer, sizeof(buffer), LIMIT_MS) != 5)
        return failed("read");
    used = clock();
    clock_gettime(CLOCK_MONOTONIC, &begin);
    if (shared_memory_read("in", buffer, sizeof(buffer), WAIT_MS) >= 0)
        return failed("read of nothing");
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("%.3f %.3f\n", (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9,
           (double)(clock() - used) / CLOCKS_PER_SEC);
    return 0;
}
