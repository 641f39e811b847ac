/* world.h: the others: a gateway, two writers a channel and readers, all in the driver; what they must be able to do
 * whatever happens to the stepped process; and what must be true of the segment afterwards.
 *
 * A fault is reported with violation(); nothing here gives up because of one.
 */
#ifndef SHMGATE_TESTS_SWEEP_WORLD_H
#define SHMGATE_TESTS_SWEEP_WORLD_H

#include "gateway.h"
#include "shared_memory.h"

#define SECONDS 2 /* writers of the driver in each publish channel */

/* A writer of the driver. */
struct world_writer {
    struct shared_memory_writer *handle;
    uint32_t self, number;
    uint64_t written;
};

/* What the driver's close reader, which never misses a message, knows of a lane. */
struct world_lane {
    int known;               /* 1: `next` is */
    uint64_t next;           /* sequence number to come */
    uint32_t writer, number; /* the last message's */
    struct {
        uint32_t writer, number;
    } record[2 * SLOTS];
};

struct world {
    const char *name;
    struct gateway gateway;
    struct shared_memory *shm;
    struct world_writer writers[2][SECONDS]; /* of NEWEST and STRICT */
    struct shared_memory_reader *close[CHANNELS], *slow[CHANNELS];
    uint64_t slow_from[CHANNELS]; /* messages that were in the channel when the slow reader began */
    struct world_lane lanes[LANES];
    uint64_t rejected[CHANNELS]; /* writes that were answered with -EAGAIN */
};

/* A number for a writer: each has its own. Two are reserved, for a stepped process that opens its lane again. */
uint32_t world_identity(void);

/* Become the gateway. Returns an enum segment_origin, or -errno (a violation only if `must`). */
int world_serve(struct world *world, int must);

/* Attach the driver's writers and readers, or let them go. */
void world_attach(struct world *world);
void world_detach(struct world *world);

/* Let all go and remove the segment; then /dev/shm must be as it was. */
void world_end(struct world *world);

/* Start the readers that will be lapped. */
void world_slow_begin(struct world *world);

/* What they got and what they were told to have missed must be all that was written since. */
void world_slow_end(struct world *world);

/* Read everything that is new, checking each message. */
void world_read(struct world *world);

/* A new reader, from the oldest message on, must find whole messages only, and the same as those read before. */
void world_read_again(struct world *world);

/* All others go on until every ring has wrapped twice. */
void world_go_on(struct world *world);

/* A lane of the channel must be free, and its next writer go on behind the last message. -EBUSY is returned when there
 * is none. */
int world_succeed(struct world *world, enum sweep_channel channel);

/* The channel's counters must add up. `uncounted` rejections may be in them that nobody was told of. */
void world_count(struct world *world, int uncounted, int exact);

/* Messages 1 to `number` of `writer` must have been read from the lane, and at most one more. */
void world_expect(const struct world *world, uint32_t lane, uint32_t writer, uint32_t number);

/* Used bytes and files of /dev/shm. */
void world_footprint(uint64_t *bytes, unsigned *files);

/* Whether /dev/shm is the sweep's own, so that its used bytes can be compared. */
extern int world_private;

#endif
