/* segment_internal.h: what the files of segment.h share, and nobody else calls: opening an object and saying what is
 * wrong with it (segment.c), names beside a segment's and what is under them (segment_beside.c), and taking over one of
 * an older version (segment_upgrade.c). */
#ifndef SHMGATE_SEGMENT_INTERNAL_H
#define SHMGATE_SEGMENT_INTERNAL_H

#include "segment.h"

#define SEGMENT_NEXT_SUFFIX ".next"     /* replaced ones, and new ones on their way */
#define SEGMENT_ASIDE_SUFFIX ".damaged" /* what was set aside */

/* Make `segment` one that holds nothing, whatever it was. */
void segment_clear(struct segment *segment);

/* Find the header and the dirty words in the mapping. */
void segment_set_pointers(struct segment *segment);

/* The reason for a failed open of the object `name`. Returns `rc`. */
int segment_explain_open(int rc, const char *name, struct reason *reason);

/* Map what segment->fd is open on and check it. -EPROTO, -ENOMEM or -errno with the reason; segment_close takes back
 * what was done. */
int segment_load(struct segment *segment, struct reason *reason);

/* ---- segment_beside.c ---- */

/* A name beside the segment's that nobody can have guessed: its own, the suffix, "-" and 16 random hexadecimal digits.
 * `beside` has SEGMENT_NAME_SIZE bytes. */
void segment_beside_name(char *beside, const char *name, const char *suffix);

/* Whether `beside` is such a name of some segment, or one of those that versions before this one made; with `name` and
 * `suffix`, whether it is one of that segment and of that kind. */
int segment_is_beside(const char *beside, const char *name, const char *suffix);

/* Tell whoever serves. */
__attribute__((format(printf, 2, 3))) void segment_report(const struct segment_options *options, const char *format,
                                                          ...);

/* Put a segment into the list at its place by its serial number; it is the list's from then on, also on failure, which
 * closes it. 0 or -ENOMEM. */
int segment_list_add(struct segment_list *list, struct segment *old);

/* Open the object under `name` and become its gateway. Returns 0; -ENOENT nothing there; -EACCES somebody else's;
 * -EBUSY another gateway has it; -EAGAIN the name has come to mean something else; -EPROTO locked and mapped, but no
 * segment of this version: segment->base may be NULL, and segment_close must be called. */
int segment_take_over(struct segment *segment, const char *name, struct reason *reason);

/* Make a complete segment, locked, that has no name yet. */
int segment_make(struct segment *segment, const struct segment_options *options, uint64_t generation, uint64_t serial,
                 struct reason *reason);

/* Send everybody who is attached to the segment that now has its name. Only the header need be readable. */
void segment_retire(struct segment *segment);

/* Give the object that `segment` holds under its name another one, and take away what was set aside before. Reports.
 * 0 or -errno with the reason. */
int segment_set_aside(struct segment *segment, const struct segment_options *options, const char *why,
                      struct reason *reason);

/* Tell of it. */
void segment_report_aside(const struct segment_options *options, const char *name, const char *aside, const char *why);

/* Take away what was set aside. Returns whether there was anything. */
int segment_drop_asides(const char *name);

/* Send away whoever is still attached to what was set aside: a gateway killed after it had given that its name has not
 * told them. */
void segment_retire_asides(const char *name);

/* Find what former gateways have left beside the segment, and put it into the list. `present` is what has the name:
 * what is younger and was never used is taken away; NULL: nothing has it. -ENOMEM. */
int segment_find_leftovers(struct segment_list *olds, const struct segment *present,
                           const struct segment_options *options, struct reason *reason);

/* ---- segment_upgrade.c ---- */

/* Make one of today's of a segment of layout version 1, which `old` holds mapped and locked, with its messages and
 * counters: it is put beside the name and into the list, unless it is there already. The old object keeps its name. 0
 * or -errno with the reason. */
int segment_upgrade(struct segment_list *olds, struct segment *old, const struct segment_options *options,
                    struct reason *reason);

#endif
