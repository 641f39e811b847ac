/* config_diff.h: what has changed between two configurations, and what it takes to apply that. */
#ifndef SHMGATE_CONFIG_DIFF_H
#define SHMGATE_CONFIG_DIFF_H

#include "config/config.h"
#include "config/config_schema.h"

/* Takes one change as a line, such as "[mqtt] keepalive" or "[channel out] added"; values are not told: they may be
 * secrets' whereabouts. */
typedef void (*config_diff_report)(void *context, const char *line);

/* Compare; each change is given to `report` (NULL: none), in the order of the table and of the channels. Returns the
 * greatest of the changes' enum config_reload, or 0 when nothing has changed. */
int config_diff(const struct config *before, const struct config *after, config_diff_report report, void *context);

#endif
