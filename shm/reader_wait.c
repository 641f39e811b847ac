/* reader_wait.c: how a reader sleeps, and how another thread or a signal handler ends that.
 *
 * A reader sleeps on its channel's word in the segment. To end a sleep that word is changed, as if a message had come:
 * the other readers of the channel look once and sleep again. A canceller that finds nobody asleep leaves the flag; the
 * reader looks at it after it has said what it sleeps on, so that one of the two always sees the other. */
#include <errno.h>
#include <stdatomic.h>

#include "platform.h"
#include "reader_internal.h"

/* How long a sleeping reader goes without looking for itself. A message normally wakes it; the look is for a publish
 * channel whose gateway has gone (writers do not wake readers), and for a gateway that was killed on the point of
 * waking us. */
#define RECHECK_MS 1000
#define RECHECK_ALONE_MS 50

#define LOOK_NS UINT64_C(1000000000) /* between two looks whether the segment still has its name */

uint64_t reader_look_ns(const struct segment *segment)
{
    unsigned recheck_ms = segment_served(segment) == 1 ? RECHECK_MS : RECHECK_ALONE_MS;

    return platform_monotonic_ns() + recheck_ms * UINT64_C(1000000);
}

int reader_sleep(struct shared_memory_reader *reader, uint32_t word, uint64_t deadline_ns)
{
    const struct segment *segment = &reader->mapping->segment;
    _Atomic uint32_t *place = &segment_channel(segment, reader->channel)->wake_word;
    uint64_t look_ns = reader_look_ns(segment);
    int rc = 0;

    /* Sequentially consistent with the accesses in shared_memory_reader_cancel. */
    atomic_store(&reader->waits_on, place);
    if (atomic_load(&reader->cancelled) == 0)
        rc = platform_word_wait(place, word, look_ns < deadline_ns ? look_ns : deadline_ns);
    atomic_store(&reader->waits_on, NULL);
    if (atomic_exchange(&reader->cancelled, 0) != 0)
        return -ECANCELED;
    return rc == -ETIMEDOUT ? 0 : rc;
}

int reader_is_left_behind(struct shared_memory_reader *reader)
{
    uint64_t now_ns = platform_monotonic_ns();

    if (now_ns - reader->looked_ns < LOOK_NS)
        return 0;
    reader->looked_ns = now_ns;
    return segment_served(&reader->mapping->segment) != 1 && !attachment_has_name(reader->shm, reader->mapping);
}

void reader_await_cancels(struct shared_memory_reader *reader)
{
    while (atomic_load(&reader->cancelling) != 0)
        platform_yield();
}

void shared_memory_reader_cancel(struct shared_memory_reader *reader)
{
    _Atomic uint32_t *place;

    atomic_fetch_add(&reader->cancelling, 1);
    atomic_store(&reader->cancelled, 1);
    place = atomic_load(&reader->waits_on);
    if (place) {
        ring_bump_word(place);
        platform_word_wake(place);
    }
    atomic_fetch_sub(&reader->cancelling, 1);
}
