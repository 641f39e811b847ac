/* log_fields.h: which parts of a formatted line are the values of key=value pairs.
 *
 * The answer is taken from the format, which is a constant of this program, and not from the formatted text: in it a
 * value from the network could pass for a key, or an end. "could not connect: uri=%s: %s" has one field, uri, and its
 * value is what its %s became, no more and no less.
 */
#ifndef SHMGATE_LOG_FIELDS_H
#define SHMGATE_LOG_FIELDS_H

#include <stdarg.h>
#include <stddef.h>

#define LOG_FIELDS_MAX 16 /* of a line; more are left out */

struct log_field {
    const char *key; /* in the format, of a-z 0-9 _; not terminated */
    size_t key_size;
    size_t begin, end; /* where the value stands in the whole text, in bytes; the text may have been cut before that */
};

/* Find the conversions that stand right behind KEY=. `arguments` is those of the format, and is left as it was. Returns
 * how many there are, at most LOG_FIELDS_MAX. Does not allocate; any thread. */
size_t log_fields_find(struct log_field *fields, const char *format, va_list arguments);

#endif
