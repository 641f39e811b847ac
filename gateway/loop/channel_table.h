/* channel_table.h: what a configuration asks of the segment, the publisher's and the subscriber's side. */
#ifndef SHMGATE_CHANNEL_TABLE_H
#define SHMGATE_CHANNEL_TABLE_H

#include "config/config.h"
#include "publish/source.h"
#include "shm/layout.h"
#include "shm/reason.h"
#include "spool/spool.h"
#include "subscribe/subscribe.h"

/* One element a channel, in the order of the configuration; all strings are borrowed from it. */
struct channel_table {
    struct layout layout;
    const char **topics;
    struct publish_channel *channels;
    struct spool_limit *limits;
    int spools; /* 1: a channel asks for the spool */
    struct subscribe_channel *subscribe;
};

/* On success *plan must be given to channel_table_destroy, before the configuration is freed. -EINVAL or -ENOMEM with
 * the reason. */
int channel_table_create(struct channel_table *table, const struct config *config, struct reason *reason);
/* Whether the machine's shared memory can hold the segment at all; says which channel takes most of it. 0; -ENOSPC with
 * the reason. */
int channel_table_check_space(const struct channel_table *table, struct reason *reason);
void channel_table_destroy(struct channel_table *table);

#endif
