/* config_files.h: which files make up a configuration: FILE itself, and what drops in beside it.
 *
 * For /etc/shmgate/gateway.ini these are the *.ini in /etc/shmgate/gateway.d, in the byte order of their names; those
 * that begin with a dot are passed over.
 */
#ifndef SHMGATE_CONFIG_FILES_H
#define SHMGATE_CONFIG_FILES_H

#include <stddef.h>

#include "shm/reason.h"

struct config_files {
    char **paths; /* `path` first */
    size_t count;
};

/* On success *files must be given to config_files_free; no such folder is none that drop in. May block on the disk.
 * -ENOMEM; -errno with the reason, which names the folder. */
int config_files_find(struct config_files *files, const char *path, struct reason *reason);
void config_files_free(struct config_files *files);

#endif
