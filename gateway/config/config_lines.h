/* config_lines.h: cut a configuration file into lines of any length and let inih take them apart.
 *
 * inih 55 splits a line at 200 bytes and goes on with the rest as if it were a line of its own; 59 cuts it. Both cut
 * section names at 49, take an indented line for more of the value above, and end a value at " ;", unless built
 * otherwise. So inih never sees a value or a section's name: the reader keeps both and gives inih the key with a mark
 * in the value's place. What inih would take silently, in a sense the author may not have meant, is a fault here:
 *   - an indented line;
 *   - text after a section's bracket, and a comment behind a value: comments have lines of their own;
 *   - KEY: VALUE; a key or a value that is missing;
 *   - NUL bytes, control characters, text that is not UTF-8.
 * A byte-order mark, CR LF and a last line without an end are fine.
 */
#ifndef SHMGATE_CONFIG_LINES_H
#define SHMGATE_CONFIG_LINES_H

#include <stdio.h>

#include "config/config_faults.h"

/* Bytes of the longest line that is read: the longest topic has 65535, and a list of URIs seldom more. */
#define CONFIG_LINE_MAX (1024 * 1024)

/* Bytes of the longest file that is read: 16 KiB for each of 4096 channels. A device such as /dev/zero has no end. */
#define CONFIG_FILE_MAX (64 * 1024 * 1024)

/* Who takes what the lines say, in their order. Strings are valid during the call. */
struct config_lines_taker {
    void *context;
    /* `name` is NULL when it could not be read, which has been reported as a fault already. */
    void (*section)(void *context, unsigned line, const char *name);
    /* `value` is NULL when it has been reported as a fault already. */
    void (*setting)(void *context, unsigned line, const char *key, const char *value);
};

/* Read all of `file`, whose lines are numbered from *last_line + 1 on. *last_line becomes the number of its last line,
 * of which there is at least one. Returns 0, with what is wrong added to `faults`; -ENOMEM; -EFBIG; -errno when reading
 * failed. */
int config_lines_parse(FILE *file, const struct config_lines_taker *taker, struct config_faults *faults,
                       unsigned *last_line);

#endif
