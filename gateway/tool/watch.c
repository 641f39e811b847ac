/* watch.c: shmgate stats --watch: the ledger again and again, with rates: for eyes on a terminal, or for a pipe. */
#include <errno.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "tool/tool.h"
#include "tool/top_sample.h"
#include "tool/top_text.h"

static volatile sig_atomic_t interrupted;

/* What was last written to a terminal, so that it can be written over. */
struct block {
    size_t lines; /* 0: nothing to write over */
    struct winsize size;
};

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

/* ---- The table ---- */

/* At least `pad` columns wide. */
static void print_foreign(FILE *out, int pad, const char *bytes, size_t size)
{
    wchar_t text[4 * TOP_TOPIC_BYTES + 1];
    int used = top_text_escape(text, sizeof(text) / sizeof(text[0]), 4 * TOP_TOPIC_BYTES,
                               (struct top_text_bytes){bytes, size}, NULL);

    fprintf(out, "%ls%*s", text, used < pad ? pad - used : 0, "");
}

static void print_head(FILE *out, const struct top_sample *sample, const char *segment)
{
    time_t now = (time_t)(sample->time_ns / 1000000000);
    char clock[32] = "", bytes[TOP_TEXT_SIZE];
    struct tm tm;

    if (gmtime_r(&now, &tm))
        strftime(clock, sizeof(clock), "%Y-%m-%dT%H:%M:%SZ", &tm);
    if (!sample->there)
        fprintf(out, "%s segment %s: there is none; waiting for a gateway\n", clock, segment);
    else if (!sample->status.gateway_alive)
        fprintf(out, "%s segment %s: no gateway runs; messages wait for the next one\n", clock, segment);
    else
        fprintf(out, "%s segment %s: served by a gateway, link %s, spool %s %s\n", clock, segment,
                sample->status.link_up ? "up" : "down", sample->status.spool_state,
                top_text_bytes(bytes, sample->status.spool_bytes));
}

static void print_table(FILE *out, const struct top_sample *sample, const char *segment)
{
    print_head(out, sample, segment);
    if (!sample->there)
        return;
    fprintf(out, "%-16s %-9s %8s %8s %8s %12s %12s %8s %8s %8s  %s\n", "channel", "direction", "in/s", "out/s",
            "drop/s", "written", "delivered", "queued", "spooled", "dropped", "topic");
    for (size_t i = 0; i < sample->channel_count; i++) {
        const struct top_channel *channel = &sample->channels[i];
        const struct shared_memory_counters *counters = &channel->counters;
        char in[TOP_TEXT_SIZE], went[TOP_TEXT_SIZE], dropped[TOP_TEXT_SIZE];

        print_foreign(out, 16, counters->name, strlen(counters->name));
        fprintf(out, " %-9s %8s %8s %8s %12llu %12llu %8llu %8llu %8llu  ",
                counters->is_subscribe ? "subscribe" : "publish", top_text_rate(in, channel->rates.in),
                top_text_rate(went, channel->rates.out), top_text_rate(dropped, channel->rates.dropped),
                (unsigned long long)counters->written, (unsigned long long)counters->delivered,
                (unsigned long long)counters->queued, (unsigned long long)counters->spooled,
                (unsigned long long)channel->dropped);
        print_foreign(out, 0, channel->topic, strlen(channel->topic));
        fputc('\n', out);
    }
}

/* ---- Where it goes ---- */

/* One line of a block, cut to the terminal's width, over what stood there. */
static void write_over(const char *line, size_t size, int columns)
{
    wchar_t text[4096];

    top_text_escape(text, sizeof(text) / sizeof(text[0]), columns, (struct top_text_bytes){line, size}, NULL);
    printf("%ls\033[K\n", text);
}

static size_t count_lines(const char *text)
{
    size_t lines = 0;

    while ((text = strchr(text, '\n')) != NULL) {
        lines++;
        text++;
    }
    return lines;
}

/* On a terminal the block takes the place of the one before it, as long as it fits and the window has stayed as it was:
 * then there is no flicker. */
static void show_on_terminal(struct block *before, const char *text)
{
    struct block now = {.lines = count_lines(text)};
    const char *end;

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &now.size) < 0 || now.size.ws_col < 20 || now.lines >= now.size.ws_row) {
        printf("%s\n", text);
        before->lines = 0;
        return;
    }
    if (before->lines > 0 && before->size.ws_col == now.size.ws_col && before->size.ws_row == now.size.ws_row)
        printf("\033[%zuA\r", before->lines);
    for (; (end = strchr(text, '\n')) != NULL; text = end + 1)
        write_over(text, (size_t)(end - text), now.size.ws_col);
    if (before->lines > now.lines)
        printf("\033[J");
    *before = now;
}

static int show_table(const struct tool_options *options, const struct top_source *source, struct block *before,
                      int terminal)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    if (!out)
        return tool_fail(options, "out of memory");
    print_table(out, &source->now, options->segment);
    if (fclose(out) != 0) {
        free(text);
        return tool_fail(options, "out of memory");
    }
    if (terminal)
        show_on_terminal(before, text);
    else
        printf("%s%s", before->lines++ > 0 ? "\n" : "", text);
    free(text);
    return TOOL_DONE;
}

/* The object of "stats --json", with the time in front. */
static int show_json(const struct tool_options *options, const struct top_source *source)
{
    unsigned long long ms = source->now.time_ns / 1000000;
    char *text;
    int rc;

    if (!source->now.there || !source->shm) {
        printf(
            "{\"time\": %llu.%03llu, \"segment\": \"%s\", \"gateway\": false, \"link\": \"down\", \"channels\": []}\n",
            ms / 1000, ms % 1000, options->segment);
        return TOOL_DONE;
    }
    if ((rc = stats_json(options, source->shm, &text)) != TOOL_DONE)
        return rc;
    printf("{\"time\": %llu.%03llu, %s\n", ms / 1000, ms % 1000, text + 1);
    free(text);
    return TOOL_DONE;
}

/* ---- The whole ---- */

static unsigned long long now_ns(void)
{
    struct timespec now = {0};

    /* The clock always exists. */
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (unsigned long long)now.tv_sec * 1000000000 + (unsigned long long)now.tv_nsec;
}

/* Wait until then, or for a signal. It is blocked between the look at the flag and the wait, so that it is not missed.
 */
static void wait_until(unsigned long long then_ns)
{
    unsigned long long now = now_ns(), left = then_ns > now ? then_ns - now : 0;
    struct timespec wait = {.tv_sec = (time_t)(left / 1000000000), .tv_nsec = (long)(left % 1000000000)};
    sigset_t blocked, before;

    sigemptyset(&blocked);
    sigaddset(&blocked, SIGINT);
    sigaddset(&blocked, SIGTERM);
    if (sigprocmask(SIG_BLOCK, &blocked, &before) < 0)
        return;
    if (!interrupted)
        ppoll(NULL, 0, &wait, &before);
    sigprocmask(SIG_SETMASK, &before, NULL);
}

static int watch_ledger(const struct tool_options *options, struct top_source *source)
{
    const char *term = getenv("TERM");
    int terminal = isatty(STDOUT_FILENO) && term && strcmp(term, "dumb") != 0, rc = TOOL_DONE;
    unsigned long long interval_ns = (unsigned long long)(options->interval_s * 1e9), due_ns = now_ns();
    struct block before = {0};

    while (rc == TOOL_DONE && !interrupted) {
        if (top_source_look(source, NULL) < 0)
            return tool_fail(options, "out of memory");
        rc = options->json ? show_json(options, source) : show_table(options, source, &before, terminal);
        if (rc != TOOL_DONE)
            break;
        if (fflush(stdout) != 0 || ferror(stdout))
            return errno == EPIPE || (errno == EINTR && interrupted)
                       ? TOOL_DONE
                       : tool_fail(options, "write standard output: %s", strerror(errno));
        /* At a steady pace; what was missed, say because the machine slept, is not made up for. */
        due_ns += interval_ns;
        if (due_ns < now_ns())
            due_ns = now_ns() + interval_ns;
        wait_until(due_ns);
    }
    return rc;
}

int watch_run(const struct tool_options *options)
{
    struct sigaction action = {.sa_handler = on_signal};
    struct top_source source;
    int rc;

    setlocale(LC_CTYPE, "");
    if (sigaction(SIGINT, &action, NULL) < 0 || sigaction(SIGTERM, &action, NULL) < 0)
        return tool_fail(options, "install signal handlers: %s", strerror(errno));
    if (top_source_open(&source, options->segment) < 0)
        return tool_fail(options, "%s", shared_memory_error());
    rc = watch_ledger(options, &source);
    top_source_close(&source);
    return rc;
}
