/* listen_address.h: where the metrics are served: a Unix socket, or a port that only this machine reaches.
 *
 * libc only; no state: any thread, and nothing here blocks.
 */
#ifndef SHMGATE_LISTEN_ADDRESS_H
#define SHMGATE_LISTEN_ADDRESS_H

#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "shm/reason.h"

struct listen_address {
    struct sockaddr_storage storage; /* of family AF_UNIX, AF_INET or AF_INET6 */
    socklen_t size;                  /* bytes of it that count */
};

/* Read unix:/PATH, 127.x.y.z:PORT or [::1]:PORT. Every other address is refused: what is served has no password and no
 * encryption. Returns 0; -EINVAL with what was expected in `reason`, *address unchanged. */
int listen_address_parse(struct listen_address *address, const char *text, struct reason *reason);

/* The path of a Unix socket, borrowed from the address; NULL for the others. */
const char *listen_address_path(const struct listen_address *address);

#endif
