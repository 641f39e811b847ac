/* publish_internal.h: the publisher's side as its own files see it. */
#ifndef SHMGATE_PUBLISH_INTERNAL_H
#define SHMGATE_PUBLISH_INTERNAL_H

#include "publish/lane.h"
#include "publish/publish.h"
#include "publish/replay.h"
#include "publish/retired_segments.h"
#include "publish/sender.h"

/* The lanes of one segment. */
struct publish_segment {
    struct segment *segment;
    struct lane *lanes; /* all of the segment; those of subscribe channels stay unused */
};

struct publish {
    struct sender *sender;
    struct segment *segment;                /* the present one */
    const struct publish_channel *channels; /* of the present segment */
    struct publish_segment present;
    struct publish_latency *latencies; /* one a channel of the present segment */
    struct retired_segments *retired;  /* NULL: there is none */
    struct spool *spool;               /* NULL: none */
    struct replay *replay;             /* of the spool */
    struct source_group *groups;       /* a list, owned */
    struct lane *dirty;                /* a list: lanes whose ledger has changed */
    struct lane **spill;               /* lanes that may have something for the spool; room for all */
    uint32_t spill_count;
    unsigned dropped; /* mask of reasons since the last flush */
};

/* Whether the segment's lane is one of a publish channel. */
int publish_has_lane(const struct segment *segment, uint32_t number);

/* Make the lanes of a segment, and end them. `channels` has one element a channel of that segment. 0 or -ENOMEM, then
 * publish_end_lanes must be called as well. */
int publish_start_lanes(struct publish *publish, struct publish_segment *of, const struct publish_channel *channels,
                        int is_retired);
void publish_end_lanes(struct publish_segment *of);

/* The group of the channels of that name, which is borrowed; made when there is none. NULL: out of memory. */
struct source_group *publish_group(struct publish *publish, const char *channel);

/* Make all lanes ready that have, or may have, something. */
void publish_ready_lanes(struct publish_segment *of);

/* Put the lane into the list that publish_spill looks at. */
void publish_spill_pending(struct lane *lane);

#endif
