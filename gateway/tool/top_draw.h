/* top_draw.h: put a look at a segment on the screen. */
#ifndef SHMGATE_TOP_DRAW_H
#define SHMGATE_TOP_DRAW_H

#include "tool/top_sample.h"

enum top_page { TOP_PAGE_CHANNELS, TOP_PAGE_CHANNEL, TOP_PAGE_HELP };

/* What the person at the terminal has chosen. */
struct top_view {
    const char *segment;
    double interval_s;
    enum top_page page;
    enum top_order order;
    int paused;
    int messages;      /* 1: the newest messages are shown */
    char selected[64]; /* name of a channel */
    int follow;        /* 1: it was chosen, and stays so when the order changes; 0: it is the first row's */
    int move;          /* rows that the selection or the page is to move by; done by the next drawing */
    size_t first;      /* row of the channels' page that stands at the top */
    size_t line;       /* line of the other pages that stands at the top */
};

/* Prepare colours and attributes; after the terminal has been taken. */
void top_draw_begin(void);

/* Draw everything; what has changed on the screen is sent, and nothing else. view->selected and the scroll positions
 * are brought to what there is. Returns 0; -ENOMEM. */
int top_draw(const struct top_sample *sample, struct top_view *view);

#endif
