/* journal.c: send an entry with fields to the journal. See journal.h. */
#include "observe/journal.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define LENGTH_SIZE 8 /* of the length before a value: 64 bits, the lowest byte first */

void journal_begin(struct journal_entry *entry)
{
    entry->used = 0;
    entry->overflow = 0;
}

/* NAME, line break, length, value, line break. */
void journal_add(struct journal_entry *entry, const char *name, const char *value, size_t size)
{
    size_t name_size = strlen(name);
    char *at = entry->data + entry->used;

    if (entry->overflow || name_size + 1 + LENGTH_SIZE + size + 1 > sizeof(entry->data) - entry->used) {
        entry->overflow = 1;
        return;
    }
    /* NOLINTNEXTLINE(bugprone-not-null-terminated-result): a line break ends it. */
    memcpy(at, name, name_size);
    at += name_size;
    *at++ = '\n';
    for (unsigned i = 0; i < LENGTH_SIZE; i++)
        *at++ = (char)((uint64_t)size >> (8 * i));
    memcpy(at, value, size);
    at[size] = '\n';
    entry->used = (size_t)(at + size + 1 - entry->data);
}

int journal_send(const struct journal_entry *entry, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd, rc = 0;

    if (entry->overflow)
        return -EMSGSIZE;
    if (strlen(path) >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    strcpy(address.sun_path, path);
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (sendto(fd, entry->data, entry->used, MSG_NOSIGNAL, (const struct sockaddr *)&address, sizeof(address)) < 0)
        rc = -errno;
    close(fd);
    return rc;
}
