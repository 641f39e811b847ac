/* fork.c: what a child of fork lets go of at once. See handles_internal.h.
 *
 * A lane's lock, and with it the lane, is held until the last process that has the segment's file open, or mapped, lets
 * go of it (fcntl(2)). A child has no use for it, as handles do not work in it; so before fork(2) returns in it, it
 * closes the file and puts empty memory in the mapping's place, which whoever still looks at it finds. No lock is taken
 * for that, as a thread that the child does not have might hold it: what is to be let go stands in a table. */
#include <pthread.h>
#include <stdatomic.h>

#include "handles_internal.h"
#include "platform.h"

#define PLACES 256 /* segments mapped at one time; more than these are kept by children */

static struct place {
    _Atomic(const struct segment *) owner; /* NULL: free; written last, and taken away first */
    void *base;
    uint64_t size;
    int fd;
} places[PLACES];
static const struct segment taken; /* the owner of a place that is being filled */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void in_child(void)
{
    for (int i = 0; i < PLACES; i++) {
        const struct segment *owner = atomic_exchange(&places[i].owner, NULL);

        if (!owner || owner == &taken)
            continue;
        platform_close(places[i].fd);
        platform_unmap_to_nothing(places[i].base, places[i].size);
    }
}

static void watch(void)
{
    pthread_atfork(NULL, NULL, in_child);
}

void fork_note(const struct segment *segment)
{
    pthread_once(&once, watch);
    for (int i = 0; i < PLACES; i++) {
        const struct segment *none = NULL;

        if (!atomic_compare_exchange_strong(&places[i].owner, &none, &taken))
            continue;
        places[i].base = segment->base;
        places[i].size = segment->size;
        places[i].fd = segment->fd;
        atomic_store(&places[i].owner, segment);
        return;
    }
}

void fork_forget(const struct segment *segment)
{
    for (int i = 0; i < PLACES; i++) {
        const struct segment *owner = segment;

        if (atomic_compare_exchange_strong(&places[i].owner, &owner, NULL))
            return;
    }
}
