/* top_draw.c: put a look at a segment on the screen: the head, and the page of all channels. See top_draw.h.
 *
 * Everything that comes from the segment goes through top_text_escape.
 */
#include "tool/top_draw.h"

#include <errno.h>
#include <ncurses.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tool/top_page.h"
#include "tool/top_text.h"

#define HEAD 4      /* lines above the first row */
#define NAME_MIN 14 /* columns of a channel's name; wide terminals give it more */
#define NAME_WIDE 28
#define NUMBERS 65 /* columns of what stands between name and message */
#define WIDE 120   /* columns from which the message stands in the channel's row, and not below it */
#define LINE_SIZE 512

static int trouble_attributes = A_BOLD;

void top_draw_begin(void)
{
    if (has_colors() && start_color() == OK && use_default_colors() == OK && init_pair(1, COLOR_RED, -1) == OK)
        trouble_attributes = A_BOLD | COLOR_PAIR(1);
}

int top_page_mood(int trouble)
{
    return trouble ? trouble_attributes : (int)A_NORMAL;
}

/* ---- Text ---- */

int top_page_put(int y, int x, int attributes, const char *format, ...)
{
    char text[LINE_SIZE];
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (length < 0 || y < 0 || y >= LINES || x >= COLS)
        return x;
    if (length > COLS - x)
        length = COLS - x;
    attrset(attributes);
    mvaddnstr(y, x, text, length);
    attrset(A_NORMAL);
    return x + length;
}

int top_page_put_foreign(int y, int x, int columns, int attributes, struct top_text_bytes bytes)
{
    wchar_t text[LINE_SIZE];

    if (columns > COLS - x)
        columns = COLS - x;
    if (columns <= 0 || y < 0 || y >= LINES)
        return x;
    columns = top_text_escape(text, LINE_SIZE, columns, bytes, NULL);
    attrset(attributes);
    mvaddwstr(y, x, text);
    attrset(A_NORMAL);
    return x + columns;
}

/* ---- The head ---- */

static uint64_t since(uint64_t now_ns, uint64_t then_ns)
{
    return then_ns == 0 || then_ns > now_ns ? 0 : now_ns - then_ns;
}

static void draw_title(const struct top_sample *sample, const struct top_view *view)
{
    time_t now = (time_t)(sample->time_ns / 1000000000);
    char right[64], clock[16] = "";
    struct tm tm;

    if (localtime_r(&now, &tm))
        strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
    snprintf(right, sizeof(right), "%s  every %gs  %s", view->paused ? "PAUSED" : "", view->interval_s, clock);
    top_page_put(0, 0, A_BOLD, "shmgate top  %s", view->segment);
    if ((int)strlen(right) < COLS)
        top_page_put(0, COLS - (int)strlen(right), view->paused ? A_BOLD : A_NORMAL, "%s", right);
}

static void draw_state(const struct top_sample *sample)
{
    const struct shared_memory_status *status = &sample->status;
    char span[TOP_TEXT_SIZE];
    int x;

    if (!sample->there) {
        top_page_put(1, 0, top_page_mood(1), "no segment; waiting for a gateway");
        return;
    }
    if (!status->gateway_alive) {
        top_page_put(1, 0, top_page_mood(1), "gateway  none runs; messages wait for the next one");
        return;
    }
    x = top_page_put(1, 0, A_NORMAL, "gateway  pid %u, for %s", status->gateway_pid,
                     top_text_span(span, since(sample->time_ns, status->gateway_start_ns)));
    x = top_page_put(1, x < 34 ? 38 : x + 4, A_NORMAL, "link  ");
    top_page_put(1, x, top_page_mood(!status->link_up), status->link_change_ns ? "%s for %s" : "%s",
                 status->link_up ? "up" : "down", top_text_span(span, since(sample->time_ns, status->link_change_ns)));
}

/* Sums over all channels. */
static void draw_sums(const struct top_sample *sample)
{
    double in = 0, out = 0;
    uint64_t queued = 0, spooled = 0, dropped = 0;
    char text[5][TOP_TEXT_SIZE], bytes[TOP_TEXT_SIZE];
    int fine, x;

    if (!sample->there)
        return;
    for (size_t i = 0; i < sample->channel_count; i++) {
        const struct top_channel *channel = &sample->channels[i];

        in = channel->rates.in < 0 || in < 0 ? TOP_UNKNOWN : in + channel->rates.in;
        out = channel->rates.out < 0 || out < 0 ? TOP_UNKNOWN : out + channel->rates.out;
        queued += channel->counters.queued;
        spooled += channel->counters.spooled;
        dropped += channel->dropped;
    }
    fine = strcmp(sample->status.spool_state, "ok") == 0 || strcmp(sample->status.spool_state, "off") == 0;
    x = top_page_put(2, 0, A_NORMAL, "spool  ");
    x = top_page_put(2, x, top_page_mood(!fine), "%s", sample->status.spool_state);
    if (strcmp(sample->status.spool_state, "off") != 0)
        x = top_page_put(2, x, A_NORMAL, " %s", top_text_bytes(bytes, sample->status.spool_bytes));
    top_page_put(2, x + 3, A_NORMAL, "in %s/s  out %s/s  queued %s  spooled %s  dropped %s", top_text_rate(text[0], in),
                 top_text_rate(text[1], out), top_text_count(text[2], queued), top_text_count(text[3], spooled),
                 top_text_count(text[4], dropped));
}

/* ---- The page of all channels ---- */

static int name_columns(void)
{
    return COLS >= WIDE ? NAME_WIDE : NAME_MIN;
}

static void draw_titles(const struct top_view *view)
{
    int x = top_page_put(HEAD - 1, 0, A_REVERSE, "%-*s %-3s %5s %5s %5s %4s %5s %5s %5s %9s %9s", name_columns(),
                         "CHANNEL", "DIR", "IN/s", "OUT/s", "QUEUE", "FILL", "SPOOL", "DROP", "DRP/s", "SEND ms",
                         "ACK ms");

    if (COLS >= WIDE && view->messages)
        x = top_page_put(HEAD - 1, x, A_REVERSE, "    AGE  NEWEST");
    if (x < COLS)
        top_page_put(HEAD - 1, x, A_REVERSE, "%*s", COLS - x, "");
}

/* Median and 99th percentile in milliseconds: "0.12/1.20". */
static const char *latency(char *out, size_t size, const uint32_t *us)
{
    char p50[TOP_TEXT_SIZE], p99[TOP_TEXT_SIZE];

    if (us[3] == 0)
        snprintf(out, size, "-");
    else
        snprintf(out, size, "%s/%s", top_text_ms(p50, us[0]), top_text_ms(p99, us[1]));
    return out;
}

static void draw_newest(int y, int x, const struct top_channel *channel, uint64_t now_ns)
{
    const struct top_newest *newest = &channel->newest;
    char span[TOP_TEXT_SIZE];

    if (!newest->there) {
        top_page_put(y, x, A_DIM, "%6s  no message", "-");
        return;
    }
    x = top_page_put(y, x, A_DIM, "%6s  ", top_text_span(span, since(now_ns, newest->time_ns)));
    if (channel->counters.is_subscribe) {
        x = top_page_put_foreign(y, x, COLS - x, A_DIM, (struct top_text_bytes){newest->topic, newest->topic_kept});
        x = top_page_put(y, x, A_DIM, ": ");
    }
    top_page_put_foreign(y, x, COLS - x, A_NORMAL, (struct top_text_bytes){newest->payload, newest->kept});
}

static void draw_channel(int y, const struct top_channel *channel, const struct top_view *view, uint64_t now_ns)
{
    const struct shared_memory_counters *counters = &channel->counters;
    int attributes = strcmp(counters->name, view->selected) == 0 ? A_REVERSE : A_NORMAL, x;
    char text[6][TOP_TEXT_SIZE], send[2 * TOP_TEXT_SIZE], ack[2 * TOP_TEXT_SIZE];

    x = top_page_put_foreign(y, 0, name_columns(), attributes,
                             (struct top_text_bytes){counters->name, strlen(counters->name)});
    x = top_page_put(y, x, attributes, "%*s %-3s %5s %5s %5s %3.0f%% %5s", name_columns() - x, "",
                     counters->is_subscribe ? "in" : "out", top_text_rate(text[0], channel->rates.in),
                     top_text_rate(text[1], channel->rates.out), top_text_count(text[2], counters->queued),
                     channel->fill * 100, top_text_count(text[3], counters->spooled));
    x = top_page_put(y, x, attributes | top_page_mood(channel->rates.dropped > 0), " %5s %5s",
                     top_text_count(text[4], channel->dropped), top_text_rate(text[5], channel->rates.dropped));
    x = top_page_put(y, x, attributes, " %9s %9s", latency(send, sizeof(send), channel->gauges.write_to_send_us),
                     latency(ack, sizeof(ack), channel->gauges.send_to_ack_us));
    if (!view->messages)
        return;
    if (COLS >= WIDE)
        draw_newest(y, x + 1, channel, now_ns);
    else
        draw_newest(y + 1, 2, channel, now_ns);
}

/* Where the selected channel stands in the order; the first when it is gone. */
static size_t find_selected(const struct top_sample *sample, const struct top_view *view, const size_t *order)
{
    for (size_t i = 0; i < sample->channel_count; i++)
        if (strcmp(sample->channels[order[i]].counters.name, view->selected) == 0)
            return i;
    return 0;
}

static size_t moved(size_t from, int by, size_t count)
{
    if (count == 0 || (by < 0 && (size_t)-(long)by >= from))
        return 0;
    from = by < 0 ? from - (size_t)-(long)by : from + (size_t)by;
    return from < count ? from : count - 1;
}

static int draw_channels(const struct top_sample *sample, struct top_view *view)
{
    int lines = view->messages && COLS < WIDE ? 2 : 1, room = LINES - HEAD - 1;
    size_t rows = room >= lines ? (size_t)(room / lines) : 1, selected;
    size_t *order = calloc(sample->channel_count + 1, sizeof(*order));

    if (!order)
        return -ENOMEM;
    top_sample_sort(sample, view->order, order);
    selected = moved(view->follow ? find_selected(sample, view, order) : 0, view->move, sample->channel_count);
    if (view->move != 0)
        view->follow = selected > 0;
    view->move = 0;
    if (sample->channel_count > 0)
        memcpy(view->selected, sample->channels[order[selected]].counters.name, sizeof(view->selected));
    if (view->first + rows > sample->channel_count)
        view->first = sample->channel_count > rows ? sample->channel_count - rows : 0;
    if (selected < view->first)
        view->first = selected;
    if (selected >= view->first + rows)
        view->first = selected - rows + 1;
    draw_titles(view);
    for (size_t i = 0; i < rows && view->first + i < sample->channel_count; i++)
        draw_channel(HEAD + (int)i * lines, &sample->channels[order[view->first + i]], view, sample->time_ns);
    if (sample->channel_count > rows)
        top_page_put(LINES - 1, COLS > 14 ? COLS - 14 : 0, A_NORMAL, "%6zu of %zu", selected + 1,
                     sample->channel_count);
    free(order);
    return 0;
}

/* ---- The whole ---- */

static void draw_foot(const struct top_view *view)
{
    static const char *const orders[TOP_ORDERS] = {"gateway.ini", "name", "in/s", "queue", "dropped"};

    if (view->page == TOP_PAGE_CHANNELS)
        top_page_put(LINES - 1, 0, A_NORMAL, "q quit  ? help  p pause  s sort: %s  Enter details", orders[view->order]);
    else
        top_page_put(LINES - 1, 0, A_NORMAL, "q back  up/down scroll  p pause");
}

int top_draw(const struct top_sample *sample, struct top_view *view)
{
    int rc = 0;

    erase();
    draw_title(sample, view);
    draw_state(sample);
    draw_sums(sample);
    if (view->page == TOP_PAGE_HELP)
        top_page_help(view, HEAD);
    else if (!sample->there)
        top_page_put_foreign(HEAD, 0, COLS, A_NORMAL, (struct top_text_bytes){sample->reason, strlen(sample->reason)});
    else if (view->page == TOP_PAGE_CHANNEL)
        top_page_channel(sample, view, HEAD);
    else
        rc = draw_channels(sample, view);
    draw_foot(view);
    wnoutrefresh(stdscr);
    doupdate();
    return rc;
}
