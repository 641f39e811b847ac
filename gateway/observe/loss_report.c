/* loss_report.c: when a channel begins and ceases to lose messages. See loss_report.h. */
#include "observe/loss_report.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shm/counters.h"

#define CHECK_MS 1000  /* between two looks at the counters while messages are being lost */
#define QUIET_MS 60000 /* without a loss until a channel counts as well again */

/* What to do about each reason, for the one who reads the log. */
static const char *const advice[LAYOUT_DROP_REASONS] = {
    [LAYOUT_DROP_OVERWRITTEN] = "the ring was full: raise slots, or set overflow = reject",
    [LAYOUT_DROP_TOO_LARGE] = "the payload was larger than the channel allows: raise max_payload",
    [LAYOUT_DROP_TOPIC_TOO_LONG] = "the topic was longer than the channel keeps: raise topic_max",
    [LAYOUT_DROP_REFUSED] = "the broker refused the message: check its access rules and limits",
    [LAYOUT_DROP_CORRUPT] = "the slot was damaged: a process with access to the segment writes where it should not",
    [LAYOUT_DROP_SPOOL_SIZE] = "the spool was full: raise max_size",
    [LAYOUT_DROP_SPOOL_AGE] = "the message was too old: raise max_age",
    [LAYOUT_DROP_SPOOL_FAILED] = "they were in a spool that was damaged or removed: look at its disk",
    [LAYOUT_DROP_EXPIRED] = "the message was too old when it arrived",
    [LAYOUT_DROP_RATE] = "more messages arrived than the channel allows",
};

struct channel {
    uint64_t dropped[LAYOUT_DROP_SPACE];
    uint64_t last_loss_ms;
    int losing;
};

struct loss_report {
    const struct segment *segment;
    struct channel *channels;
    int suspected;
    unsigned losing; /* channels that are losing */
    uint64_t next_check_ms;
};

int loss_report_create(struct loss_report **out, const struct segment *segment)
{
    struct loss_report *losses = calloc(1, sizeof(*losses));

    *out = NULL;
    if (!losses)
        return -ENOMEM;
    losses->segment = segment;
    losses->channels = calloc(segment->layout.channel_count, sizeof(losses->channels[0]));
    if (!losses->channels) {
        free(losses);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < segment->layout.channel_count; i++) {
        struct shared_memory_counters counters;

        counters_collect(segment, i, &counters);
        memcpy(losses->channels[i].dropped, counters.dropped, sizeof(counters.dropped));
    }
    *out = losses;
    return 0;
}

void loss_report_destroy(struct loss_report *losses)
{
    if (!losses)
        return;
    free(losses->channels);
    free(losses);
}

void loss_report_suspect(struct loss_report *losses)
{
    losses->suspected = 1;
}

__attribute__((format(printf, 3, 4))) static void tell(loss_report_line report, void *context, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    report(context, format, arguments);
    va_end(arguments);
}

static void check_channel(struct loss_report *losses, uint32_t index, uint64_t now_ms, loss_report_line report,
                          void *context)
{
    struct channel *channel = &losses->channels[index];
    struct shared_memory_counters counters;
    uint64_t total = 0;

    counters_collect(losses->segment, index, &counters);
    for (unsigned i = 0; i < LAYOUT_DROP_REASONS; i++) {
        uint64_t grown = counters.dropped[i] - channel->dropped[i];

        total += counters.dropped[i];
        if (grown == 0)
            continue;
        if (!channel->losing)
            tell(report, context, "losing messages: channel=%s reason=%s count=%llu: %s", counters.name,
                 layout_drop_name(i), (unsigned long long)grown, advice[i]);
        channel->last_loss_ms = now_ms;
    }
    memcpy(channel->dropped, counters.dropped, sizeof(counters.dropped));
    if (channel->last_loss_ms == now_ms && !channel->losing) {
        channel->losing = 1;
        losses->losing++;
    } else if (channel->losing && now_ms - channel->last_loss_ms >= QUIET_MS) {
        channel->losing = 0;
        losses->losing--;
        tell(report, context, "no message lost for %d s: channel=%s lost=%llu since the segment was made",
             QUIET_MS / 1000, counters.name, (unsigned long long)total);
    }
}

void loss_report_check(struct loss_report *losses, uint64_t now_ms, loss_report_line report, void *context)
{
    if ((!losses->suspected && losses->losing == 0) || now_ms < losses->next_check_ms)
        return;
    losses->suspected = 0;
    losses->next_check_ms = now_ms + CHECK_MS;
    for (uint32_t i = 0; i < losses->segment->layout.channel_count; i++)
        check_channel(losses, i, now_ms, report, context);
}

uint64_t loss_report_deadline_ms(const struct loss_report *losses)
{
    uint64_t deadline = UINT64_MAX;

    if (losses->suspected)
        return losses->next_check_ms;
    for (uint32_t i = 0; losses->losing > 0 && i < losses->segment->layout.channel_count; i++)
        if (losses->channels[i].losing && losses->channels[i].last_loss_ms + QUIET_MS < deadline)
            deadline = losses->channels[i].last_loss_ms + QUIET_MS;
    return deadline;
}
