/* four_calls.c: the everyday interface, four calls: writes a message a second, and reads what the channel has.
 *
 *      gcc -o build/four_calls shm/examples/four_calls.c -Ishm -Lbuild/lib -lshmgate -Wl,-rpath,"$PWD/build/lib"
 *
 * builds it in the repository. With the packages installed it is
 *
 *      gcc -o four_calls four_calls.c -I/usr/include/shmgate -lshmgate
 *
 * and then
 *
 *      four_calls [CHANNEL [COUNT]]
 *
 * with a gateway running that has a publish channel of that name (default "telemetry"); $SHMGATE_SEGMENT names its
 * segment. It ends after COUNT messages, or at Ctrl-C, and gives its lane back. */
#include <shared_memory.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t stopped;

static void stop(int number)
{
    (void)number;
    stopped = 1;
}

static int tell_failure(const char *what)
{
    fprintf(stderr, "four_calls: %s: %s\n", what, shared_memory_error());
    return 1;
}

/* Read until nothing is left. Returns 0, or the library's error. */
static int read_all(const char *channel)
{
    char buffer[4096];
    ssize_t size;

    while ((size = shared_memory_read(channel, buffer, sizeof(buffer), 0)) >= 0)
        printf("read %.*s\n", (int)size, buffer);
    return size == -EAGAIN ? 0 : (int)size;
}

int main(int argc, char **argv)
{
    const char *channel = argc > 1 ? argv[1] : "telemetry";
    long count = argc > 2 ? atol(argv[2]) : -1;
    struct sigaction action = {.sa_handler = stop};
    int rc = 0;

    setvbuf(stdout, NULL, _IOLBF, 0);
    /* Without SA_RESTART: Ctrl-C ends the sleep. */
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    if (shared_memory_init(getenv("SHMGATE_SEGMENT"), 5000) < 0)
        return tell_failure("attach");
    for (long number = 0; !stopped && number != count; number++) {
        char message[64];

        if (number > 0 && sleep(1) > 0)
            break;
        snprintf(message, sizeof(message), "message %ld", number);
        if ((rc = shared_memory_write(channel, message, strlen(message))) < 0 && rc != -EAGAIN)
            break;
        printf("wrote %s\n", rc < 0 ? "nothing: the ring is full" : message);
        if ((rc = read_all(channel)) < 0)
            break;
    }
    if (rc < 0)
        tell_failure(channel);
    shared_memory_release();
    return rc < 0;
}
