/* utf8.h: decode UTF-8 strictly, and show bytes of unknown origin as one harmless line of text.
 *
 * libc only; no allocation, no state: any thread may call it, and nothing here blocks.
 */
#ifndef SHMGATE_UTF8_H
#define SHMGATE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Decode the character at the start of `bytes`. Returns its length, 1 to 4 bytes, with its code point in *code; 0
 * when `size` is 0 or the bytes are not well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing above
 * U+10FFFF). */
size_t utf8_decode(const char *bytes, size_t size, uint32_t *code);

/* Whether a code point is a control character: U+0000 to U+001F, U+007F to U+009F, and the line and paragraph
 * separators U+2028 and U+2029, which some viewers break lines at. */
int utf8_is_control(uint32_t code);

/* Copy `size` bytes of `text` into `out` of `out_size` bytes (at least 8), NUL-terminated. Control characters and
 * bytes that are not UTF-8 become \xNN, so that the result is one line of valid UTF-8; what does not fit is replaced
 * by "...".
 * Returns the bytes written without the NUL. */
size_t utf8_escape(char *out, size_t out_size, const char *text, size_t size);

#endif
