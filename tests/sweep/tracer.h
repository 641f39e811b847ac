/* tracer.h: start a process, run it instruction by instruction, and end it. Linux, ptrace(2). */
#ifndef SHMGATE_TESTS_SWEEP_TRACER_H
#define SHMGATE_TESTS_SWEEP_TRACER_H

#include <stdint.h>
#include <sys/types.h>

#include "stepped.h"

struct tracer {
    pid_t pid; /* 0: none */
    struct stepped_report *report;
    int report_fd;
};

enum tracer_state { TRACER_STEPPED, TRACER_AT_END, TRACER_EXITED };

/* Make the report's page, once. Returns 0 or -errno. */
int tracer_init(struct tracer *tracer);

/* Start the stepped process and let it run to the first instruction of its operation. Returns 0, or -1 after a
 * violation. */
int tracer_start(struct tracer *tracer, unsigned operation, const char *segment, uint32_t writer);

/* Run `count` instructions; a system call is one, and so is each turn of a repeated string instruction. */
enum tracer_state tracer_step(struct tracer *tracer, unsigned long count);

/* Let the process run until it comes to `place` for the `pass`th time (from 0), by a trap instruction put there
 * meanwhile: single steps are slow. TRACER_AT_END when it never came there. */
enum tracer_state tracer_run(struct tracer *tracer, uint64_t place, unsigned long pass);

/* Address of the next instruction. */
uint64_t tracer_place(const struct tracer *tracer);

/* Whether that instruction is a system call. */
int tracer_at_system_call(const struct tracer *tracer, uint64_t place);

/* Kill the process at once. It has ended, and the kernel has let its locks go, when this returns. */
void tracer_kill(struct tracer *tracer);

/* Let the process run to its end, untraced. Reports a violation unless it ended well. */
void tracer_finish(struct tracer *tracer);

#endif
