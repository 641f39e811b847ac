/* loss_report.h: when a channel begins and ceases to lose messages, as lines for the log: once a change, not once a
 * message.
 */
#ifndef SHMGATE_LOSS_REPORT_H
#define SHMGATE_LOSS_REPORT_H

#include <stdarg.h>
#include <stdint.h>

#include "shm/segment.h"

struct loss_report;

/* Takes one line for the log, as a constant format and its arguments. */
typedef void (*loss_report_line)(void *context, const char *format, va_list arguments);

/* Remember what the segment's channels have lost until now. On success *out must be given to loss_report_destroy.
 * -ENOMEM.
 */
int loss_report_create(struct loss_report **out, const struct segment *segment);
void loss_report_destroy(struct loss_report *losses);

/* Messages have been dropped: look at the counters at the next loss_report_check. */
void loss_report_suspect(struct loss_report *losses);

/* Report each channel that has begun to lose messages, and each that has lost none for a minute. Looks at the counters
 * at most once a second. now_ms: the monotonic clock. */
void loss_report_check(struct loss_report *losses, uint64_t now_ms, loss_report_line report, void *context);

/* When loss_report_check wants to be called again, on the same clock; UINT64_MAX: not before loss_report_suspect. */
uint64_t loss_report_deadline_ms(const struct loss_report *losses);

#endif
