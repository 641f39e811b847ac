/* disk.h: a disk for SQLite that can be full, and that remembers every write, so that a test can see what a power cut
 * would have left. */
#ifndef SHMGATE_TESTS_DISK_H
#define SHMGATE_TESTS_DISK_H

#include <stddef.h>

/* Put it under every database that is opened from now on. Records from the start. */
int disk_install(void);

/* Forget the record and what was recorded of the files. */
void disk_forget(void);

/* While set, every write fails for want of space. */
void disk_set_full(int full);

/* Operations recorded so far: writes, truncations, syncs, removals. */
size_t disk_position(void);

/* Forget the operations behind the first `position`. */
void disk_cut(size_t position);

/* What a power cut loses: the writes since a file's last sync: none of them, all of them, or some of their sectors. */
enum disk_loss { DISK_LOSES_NOTHING, DISK_LOSES_UNSYNCED, DISK_LOSES_SOME };

/* Write the files, under `folder`, as they would be after a power cut behind the first `position` operations. Returns 0
 * or -errno. */
int disk_restore(const char *folder, size_t position, enum disk_loss loss, unsigned *seed);

#endif
