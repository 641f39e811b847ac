/* reason.c: why something failed, in words. See reason.h. */
#include "reason.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int reason_set_list(struct reason *reason, int rc, const char *format, va_list arguments)
{
    int saved = errno;

    if (reason)
        vsnprintf(reason->text, sizeof(reason->text), format, arguments);
    errno = saved;
    return rc;
}

int reason_set(struct reason *reason, int rc, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    reason_set_list(reason, rc, format, arguments);
    va_end(arguments);
    return rc;
}

int reason_wrap(struct reason *reason, int rc, const char *format, ...)
{
    struct reason inner;
    va_list arguments;
    size_t length;

    if (!reason)
        return rc;
    inner = *reason;
    va_start(arguments, format);
    reason_set_list(reason, rc, format, arguments);
    va_end(arguments);
    length = strlen(reason->text);
    snprintf(reason->text + length, sizeof(reason->text) - length, ": %s", inner.text);
    return rc;
}
