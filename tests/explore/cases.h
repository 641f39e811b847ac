/* cases.h: the explorer's cases, in lists that end with one without a name. */
#ifndef EXPLORE_CASES_H
#define EXPLORE_CASES_H

#include "explore.h"

extern const struct explore_case cases_model[], cases_ring[], cases_lane[], cases_wake[];

#endif
