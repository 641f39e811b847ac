/* segment_internal.h: what segment.c and segment_serve.c share, and nobody else calls: opening an object and saying
 * what is wrong with it. */
#ifndef SHMGATE_SEGMENT_INTERNAL_H
#define SHMGATE_SEGMENT_INTERNAL_H

#include "segment.h"

#define SEGMENT_NEXT_SUFFIX ".next"

/* Make `segment` one that holds nothing, whatever it was. */
void segment_clear(struct segment *segment);

/* Find the header and the dirty words in the mapping. */
void segment_set_pointers(struct segment *segment);

/* The reason for a failed open of the object `name`. Returns `rc`. */
int segment_explain_open(int rc, const char *name, struct reason *reason);

/* Map what segment->fd is open on and check it. -EPROTO, -ENOMEM or -errno with the reason; segment_close takes back
 * what was done. */
int segment_load(struct segment *segment, struct reason *reason);

#endif
