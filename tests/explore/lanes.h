/* lanes.h: a small segment for the cases: lanes of two slots, and messages that can be told apart word by word. */
#ifndef EXPLORE_LANES_H
#define EXPLORE_LANES_H

#include "explore.h"
#include "ring.h"

#define SLOTS 2    /* of a lane: the least there is, so that it wraps soonest */
#define PAYLOAD 16 /* bytes at most: two words */
#define STRIDE 64  /* bytes of a slot: header, payload, one word of topic */
#define LANES 2

extern struct layout_header lanes_header;
extern struct layout_channel lanes_channel;
extern uint64_t lanes_dirty;
extern uint64_t lanes_doorbell; /* the semaphore's value */
extern uint64_t lanes_futex;    /* the kernel's queue of sleepers on wake_word: see lanes_sleep */
extern int lanes_full;          /* 1: all members of a slot are explored; 0: time, size of topic and flags are not
                                   (explore_narrow) */

/* Names for traces, and what is narrow. To be called from a case's begin. */
void lanes_begin(void);

/* Leave four members of all slots out of the exploration (explore_narrow): both times, topic_size and flags.
 * lanes_begin does when !lanes_full. */
void lanes_narrow(void);

/* Lane `number` as its users see it; with a topic in its slots, or without. */
struct ring lanes_ring(int number, int with_topic);

/* Write message `mark` (1 to 99, of which the test knows who wrote it when): all that is in it follows from `mark`.
 * Returns what ring_write does. */
int lanes_write(struct ring_writer *writer, uint64_t mark, int with_topic);

/* Whose message this is: its mark, after all of it was compared; a message that is a mixture fails the case. `words` is
 * the payload. */
uint64_t lanes_check(const struct ring_message *message, const uint64_t *words, const char *topic);

/* A reader that follows a lane, as shm/reader.c does. */
struct lanes_reader {
    struct ring ring;
    uint64_t next, missed;
    uint64_t *marks; /* by sequence number: the mark that was read, or 0 */
    int with_topic;
};

/* Read once: 1 a message, 0 none yet, -1 one or more were missed. */
int lanes_read(struct lanes_reader *reader);

/* sem_post(3) and sem_wait(3) on the doorbell: a counter. */
void lanes_post(void);
void lanes_wait(void);

/* futex(2): sleep while wake_word is `expected`; wake all. The kernel has its queue locked while it compares and queues
 * (one update of lanes_futex), and a fence before a waker looks at the queue; who is queued before the wake's update is
 * woken by it. */
void lanes_sleep(uint32_t expected);
void lanes_wake(void);

#endif
