/* handover.h: scenes in which a gateway finds something else than the segment it wants: another geometry, what killed
 * gateways have left beside the name, damage, layout version 1, a name that was removed. Whatever happens to it at any
 * instruction, the next gateway serves, and no message is lost or there twice.
 *
 * Each point has a segment of its own, and a writer in each publish channel and a reader that were attached before.
 */
#ifndef SHMGATE_TESTS_SWEEP_HANDOVER_H
#define SHMGATE_TESTS_SWEEP_HANDOVER_H

#include "gateway.h"
#include "shared_memory.h"
#include "tracer.h"

/* What the stepped gateway finds. "Left" means: beside the name, a replaced segment with messages that its gateway did
 * not drain, and a new one that was never used. */
enum handover_kind {
    HANDOVER_REPLACE,      /* another geometry */
    HANDOVER_REPLACE_LEFT, /* the same, and something is left */
    HANDOVER_ADOPT_LEFT,   /* its own geometry, and something is left */
    HANDOVER_CREATE_LEFT,  /* nothing under the name, and something is left */
    HANDOVER_FINISH,       /* it has replaced the segment and drained the old one: the end of that one */
    HANDOVER_DAMAGED,      /* a damaged segment, one that was set aside before, and something is left */
    HANDOVER_NO_ROOM,      /* the same, nobody is attached, and /dev/shm has no room for two */
    HANDOVER_DAMAGED_LEFT, /* what is left is damaged */
    HANDOVER_OLD,          /* a segment of layout version 1 */
    HANDOVER_OLD_LEFT,     /* one of layout version 1 is left, and one of today's has the name */
    HANDOVER_NAME_LOST,    /* it serves, and the segment's name is removed */
    HANDOVER_BELL_LOST     /* it serves, and the semaphore's name is removed */
};

#define HANDOVER_SLOTS 16 /* of the first segment's rings: more than a writer writes in a point */
#define HANDOVER_WRITERS 4

/* A writer. The first two live in the driver, in the channels NEWEST and STRICT; the others had lanes in what is left.
 */
struct handover_writer {
    struct shared_memory_writer *handle;
    uint32_t self, number;
    uint32_t found; /* number of the last one that was found by the next gateway, or was accounted for before */
    uint32_t lost;  /* numbers up to this may be missing, all those from one on */
};

struct handover {
    const char *name;
    enum handover_kind kind;
    struct gateway gateway;
    struct shared_memory *shm; /* NULL: nobody is attached */
    struct handover_writer writers[HANDOVER_WRITERS];
    struct shared_memory_reader *reader; /* of NEWEST */
    uint32_t read;                       /* number of its last message, of the first writer */
    int nameless;                        /* 1: the segment had no name when its gateway was killed */
    uint64_t passed; /* messages of layout version 1 that the next gateway has found: bit 8 * lane + number */
};

/* Slots of the rings that the stepped gateway wants. */
unsigned handover_slots(enum handover_kind kind);

/* Whether the next gateway can be told to do just the same. */
int handover_can_repeat(enum handover_kind kind);

/* Set up what the stepped process finds. 0, or -1 after a violation. */
int handover_begin(struct handover *handover, const char *name, enum handover_kind kind);

/* The stepped process is killed, or stands still while the others go on; with `rival`, another gateway tries. Then it
 * goes on to its end. */
void handover_kill(struct handover *handover, struct tracer *tracer);
void handover_stop(struct handover *handover, struct tracer *tracer, int rival);

/* A new gateway must be able to serve, and find everything. Ends what was set up. */
void handover_expect(struct handover *handover);

/* Let everything go without a check. */
void handover_clear(struct handover *handover);

/* ---- handover_world.c ---- */

/* Attach the first two writers and the reader. */
void handover_attach(struct handover *handover);

/* Each writer writes a message; with `must`, it has to succeed. */
void handover_write(struct handover *handover, int must);

/* The reader reads what is there. */
void handover_read(struct handover *handover);

/* Clocks of this process go on by so many seconds: nobody has to wait for what happens once a second. */
void handover_pass_seconds(unsigned seconds);

/* Note what the segment holds that is not accounted for. */
void handover_gather(struct handover *handover, const struct segment *segment);

#endif
