/* log_fields.c: which parts of a formatted line are the values of key=value pairs. See log_fields.h. */
#include "observe/log_fields.h"

#include <stdio.h>
#include <string.h>

#define FORMAT_SIZE 512 /* bytes of a format; the longest of this program has some 200 */

/* Bytes of text that the first `size` bytes of the format become. */
static int length_of(const char *format, size_t size, va_list arguments)
{
    char part[FORMAT_SIZE];
    va_list copy;
    int length;

    memcpy(part, format, size);
    part[size] = '\0';
    va_copy(copy, arguments);
    length = vsnprintf(NULL, 0, part, copy);
    va_end(copy);
    return length;
}

/* The key before the conversion at format[at], which itself begins behind `from`: how many of the characters before its
 * = belong to it. A key that begins right behind another conversion, as in %s=%d, is not ours alone, and none. */
static size_t key_before(const char *format, size_t from, size_t at)
{
    size_t size = 0;

    if (at <= from || format[at - 1] != '=')
        return 0;
    while (at >= from + size + 2 && strchr("abcdefghijklmnopqrstuvwxyz0123456789_", format[at - 2 - size]))
        size++;
    return from > 0 && at - 1 - size == from ? 0 : size;
}

size_t log_fields_find(struct log_field *fields, const char *format, va_list arguments)
{
    size_t count = 0, total = strlen(format), at = 0, last = 0;

    if (total >= FORMAT_SIZE)
        return 0;
    while (count < LOG_FIELDS_MAX && (at += strcspn(format + at, "%")) < total) {
        /* A conversion ends with the first letter that is no length modifier (printf(3)); %% is one, too. */
        size_t end = at + 1 + strspn(format + at + 1, " #+-.*0123456789hljzt"), key_size = key_before(format, last, at);
        int from, to;

        end += end < total;
        if (key_size > 0 && format[end - 1] != '%' && (from = length_of(format, at, arguments)) >= 0 &&
            (to = length_of(format, end, arguments)) >= from)
            fields[count++] = (struct log_field){
                .key = format + at - 1 - key_size, .key_size = key_size, .begin = (size_t)from, .end = (size_t)to};
        at = last = end;
    }
    return count;
}
