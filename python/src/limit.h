/* limit.h: until when a call may wait. */
#ifndef SHMGATE_PYTHON_LIMIT_H
#define SHMGATE_PYTHON_LIMIT_H

#include <stdint.h>

#include "binding.h"

#define LIMIT_TEXT_SIZE 32

/* A timeout as it was given, and the instant it stands for: computed once, however often a signal interrupts the wait
 * (PEP 475). */
struct limit {
    double seconds;  /* as given; below 0: for ever */
    uint64_t end_ns; /* of the monotonic clock */
};

/* From a timeout in seconds (None, or NULL: for ever). May run Python code: before any handle is entered. Returns -1
 * with an exception set, else 0. */
int limit_from(struct limit *limit, PyObject *timeout);

/* Milliseconds until then, at most `most_ms`; 0: it is over. */
int limit_slice_ms(const struct limit *limit, int most_ms);

/* The timeout in words, such as "0.25 s". */
const char *limit_text(const struct limit *limit, char text[LIMIT_TEXT_SIZE]);

#endif
