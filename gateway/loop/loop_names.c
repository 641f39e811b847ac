/* loop_names.c: a thread that sleeps until something happens to the names of segment and semaphore, and then rings:
 * some program may have taken them away (a clean-up script, RemoveIPC= of logind.conf(5)). It wakes up for nothing
 * else. */
#include "loop/loop_names.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/thread.h"

#define STACK_BYTES 65536

struct loop_names {
    int events, end;        /* inotify(7); eventfd(2): readable at the end */
    int segment, semaphore; /* watches; -1: none */
    void (*changed)(void *context);
    void *context;
    pthread_t thread;
    int runs;
};

static void *loop_names_run(void *argument)
{
    const struct loop_names *names = argument;
    struct pollfd fds[2] = {{.fd = names->events, .events = POLLIN}, {.fd = names->end, .events = POLLIN}};
    char buffer[4096];

    for (;;) {
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return NULL;
        if (fds[1].revents)
            return NULL;
        if (fds[0].revents && read(names->events, buffer, sizeof(buffer)) > 0)
            names->changed(names->context);
    }
}

static int start_thread(struct loop_names *names)
{
    const struct thread_options options = {
        .run = loop_names_run, .context = names, .stack_bytes = STACK_BYTES, .name = "names"};
    int rc = thread_start(&names->thread, &options);

    names->runs = rc == 0;
    return rc;
}

int loop_names_create(struct loop_names **out, void (*changed)(void *context), void *context)
{
    struct loop_names *names = calloc(1, sizeof(*names));
    int rc;

    *out = NULL;
    if (!names)
        return -ENOMEM;
    *names = (struct loop_names){.segment = -1, .semaphore = -1, .changed = changed, .context = context};
    names->end = eventfd(0, EFD_CLOEXEC);
    names->events = names->end < 0 ? -1 : inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    rc = names->events < 0 ? -errno : start_thread(names);
    if (rc < 0) {
        loop_names_destroy(names);
        return rc;
    }
    *out = names;
    return 0;
}

void loop_names_destroy(struct loop_names *names)
{
    uint64_t one = 1;

    if (!names)
        return;
    if (names->runs && write(names->end, &one, sizeof(one)) == (ssize_t)sizeof(one))
        pthread_join(names->thread, NULL);
    if (names->events >= 0)
        close(names->events);
    if (names->end >= 0)
        close(names->end);
    free(names);
}

/* Watch the object behind a path instead of the one before: that it loses a link is a change of its attributes. */
static void watch_names(const struct loop_names *names, int *present, const char *path)
{
    if (*present >= 0)
        inotify_rm_watch(names->events, *present);
    *present = inotify_add_watch(names->events, path, IN_ATTRIB | IN_MOVE_SELF);
}

void loop_names_watch(struct loop_names *names, const char *segment)
{
    char path[300];

    if (!names)
        return;
    snprintf(path, sizeof(path), "/dev/shm%s", segment);
    watch_names(names, &names->segment, path);
    snprintf(path, sizeof(path), "/dev/shm/sem.%s", segment + 1);
    watch_names(names, &names->semaphore, path);
}
