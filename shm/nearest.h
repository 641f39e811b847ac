/* nearest.h: which of some words a mistyped one was probably meant to be. */
#ifndef SHMGATE_NEAREST_H
#define SHMGATE_NEAREST_H

#include <stddef.h>
#include <stdint.h>

/* How many letters must be added, removed, replaced or swapped with a neighbour to get from `word` to `valid`, whatever
 * their case, when they are so near that the one was probably meant by the other: one letter, and another for each
 * three of the shorter; or one of them is the beginning of the other. SIZE_MAX when they are not, or one has more than
 * 64 letters. */
size_t nearest_distance(const char *word, const char *valid);

#endif
