/* peer_lines.c: writes stamped messages, one a line, into a stream socket: what a program does whose messages a script
 * or a service takes from there.
 *
 *   peer_lines unix:PATH|listen:PORT COUNT INTERVAL_NS
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "bench.h"

#define USAGE "peer_lines unix:PATH|listen:PORT COUNT INTERVAL_NS"
#define PART 64 /* lines in one write when there is no interval */

/* Wait on a loopback port for whoever comes first. */
static int accept_one(unsigned port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1, fd;

    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(listener, 1) < 0 ||
        (fd = accept(listener, NULL, NULL)) < 0)
        bench_die("port %u: %s", port, strerror(errno));
    close(listener);
    return fd;
}

static int open_stream(const char *address)
{
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    int fd;

    if (strncmp(address, "listen:", 7) == 0)
        return accept_one((unsigned)strtoul(address + 7, NULL, 10));
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(local.sun_path, sizeof(local.sun_path), "%s", address + 5);
    if (connect(fd, (struct sockaddr *)&local, sizeof(local)) < 0)
        bench_die("connect to %s: %s", address, strerror(errno));
    return fd;
}

static void write_all(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t count = write(fd, bytes, size);

        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            bench_die("write: %s", strerror(errno));
        bytes += count;
        size -= (size_t)count;
    }
}

int main(int argc, char **argv)
{
    uint64_t count = bench_argument(argc, argv, 2, USAGE), interval_ns = bench_argument(argc, argv, 3, USAGE),
             at = bench_now_ns();
    char lines[PART * (BENCH_MESSAGE + 1)];
    size_t waiting = 0;
    int fd = open_stream(argv[1]);

    for (uint64_t i = 0; i < count; i++, at += interval_ns) {
        if (interval_ns > 0)
            bench_sleep_until(at);
        bench_message_fill(lines + waiting * (BENCH_MESSAGE + 1), i);
        lines[waiting * (BENCH_MESSAGE + 1) + BENCH_MESSAGE] = '\n';
        if (++waiting == PART || interval_ns > 0 || i + 1 == count) {
            write_all(fd, lines, waiting * (BENCH_MESSAGE + 1));
            waiting = 0;
        }
    }
    close(fd);
    puts("{}");
    return 0;
}
