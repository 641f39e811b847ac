/* notify.c: tell systemd how the daemon is: ready, reloading, stopping, alive (sd_notify(3), without libsystemd). */
#include "observe/notify.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/utf8.h"

#define STATUS_SIZE 512 /* bytes of a status line; systemctl shows one line of a terminal */

int notify_send(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t path_size;
    int fd, result = 0;

    if (!path || !*path)
        return 0;
    path_size = strlen(path);
    if (path[0] != '/' && path[0] != '@')
        return -EINVAL;
    if (path_size >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    memcpy(address.sun_path, path, path_size);
    if (path[0] == '@')
        address.sun_path[0] = '\0'; /* how the kernel marks an abstract name: unix(7) */
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address,
               (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path_size)) < 0)
        result = -errno;
    close(fd);
    return result;
}

/* Send `state` and, unless it is NULL, the status line. A line break in it would start a message of its own. */
static int send_with_status(const char *state, const char *status)
{
    char escaped[STATUS_SIZE], message[STATUS_SIZE + 64];

    if (!status)
        return notify_send(state);
    utf8_escape(escaped, sizeof(escaped), status, strlen(status));
    snprintf(message, sizeof(message), "%sSTATUS=%s\n", state, escaped);
    return notify_send(message);
}

int notify_ready(const char *status)
{
    return send_with_status("READY=1\n", status);
}

int notify_status(const char *status)
{
    return send_with_status("", status);
}

int notify_reloading(void)
{
    char message[64];
    struct timespec now;

    if (clock_gettime(CLOCK_MONOTONIC, &now) < 0)
        return -errno;
    snprintf(message, sizeof(message), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\n",
             (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000);
    return notify_send(message);
}

int notify_stopping(void)
{
    return notify_send("STOPPING=1\n");
}

int notify_watchdog(void)
{
    return notify_send("WATCHDOG=1\n");
}

/* The whole of `text` as a decimal number; 0 when it is anything else. */
static uint64_t read_number(const char *text)
{
    char *end;
    unsigned long long number;

    if (!text || *text < '0' || *text > '9')
        return 0;
    errno = 0;
    number = strtoull(text, &end, 10);
    return *end || errno ? 0 : number;
}

uint64_t notify_watchdog_interval_ms(void)
{
    uint64_t usec = read_number(getenv("WATCHDOG_USEC"));
    const char *pid = getenv("WATCHDOG_PID");

    if (usec == 0 || (pid && read_number(pid) != (uint64_t)getpid()))
        return 0;
    return usec >= 2000 ? usec / 2000 : 1;
}
