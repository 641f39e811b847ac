/* top_page.h: what top_draw.c and top_page.c share, and nobody else calls: text on the screen, and the pages behind the
 * first. */
#ifndef SHMGATE_TOP_PAGE_H
#define SHMGATE_TOP_PAGE_H

#include "tool/top_draw.h"
#include "tool/top_text.h"

/* Put text at a place, cut at the screen's edge. Returns the column behind it. The arguments come from this program:
 * foreign bytes go through top_page_put_foreign, which makes them harmless and takes `columns` at most. */
int top_page_put(int y, int x, int attributes, const char *format, ...) __attribute__((format(printf, 4, 5)));
int top_page_put_foreign(int y, int x, int columns, int attributes, struct top_text_bytes bytes);

/* Attributes of what is well (0), or not. */
int top_page_mood(int trouble);

/* One channel in detail, and the keys; from line `top` to the last but one. */
void top_page_channel(const struct top_sample *sample, struct top_view *view, int top);
void top_page_help(struct top_view *view, int top);

#endif
