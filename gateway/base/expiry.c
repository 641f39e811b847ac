/* expiry.c: until when a message from the broker is good. See expiry.h. */
#include "base/expiry.h"

#include <errno.h>

#define SECOND_NS UINT64_C(1000000000)
#define MILLISECOND_NS UINT64_C(1000000)

static int is_digit(char letter)
{
    return letter >= '0' && letter <= '9';
}

int expiry_parse_time(const char *text, size_t size, uint64_t *time_ns)
{
    uint64_t seconds = 0, fraction = 0, unit = SECOND_NS;
    size_t at = 0;

    for (; at < size && is_digit(text[at]); at++) {
        seconds = 10 * seconds + (uint64_t)(text[at] - '0');
        if (seconds >= UINT64_MAX / SECOND_NS)
            return -EINVAL;
    }
    if (at == 0)
        return -EINVAL;
    if (at < size) {
        if (text[at] != '.' || at + 1 == size)
            return -EINVAL;
        for (at++; at < size && is_digit(text[at]); at++) {
            unit /= 10; /* 0 from the tenth digit on */
            fraction += unit * (uint64_t)(text[at] - '0');
        }
        if (at < size)
            return -EINVAL;
    }
    *time_ns = seconds * SECOND_NS + fraction;
    return 0;
}

uint64_t expiry_left_ns(const struct expiry *age, uint64_t max_age_ms)
{
    uint64_t left = EXPIRY_NEVER;

    if (age->expires)
        left = age->expiry_s * SECOND_NS;
    if (max_age_ms > 0 && max_age_ms <= EXPIRY_NEVER / MILLISECOND_NS) {
        uint64_t old_ns = age->made_ns > 0 && age->made_ns < age->arrival_ns ? age->arrival_ns - age->made_ns : 0;
        uint64_t limit = max_age_ms * MILLISECOND_NS;

        limit = limit > old_ns ? limit - old_ns : 0;
        left = limit < left ? limit : left;
    }
    return left;
}
