/* ring.h: the lanes' rings, the doorbell's flags and the ledger cells: everything in the segment that changes.
 *
 * ring.c is the only file with atomic operations. Its functions never wait, allocate or call the system, and take
 * bounded steps; what they read from the segment they check before they use it.
 *
 * ONE LANE, ONE WRITER. Message number p (from 0) goes into slot p % slots, in these steps:
 *      1. state = 2p + 1   announce: whoever still reads the slot's old message will notice
 *      2. payload, size, times
 *      3. state = 2p + 2   commit: the one store that makes the message exist
 *      4. head  = p + 1    the writer's place, for its successor and for counting
 * A writer killed before 3 has written nothing; its successor writes slot p again. A writer killed between 3 and 4 has
 * written p; its successor sees that in the slot and goes on with p + 1.
 *
 * READERS look at the slot of their own next number c: its state is below 2c + 2 (not there yet), equal (read it, then
 * look again: still equal means the copy is whole) or above (overwritten: resynchronise and count what was missed).
 */
#ifndef SHMGATE_RING_H
#define SHMGATE_RING_H

#include "layout.h"

/* A lane as one process sees it: addresses and the private, checked geometry. */
struct ring {
    struct layout_lane *lane;
    unsigned char *slots;
    uint64_t mask;        /* slots - 1 */
    uint32_t stride;      /* bytes from slot to slot */
    uint32_t max_payload; /* bytes */
    uint32_t topic_max;   /* bytes; 0: slots hold no topic */
};

/* The writer's end of a lane. */
struct ring_writer {
    struct ring ring;
    uint64_t next;      /* sequence number of the next message */
    uint64_t tail_seen; /* the gateway's tail when last looked at */
    int reject;         /* 1: refuse when full; 0: overwrite the oldest */
};

/* A message on its way in or out of a slot. */
struct ring_message {
    const void *payload; /* in: to copy from; out of ring_peek: in the slot */
    const char *topic;   /* likewise; not terminated */
    uint32_t size;       /* bytes of payload */
    uint16_t topic_size; /* bytes of topic */
    uint16_t flags;      /* LAYOUT_FLAG_* */
    uint64_t time_ns;    /* Unix time of the write */
    uint64_t expires_ns; /* boot time (CLOCK_BOOTTIME) from which it is too old to be used; 0: never */
};

/* What has become of a lane's messages: tail = delivered + spooled + filtered + sum of dropped. `taken` and the two
 * below it are the part of the spool in it. */
struct ring_ledger {
    uint64_t tail, delivered, spooled, filtered;
    uint64_t taken, spool_delivered, spool_refused;
    uint64_t dropped[LAYOUT_DROP_SPACE];
};

/* Take up the lane where its last writer left it. The caller holds the lane's lock. */
void ring_writer_start(struct ring_writer *writer, const struct ring *ring, int reject);

/* Call for the memory of the next message's slot, for a caller that has something else to do before it writes. */
void ring_writer_prepare(const struct ring_writer *writer);

/* Write one message. Returns 0; -EMSGSIZE payload or topic larger than the ring's slots; -EAGAIN the ring is full
 * (reject). */
int ring_write(struct ring_writer *writer, const struct ring_message *message);

/* Where a message is copied to. */
struct ring_space {
    void *payload;
    size_t size; /* bytes there */
    char *topic; /* topic_max bytes; NULL: not wanted */
};

/* Copy message `sequence`. `message` is filled, with pointers into the space. Returns 0; -EAGAIN not there yet; -ESTALE
 * overwritten: go on at ring_resync; -EMSGSIZE the space is too small, message->size has the need; -EBADMSG the slot is
 * damaged: step over it. */
int ring_read(const struct ring *ring, uint64_t sequence, struct ring_message *message, const struct ring_space *space);

/* The same without a copy: pointers into the slot, to be trusted only if ring_validate answers 1 after they were used.
 */
int ring_peek(const struct ring *ring, uint64_t sequence, struct ring_message *message);

/* Whether the slot still holds message `sequence`, so that all that was read from it before this call was the message.
 */
int ring_validate(const struct ring *ring, uint64_t sequence);

/* Call for the memory of a message that is not there yet, so that all of it comes with the commit. For readers that
 * spin. */
void ring_prefetch(const struct ring *ring, uint64_t sequence);

/* Where a reader that found `sequence` overwritten or damaged goes on: above `sequence`, at the oldest message that is
 * still held. */
uint64_t ring_resync(const struct ring *ring, uint64_t sequence);

/* What a reader that got -EAGAIN at `sequence` does before it waits. Returns 0: wait; -EBADMSG: the writer has passed
 * this message but its slot does not hold it: step over it; -ESTALE: `sequence` lies beyond the writer's head, which
 * only a damaged segment shows: go on at ring_head. */
int ring_check_damage(const struct ring *ring, uint64_t sequence);

/* Sequence number of the next message of the lane, as the segment has it: any number, in a damaged one. */
uint64_t ring_head(const struct ring *ring);

/* The same for somebody who has come to message `from` and works towards it: the head where it can be believed, which
 * is no further than the ring is large, or borne out by the slot before it; else the first message from `from` on that
 * is not there. So the answer is `from` or above, only what can be read lies between, or what is known to be
 * overwritten, and a damaged head costs a bounded look at the slots. */
uint64_t ring_head_checked(const struct ring *ring, uint64_t from);

/* The same for somebody who has not come to any message yet: a head that the slots do not bear out is looked for in all
 * of them. */
uint64_t ring_head_found(const struct ring *ring);

/* Sequence number of the oldest message that may still be held; by ring_head_found. */
uint64_t ring_oldest(const struct ring *ring);

/* The gateway's tail: what is below it may be written again. */
uint64_t ring_tail(const struct ring *ring);

/* Writes refused because the ring was full. */
uint64_t ring_rejected(const struct ring *ring);

/* Read the lane's ledger: a whole record, though the gateway may replace it meanwhile. (Only when it does so during
 * each of 1,000 looks, which takes a gateway that does nothing else or a hostile one, the last look is taken as it is.)
 */
void ring_ledger_load(const struct layout_lane *lane, struct ring_ledger *ledger);

/* Make a ledger of any bytes one that can be: the tail at most one above `head` (a writer killed between commit and
 * head), the counters add up to it, and the spool's part to `taken`. What nothing accounts for counts as corrupt. */
void ring_ledger_clip(struct ring_ledger *ledger, uint64_t head);

/* ring_ledger_load, clipped to the head of the lane, or to what its slots say where that is damaged. For lanes of
 * publish channels: the others' counters have more in them than the ring. */
void ring_ledger_load_checked(const struct ring *ring, struct ring_ledger *ledger);

/* Replace the lane's ledger and let the writer have the slots below its tail again. Gateway only. A gateway killed in
 * here leaves the old record or the new one. */
void ring_ledger_store(struct layout_lane *lane, const struct ring_ledger *ledger);

/* What happened to a channel's messages in the segments before this one. */
struct ring_carried {
    uint64_t written, delivered, rejected, taken, filtered;
    uint64_t dropped[LAYOUT_DROP_SPACE];
};

/* What the spool holds of a channel's messages from the segments before this one, and what became of them. */
struct ring_spooled {
    uint64_t held, delivered;
    uint64_t dropped[LAYOUT_SPOOL_DROPS];
};
void ring_spooled_load(const struct layout_channel *channel, struct ring_spooled *spooled);
void ring_spooled_store(struct layout_channel *channel, const struct ring_spooled *spooled);

/* Latencies of the last minute or so, in microseconds, in the order of layout_channel.latency_us. */
void ring_set_latency(struct layout_channel *channel, const uint32_t *latency_us);
void ring_latency(const struct layout_channel *channel, uint32_t *latency_us);

/* Read or replace a channel's record of its former segments. Single fields are whole; the record as such may be between
 * two states while the gateway replaces it. */
void ring_carried_load(const struct layout_channel *channel, struct ring_carried *carried);
void ring_carried_store(struct layout_channel *channel, const struct ring_carried *carried);

/* After a write to `lane`: leave word for the gateway. Returns 0: it is awake; or the number of its sleep: the caller
 * must post the doorbell and then call ring_posted. The post comes first, so that a caller who is killed or stopped
 * before it leaves the number for the others to see. */
uint32_t ring_notify(struct layout_header *header, _Atomic uint64_t *dirty, uint32_t lane);

/* The same without a lane (a callback has an event for the loop). */
uint32_t ring_notify_event(struct layout_header *header);

/* The doorbell has been posted for that sleep: nobody else needs to. Does nothing when the gateway is in another sleep
 * by now. */
void ring_posted(struct layout_header *header, uint32_t sleep);

/* Take the news of 64 lanes: bit n of the result is lane 64 * word + n. Gateway only. */
uint64_t ring_take_dirty(_Atomic uint64_t *dirty, uint32_t word);

/* Say that the gateway is about to sleep. Afterwards it must look at everything once more; it may wait on the doorbell
 * only if it found nothing. */
void ring_sleep(struct layout_header *header);

/* Whether a lane among `words` has left word; after ring_sleep. */
int ring_any_dirty(const _Atomic uint64_t *dirty, uint32_t words);

/* Say that the gateway is awake again: nobody needs to post. */
void ring_wake(struct layout_header *header);

/* A reader asks to be woken at the channel's next message. Returns the value of wake_word to wait on; the reader must
 * look for a message once more before it waits. */
uint32_t ring_reader_sleep(struct layout_channel *channel);

/* After new messages: whether somebody asked to be woken. Returns 1 when the caller must wake all who wait on
 * wake_word. Gateway only. */
int ring_wake_readers(struct layout_channel *channel);

/* Wake whoever sleeps on a channel's word, or is about to, as a message would: it is changed; the caller then wakes. */
void ring_bump_word(_Atomic uint32_t *word);

/* Plain flags of the header. */
int ring_retired(const struct layout_header *header);
void ring_retire(struct layout_header *header);
void ring_revive(struct layout_header *header);
void ring_publish_magic(struct layout_header *header);
void ring_set_gateway(struct layout_header *header, uint32_t pid, uint64_t start_ns);
uint32_t ring_gateway_pid(const struct layout_header *header);
/* Unix times of the gateway's start and of the link's last change. */
void ring_times(const struct layout_header *header, uint64_t *gateway_start_ns, uint64_t *link_change_ns);
void ring_set_link(struct layout_header *header, enum layout_link link, uint64_t now_ns);
int ring_link(const struct layout_header *header);
void ring_set_spool(struct layout_header *header, enum layout_spool state, uint64_t bytes);
enum layout_spool ring_spool(const struct layout_header *header, uint64_t *bytes);

#endif
