/* top_text.h: numbers and foreign bytes as short pieces of text for a terminal. No allocation, no state but the
 * locale's character set. */
#ifndef SHMGATE_TOP_TEXT_H
#define SHMGATE_TOP_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include <wchar.h>

#define TOP_TEXT_SIZE 24 /* holds each of the texts below with its NUL */

/* A count in at most 5 columns: "0", "99999", "123k", "45.6M". Returns `out`, as all of these do. */
const char *top_text_count(char *out, uint64_t count);

/* A rate in at most 5 columns: "0", "9.5", "12345", "1.23M"; "-" when it is below 0. */
const char *top_text_rate(char *out, double rate);

/* Bytes: "512", "24.0K", "1.5G"; at most 6 columns. */
const char *top_text_bytes(char *out, uint64_t bytes);

/* Microseconds as milliseconds in at most 4 columns: "0.02", "12.5", "1234", "99s", "9h"; "0" is not measured. */
const char *top_text_ms(char *out, uint32_t us);

/* A time span: "0.4s", "12s", "5m03s", "3h12m", "4d05h"; at most 6 columns. */
const char *top_text_span(char *out, uint64_t ns);

/* Bytes of unknown origin. */
struct top_text_bytes {
    const char *bytes;
    size_t size;
};

/* Turn such bytes into characters that a terminal only shows: control characters, what the locale cannot
 * show and what is not a character in it become \xNN; a sequence that does not fit into `columns` as a whole is left
 * out, with all behind it. `out` has room for `out_size` characters, of which one is the NUL; `*taken`, if wanted, gets
 * the number of bytes that were turned. Returns the columns used. */
int top_text_escape(wchar_t *out, size_t out_size, int columns, struct top_text_bytes bytes, size_t *taken);

#endif
