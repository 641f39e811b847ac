/* journal.h: send an entry with fields to the journal, in its native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL),
 * without libsystemd.
 *
 * An entry is built in the caller's memory and sent as one datagram. Every value goes with its length before it, never
 * as NAME=value: so none, whatever is in it, can end early and begin a field of its own. No state, no allocation: any
 * thread.
 */
#ifndef SHMGATE_JOURNAL_H
#define SHMGATE_JOURNAL_H

#include <stddef.h>

#define JOURNAL_SOCKET "/run/systemd/journal/socket"
#define JOURNAL_NAME_MAX 64 /* characters of a field's name; journald drops longer ones */
#define JOURNAL_ENTRY_SIZE \
    20480 /* bytes: a line of the log, once more as the values in it, each byte escaped as four */

struct journal_entry {
    size_t used;
    int overflow; /* 1: something did not fit; the entry is not sent */
    char data[JOURNAL_ENTRY_SIZE];
};

void journal_begin(struct journal_entry *entry);

/* Add a field. `name` is A-Z, 0-9 and _, does not begin with _ or a digit, and is the program's own. */
void journal_add(struct journal_entry *entry, const char *name, const char *value, size_t size);

/* Send the entry to the socket `path`. Never waits. Returns 0; -EMSGSIZE it is too large, here or for the kernel;
 * -EAGAIN journald is behind; or -errno of socket(2) or sendto(2), when there is no journal. The caller writes the line
 * elsewhere then. */
int journal_send(const struct journal_entry *entry, const char *path);

#endif
