/* group_lookup.c: the number of a group of users, in bounded time. See group_lookup.h. */
#include "base/group_lookup.h"

#include <errno.h>
#include <grp.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/thread.h"

#define BUFFER_MAX ((size_t)16 << 20) /* bytes: a group with about a million members */

/* One question, which the last of both, who asks and who looks, frees. */
struct question {
    atomic_int owners;
    sem_t answered;
    int rc;
    long gid;
    char name[];
};

static void let_go(struct question *question)
{
    if (atomic_fetch_sub(&question->owners, 1) > 1)
        return;
    sem_destroy(&question->answered);
    free(question);
}

static int look_up(const char *name, long *gid)
{
    struct group group, *found = NULL;
    size_t size = 1024;
    char *buffer = NULL;
    int status;

    /* How much room a group needs nobody can tell beforehand. */
    do {
        size *= 2;
        free(buffer);
        buffer = malloc(size);
        if (!buffer)
            return -ENOMEM;
        status = getgrnam_r(name, &group, buffer, size, &found);
    } while ((status == ERANGE && size < BUFFER_MAX) || status == EINTR);
    free(buffer);
    if (found) {
        *gid = (long)group.gr_gid;
        return 0;
    }
    /* Some group databases answer "not there" with these (getgrnam(3)). */
    return status == 0 || status == ESRCH || status == EBADF || status == EPERM ? -ENOENT : -status;
}

static void *answer_question(void *context)
{
    struct question *question = context;

    question->rc = look_up(question->name, &question->gid);
    sem_post(&question->answered);
    let_go(question);
    return NULL;
}

static int start_detached(struct question *question)
{
    const struct thread_options options = {.run = answer_question, .context = question};

    return thread_start(NULL, &options);
}

/* Wait for the answer, by looking: it is there at once but for a name server's, and a timed wait for a semaphore is by
 * the clock that somebody may set. */
static int await_answer(struct question *question)
{
    const struct timespec nap = {.tv_nsec = 1000000};

    for (int waited = 0; waited < GROUP_LOOKUP_MS; waited++) {
        if (sem_trywait(&question->answered) == 0)
            return question->rc;
        nanosleep(&nap, NULL);
    }
    return -ETIMEDOUT;
}

int group_lookup(const char *name, long *gid)
{
    size_t size = strlen(name) + 1;
    struct question *question = calloc(1, sizeof(*question) + size);
    int rc;

    if (!question)
        return -ENOMEM;
    memcpy(question->name, name, size);
    atomic_init(&question->owners, 2);
    if (sem_init(&question->answered, 0, 0) < 0) {
        rc = -errno;
        free(question);
        return rc;
    }
    rc = start_detached(question);
    if (rc < 0)
        atomic_store(&question->owners, 1); /* there is no thread */
    else if ((rc = await_answer(question)) == 0)
        *gid = question->gid;
    let_go(question);
    return rc;
}
