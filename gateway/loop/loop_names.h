/* loop_names.h: somebody to watch the names of segment and semaphore. */
#ifndef SHMGATE_LOOP_NAMES_H
#define SHMGATE_LOOP_NAMES_H

struct loop_names;

/* Start the watch: `changed` is called on a thread of its own when something may have happened to the names. On success
 * *out must be given to loop_names_destroy. -errno: the system has no watch to give; then the gateway does without. */
int loop_names_create(struct loop_names **out, void (*changed)(void *context), void *context);
void loop_names_destroy(struct loop_names *names);

/* Watch this segment's from now on. NULL is allowed for `names`. */
void loop_names_watch(struct loop_names *names, const char *segment);

#endif
