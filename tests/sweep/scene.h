/* scene.h: one point of a sweep: bring the stepped process to an instruction, do something to it there, see that nobody
 * else minds. */
#ifndef SHMGATE_TESTS_SWEEP_SCENE_H
#define SHMGATE_TESTS_SWEEP_SCENE_H

#include "handover.h"
#include "tracer.h"
#include "world.h"

/* What happens at the instruction. */
enum scene_mode {
    SCENE_KILL, /* SIGKILL */
    SCENE_STOP, /* it stands still while the others go on until all rings have wrapped twice; then it goes on to its end
                 */
    SCENE_RIVAL, /* the same, and another process wants what it is just taking: its lane, or the segment to serve */
    SCENE_SWAP,  /* the same, and the segment is removed and made anew meanwhile */
    SCENE_AGAIN, /* SIGKILL, of the second process that does this: the caller has killed one before */
    SCENE_MODES
};

struct scene {
    struct world world;
    struct handover handover;
    struct tracer tracer;
    unsigned operation;
    uint32_t stepped;      /* who the stepped process is as a writer */
    int standing;          /* 1: the world is there */
    unsigned char *window; /* the driver's own view of the segment while an operation is looked through, or NULL */
    uint64_t window_size;
};

/* Whether the mode has a meaning for the operation. */
int scene_has(unsigned operation, enum scene_mode mode);

/* Set up what the operation finds, and bring the stepped process to its first instruction. Returns 0, or -1 after a
 * violation. */
int scene_begin(struct scene *scene, unsigned operation);

/* Do the mode's deed at the present instruction, check everything, and end the stepped process. */
void scene_act(struct scene *scene, enum scene_mode mode);

/* End the world; /dev/shm must be as before. */
void scene_end(struct scene *scene);

/* After a violation: end everything, without further checks. */
void scene_clear(struct scene *scene);

#endif
