/* config_check.h: what only several keys of gateway.ini together can get wrong, and the defaults that are computed
   from others. */
#ifndef SHMGATE_CONFIG_CHECK_H
#define SHMGATE_CONFIG_CHECK_H

#include "config/config_faults.h"
#include "config/config_schema.h"

/* Where a section and its keys stand, for messages: line numbers, 0 for what is not in the file. */
struct config_origin {
    unsigned line;
    unsigned key_line[CONFIG_KEYS_MAX]; /* by the key's index in the schema */
};

/* The same for a whole file. */
struct config_origins {
    struct config_origin sections[CONFIG_SECTIONS]; /* all but the channels */
    struct config_origin *channels;                 /* as many as config->channel_count, in the same order */
    unsigned last_line;
    unsigned broken_sections; /* unreadable or unknown: one may be what seems to be missing */
};

/* Compute the defaults that depend on other keys or on the machine, then check `config` as a whole and add what is
 * wrong to `faults`. A key whose value was a fault by itself has a line but no value, and is not reported again. May
 * block on the disk. Returns 0 or -ENOMEM. */
int config_check(struct config *config, const struct config_origins *origins, struct config_faults *faults);

#endif
