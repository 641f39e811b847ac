/* utf8.c: decode UTF-8 strictly, and show bytes of unknown origin as one harmless line of text. */
#include "base/utf8.h"

#include <stdio.h>
#include <string.h>

size_t utf8_decode(const char *bytes, size_t size, uint32_t *code)
{
    /* The least code point that needs the given number of bytes: anything below is an overlong form. */
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length;
    uint32_t value;
    unsigned char first;

    if (size == 0)
        return 0;
    first = (unsigned char)bytes[0];
    if (first < 0x80) {
        *code = first;
        return 1;
    }
    if (first >= 0xc0 && first < 0xe0)
        length = 2;
    else if (first >= 0xe0 && first < 0xf0)
        length = 3;
    else if (first >= 0xf0 && first < 0xf8)
        length = 4;
    else
        return 0;
    if (length > size)
        return 0;
    value = first & (0xffu >> (length + 1));
    for (size_t i = 1; i < length; i++) {
        unsigned char next = (unsigned char)bytes[i];
        if ((next & 0xc0) != 0x80)
            return 0;
        value = value << 6 | (next & 0x3f);
    }
    if (value < least[length] || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
        return 0;
    *code = value;
    return length;
}

int utf8_is_control(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code <= 0x9f) || code == 0x2028 || code == 0x2029;
}

size_t utf8_escape(char *out, size_t out_size, const char *text, size_t size)
{
    size_t used = 0, mark = 0; /* `mark` is the last place from where "..." and the NUL still fit */
    size_t at = 0;

    while (at < size) {
        uint32_t code = 0;
        size_t length = utf8_decode(text + at, size - at, &code);
        int plain = length > 0 && !utf8_is_control(code);
        size_t taken = length > 0 ? length : 1;
        size_t needed = plain ? length : 4 * taken;

        if (used + 4 <= out_size)
            mark = used;
        if (used + needed + 1 > out_size) {
            memcpy(out + mark, "...", 4);
            return mark + 3;
        }
        if (plain) {
            memcpy(out + used, text + at, length);
        } else {
            for (size_t i = 0; i < taken; i++)
                snprintf(out + used + 4 * i, out_size - used - 4 * i, "\\x%02x", (unsigned char)text[at + i]);
        }
        used += needed;
        at += taken;
    }
    out[used] = '\0';
    return used;
}
