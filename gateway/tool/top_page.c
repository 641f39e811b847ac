/* top_page.c: the pages behind the first: one channel in detail, and the keys. See top_page.h. */
#include "tool/top_page.h"

#include <ncurses.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tool/top_text.h"

#define LINE_SIZE 256

/* A text that is longer than the screen, as it is written line by line. */
struct page {
    int top, height;
    size_t first, line; /* shown at the top; to be written next */
};

/* Where the next line goes, or -1: nowhere. */
static int next_line(struct page *page)
{
    size_t line = page->line++;

    return line < page->first || line >= page->first + (size_t)page->height ? -1
                                                                            : page->top + (int)(line - page->first);
}

__attribute__((format(printf, 3, 4))) static void say(struct page *page, int attributes, const char *format, ...)
{
    char text[LINE_SIZE];
    va_list arguments;
    int y = next_line(page);

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (y >= 0)
        top_page_put(y, 0, attributes, "%s", text);
}

static void say_foreign(struct page *page, const char *title, const char *bytes, size_t size)
{
    int y = next_line(page);

    if (y >= 0)
        top_page_put_foreign(y, top_page_put(y, 0, A_NORMAL, "%s", title), COLS, A_NORMAL,
                             (struct top_text_bytes){bytes, size});
}

/* Bring view->line to what there is, and scroll. The length of the text is that of the last drawing; it hardly changes.
 */
static struct page page_begin(struct top_view *view, int top)
{
    struct page page = {.top = top, .height = LINES - top - 1};

    if (view->move < 0)
        view->line = view->line > (size_t)-view->move ? view->line - (size_t)-view->move : 0;
    else
        view->line += (size_t)view->move;
    view->move = 0;
    page.first = view->line;
    return page;
}

/* At the end of a text: whether it was scrolled too far, so that it must be written again. */
static int too_far(struct page *page, struct top_view *view)
{
    size_t height = page->height > 0 ? (size_t)page->height : 1, last = page->line > height ? page->line - height : 0;

    if (view->line <= last)
        return 0;
    view->line = page->first = last;
    page->line = 0;
    return 1;
}

/* ---- One channel ---- */

static void say_counts(struct page *page, const struct top_channel *channel)
{
    const struct shared_memory_counters *counters = &channel->counters;
    char text[TOP_TEXT_SIZE];

    say(page, A_NORMAL, "written   %14llu %6s/s    queued   %14llu  %.0f%% of the ring",
        (unsigned long long)counters->written, top_text_rate(text, channel->rates.in),
        (unsigned long long)counters->queued, channel->fill * 100);
    say(page, A_NORMAL, "delivered %14llu %6s/s    spooled  %14llu", (unsigned long long)counters->delivered,
        top_text_rate(text, channel->rates.out), (unsigned long long)counters->spooled);
    say(page, A_NORMAL, "dropped   %14llu %6s/s    rejected %14llu  not written", (unsigned long long)channel->dropped,
        top_text_rate(text, channel->rates.dropped), (unsigned long long)counters->rejected);
    for (unsigned i = 0; i < SHARED_MEMORY_DROP_REASONS; i++)
        if (counters->dropped[i] > 0)
            say(page, top_page_mood(1), "  %-14s%8llu", shared_memory_drop_name(i),
                (unsigned long long)counters->dropped[i]);
}

static void say_latency(struct page *page, const char *what, const uint32_t *us)
{
    char text[4][TOP_TEXT_SIZE];

    say(page, A_NORMAL, "%-28s %8s %8s %8s %8s", what, top_text_ms(text[0], us[0]), top_text_ms(text[1], us[1]),
        top_text_ms(text[2], us[2]), top_text_ms(text[3], us[3]));
}

static void say_lanes(struct page *page, const struct top_sample *sample, const struct top_channel *channel)
{
    if (strcmp(sample->lanes_of, channel->counters.name) != 0)
        return;
    say(page, A_BOLD, "%4s %-6s %9s %6s %9s %7s %5s %7s %8s %7s", "lane", "writer", "written", "in/s", "delivered",
        "queued", "fill", "spooled", "rejected", "dropped");
    for (size_t i = 0; i < sample->lane_count; i++) {
        const struct top_lane *lane = &sample->lanes[i];
        char text[7][TOP_TEXT_SIZE];
        double fill = channel->gauges.slots > 0 ? 100.0 * (double)lane->counters.queued / channel->gauges.slots : 0;

        say(page, top_page_mood(lane->rates.dropped > 0), "%4zu %-6s %9s %6s %9s %7s %4.0f%% %7s %8s %7s", i,
            lane->has_writer ? "yes" : "-", top_text_count(text[0], lane->counters.written),
            top_text_rate(text[1], lane->rates.in), top_text_count(text[2], lane->counters.delivered),
            top_text_count(text[3], lane->counters.queued), fill, top_text_count(text[4], lane->counters.spooled),
            top_text_count(text[5], lane->counters.rejected), top_text_count(text[6], lane->dropped));
    }
    say(page, A_NORMAL, "%s", "");
}

/* As many lines as the kept part of the message needs. */
static void say_newest(struct page *page, const struct top_newest *newest, int with_topic)
{
    wchar_t text[LINE_SIZE * 4];

    if (!newest->there) {
        say(page, A_BOLD, "newest message: none");
        return;
    }
    say(page, A_BOLD, "newest message: lane %u, number %llu, %zu bytes", newest->lane,
        (unsigned long long)newest->sequence, newest->size);
    if (with_topic)
        say_foreign(page, "  topic ", newest->topic, newest->topic_kept);
    for (size_t from = 0, taken = 1; from < newest->kept && taken > 0; from += taken) {
        int y = next_line(page);

        top_text_escape(text, sizeof(text) / sizeof(text[0]), COLS - 2,
                        (struct top_text_bytes){newest->payload + from, newest->kept - from}, &taken);
        if (y >= 0)
            mvaddwstr(y, 2, text);
    }
    if (newest->kept < newest->size)
        say(page, A_DIM, "  ... and %zu bytes more", newest->size - newest->kept);
}

static void say_channel(struct page *page, const struct top_sample *sample, const struct top_channel *channel)
{
    const struct shared_memory_gauges *gauges = &channel->gauges;

    say(page, A_BOLD, "%s  %s, QoS %u%s, %u lane%s of %u slots of %u bytes", channel->counters.name,
        channel->counters.is_subscribe ? "subscribe" : "publish", gauges->qos, gauges->retain ? ", retained" : "",
        gauges->lanes, gauges->lanes == 1 ? "" : "s", gauges->slots, gauges->max_payload);
    say_foreign(page, "topic  ", channel->topic, strlen(channel->topic));
    say(page, A_NORMAL, "%s", "");
    say_counts(page, channel);
    say(page, A_NORMAL, "%s", "");
    if (!channel->counters.is_subscribe) {
        say(page, A_BOLD, "%-28s %8s %8s %8s %8s", "latency in ms, last minute", "p50", "p99", "p99.9", "max");
        say_latency(page, "write to send", gauges->write_to_send_us);
        say_latency(page, "send to acknowledgement", gauges->send_to_ack_us);
        say(page, A_NORMAL, "%s", "");
    }
    say_lanes(page, sample, channel);
    say_newest(page, &channel->newest, channel->counters.is_subscribe);
}

void top_page_channel(const struct top_sample *sample, struct top_view *view, int top)
{
    struct page page = page_begin(view, top);
    size_t i = 0;

    while (i < sample->channel_count && strcmp(sample->channels[i].counters.name, view->selected) != 0)
        i++;
    if (i == sample->channel_count) {
        say(&page, A_NORMAL, "the channel is gone");
        return;
    }
    say_channel(&page, sample, &sample->channels[i]);
    if (!too_far(&page, view))
        return;
    move(top, 0);
    clrtobot();
    say_channel(&page, sample, &sample->channels[i]);
}

/* ---- The keys ---- */

void top_page_help(struct top_view *view, int top)
{
    static const char *const lines[] = {
        "up, down, PgUp, PgDn, Home, End   choose a channel, or scroll",
        "Enter                             the chosen channel in detail, and back",
        "s                                 sort: gateway.ini, name, in/s, queue, dropped",
        "m                                 show or hide the newest messages",
        "p, Space                          pause: look no more until the next p",
        "?, h                              this page",
        "q, Esc                            back; on the first page q quits",
        "",
        "IN/s     messages a second that came: written, or arrived from the broker",
        "OUT/s    that went: acknowledged by the broker (QoS 0: handed to the socket),",
        "         or put into the ring for readers",
        "QUEUE    in the ring, and FILL how much of the channel's rings that is",
        "SPOOL    on disk          DROP, DRP/s  lost, for the reasons on the detail page",
        "SEND ms  from the write to the socket, ACK ms from there to the acknowledgement:",
        "         median / 99th percentile of the last minute or so",
        "Under each channel: how old its newest message is, and how it begins.",
        "Nothing here changes the segment, which is mapped read-only.",
    };
    struct page page = page_begin(view, top);

    do {
        move(top, 0);
        clrtobot();
        for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
            say(&page, A_NORMAL, "%s", lines[i]);
    } while (too_far(&page, view));
}
