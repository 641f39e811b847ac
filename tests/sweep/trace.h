/* trace.h: the instructions of an operation, learnt by looking it through once. */
#ifndef SHMGATE_TESTS_SWEEP_TRACE_H
#define SHMGATE_TESTS_SWEEP_TRACE_H

#include "scene.h"

#define INSTRUCTIONS_MAX 200000 /* a trace has room for these and a few more: TRACE_SIZE bytes */
#define TRACE_SIZE ((INSTRUCTIONS_MAX + 4) * sizeof(struct instruction))

enum mark { MARK_OWN = 1, MARK_CHANGE = 2, MARK_CLOSE = 4 /* right before or right after a change or a call */ };

/* What was learnt of one instruction: `place` was passed `pass` times before. */
struct instruction {
    uint64_t place;
    uint32_t pass;
    uint32_t marks;
};

/* Let the operation run to its end, undisturbed, and fill the trace. Returns the number of instructions, 0 after a
 * violation. */
unsigned long trace_look_through(struct scene *scene, unsigned operation, struct instruction *trace);

/* Bring the stepped process, which stands at its first instruction, to number `at` in the quickest way. */
enum tracer_state trace_reach(struct scene *scene, const struct instruction *trace, unsigned long at);

#endif
