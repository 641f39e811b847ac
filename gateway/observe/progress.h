/* progress.h: a line on standard error that writes over itself, for work that takes long enough for a person to wonder.
 *
 * Only when standard error is a terminal; otherwise every function here returns at once. libc only. One progress at a
 * time in a process, for one thread; progress_erasure is for any thread.
 */
#ifndef SHMGATE_PROGRESS_H
#define SHMGATE_PROGRESS_H

#include <stddef.h>
#include <stdint.h>

#define PROGRESS_INTERVAL_MS 250 /* between two updates */
#define PROGRESS_ERASURE_SIZE 8  /* bytes that erase a line */

struct progress {
    const char *verb;       /* borrowed */
    int on;                 /* 1: standard error is a terminal */
    uint64_t due_ms;        /* of the next update, on the clock of now_ms */
    uint64_t done, time_ms; /* at the last update */
    double rate;            /* messages a second, smoothed; below 0: not known yet */
};

/* Begin: `verb` is what is being done ("draining"). Nothing is shown before PROGRESS_INTERVAL_MS have passed, so that
 * short work leaves no trace. */
void progress_begin(struct progress *progress, const char *verb, uint64_t now_ms, uint64_t done);

/* Show "VERB: DONE of TOTAL messages, 40%, 4000/s, 5s left", if it is time to; total 0: not known. Never blocks: when
 * the terminal takes nothing, nothing is shown. */
void progress_show(struct progress *progress, uint64_t now_ms, uint64_t done, uint64_t total);

/* Erase the line; it comes again with the next update. */
void progress_hide(void);

/* Erase the line for good. */
void progress_end(struct progress *progress);

/* For whoever else writes to standard error: what erases the line if one stands there, and otherwise nothing; it has to
 * be written in front. `out` has PROGRESS_ERASURE_SIZE bytes; not terminated. Returns the bytes. The line comes again
 * with the next update. */
size_t progress_erasure(char *out);

#endif
