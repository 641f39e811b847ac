/* loop_rest.c: how the loop rests, and how it is woken.
 *
 * When a turn found nothing to do, the loop says that it sleeps, looks once more, and waits on the doorbell. Whoever
 * leaves something for it afterwards sees that it sleeps, and rings.
 */
#include <errno.h>

#include "loop/loop_internal.h"
#include "shm/platform.h"

#define PATIENCE_MS \
    3 /* a rest that waits for several answers is no longer than this, and no shorter than a millisecond less */

int loop_wake_init(struct loop_wake *wake)
{
    int rc = -pthread_mutex_init(&wake->lock, NULL);

    wake->made = rc == 0;
    return rc;
}

void loop_wake_destroy(struct loop_wake *wake)
{
    if (wake->made)
        pthread_mutex_destroy(&wake->lock);
}

void loop_wake_set(struct loop_wake *wake, struct segment *segment)
{
    pthread_mutex_lock(&wake->lock);
    wake->segment = segment;
    pthread_mutex_unlock(&wake->lock);
}

void loop_wake(void *context)
{
    struct loop_wake *wake = &((struct loop *)context)->wake;

    pthread_mutex_lock(&wake->lock);
    if (wake->segment && atomic_exchange(&wake->patient, 0))
        platform_doorbell_post(wake->segment->doorbell);
    else if (wake->segment)
        segment_wake_gateway(wake->segment);
    pthread_mutex_unlock(&wake->lock);
}

static int is_pending(const struct loop *loop)
{
    return loop->transport->type->is_pending(loop->transport);
}

void loop_rest(struct loop *loop, uint64_t deadline_ms, int (*wanted)(void))
{
    const struct segment *segment = &loop->segment;

    ring_sleep(segment->header);
    if (!ring_any_dirty(segment->dirty, segment->layout.dirty_words) && !is_pending(loop) && !(wanted && wanted()))
        platform_doorbell_wait(segment->doorbell,
                               deadline_ms < UINT64_MAX / 1000000 ? deadline_ms * 1000000 : UINT64_MAX);
    ring_wake(segment->header);
}

void loop_rest_for_transport(struct loop *loop, uint64_t deadline_ms)
{
    const struct segment *segment = &loop->segment;

    ring_sleep(segment->header);
    if (!is_pending(loop))
        platform_doorbell_wait(segment->doorbell, deadline_ms * 1000000);
    ring_wake(segment->header);
}

int loop_may_be_patient(const struct loop *loop)
{
    return loop->answered && loop->transport->type->is_up(loop->transport) &&
           (sender_window_is_full(loop->sender) || sender_replay_is_full(loop->sender));
}

/* The window, or what is replayed has of it, is full, and answers are coming: wait for half of them. Little could be
 * sent for a single one, and each wake-up costs two switches between threads. With the window full writers are not told
 * of this rest: what they write must wait in any case. It is short, so that neither a local reader nor the spool waits
 * long; and when it brings nothing the next one is a common one. */
void loop_rest_patiently(struct loop *loop, int (*wanted)(void))
{
    struct transport *transport = loop->transport;

    transport->type->coalesce(transport, sender_in_flight(loop->sender) / 2);
    loop->answered = 0;
    if (sender_window_is_full(loop->sender)) {
        atomic_store(&loop->wake.patient, 1);
        if (!is_pending(loop))
            platform_doorbell_wait(loop->segment.doorbell, (loop->now_ms + PATIENCE_MS) * 1000000);
        atomic_store(&loop->wake.patient, 0);
    } else {
        loop_rest(loop, loop->now_ms + PATIENCE_MS, wanted);
    }
    transport->type->coalesce(transport, 1);
}
