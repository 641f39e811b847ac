/* source.h: what has messages in an order: a lane of a ring (lane.h), or a stream of the spool (replay.h). The sender
 * (sender.h) knows no more of it than stands here.
 *
 * A source has a number, its order. Of the sources of one channel, one that comes later is sent only when those before
 * it have nothing unsent: what a writer wrote into a replaced segment goes before what it wrote into the present one,
 * and what went to the disk before what followed it. A source that is idle, damaged or endless holds up those behind it
 * in its own channel at the most, and nobody else.
 *
 * For the loop's thread only.
 */
#ifndef SHMGATE_SOURCE_H
#define SHMGATE_SOURCE_H

#include <stddef.h>
#include <stdint.h>

#include "base/frame.h"
#include "base/latency.h"
#include "publish/inflight.h"

/* When a channel's messages go to disk: never; when the ring is filling up or in an outage; each of them. */
enum publish_spool { PUBLISH_SPOOL_OFF, PUBLISH_SPOOL_OVERFLOW, PUBLISH_SPOOL_ALWAYS };

/* How the messages of a channel are published. Strings are borrowed and must outlive whoever has it. */
struct publish_channel {
    const char *name;
    const char *topic; /* NULL: none that may be published to; the messages are dropped as refused. May have
                          CONFIG_FILL_LANE */
    unsigned qos;
    int retain;
    enum publish_spool spool;
    int live_first;         /* 1: new messages do not wait for those in the spool */
    int source;             /* 1: each message tells where it comes from */
    uint32_t batch_max;     /* samples in one message at most; 0 or 1: each has its own */
    uint32_t batch_time_ms; /* how long a sample waits for others */
    enum frame_format batch_format;
};

/* How long a channel's messages take: from the write to the transport, and from there to the acknowledgement. */
struct publish_latency {
    struct latency to_send, to_acknowledge;
    uint64_t shown; /* durations that were counted when it was last shown */
};

/* Which part of the window a source's messages may take: all of it; what is replayed leaves a quarter for those that
 * need not wait, and what is replayed behind new messages has a quarter. */
enum source_share { SOURCE_LIVE, SOURCE_REPLAY, SOURCE_REPLAY_LIVE_FIRST };

/* One message of a source. */
struct source_message {
    uint64_t sequence;
    uint64_t time_ns; /* Unix time of its write */
    size_t size;      /* bytes of payload */
};

struct source;
struct source_group;

struct source_type {
    /* Behind the last message that could be read now; source->next when there is none. Bounded, whatever the segment
     * says. */
    uint64_t (*end)(const struct source *source);
    /* Whether it has to wait though it has messages, for another reason than its order: 1 or 0. Whoever changes that
     * makes it ready. NULL: never. */
    int (*waits)(const struct source *source);
    /* Copy the first message at or above `sequence` into `to`, which has `room` bytes. Returns 0; -ENOBUFS there is too
     * little room, message->size is the need; another -errno: `skip` knows what to do. */
    int (*read)(struct source *source, uint64_t sequence, void *to, size_t room, struct source_message *message);
    /* Message source->next could not be read, for the reason `rc`. Returns 1: source->next has moved on; 0: nothing to
     * do now. */
    int (*skip)(struct source *source, int rc);
    /* Message `sequence`, the next one, can never be sent. Returns as skip. */
    int (*refuse)(struct source *source, uint64_t sequence);
    /* `count` messages from `sequence` on have been answered: delivered or refused. Called in the order of sending. */
    void (*answered)(struct source *source, uint64_t sequence, uint32_t count, enum inflight_answer answer);
    /* Nothing is in flight any more, and sending begins again at `sequence`, which failed: set source->next. */
    void (*rewind)(struct source *source, uint64_t sequence);
    /* Answers have been taken. NULL: does not care. */
    void (*answers_taken)(struct source *source);
};

/* A source as the sender has it. Whoever makes one fills the first part. */
struct source {
    const struct source_type *type;
    const struct publish_channel *channel;
    const char *topic; /* the channel's, or the source's own; NULL: none that may be published to */
    const char *boot;  /* of the machine when it was written; NULL: the present one */
    uint64_t generation, order;
    uint32_t lane; /* of the segment of that generation */
    enum source_share share;
    struct source_group *group;
    struct source *before;           /* of the same lane, whose messages come before; NULL: none */
    uint32_t batch_wanted;           /* samples that make a batch, for which others wait; 0 or 1: none waits */
    int goes_first;                  /* 1: others may wait for it */
    struct publish_latency *latency; /* NULL: not measured */

    uint64_t next;               /* sequence number to send next */
    uint64_t held_ms;            /* what there is waits for more until then; 0: it does not */
    struct inflight_chain chain; /* what is in flight */
    unsigned in_flight;          /* messages of the transport: entries of the chain */
    unsigned char ready;         /* 1: in the sender's queue */
    unsigned char is_held;       /* 1: in its list of those that wait for more */
    unsigned char is_blocked;    /* 1: in its group's list of those that wait for their turn */
    struct source *ready_next, *held_next, *blocked_next;
    struct source *earlier_next; /* in its group's list, when it is of a segment before the present one */
};

/* The sources of the channel of one name, in whatever segments. */
struct source_group {
    char *channel;             /* its name, owned by whoever has them all */
    struct source *earlier;    /* those of segments before the present one */
    struct source *blocked;    /* those that wait until others have been sent */
    struct source_group *next; /* for whoever has them all */
};

/* The parts of an order. Streams whose segment is gone come first, in the order of their making; then the segments that
 * are there, by their serial numbers, each lane's stream before the lane. */
uint64_t source_order_of_gone(size_t index);
uint64_t source_order_of_segment(uint64_t serial, int in_ring);

/* Whether the source has messages that have not been sent. */
int source_is_unsent(const struct source *source);

/* Whether others must be sent before it: 1 or 0. */
int source_is_behind(const struct source *source);

/* Put the source among those of earlier segments; take it out again. Nothing happens when it is not there. */
void source_group_add_earlier(struct source_group *group, struct source *source);
void source_group_remove(struct source_group *group, struct source *source);

#endif
