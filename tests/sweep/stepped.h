/* stepped.h: the process that is single-stepped, and what it tells the driver. */
#ifndef SHMGATE_TESTS_SWEEP_STEPPED_H
#define SHMGATE_TESTS_SWEEP_STEPPED_H

#include <signal.h>
#include <stdint.h>

/* The stepped process raises these around the operation; the driver sees them and does not let them through. */
#define STEPPED_BEGIN SIGUSR1
#define STEPPED_END SIGUSR2

/* One page that both have mapped. */
struct stepped_report {
    uint32_t returned; /* messages whose write has returned 0 */
    uint32_t rejected; /* writes that were answered with -EAGAIN */
    int result;        /* what the operation returned */
    char fault[256];   /* empty, or what the process itself found wrong */
};

/* What the stepped process has or is while it is stepped. */
enum stepped_role {
    ROLE_READER,
    ROLE_NEWEST,
    ROLE_STRICT,
    ROLE_FULL,
    ROLE_OPENER,
    ROLE_GATEWAY,
    ROLE_CREATOR,
    ROLE_REMOVER,
    ROLE_HANDOVER
};

struct stepped_operation {
    const char *name;
    enum stepped_role role;
    int (*prepare)(void);   /* before the first instruction that counts */
    int (*act)(void);       /* the instructions that count */
    void (*finish)(int rc); /* afterwards, when it was not killed */
    int handover;           /* ROLE_HANDOVER: enum handover_kind */
};

extern const struct stepped_operation stepped_operations[];
extern const unsigned stepped_operation_count;

/* The whole life of the stepped process: operation number `operation` on the segment, as writer `writer`. Returns the
 * exit code. */
int stepped_main(unsigned operation, const char *segment, uint32_t writer, struct stepped_report *report);

/* 1 in the stepped process; NULL elsewhere. */
extern struct stepped_report *stepped_self;

#endif
