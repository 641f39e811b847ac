/* disk.c: a disk for SQLite that can be full and remembers every write. See disk.h.
 *
 * An SQLite VFS (sqlite.org/vfs.html) in front of the usual one. Each call that changes a file is one system call of
 * the usual one.
 */
#include "disk.h"

#include <errno.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECTOR 512

enum operation_kind { OP_WRITE, OP_TRUNCATE, OP_SYNC, OP_REMOVE };

struct operation {
    enum operation_kind kind;
    char name[64]; /* last component of the path */
    sqlite3_int64 offset;
    size_t size;
    unsigned char *data;
};

struct file {
    sqlite3_file base;
    char name[64];
    sqlite3_file *real;
};

static sqlite3_vfs vfs, *usual;
static struct operation *operations;
static size_t count, capacity;
static int is_full;

static const char *last_component(const char *path)
{
    const char *slash = path ? strrchr(path, '/') : NULL;

    return slash ? slash + 1 : path ? path : "temporary";
}

static struct operation *record(enum operation_kind kind, const char *name)
{
    if (count == capacity) {
        capacity = capacity ? 2 * capacity : 1024;
        operations = realloc(operations, capacity * sizeof(operations[0]));
        if (!operations)
            abort();
    }
    memset(&operations[count], 0, sizeof(operations[0]));
    operations[count].kind = kind;
    snprintf(operations[count].name, sizeof(operations[count].name), "%s", name);
    return &operations[count++];
}

#define REAL(file) (((struct file *)(file))->real)
#define FORWARD(method, ...) REAL(file)->pMethods->method(REAL(file), ##__VA_ARGS__)

static int disk_close(sqlite3_file *file)
{
    return FORWARD(xClose);
}
static int disk_read(sqlite3_file *file, void *to, int size, sqlite3_int64 at)
{
    return FORWARD(xRead, to, size, at);
}
static int disk_size(sqlite3_file *file, sqlite3_int64 *size)
{
    return FORWARD(xFileSize, size);
}
static int disk_lock(sqlite3_file *file, int level)
{
    return FORWARD(xLock, level);
}
static int disk_unlock(sqlite3_file *file, int level)
{
    return FORWARD(xUnlock, level);
}
static int disk_reserved(sqlite3_file *file, int *result)
{
    return FORWARD(xCheckReservedLock, result);
}
static int disk_control(sqlite3_file *file, int code, void *argument)
{
    return FORWARD(xFileControl, code, argument);
}
static int disk_sector(sqlite3_file *file)
{
    return FORWARD(xSectorSize);
}
static int disk_device(sqlite3_file *file)
{
    return FORWARD(xDeviceCharacteristics);
}
static int disk_map(sqlite3_file *file, int page, int size, int extend, void volatile **to)
{
    return FORWARD(xShmMap, page, size, extend, to);
}
static int disk_shm_lock(sqlite3_file *file, int offset, int n, int flags)
{
    return FORWARD(xShmLock, offset, n, flags);
}
static void disk_barrier(sqlite3_file *file)
{
    FORWARD(xShmBarrier);
}
static int disk_unmap(sqlite3_file *file, int remove)
{
    return FORWARD(xShmUnmap, remove);
}

static int disk_write(sqlite3_file *file, const void *from, int size, sqlite3_int64 at)
{
    struct operation *operation;
    int rc;

    if (is_full)
        return SQLITE_FULL;
    if ((rc = FORWARD(xWrite, from, size, at)) != SQLITE_OK)
        return rc;
    operation = record(OP_WRITE, ((struct file *)file)->name);
    operation->offset = at;
    operation->size = (size_t)size;
    operation->data = malloc((size_t)size);
    if (!operation->data)
        abort();
    memcpy(operation->data, from, (size_t)size);
    return SQLITE_OK;
}

static int disk_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    record(OP_TRUNCATE, ((struct file *)file)->name)->offset = size;
    return FORWARD(xTruncate, size);
}

static int disk_sync(sqlite3_file *file, int flags)
{
    /* What a sync is worth is decided by disk_restore; the real disk is not kept busy with it. */
    (void)flags;
    record(OP_SYNC, ((struct file *)file)->name);
    return SQLITE_OK;
}

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = disk_close,
    .xRead = disk_read,
    .xWrite = disk_write,
    .xTruncate = disk_truncate,
    .xSync = disk_sync,
    .xFileSize = disk_size,
    .xLock = disk_lock,
    .xUnlock = disk_unlock,
    .xCheckReservedLock = disk_reserved,
    .xFileControl = disk_control,
    .xSectorSize = disk_sector,
    .xDeviceCharacteristics = disk_device,
    .xShmMap = disk_map,
    .xShmLock = disk_shm_lock,
    .xShmBarrier = disk_barrier,
    .xShmUnmap = disk_unmap,
};

static int disk_open(sqlite3_vfs *self, const char *path, sqlite3_file *opened, int flags, int *out_flags)
{
    struct file *file = (struct file *)opened;
    int rc;

    (void)self;
    memset(file, 0, sizeof(*file));
    file->real = (sqlite3_file *)(file + 1);
    snprintf(file->name, sizeof(file->name), "%s", last_component(path));
    rc = usual->xOpen(usual, path, file->real, flags, out_flags);
    file->base.pMethods = rc == SQLITE_OK ? &methods : NULL;
    return rc;
}

static int disk_delete(sqlite3_vfs *self, const char *path, int sync)
{
    (void)self;
    record(OP_REMOVE, last_component(path));
    return usual->xDelete(usual, path, sync);
}

int disk_install(void)
{
    usual = sqlite3_vfs_find(NULL);
    if (!usual)
        return -1;
    vfs = *usual;
    vfs.zName = "disk";
    vfs.szOsFile = (int)sizeof(struct file) + usual->szOsFile;
    vfs.xOpen = disk_open;
    vfs.xDelete = disk_delete;
    return sqlite3_vfs_register(&vfs, 1) == SQLITE_OK ? 0 : -1;
}

void disk_forget(void)
{
    for (size_t i = 0; i < count; i++)
        free(operations[i].data);
    free(operations);
    operations = NULL;
    count = capacity = 0;
}

void disk_cut(size_t position)
{
    while (count > position)
        free(operations[--count].data);
}

void disk_set_full(int full)
{
    is_full = full;
}

size_t disk_position(void)
{
    return count;
}

/* Apply one write, or those of its sectors that did not get lost. */
static void apply_write(FILE *file, const struct operation *operation, int some, unsigned *seed)
{
    if (!some) {
        fseek(file, (long)operation->offset, SEEK_SET);
        fwrite(operation->data, 1, operation->size, file);
        return;
    }
    for (size_t at = 0; at < operation->size; at += SECTOR) {
        size_t size = operation->size - at < SECTOR ? operation->size - at : SECTOR;

        if (rand_r(seed) % 2)
            continue;
        fseek(file, (long)(operation->offset + (sqlite3_int64)at), SEEK_SET);
        fwrite(operation->data + at, 1, size, file);
    }
}

/* Whether the file is synced, or removed, between the operation and the cut. */
static int is_safe(size_t index, size_t position)
{
    for (size_t i = index + 1; i < position; i++)
        if ((operations[i].kind == OP_SYNC || operations[i].kind == OP_REMOVE) &&
            strcmp(operations[i].name, operations[index].name) == 0)
            return 1;
    return 0;
}

/* The files of one restoration, kept open between the operations. */
struct open_file {
    char name[64];
    FILE *file;
};
#define OPEN_FILES 8

static FILE *get_file(struct open_file *files, const char *folder, const char *name)
{
    char path[PATH_MAX];
    int i = 0;

    while (i < OPEN_FILES - 1 && files[i].file && strcmp(files[i].name, name) != 0)
        i++;
    if (!files[i].file) {
        snprintf(path, sizeof(path), "%s/%s", folder, name);
        files[i].file = fopen(path, "w+b");
        snprintf(files[i].name, sizeof(files[i].name), "%s", name);
    }
    return files[i].file;
}

/* A file that is made again after its removal is a new one, but an empty old one does as well. */
static int remove_file(struct open_file *files, const char *folder, const char *name)
{
    FILE *file = get_file(files, folder, name);

    return file && fflush(file) == 0 && ftruncate(fileno(file), 0) == 0 ? 0 : -EIO;
}

static int apply(struct open_file *files, const char *folder, size_t index, int lossy, int some, unsigned *seed)
{
    const struct operation *operation = &operations[index];
    FILE *file;

    if (operation->kind == OP_REMOVE)
        return remove_file(files, folder, operation->name);
    if (operation->kind == OP_SYNC || (lossy && !some))
        return 0;
    file = get_file(files, folder, operation->name);
    if (!file)
        return -errno;
    if (operation->kind == OP_WRITE)
        apply_write(file, operation, lossy, seed);
    else if (!(lossy && rand_r(seed) % 2) && (fflush(file) != 0 || ftruncate(fileno(file), operation->offset) < 0))
        return -errno;
    return 0;
}

int disk_restore(const char *folder, size_t position, enum disk_loss loss, unsigned *seed)
{
    struct open_file files[OPEN_FILES] = {{{0}, NULL}};
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < position && i < count; i++) {
        int lossy = loss != DISK_LOSES_NOTHING && !is_safe(i, position);

        rc = apply(files, folder, i, lossy, loss == DISK_LOSES_SOME, seed);
    }
    for (int i = 0; i < OPEN_FILES; i++)
        if (files[i].file && fclose(files[i].file) != 0)
            rc = -EIO;
    return rc;
}
