/* limit.c: until when a call may wait. */
#include "limit.h"

#include <math.h>
#include <stdio.h>
#include <time.h>

#define NANOSECONDS 1e9
#define LONGEST_SECONDS 1e9 /* some 30 years: whoever gives more means for ever */

static uint64_t monotonic_ns(void)
{
    struct timespec now;

    /* Cannot fail for this clock, clock_gettime(2). */
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

int limit_from(struct limit *limit, PyObject *timeout)
{
    double seconds = -1;

    if (timeout && timeout != Py_None) {
        seconds = PyFloat_AsDouble(timeout);
        if (seconds == -1.0 && PyErr_Occurred())
            return -1;
        if (isnan(seconds) || seconds < 0) {
            PyErr_SetString(PyExc_ValueError, "timeout: expected None or seconds from 0 up");
            return -1;
        }
    }
    limit->seconds = seconds > LONGEST_SECONDS ? -1 : seconds;
    limit->end_ns = limit->seconds > 0 ? monotonic_ns() + (uint64_t)(limit->seconds * NANOSECONDS) : 0;
    return 0;
}

int limit_slice_ms(const struct limit *limit, int most_ms)
{
    uint64_t now_ns, left_ms;

    if (limit->seconds < 0)
        return most_ms;
    if (limit->seconds == 0 || (now_ns = monotonic_ns()) >= limit->end_ns)
        return 0;
    left_ms = (limit->end_ns - now_ns + 999999) / 1000000;
    return left_ms < (uint64_t)most_ms ? (int)left_ms : most_ms;
}

const char *limit_text(const struct limit *limit, char text[LIMIT_TEXT_SIZE])
{
    snprintf(text, LIMIT_TEXT_SIZE, "%.6g s", limit->seconds);
    return text;
}
