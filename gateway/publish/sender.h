/* sender.h: from sources to a transport: which source is next, how much of it goes at once, and what becomes of the
 * answer.
 *
 * The way of a message:
 *   1. whoever sees that a source has something makes it ready: sender_ready puts it into a queue
 *   2. sender_send_ready lets the ready sources take turns: a burst each, as far as the window has room; a message is
 * read into the frame, perhaps with others behind it where the channel batches, and handed to the transport with a
 * token
 *   3. the answer comes back with the token: sender_answered finds the source by it, and tells it, in the order of
 * sending What can go wrong:
 *   - the transport takes no more now: the source stays in front of the queue, and a timer begins
 *   - the message is larger than the other side takes: a batch is halved, a single one is refused by its source
 *   - it fails: sending begins again at that message when the others of its source have been answered
 *
 * One sender a transport: its window, queue and timers are its own. A turn is bounded: each source that is ready when
 * it begins has one burst at the most. For the loop's thread only; nothing here waits, but for the disk that a source
 * may read.
 */
#ifndef SHMGATE_SENDER_H
#define SHMGATE_SENDER_H

#include "publish/inflight.h"
#include "publish/source.h"
#include "transport/transport.h"

struct sender;

/* On success *out must be given to sender_destroy. -ENOMEM. */
int sender_create(struct sender **out);
void sender_destroy(struct sender *sender);

/* Where messages go; borrowed. */
void sender_set_transport(struct sender *sender, struct transport *transport);

/* Make room for samples of `payload` bytes, and batches of `samples`. 0 or -ENOMEM. */
int sender_reserve(struct sender *sender, size_t payload, uint32_t samples);

/* Take up a source whose first part is filled (source.h), and whose group outlives it; forget it again: an answer to
 * what is in flight of it goes nowhere then. */
void sender_add(struct sender *sender, struct source *source);
void sender_forget(struct sender *sender, struct source *source);

/* The source has something to send, or may have. */
void sender_ready(struct sender *sender, struct source *source);

/* Something of the source, which stands before others of its group, has moved: let those that waited for it look again.
 */
void sender_unblock(struct sender *sender, struct source_group *group);

/* Send what may be sent. `now_ms`: a monotonic clock, which samples that may wait for others are held by; UINT64_MAX:
 * none waits any longer. Returns the number of steps made. */
int sender_send_ready(struct sender *sender, uint64_t now_ms);

/* The transport's word: a transport_listener's `answered` and `changed`. */
void sender_answered(struct sender *sender, uint64_t token, enum transport_answer answer, uint64_t time_ns);
void sender_transport_changed(struct sender *sender);

/* When sender_send_ready has something to do, though nobody makes a source ready; UINT64_MAX: never. */
uint64_t sender_deadline_ms(const struct sender *sender, uint64_t now_ms);

/* Messages in flight. */
unsigned sender_in_flight(const struct sender *sender);

/* Whether nothing more may fly, of QoS 1 and 2; and whether that is so at least for what is replayed. */
int sender_window_is_full(const struct sender *sender);
int sender_replay_is_full(const struct sender *sender);

/* For who reads messages for other purposes between two turns: memory of at least the largest payload reserved. */
void *sender_scratch(struct sender *sender, size_t *size);

#endif
