/* outward.h: from the lanes of a segment to the broker: which lane has news, what is sent next, and the ledger.
 *
 * Used by the loop's thread only. Nothing here waits, but for the disk when messages are moved to the spool
 * (outward_take).
 */
#ifndef SHMGATE_OUTWARD_H
#define SHMGATE_OUTWARD_H

#include <stddef.h>
#include <stdint.h>

#include "base/frame.h"
#include "publish/flight.h"
#include "shm/segment.h"

struct backlog;

/* When a channel's messages go to disk: never; when the ring is filling up or in an outage; each of them. */
enum outward_spool { OUTWARD_SPOOL_OFF, OUTWARD_SPOOL_OVERFLOW, OUTWARD_SPOOL_ALWAYS };

/* How the messages of a channel are published. Strings are borrowed and must outlive the struct outward. */
struct outward_channel {
    const char *name;
    const char *topic; /* NULL: it is none that may be published to; the messages are dropped as refused. May have
                          CONFIG_FILL_LANE */
    unsigned qos;
    int retain;
    enum outward_spool spool;
    int live_first;         /* 1: new messages do not wait for those in the spool */
    int source;             /* 1: each message tells where it comes from */
    uint32_t batch_max;     /* samples in one MQTT message at most; 0 or 1: each has its own */
    uint32_t batch_time_ms; /* how long a sample waits for others */
    enum frame_format batch_format;
};

/* How long a channel's messages take: from the write to the MQTT client, and from there to the broker's
 * acknowledgement. */
struct outward_latency {
    struct latency to_send, to_acknowledge;
    uint64_t shown; /* durations that were counted when it was last shown */
};

/* One MQTT message to send, with one sample or several; borrowed for the call. */
struct outward_message {
    const char *topic; /* the channel's, or the lane's own; NULL: none that may be published to */
    const void *payload;
    size_t size;
    uint64_t sequence, time_ns; /* of the first sample: its number in its lane, and Unix time of its write */
    uint64_t generation;        /* of the segment it was written into */
    uint32_t lane;              /* of that segment */
    const char *boot;           /* of the machine, when it was written */
};

/* Hand one message to the MQTT client; the payload is copied before it returns. Returns 0; -EAGAIN not now; -EMSGSIZE
 * it is larger than the broker takes; another -errno: it can never be sent. */
typedef int (*outward_send)(void *context, const struct outward_channel *channel, const struct outward_message *message,
                            uint64_t token);

struct outward;

/* Take up the lanes of `segment` where their ledgers, and the spool's, say. `channels` has one element a channel of the
 * segment; those of subscribe channels are not looked at. `backlog` sends what is in the spool (NULL: there is none)
 * and outlives the outward. On success *out must be given to outward_destroy. -ENOMEM. */
int outward_create(struct outward **out, struct segment *segment, const struct outward_channel *channels,
                   struct flight *flight, struct backlog *backlog, outward_send send, void *context);
void outward_destroy(struct outward *outward);

/* Take the lanes' word that they have news, and wake the readers of their channels. Returns whether there was any. */
int outward_collect(struct outward *outward);

/* Look at every lane, whether it left word or not. */
void outward_collect_all(struct outward *outward);

/* Send what may be sent. `now_ms`: a monotonic clock, which samples that may wait for others are held by; UINT64_MAX:
 * none waits any longer. Returns the number of steps made, or -EAGAIN when the client takes no more now. */
int outward_pump(struct outward *outward, uint64_t now_ms);

/* When samples have waited long enough for others, on the clock of outward_pump; UINT64_MAX: none waits. */
uint64_t outward_deadline_ms(const struct outward *outward);

/* Move messages to the spool: of lanes whose ring is filling up, and of channels that always spool. A batch at a time;
 * blocks on the disk until it holds them. Returns whether any was moved. */
int outward_take(struct outward *outward);

/* From now on move all that channels with a spool have waiting, however little: the link is down, or we are about to
 * stop. */
void outward_take_all(struct outward *outward);

/* The counts of the spool have changed. */
void outward_spool_changed(struct outward *outward);

/* Show the latencies in the segment; `clear`: begin to count anew afterwards. */
void outward_show_latency(struct outward *outward, int clear);

/* Write the changed ledgers into the segment. Returns a bit mask of the drop reasons that grew since the last call. */
unsigned outward_settle(struct outward *outward);

/* Do not send from here until outward_pump of another one, the segment before this one, has nothing left: remember how
 * far each lane is now, and send no further. outward_unbound ends it. */
void outward_bound(struct outward *outward);
void outward_unbound(struct outward *outward);

/* Whether everything written so far has been sent and accounted for: 1 or 0. */
int outward_drained(const struct outward *outward);

/* Whether it is drained and no writer holds a lane any more, so that nothing can follow. Makes a system call a lane. */
int outward_finished(const struct outward *outward);

#endif
