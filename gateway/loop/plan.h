/* plan.h: what a configuration asks of the segment, the outward and the inward side. */
#ifndef SHMGATE_PLAN_H
#define SHMGATE_PLAN_H

#include "config/config.h"
#include "publish/outward.h"
#include "shm/layout.h"
#include "spool/spool.h"
#include "subscribe/inward.h"

/* One element a channel, in the order of the configuration; all strings are borrowed from it. */
struct plan {
    struct layout layout;
    const char **topics;
    struct outward_channel *channels;
    struct spool_limit *limits;
    int spools; /* 1: a channel asks for the spool */
    struct inward_channel *inward;
};

/* On success *plan must be given to plan_destroy, before the configuration is freed. -EINVAL or -ENOMEM with the
 * reason. */
int plan_create(struct plan *plan, const struct config *config, char *error, size_t error_size);
/* Whether the machine's shared memory can hold the segment at all; says which channel takes most of it. 0; -ENOSPC with
 * the reason. */
int plan_check_space(const struct plan *plan, char *error, size_t error_size);
void plan_destroy(struct plan *plan);

#endif
