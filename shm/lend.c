/* lend.c: memory for texts that are lent to the caller: one piece a thread, so that threads can share an attachment. It
 * goes at the thread's end. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "handles_internal.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key; /* its value is the thread's piece */
static int has_key;

static void make_key(void)
{
    has_key = pthread_key_create(&key, free) == 0;
}

/* A thread that ends after the library was unloaded must not call into it. */
__attribute__((destructor)) static void drop_key(void)
{
    if (has_key)
        pthread_key_delete(key);
}

char *handle_lend(size_t size)
{
    char *lent;

    pthread_once(&once, make_key);
    lent = has_key ? realloc(pthread_getspecific(key), size) : NULL;
    /* realloc has freed the former piece: the key must not keep it. */
    if (lent && pthread_setspecific(key, lent) != 0) {
        free(lent);
        lent = NULL;
    }
    if (!lent)
        handle_fail_plain(-ENOMEM, "out of memory");
    return lent;
}
