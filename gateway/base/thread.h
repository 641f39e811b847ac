/* thread.h: start a thread that leaves signals to the loop's. */
#ifndef SHMGATE_THREAD_H
#define SHMGATE_THREAD_H

#include <pthread.h>
#include <stddef.h>

struct thread_options {
    void *(*run)(void *context);
    void *context;
    size_t stack_bytes; /* 0: as many as the system gives */
    const char *name;   /* for top -H and the like, up to 15 characters; NULL: the program's */
};

/* Start it with all signals blocked: they have to end the wait of the loop's thread. `thread` is to be joined; NULL: it
 * is detached. Returns 0 or -errno of pthread_create(3). */
int thread_start(pthread_t *thread, const struct thread_options *options);

#endif
