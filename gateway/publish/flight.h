/* flight.h: the messages that are on their way to the broker: given to Paho, not yet answered.
 *
 * A window over all lanes together. Answers may come in any order; each lane's messages are accounted for in the order
 * they were sent, so that what is recorded in the segment is always a contiguous prefix: after a kill everything behind
 * it is sent again, nothing before it is. A message that failed takes all later ones of its lane with it: they are sent
 * again from there, so that the order per writer holds at the receiver once duplicates are removed.
 *
 * Libc only; used by the loop's thread only.
 */
#ifndef SHMGATE_FLIGHT_H
#define SHMGATE_FLIGHT_H

#include <stdint.h>

#include "base/latency.h"

/* Messages in flight at most. Paho with 64-byte messages at QoS 1 did 49,000 a second with a window of 20, 51,000 with
 * 50, 48,000 with 100 (measured on 2 cores against mosquitto 2.0.11); past that it falls, since Paho walks its queues.
 */
#define FLIGHT_WINDOW 64

/* What the broker said to a message. */
enum flight_answer { FLIGHT_WAITING, FLIGHT_DELIVERED, FLIGHT_REFUSED, FLIGHT_FAILED };

/* A lane's messages in flight, oldest first, as a chain through the table. The caller keeps one for each lane of a ring
 * and each stream of the spool. */
struct flight_lane {
    void (*answered)(struct flight_lane *lane);
    void *owner;             /* the caller's */
    struct latency *latency; /* gets the time from flight_add to a delivery; NULL: none */
    int first, last;         /* index into the table, or -1 */
    int unacknowledged;      /* 1: of QoS 0, which the broker's limit does not hold for */
    unsigned waiting;        /* without an answer */
    int failed;              /* 1: one has failed; nothing more is sent until the others are answered */
};

struct flight_entry {
    struct flight_lane *lane;   /* NULL: the entry is free */
    uint64_t sequence, sent_ns; /* of the first */
    uint32_t count;             /* messages of the lane that fly as one */
    uint32_t generation;        /* tells this use of the entry from the one before */
    enum flight_answer answer;
    int next; /* in the lane's chain, or in the list of free entries */
};

struct flight {
    struct flight_entry entries[FLIGHT_WINDOW];
    int free;
    unsigned used, unacknowledged; /* of used: QoS 0 */
    unsigned limit;                /* of the others */
};

void flight_init(struct flight *flight);
/* `answered` is called by flight_answer for each answer to one of the lane's messages; it takes what it can with
 * flight_take. */
void flight_lane_init(struct flight_lane *lane, void *owner, unsigned qos, void (*answered)(struct flight_lane *lane));

/* Let at most `limit` messages of QoS 1 and 2 fly (1 to FLIGHT_WINDOW; other values are brought into range). */
void flight_set_limit(struct flight *flight, unsigned limit);

/* Whether another message of the lane may fly: 1 or 0. */
int flight_has_room(const struct flight *flight, const struct flight_lane *lane);

/* Whether nothing more may fly, of QoS 1 and 2 or at all: 1 or 0. */
int flight_is_full(const struct flight *flight);

/* Put a message into the table, or `count` of them that are sent as one and get one answer: those from `sequence` on.
 * There must be room. now_ns: a monotonic clock. Returns the token. */
uint64_t flight_add(struct flight *flight, struct flight_lane *lane, uint64_t sequence, uint32_t count,
                    uint64_t now_ns);

/* Take what was last added to the lane out again: it could not be sent. */
void flight_cancel(struct flight *flight, struct flight_lane *lane);

/* Record an answer and tell the lane. Returns 1, or 0 for a token that is not in flight (any more). */
int flight_answer(struct flight *flight, uint64_t token, enum flight_answer answer, uint64_t now_ns);

/* Take the lane's oldest entry if it can be accounted for. Returns FLIGHT_DELIVERED or FLIGHT_REFUSED with its first
 * sequence number and its count; FLIGHT_FAILED, when all of the lane's messages have been answered and this is the
 * oldest that failed: the lane's chain is empty now and sending begins again at *sequence; FLIGHT_WAITING when there is
 * nothing to take. */
enum flight_answer flight_take(struct flight *flight, struct flight_lane *lane, uint64_t *sequence, uint32_t *count);

#endif
