/* losses.h: when a channel begins and ceases to lose messages, as lines for the log: once a change, not once a message.
 */
#ifndef SHMGATE_LOSSES_H
#define SHMGATE_LOSSES_H

#include <stdarg.h>
#include <stdint.h>

#include "shm/segment.h"

struct losses;

/* Takes one line for the log, as a constant format and its arguments. */
typedef void (*losses_report)(void *context, const char *format, va_list arguments);

/* Remember what the segment's channels have lost until now. On success *out must be given to losses_destroy. -ENOMEM.
 */
int losses_create(struct losses **out, const struct segment *segment);
void losses_destroy(struct losses *losses);

/* Messages have been dropped: look at the counters at the next losses_check. */
void losses_suspect(struct losses *losses);

/* Report each channel that has begun to lose messages, and each that has lost none for a minute. Looks at the counters
 * at most once a second. now_ms: the monotonic clock. */
void losses_check(struct losses *losses, uint64_t now_ms, losses_report report, void *context);

/* When losses_check wants to be called again, on the same clock; UINT64_MAX: not before losses_suspect. */
uint64_t losses_deadline_ms(const struct losses *losses);

#endif
