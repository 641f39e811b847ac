/* thread.c: start a thread that leaves signals to the loop's. See thread.h. */
#include "base/thread.h"

#include <signal.h>

/* With `attributes` ready. Returns a positive errno. */
static int create_blocked(pthread_t *thread, const pthread_attr_t *attributes, const struct thread_options *options)
{
    sigset_t all, before;
    int rc;

    sigfillset(&all);
    if ((rc = pthread_sigmask(SIG_SETMASK, &all, &before)) != 0)
        return rc;
    rc = pthread_create(thread, attributes, options->run, options->context);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

int thread_start(pthread_t *thread, const struct thread_options *options)
{
    pthread_attr_t attributes;
    pthread_t detached;
    int rc = pthread_attr_init(&attributes);

    if (rc != 0)
        return -rc;
    if (options->stack_bytes > 0)
        rc = pthread_attr_setstacksize(&attributes, options->stack_bytes);
    if (rc == 0 && !thread)
        rc = pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    if (rc == 0)
        rc = create_blocked(thread ? thread : &detached, &attributes, options);
    /* Without its name the thread works as well. */
    if (rc == 0 && thread && options->name)
        pthread_setname_np(*thread, options->name);
    pthread_attr_destroy(&attributes);
    return -rc;
}
