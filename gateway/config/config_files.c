/* config_files.c: which files make up a configuration. See config_files.h. */
#include "config/config_files.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int is_ini(const struct dirent *entry)
{
    size_t size = strlen(entry->d_name);

    return entry->d_name[0] != '.' && size > 4 && strcmp(entry->d_name + size - 4, ".ini") == 0;
}

/* Not alphasort: the order must not hang on the locale. */
static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* "gateway.d" for "gateway.ini". */
static char *folder_of(const char *path)
{
    size_t size = strlen(path);
    char *folder;

    if (size > 4 && strcmp(path + size - 4, ".ini") == 0)
        size -= 4;
    return asprintf(&folder, "%.*s.d", (int)size, path) < 0 ? NULL : folder;
}

int config_files_find(struct config_files *files, const char *path, struct reason *reason)
{
    char *folder = folder_of(path);
    struct dirent **entries = NULL;
    int count = 0, status = -ENOMEM;

    *files = (struct config_files){0};
    if (!folder)
        return -ENOMEM;
    count = scandir(folder, &entries, is_ini, by_bytes);
    if (count < 0 && errno != ENOENT && errno != ENOTDIR) {
        status = reason_set(reason, -errno, "could not read the folder %s: %s", folder, strerror(errno));
        goto cleanup;
    }
    files->paths = calloc((size_t)(count > 0 ? count : 0) + 1, sizeof(files->paths[0]));
    if (!files->paths || !(files->paths[files->count++] = strdup(path)))
        goto cleanup;
    for (int i = 0; i < count; i++)
        if (asprintf(&files->paths[files->count], "%s/%s", folder, entries[i]->d_name) < 0)
            goto cleanup;
        else
            files->count++;
    status = 0;
cleanup:
    for (int i = 0; i < count; i++)
        free(entries[i]);
    free(entries);
    free(folder);
    if (status < 0)
        config_files_free(files);
    return status;
}

void config_files_free(struct config_files *files)
{
    for (size_t i = 0; i < files->count; i++)
        free(files->paths[i]);
    free(files->paths);
    *files = (struct config_files){0};
}
