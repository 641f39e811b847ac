/* suggest.h: what to do about a name that does not exist or may not be used, as the second half of a sentence that
 * says what is wrong. Each fills `out` with one line, cut to its size. Only for errors: they read directories and
 * files. */
#ifndef SHMGATE_SUGGEST_H
#define SHMGATE_SUGGEST_H

#include "segment.h"

#define SUGGEST_SIZE 320 /* bytes of the longest text: some names, and that there are more */

/* The segment `name` does not exist: the one that was probably meant, or those that there are, or that a gateway must
 * be started. */
void suggest_segment(const char *name, char *out, size_t out_size);

/* The segment has no channel `name`: the one that was probably meant, and those that there are. */
void suggest_channel(const struct segment *segment, const char *name, char *out, size_t out_size);

/* There is no permission on the segment `name`: its group, and the command that makes one a member. */
void suggest_group(const char *name, char *out, size_t out_size);

#endif
