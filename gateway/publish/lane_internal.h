/* lane_internal.h: what lane.c (a lane as a source) and lane_ledger.c (what has become of its messages) share. */
#ifndef SHMGATE_LANE_INTERNAL_H
#define SHMGATE_LANE_INTERNAL_H

#include "publish/lane.h"

/* Take the ledger as the segment has it, as far as it can be, and the spool's part out of it. */
void lane_load_ledger(struct lane *lane);

#endif
