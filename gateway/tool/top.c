/* top.c: shmgate top: look at a segment at an interval, draw, and obey the keys. */
#include <curses.h>
#include <errno.h>
#include <locale.h>
#include <string.h>
#include <time.h>

#include "tool/tool.h"
#include "tool/top_draw.h"
#include "tool/top_sample.h"
#include "tool/top_terminal.h"

#define SECOND_NS 1000000000ULL
#define FIRST_NS (SECOND_NS / 4) /* until the second look, which gives the first rates */
#define PAGE_ROWS 8              /* moved by PgUp and PgDn; fewer than the rows of the smallest screen that is of use */
#define ALL_ROWS 1000000         /* more than there are */

static unsigned long long now_ns(void)
{
    struct timespec now = {0};

    /* The clock always exists. */
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (unsigned long long)now.tv_sec * SECOND_NS + (unsigned long long)now.tv_nsec;
}

static void turn_to(struct top_view *view, enum top_page page)
{
    view->page = page;
    view->line = 0;
}

/* Move by a key. Returns 0 when it is not one of those. */
static int movement(int key)
{
    switch (key) {
    case KEY_UP:
    case 'k':
        return -1;
    case KEY_DOWN:
    case 'j':
        return 1;
    case KEY_PPAGE:
        return -PAGE_ROWS;
    case KEY_NPAGE:
        return PAGE_ROWS;
    case KEY_HOME:
        return -ALL_ROWS;
    case KEY_END:
        return ALL_ROWS;
    default:
        return 0;
    }
}

/* Returns whether that was the last key. */
static int obey(struct top_view *view, int key)
{
    view->move = movement(key);
    switch (key) {
    case 'q':
    case 'Q':
    case 27: /* Esc */
        if (view->page == TOP_PAGE_CHANNELS)
            return key != 27;
        turn_to(view, TOP_PAGE_CHANNELS);
        break;
    case '?':
    case 'h':
        turn_to(view, view->page == TOP_PAGE_HELP ? TOP_PAGE_CHANNELS : TOP_PAGE_HELP);
        break;
    case '\r':
    case '\n':
    case KEY_ENTER:
        turn_to(view, view->page == TOP_PAGE_CHANNELS ? TOP_PAGE_CHANNEL : TOP_PAGE_CHANNELS);
        break;
    case 'p':
    case ' ':
        view->paused = !view->paused;
        break;
    case 'm':
        view->messages = !view->messages;
        break;
    case 's':
        if (view->page != TOP_PAGE_CHANNELS)
            break;
        view->order = (view->order + 1) % TOP_ORDERS;
        view->follow = 0;
        break;
    case 12: /* Ctrl-L: something else has written on the screen */
        clearok(curscr, TRUE);
        break;
    default:
        break;
    }
    return 0;
}

/* Look, draw and obey until somebody wants the end. Returns 0; -ENOMEM. */
static int run(struct top_source *source, struct top_view *view)
{
    unsigned long long interval_ns = (unsigned long long)(view->interval_s * (double)SECOND_NS), due_ns = now_ns();
    int looks = 0, key, rc = 0;

    while (rc == 0) {
        if (!view->paused && now_ns() >= due_ns) {
            if ((rc = top_source_look(source, view->selected)) < 0)
                return rc;
            due_ns = now_ns() + (looks++ == 0 && FIRST_NS < interval_ns ? FIRST_NS : interval_ns);
        }
        if ((rc = top_draw(&source->now, view)) < 0)
            return rc;
        key = top_terminal_key(view->paused ? now_ns() + SECOND_NS : due_ns);
        if (key == TOP_TERMINAL_END || obey(view, key))
            return 0;
    }
    return rc;
}

int top_run(const struct tool_options *options)
{
    struct top_view view = {.segment = options->segment, .interval_s = options->interval_s, .messages = 1};
    struct top_source source;
    struct reason reason;
    int rc;

    setlocale(LC_ALL, "");
    if (top_source_open(&source, options->segment) < 0)
        return tool_fail(options, "%s", shared_memory_error());
    if (top_terminal_begin(&reason) < 0) {
        top_source_close(&source);
        return tool_fail(options, "%s", reason.text);
    }
    top_draw_begin();
    rc = run(&source, &view);
    top_terminal_end();
    top_source_close(&source);
    return rc < 0 ? tool_fail(options, "%s", strerror(-rc)) : TOOL_DONE;
}
