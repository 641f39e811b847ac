/* listen_address.c: where the metrics are served. See listen_address.h. */
#include "base/listen_address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WANTED "expected unix:/PATH, 127.0.0.1:PORT or [::1]:PORT: only this machine may be answered"
#define LOOPBACK_NET 127 /* the first byte of IPv4's loopback addresses (RFC 1122, 3.2.1.3) */

static int parse_path(struct listen_address *address, const char *path, struct reason *reason)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    size_t size = strlen(path);

    if (path[0] != '/' || path[size - 1] == '/')
        return reason_set(reason, -EINVAL,
                          "expected the full path of a file after unix: as in unix:/run/shmgate/metrics.sock");
    if (size >= sizeof(name.sun_path))
        return reason_set(reason, -EINVAL, "the path has %zu bytes, a socket's has %zu at most (unix(7))", size,
                          sizeof(name.sun_path) - 1);
    memcpy(name.sun_path, path, size + 1);
    memset(address, 0, sizeof(*address));
    memcpy(&address->storage, &name, sizeof(name));
    address->size = sizeof(name);
    return 0;
}

/* "1" to "65535", and nothing else. 0 when it is not. */
static unsigned parse_port(const char *text)
{
    unsigned long port;

    if (strlen(text) > 5 || strspn(text, "0123456789") != strlen(text) || !*text)
        return 0;
    port = strtoul(text, NULL, 10);
    return port <= 65535 ? (unsigned)port : 0;
}

int listen_address_parse(struct listen_address *address, const char *text, struct reason *reason)
{
    struct sockaddr_in four = {.sin_family = AF_INET};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    const char *colon = strrchr(text, ':');
    char host[INET6_ADDRSTRLEN + 2];
    size_t size = colon ? (size_t)(colon - text) : 0;
    unsigned port = colon ? parse_port(colon + 1) : 0;

    if (strncmp(text, "unix:", 5) == 0)
        return parse_path(address, text + 5, reason);
    if (port == 0 || size >= sizeof(host))
        return reason_set(reason, -EINVAL, WANTED);
    memcpy(host, text, size);
    host[size] = '\0';
    if (strcmp(host, "[::1]") == 0) {
        memset(address, 0, sizeof(*address));
        six.sin6_addr = in6addr_loopback;
        six.sin6_port = htons((uint16_t)port);
        memcpy(&address->storage, &six, sizeof(six));
        address->size = sizeof(six);
        return 0;
    }
    if (inet_pton(AF_INET, host, &four.sin_addr) != 1 || ntohl(four.sin_addr.s_addr) >> 24 != LOOPBACK_NET)
        return reason_set(reason, -EINVAL, WANTED);
    memset(address, 0, sizeof(*address));
    four.sin_port = htons((uint16_t)port);
    memcpy(&address->storage, &four, sizeof(four));
    address->size = sizeof(four);
    return 0;
}

const char *listen_address_path(const struct listen_address *address)
{
    return address->storage.ss_family == AF_UNIX ? ((const struct sockaddr_un *)&address->storage)->sun_path : NULL;
}
