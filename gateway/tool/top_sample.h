/* top_sample.h: what top and stats --watch show: looks at a segment, one after the other, and what happened between two
 * of them.
 *
 * Only looks: the segment is mapped read-only. Nothing here knows a terminal. For one thread.
 */
#ifndef SHMGATE_TOP_SAMPLE_H
#define SHMGATE_TOP_SAMPLE_H

#include "shm/shared_memory.h"

#define TOP_PAYLOAD_BYTES 512 /* kept of a newest message: more than a screen's width of it */
#define TOP_TOPIC_BYTES 256   /* kept of a topic, with its NUL */
#define TOP_UNKNOWN (-1.0)    /* a rate that two looks do not tell */

struct top_rates {
    double in, out, dropped; /* messages a second: written, delivered, dropped; or TOP_UNKNOWN */
};

/* The newest message of a channel, as far as it is kept. */
struct top_newest {
    int there; /* 0: there is none */
    uint32_t lane;
    uint64_t sequence, time_ns;
    size_t size, kept, topic_kept; /* bytes of payload; of it in `payload`; of the topic in `topic` */
    char payload[TOP_PAYLOAD_BYTES], topic[TOP_TOPIC_BYTES];
};

struct top_channel {
    struct shared_memory_counters counters; /* topic is NULL: see below */
    struct shared_memory_gauges gauges;
    char topic[TOP_TOPIC_BYTES]; /* of the channel, perhaps cut */
    uint64_t dropped;            /* for all reasons */
    double fill;                 /* 0 to 1: how much of all its lanes' slots waits for the gateway */
    struct top_rates rates;
    struct top_newest newest;
};

struct top_lane {
    struct shared_memory_counters counters;
    uint64_t dropped;
    int has_writer;
    struct top_rates rates;
};

/* One look. */
struct top_sample {
    int there; /* 0: there is no segment to look at; why stands in the reason */
    char reason[320];
    uint64_t monotonic_ns, time_ns; /* when; Unix time */
    struct shared_memory_status status;
    struct top_channel *channels; /* owned */
    size_t channel_count;
    char lanes_of[64];      /* name of the channel whose lanes these are; empty: of none */
    struct top_lane *lanes; /* owned */
    size_t lane_count;
};

/* A segment as it is followed over replacements, and over a gateway that goes and comes. */
struct top_source {
    const char *segment;       /* borrowed; NULL: the default */
    struct shared_memory *shm; /* NULL: there is none now */
    struct top_sample before, now;
};

enum top_order { TOP_ORDER_FILE, TOP_ORDER_NAME, TOP_ORDER_IN, TOP_ORDER_QUEUED, TOP_ORDER_DROPPED, TOP_ORDERS };

/* Begin to follow the segment. On success *source must be given to top_source_close. -errno, with the reason in
 * shared_memory_error(), when there is no segment to begin with. */
int top_source_open(struct top_source *source, const char *segment);
void top_source_close(struct top_source *source);

/* Look again: `now` becomes `before`, and `now` is what there is, with its rates. `lanes_of`: name of a channel whose
 * lanes are wanted, or NULL. Returns 0, also when there is no segment any more; -ENOMEM. */
int top_source_look(struct top_source *source, const char *lanes_of);

/* Fill in the rates of `now`. What is not in both looks, or has become less, as when the segment was made anew, is
 * unknown. */
void top_sample_compare(struct top_sample *now, const struct top_sample *before);

/* Fill `order` (channel_count of them) with the channels' numbers in that order; equal ones stay as in the file. */
void top_sample_sort(const struct top_sample *sample, enum top_order by, size_t *order);

void top_sample_free(struct top_sample *sample);

#endif
