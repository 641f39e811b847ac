/* backlog_parts.h: the streams of the spool on their way to the broker, as backlog.c (which there are, and what is
 * counted) and backlog_send.c (what is sent when) share them. Nobody else includes this.
 */
#ifndef SHMGATE_BACKLOG_PARTS_H
#define SHMGATE_BACKLOG_PARTS_H

#include "publish/backlog.h"
#include "shm/platform.h"

struct line {
    struct backlog *backlog;
    struct spool_stream *stream;
    struct outward_channel channel; /* as it was when the messages were written */
    struct flight_lane flight;
    uint64_t next; /* sequence number to send next */
    unsigned in_flight;
};

struct backlog {
    struct spool *spool;
    const struct segment *present;
    const struct outward_channel *channels;
    const struct segment *olds; /* SEGMENT_OLD_MAX that are being drained, the oldest first; the others' base is NULL */
    int created;                /* 1: the present segment was made by this gateway */
    int agreed;                 /* 1: the segments' counters have been brought into agreement with the file */
    struct flight *flight;
    outward_send send;
    void *context;
    struct line **lines; /* one a stream of the spool, in its order */
    size_t line_count, turn;
    struct frame frame; /* the next message */
    unsigned in_flight, live_first_in_flight;
    int earlier_unsent; /* 1: there may be unsent messages of earlier segments */
    char boot[PLATFORM_BOOT_ID_SIZE];
};

/* Whether the line's messages were written into a segment before the present one. */
int backlog_line_is_earlier(const struct line *line);

/* Whether the line has messages that have not been sent. */
int backlog_line_unsent(const struct line *line);

/* Make a line for each stream that has none yet. 0 or -ENOMEM. */
int backlog_refresh(struct backlog *backlog);

/* One of the line's messages has been answered. */
void backlog_line_answered(struct flight_lane *flight);

#endif
