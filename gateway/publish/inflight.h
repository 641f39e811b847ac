/* inflight.h: the messages that are on their way to the broker: given to a transport, not yet answered.
 *
 * A window over all sources of one transport together. Answers may come in any order; each source's messages are
 * accounted for in the order they were sent, so that what is recorded in the segment is always a contiguous prefix:
 * after a kill everything behind it is sent again, nothing before it is. A message that failed takes all later ones of
 * its source with it: they are sent again from there, so that the order per writer holds at the receiver once
 * duplicates are removed.
 *
 * Libc only; used by the loop's thread only.
 */
#ifndef SHMGATE_INFLIGHT_H
#define SHMGATE_INFLIGHT_H

#include <stdint.h>

#include "base/latency.h"

/* Messages in flight at most. Paho with 64-byte messages at QoS 1 did 49,000 a second with a window of 20, 51,000 with
 * 50, 48,000 with 100 (measured on 2 cores against mosquitto 2.0.11); past that it falls, since Paho walks its queues.
 */
#define INFLIGHT_WINDOW 64

/* What the broker said to a message. */
enum inflight_answer { INFLIGHT_WAITING, INFLIGHT_DELIVERED, INFLIGHT_REFUSED, INFLIGHT_FAILED };

/* A source's messages in flight, oldest first, as a chain through the table. */
struct inflight_chain {
    void *owner;             /* the caller's */
    struct latency *latency; /* gets the time from inflight_add to a delivery; NULL: none */
    int first, last;         /* index into the table, or -1 */
    int unacknowledged;      /* 1: of QoS 0, which the broker's limit does not hold for */
    unsigned waiting;        /* without an answer */
    int failed;              /* 1: one has failed; nothing more is sent until the others are answered */
};

struct inflight_entry {
    struct inflight_chain *chain; /* NULL: the entry is free */
    uint64_t sequence, sent_ns;   /* of the first */
    uint32_t count;               /* messages of the source that fly as one */
    uint32_t generation;          /* tells this use of the entry from the one before */
    enum inflight_answer answer;
    int next; /* in its chain, or in the list of free entries */
};

struct inflight {
    struct inflight_entry entries[INFLIGHT_WINDOW];
    int free;
    unsigned used, unacknowledged; /* of used: QoS 0 */
    unsigned limit;                /* of the others */
};

void inflight_init(struct inflight *inflight);
/* An empty chain. qos: 0, 1 or 2. */
void inflight_chain_init(struct inflight_chain *chain, void *owner, unsigned qos);

/* Let at most `limit` messages of QoS 1 and 2 fly (1 to INFLIGHT_WINDOW; other values are brought into range). */
void inflight_set_limit(struct inflight *inflight, unsigned limit);

/* Whether another message of the source may fly: 1 or 0. */
int inflight_has_room(const struct inflight *inflight, const struct inflight_chain *chain);

/* Whether nothing more may fly, of QoS 1 and 2 or at all: 1 or 0. */
int inflight_is_full(const struct inflight *inflight);

/* Put a message into the table, or `count` of them that are sent as one and get one answer: those from `sequence` on.
 * There must be room. now_ns: a monotonic clock. Returns the token. */
uint64_t inflight_add(struct inflight *inflight, struct inflight_chain *chain, uint64_t sequence, uint32_t count,
                      uint64_t now_ns);

/* Take what was last added to the chain out again: it could not be sent. */
void inflight_cancel(struct inflight *inflight, struct inflight_chain *chain);

/* Take everything of the chain out: nobody waits for it any more. */
void inflight_forget(struct inflight *inflight, struct inflight_chain *chain);

/* Record an answer. Returns the chain it is for, whose owner takes what it can with inflight_take; NULL for a token
 * that is not in flight (any more). */
struct inflight_chain *inflight_answer(struct inflight *inflight, uint64_t token, enum inflight_answer answer,
                                       uint64_t now_ns);

/* Take the chain's oldest entry if it can be accounted for. Returns INFLIGHT_DELIVERED or INFLIGHT_REFUSED with its
 * first sequence number and its count; INFLIGHT_FAILED, when all of its messages have been answered and this is the
 * oldest that failed: the lane's chain is empty now and sending begins again at *sequence; INFLIGHT_WAITING when there
 * is nothing to take. */
enum inflight_answer inflight_take(struct inflight *inflight, struct inflight_chain *chain, uint64_t *sequence,
                                   uint32_t *count);

#endif
