/* top_text.c: numbers and foreign bytes as short pieces of text for a terminal. See top_text.h. */
#include "tool/top_text.h"

#include <stdio.h>
#include <string.h>
#include <wctype.h>

/* Three digits and a unit: 1.23k, 45.6M, 789G. `step` from unit to unit. */
static const char *scale(char *out, double value, double step, const char *units)
{
    while (value >= 999.5 && units[1] != '\0') {
        value /= step;
        units++;
    }
    snprintf(out, TOP_TEXT_SIZE, "%.*f%c",
             value < 9.995   ? 2
             : value < 99.95 ? 1
                             : 0,
             value < 99999 ? value : 99999, *units);
    return out;
}

const char *top_text_count(char *out, uint64_t count)
{
    if (count < 100000) {
        snprintf(out, TOP_TEXT_SIZE, "%u", (unsigned)count);
        return out;
    }
    return scale(out, (double)count / 1000, 1000, "kMGTPE");
}

const char *top_text_rate(char *out, double rate)
{
    if (rate < 0)
        snprintf(out, TOP_TEXT_SIZE, "-");
    else if (rate < 0.05)
        snprintf(out, TOP_TEXT_SIZE, "0");
    else if (rate < 9.95)
        snprintf(out, TOP_TEXT_SIZE, "%.1f", rate);
    else if (rate < 99999.5)
        snprintf(out, TOP_TEXT_SIZE, "%.0f", rate);
    else
        scale(out, rate / 1000, 1000, "kMGTPE");
    return out;
}

const char *top_text_bytes(char *out, uint64_t bytes)
{
    if (bytes < 1024) {
        snprintf(out, TOP_TEXT_SIZE, "%u", (unsigned)bytes);
        return out;
    }
    return scale(out, (double)bytes / 1024, 1024, "KMGTPE");
}

const char *top_text_ms(char *out, uint32_t us)
{
    double ms = us / 1000.0;

    if (us == 0)
        snprintf(out, TOP_TEXT_SIZE, "-");
    else if (ms < 9.995)
        snprintf(out, TOP_TEXT_SIZE, "%.2f", ms);
    else if (ms < 99.95)
        snprintf(out, TOP_TEXT_SIZE, "%.1f", ms);
    else if (ms < 9999.5)
        snprintf(out, TOP_TEXT_SIZE, "%.0f", ms);
    else if (ms < 1e6)
        snprintf(out, TOP_TEXT_SIZE, "%.0fs", ms / 1000);
    else
        snprintf(out, TOP_TEXT_SIZE, "%.0fm", ms / 60000);
    return out;
}

const char *top_text_span(char *out, uint64_t ns)
{
    unsigned long long seconds = ns / 1000000000, tenths = ns / 100000000;

    if (seconds < 10)
        snprintf(out, TOP_TEXT_SIZE, "%.1fs", (double)tenths / 10);
    else if (seconds < 60)
        snprintf(out, TOP_TEXT_SIZE, "%llus", seconds);
    else if (seconds < 3600)
        snprintf(out, TOP_TEXT_SIZE, "%llum%02llus", seconds / 60, seconds % 60);
    else if (seconds < 86400)
        snprintf(out, TOP_TEXT_SIZE, "%lluh%02llum", seconds / 3600, seconds / 60 % 60);
    else if (seconds < 100 * 86400)
        snprintf(out, TOP_TEXT_SIZE, "%llud%02lluh", seconds / 86400, seconds / 3600 % 24);
    else
        snprintf(out, TOP_TEXT_SIZE, "%llud", seconds / 86400);
    return out;
}

/* The character at the start of `bytes`: its length, and its columns; 0 when a terminal must not get it. A character
 * without a width of its own may turn round or cover what stands beside it. */
static size_t character(const char *bytes, size_t size, wchar_t *shown, int *columns)
{
    mbstate_t state = {0};
    size_t length = mbrtowc(shown, bytes, size, &state);

    if (length == 0 || length > size || !iswprint((wint_t)*shown))
        return 0;
    *columns = wcwidth(*shown);
    return *columns > 0 ? length : 0;
}

int top_text_escape(wchar_t *out, size_t out_size, int columns, struct top_text_bytes bytes, size_t *taken)
{
    size_t used = 0, from = 0;
    int filled = 0;

    while (from < bytes.size) {
        wchar_t shown[5] = L"";
        int width = 1;
        size_t length = character(bytes.bytes + from, bytes.size - from, shown, &width), count = 1;

        if (length == 0) {
            swprintf(shown, 5, L"\\x%02x", (unsigned char)bytes.bytes[from]);
            length = 1;
            count = 4;
            width = 4;
        }
        if (filled + width > columns || used + count >= out_size)
            break;
        wmemcpy(out + used, shown, count);
        used += count;
        filled += width;
        from += length;
    }
    out[used] = L'\0';
    if (taken)
        *taken = from;
    return filled;
}
