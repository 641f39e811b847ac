/* reason.h: why something failed, in words for a person: the caller's memory for it, and how it is filled.
 *
 * A function that takes a struct reason fills it when it fails, and leaves it alone otherwise; NULL is allowed and
 * means that nobody wants to know. The text is one line, without the file or the operation that the caller can name
 * itself: the caller wraps it outward with reason_wrap. No allocation, no state; errno stays as it was. Any thread.
 */
#ifndef SHMGATE_REASON_H
#define SHMGATE_REASON_H

#include <stdarg.h>
#include <stddef.h>

#define REASON_SIZE 512 /* bytes with the NUL: the longest text, a segment's name and a path; what is longer is cut */

struct reason {
    char text[REASON_SIZE];
};

/* Set the text. Returns `rc`, so that a function can end with: return reason_set(reason, -EINVAL, "..."); */
int reason_set(struct reason *reason, int rc, const char *format, ...) __attribute__((format(printf, 3, 4)));
int reason_set_list(struct reason *reason, int rc, const char *format, va_list arguments)
    __attribute__((format(printf, 3, 0)));

/* Put text and ": " before what stands there. Returns `rc`. */
int reason_wrap(struct reason *reason, int rc, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
