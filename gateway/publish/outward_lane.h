/* outward_lane.h: one lane on its way out, as outward.c (its answers and ledger), outward_pump.c (what is sent when)
 * and outward_take.c (what goes to disk) share it. Nobody else includes this.
 */
#ifndef SHMGATE_OUTWARD_LANE_H
#define SHMGATE_OUTWARD_LANE_H

#include "publish/backlog.h"
#include "publish/outward.h"

/* What a batch for the spool will do to the lane's ledger once it is on the disk. */
struct lane_batch {
    uint64_t tail, taken, overwritten, corrupt;
    int had_unsent; /* 1: the stream had unsent messages before */
};

struct lane {
    struct outward *outward;
    struct ring ring;
    uint32_t number, channel;
    char *own_topic;  /* with its number in it; NULL: the channel's is good for all */
    uint64_t next;    /* sequence number to send next */
    uint64_t bound;   /* send only below it */
    uint64_t held_ms; /* what there is waits for more until then; 0: it does not */
    /* The ring's part: tail = delivered + taken + sum of dropped. The spool's part is added when it is stored. */
    struct ring_ledger ledger;
    struct spool_stream *stream; /* of the spool; NULL: nothing of this lane ever went there, or the spool cannot be
                                    read */
    struct spool_ledger unread;  /* the spool's part as a former gateway stored it, for as long as there is no stream */
    struct lane_batch batch;
    struct flight_lane flight;
    unsigned char ready;     /* 1: in the ready queue */
    unsigned char unsettled; /* 1: in the list of lanes whose ledger has changed */
    unsigned char news;      /* 1: in the list of lanes that may have something for the spool */
    unsigned char take_all;  /* 1: whatever it has goes to the spool */
};

struct outward {
    struct segment *segment;
    const struct outward_channel *channels;
    struct flight *flight;
    struct backlog *backlog;
    struct spool *spool; /* the backlog's; NULL: none */
    outward_send send;
    void *context;
    struct lane *lanes; /* all of the segment; those of subscribe channels stay unused */
    uint32_t *ready;    /* a queue of lanes, lane_count long */
    uint32_t ready_first, ready_count;
    uint32_t *unsettled, *news; /* lists of lanes, lane_count long */
    uint32_t unsettled_count, news_count;
    struct outward_latency *latencies; /* one a channel */
    int some_unacknowledged;           /* 1: a channel publishes with QoS 0 */
    unsigned dropped;                  /* mask of reasons since the last settle */
    struct frame frame;                /* the next message; room for the largest max_payload */
    uint64_t *times;  /* Unix times of the writes of the samples in it; as many as the largest batch_max */
    uint64_t held_ms; /* the earliest of the lanes', or earlier; UINT64_MAX: none is held */
};

/* Take the lane up where its ledger and the spool say. 0 or -ENOMEM. */
int lane_start(struct lane *lane, struct outward *outward, uint32_t number,
               void (*answered)(struct flight_lane *flight));

/* What the lane's messages are published on. */
const char *lane_topic(const struct lane *lane);

/* The ledger has changed: the next settle stores it. */
void lane_changed(struct lane *lane);

/* Find the lane's stream in the spool, and bring the ledger up to what it says: a gateway may have been killed between
 * the disk's commit and the ledger's. Returns 0, or -EAGAIN while the spool cannot be read. */
int lane_meet_spool(struct lane *lane);

/* The lane's ledger with the spool's part in it. */
void lane_ledger(const struct lane *lane, struct ring_ledger *ledger);

/* Put the lane into the ready queue. */
void lane_make_ready(struct lane *lane);

/* Whether the lane is one of a publish channel. */
int outward_has_lane(const struct outward *outward, uint32_t number);

/* Nothing is in flight: what was skipped so far is accounted for now. */
void lane_account_skipped(struct lane *lane);

void lane_count_dropped(struct lane *lane, enum layout_drop reason, uint64_t count);

/* Whether sending from the ring must wait: for what is in the spool before it, or for its own turn to go there. */
int lane_waits_for_spool(const struct lane *lane);

/* Put the lane into the list that outward_take looks at. */
void lane_has_news(struct lane *lane);

#endif
