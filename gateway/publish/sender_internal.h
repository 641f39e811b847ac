/* sender_internal.h: the sender as sender.c (whose turn it is, and who waits) and sender_message.c (one message) share
 * it. */
#ifndef SHMGATE_SENDER_INTERNAL_H
#define SHMGATE_SENDER_INTERNAL_H

#include "publish/sender.h"
#include "shm/platform.h"

struct sender {
    struct transport *transport;
    struct inflight inflight;
    struct source *ready_first, *ready_last; /* a queue */
    unsigned ready_count;
    struct source *held; /* a list: those whose samples wait for others */
    uint64_t held_ms;    /* the earliest of their times, or earlier; UINT64_MAX: none is held */
    uint64_t retry_ms;   /* nothing is sent before */
    unsigned replay_in_flight, live_first_in_flight; /* messages of the transport */
    int some_unacknowledged;                         /* 1: a source publishes with QoS 0 */
    struct frame frame;                              /* the next message; room for the largest max_payload */
    uint64_t *times;                                 /* Unix times of the writes of the samples in it */
    uint32_t times_size;                             /* as many as the largest batch_max */
    char boot[PLATFORM_BOOT_ID_SIZE];                /* of the machine */
};

/* How many samples of the source go as one message at most. */
uint32_t sender_batch_max(const struct source *source);

/* Messages of the source in flight have become more, or fewer. */
void sender_count_in_flight(struct sender *sender, struct source *source, int change);

/* Send the source's next message, with up to `most` samples below `end`. Returns 1 sent, or stepped over; 0 nothing to
 * send now; -EAGAIN the transport takes no more. */
int sender_send_message(struct sender *sender, struct source *source, uint64_t end, uint32_t most);

#endif
