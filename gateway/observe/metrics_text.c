/* metrics_text.c: the counters of a segment as Prometheus text. See metrics_text.h.
 *
 * Names follow Prometheus' rules: a unit at the end, _total for what only grows. The counters live in the segment and
 * so outlast the gateway: a restart is no reset. Every drop reason is there from the start, with 0: an alert on rate()
 * sees the first loss too.
 */
#include "observe/metrics_text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "shm/counters.h"

#define NS_PER_MS 1000000
#define US_PER_S 1000000

static void put_header(FILE *out, const char *name, const char *type, const char *help)
{
    fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* A label's value, quoted: backslash, quote and line break are escaped, what is not UTF-8 becomes U+FFFD. */
static void put_quoted(FILE *out, const char *value)
{
    size_t left = strlen(value);

    fputc('"', out);
    while (left > 0) {
        uint32_t code;
        size_t length = utf8_decode(value, left, &code);

        if (length == 0)
            fputs("\xef\xbf\xbd", out);
        else if (code == '\n')
            fputs("\\n", out);
        else if (code == '"' || code == '\\')
            fprintf(out, "\\%c", (int)code);
        else
            fwrite(value, 1, length, out);
        length = length ? length : 1;
        value += length;
        left -= length;
    }
    fputc('"', out);
}

/* NAME{channel="...",direction="...", without the closing brace. */
static void put_channel(FILE *out, const char *name, const struct shared_memory_counters *counters)
{
    fprintf(out, "%s{channel=", name);
    put_quoted(out, counters->name);
    fprintf(out, ",direction=\"%s\"", counters->is_subscribe ? "subscribe" : "publish");
}

/* A family with one sample a channel. */
struct family {
    const char *name, *type, *help;
    size_t offset;
};

#define FIELD(member) offsetof(struct shared_memory_counters, member)
static const struct family families[] = {
    {"shmgate_messages_written_total", "counter",
     "Messages that programs wrote (publish) or that arrived from the broker (subscribe).", FIELD(written)},
    {"shmgate_messages_delivered_total", "counter",
     "Messages that the broker has confirmed (publish) or that were put into the ring (subscribe).", FIELD(delivered)},
    {"shmgate_writes_rejected_total", "counter",
     "Writes refused because the ring was full; not part of the messages written.", FIELD(rejected)},
    {"shmgate_messages_queued", "gauge", "Messages in the ring that are not delivered yet.", FIELD(queued)},
    {"shmgate_messages_spooled", "gauge", "Messages on disk that are not delivered yet.", FIELD(spooled)},
};

static void put_families(FILE *out, const struct shared_memory_counters *channels, uint32_t count)
{
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        const struct family *family = &families[i];

        put_header(out, family->name, family->type, family->help);
        for (uint32_t j = 0; j < count; j++) {
            uint64_t value;

            memcpy(&value, (const char *)&channels[j] + family->offset, sizeof(value));
            put_channel(out, family->name, &channels[j]);
            fprintf(out, "} %llu\n", (unsigned long long)value);
        }
    }
}

static void put_dropped(FILE *out, const struct shared_memory_counters *channels, uint32_t count)
{
    static const char name[] = "shmgate_messages_dropped_total";

    put_header(out, name, "counter", "Messages that were lost, by reason.");
    for (uint32_t i = 0; i < count; i++)
        for (unsigned reason = 0; reason < SHARED_MEMORY_DROP_REASONS; reason++) {
            put_channel(out, name, &channels[i]);
            fprintf(out, ",reason=\"%s\"} %llu\n", shared_memory_drop_name(reason),
                    (unsigned long long)channels[i].dropped[reason]);
        }
}

/* Of publish channels that had messages in the last minute or so. The greatest is the quantile 1. */
static void put_latency(FILE *out, const struct segment *segment, const struct shared_memory_counters *channels,
                        uint32_t count)
{
    static const char name[] = "shmgate_latency_seconds";
    static const char *const stages[2] = {"write_to_send", "send_to_ack"}, *const quantiles[4] = {"0.5", "0.99",
                                                                                                  "0.999", "1"};
    uint32_t us[LAYOUT_LATENCIES];

    put_header(out, name, "summary",
               "How long messages of the last minute took, from the write to the socket and from there to the "
               "acknowledgement.");
    for (uint32_t i = 0; i < count; i++) {
        ring_latency(segment_channel(segment, i), us);
        /* An answer takes some microseconds at least: maxima of 0 mean that there was no message. */
        if (channels[i].is_subscribe || (us[3] == 0 && us[7] == 0))
            continue;
        for (unsigned j = 0; j < LAYOUT_LATENCIES; j++) {
            put_channel(out, name, &channels[i]);
            fprintf(out, ",stage=\"%s\",quantile=\"%s\"} %u.%06u\n", stages[j / 4], quantiles[j % 4], us[j] / US_PER_S,
                    us[j] % US_PER_S);
        }
    }
}

static void put_gateway(FILE *out, const struct segment *segment, const struct metrics_facts *facts)
{
    static const char *const states[] = {[LAYOUT_SPOOL_OFF] = "off",
                                         [LAYOUT_SPOOL_OK] = "ok",
                                         [LAYOUT_SPOOL_FULL] = "full",
                                         [LAYOUT_SPOOL_FAILED] = "failed"};
    uint64_t bytes, start_ms = facts->start_ns / NS_PER_MS;
    enum layout_spool spool = ring_spool(segment->header, &bytes);

    put_header(out, "shmgate_build_info", "gauge", "The gateway's version and segment; always 1.");
    fputs("shmgate_build_info{version=", out);
    put_quoted(out, facts->version);
    fputs(",segment=", out);
    put_quoted(out, facts->segment);
    fputs("} 1\n", out);
    put_header(out, "process_start_time_seconds", "gauge", "Unix time at which the gateway was started.");
    fprintf(out, "process_start_time_seconds %llu.%03llu\n", (unsigned long long)(start_ms / 1000),
            (unsigned long long)(start_ms % 1000));
    put_header(out, "shmgate_segments_set_aside_total", "counter",
               "Damaged segments that were set aside since the gateway was started.");
    fprintf(out, "shmgate_segments_set_aside_total %u\n", facts->set_aside);
    put_header(out, "shmgate_link_up", "gauge", "Whether the gateway is connected to a broker.");
    fprintf(out, "shmgate_link_up %d\n", ring_link(segment->header) ? 1 : 0);
    put_header(out, "shmgate_spool_bytes", "gauge", "What the spool's messages take on disk.");
    fprintf(out, "shmgate_spool_bytes %llu\n", (unsigned long long)bytes);
    put_header(out, "shmgate_spool_state", "gauge", "1 for the state that the spool is in.");
    for (unsigned i = 0; i < sizeof(states) / sizeof(states[0]); i++)
        fprintf(out, "shmgate_spool_state{state=\"%s\"} %d\n", states[i], i == (unsigned)spool);
}

int metrics_text_make(const struct segment *segment, const struct metrics_facts *facts, char **text, size_t *size)
{
    uint32_t count = segment->layout.channel_count;
    struct shared_memory_counters *channels = calloc(count, sizeof(channels[0]));
    FILE *out = NULL;
    int failed;

    *text = NULL;
    if (!channels || !(out = open_memstream(text, size))) {
        free(channels);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < count; i++)
        counters_collect(segment, i, &channels[i]);
    put_gateway(out, segment, facts);
    put_families(out, channels, count);
    put_dropped(out, channels, count);
    put_latency(out, segment, channels, count);
    failed = ferror(out);
    failed |= fclose(out) != 0;
    free(channels);
    if (failed) {
        free(*text);
        *text = NULL;
        return -ENOMEM;
    }
    return 0;
}
