/* counters_json.c: the ledger of all channels as JSON (RFC 8259), for the tool, the stats topic and other programs. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "counters.h"

/* Text that grows into a buffer; what does not fit is only counted. */
struct text {
    char *buffer;
    size_t size, length;
};

__attribute__((format(printf, 2, 3))) static void text_add(struct text *text, const char *format, ...)
{
    size_t room = text->length < text->size ? text->size - text->length : 0;
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(room ? text->buffer + text->length : NULL, room, format, arguments);
    va_end(arguments);
    if (length > 0)
        text->length += (size_t)length;
}

/* Bytes of the UTF-8 character at `bytes` (RFC 3629, section 4), or 0 when there is none. */
static size_t utf8_length(const unsigned char *bytes, size_t left)
{
    size_t length = bytes[0] < 0x80   ? 1
                    : bytes[0] < 0xc2 ? 0
                    : bytes[0] < 0xe0 ? 2
                    : bytes[0] < 0xf0 ? 3
                    : bytes[0] < 0xf5 ? 4
                                      : 0;

    if (length > left)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
    if (length >= 3 && ((bytes[0] == 0xe0 && bytes[1] < 0xa0) || (bytes[0] == 0xed && bytes[1] > 0x9f) ||
                        (bytes[0] == 0xf0 && bytes[1] < 0x90) || (bytes[0] == 0xf4 && bytes[1] > 0x8f)))
        return 0;
    return length;
}

/* A JSON string; what is not UTF-8 becomes U+FFFD. */
static void text_add_string(struct text *text, const char *string, size_t size)
{
    const unsigned char *bytes = (const unsigned char *)string;

    text_add(text, "\"");
    while (size > 0) {
        size_t length = utf8_length(bytes, size);

        if (length == 0)
            text_add(text, "\\ufffd");
        else if (bytes[0] < 0x20 || bytes[0] == 0x7f)
            text_add(text, "\\u%04x", bytes[0]);
        else if (bytes[0] == '"' || bytes[0] == '\\')
            text_add(text, "\\%c", bytes[0]);
        else
            text_add(text, "%.*s", (int)length, (const char *)bytes);
        length = length ? length : 1;
        bytes += length;
        size -= length;
    }
    text_add(text, "\"");
}

static void text_add_counts(struct text *text, const struct shared_memory_counters *counters)
{
    const char *separator = "";

    text_add(text,
             "\"written\": %llu, \"delivered\": %llu, \"queued\": %llu, \"spooled\": %llu, \"filtered\": %llu, "
             "\"rejected\": %llu, "
             "\"dropped\": {",
             (unsigned long long)counters->written, (unsigned long long)counters->delivered,
             (unsigned long long)counters->queued, (unsigned long long)counters->spooled,
             (unsigned long long)counters->filtered, (unsigned long long)counters->rejected);
    for (unsigned i = 0; i < SHARED_MEMORY_DROP_REASONS; i++) {
        if (counters->dropped[i] == 0)
            continue;
        text_add(text, "%s\"%s\": %llu", separator, shared_memory_drop_name(i),
                 (unsigned long long)counters->dropped[i]);
        separator = ", ";
    }
    text_add(text, "}");
}

static void text_add_latency(struct text *text, const struct segment *segment, uint32_t channel)
{
    static const char *const ways[2] = {"write_to_send", "send_to_ack"};
    uint32_t us[LAYOUT_LATENCIES];

    ring_latency(segment_channel(segment, channel), us);
    /* An answer takes some microseconds at least: maxima of 0 mean that there was no message. */
    if (us[3] == 0 && us[7] == 0)
        return;
    text_add(text, ", \"latency_us\": {");
    for (size_t way = 0; way < 2; way++)
        text_add(text, "%s\"%s\": {\"p50\": %u, \"p99\": %u, \"p99.9\": %u, \"max\": %u}", way > 0 ? ", " : "",
                 ways[way], us[4 * way], us[4 * way + 1], us[4 * way + 2], us[4 * way + 3]);
    text_add(text, "}");
}

static void text_add_lanes(struct text *text, const struct segment *segment, const struct layout_channel_info *info)
{
    struct shared_memory_counters counters;
    const char *separator = "";

    text_add(text, ", \"by_lane\": [");
    for (uint32_t i = 0; i < info->lane_count; i++) {
        counters_collect_lane(segment, info->lane_first + i, &counters);
        if (counters.written == 0 && counters.rejected == 0)
            continue;
        text_add(text, "%s{\"lane\": %u, ", separator, i);
        text_add_counts(text, &counters);
        text_add(text, "}");
        separator = ", ";
    }
    text_add(text, "]");
}

static void text_add_channel(struct text *text, const struct segment *segment, uint32_t channel)
{
    const struct layout_channel_info *info = &segment->layout.channels[channel];
    struct shared_memory_counters counters;

    counters_collect(segment, channel, &counters);
    text_add(text, "{\"name\": ");
    text_add_string(text, counters.name, strlen(counters.name));
    text_add(text, ", \"direction\": \"%s\", \"topic\": ", counters.is_subscribe ? "subscribe" : "publish");
    text_add_string(text, (const char *)segment->base + info->topic_offset, info->topic_size);
    text_add(text, ", \"lanes\": %u, ", counters.lanes);
    text_add_counts(text, &counters);
    if (!counters.is_subscribe) {
        text_add_latency(text, segment, channel);
        text_add_lanes(text, segment, info);
    }
    text_add(text, "}");
}

size_t counters_json(const struct segment *segment, const char *name, char *buffer, size_t size)
{
    static const char *const states[] = {[LAYOUT_SPOOL_OFF] = "off",
                                         [LAYOUT_SPOOL_OK] = "ok",
                                         [LAYOUT_SPOOL_FULL] = "full",
                                         [LAYOUT_SPOOL_FAILED] = "failed"};
    struct text text = {.buffer = buffer, .size = size};
    uint64_t bytes;
    enum layout_spool spool = ring_spool(segment->header, &bytes);

    text_add(&text, "{\"segment\": ");
    text_add_string(&text, name, strlen(name));
    text_add(&text,
             ", \"gateway\": %s, \"link\": \"%s\", \"spool\": {\"state\": \"%s\", \"bytes\": %llu}, \"channels\": [",
             segment_served(segment) == 1 || segment->serving ? "true" : "false",
             ring_link(segment->header) ? "up" : "down", states[spool], (unsigned long long)bytes);
    for (uint32_t i = 0; i < segment->layout.channel_count; i++) {
        text_add(&text, "%s", i > 0 ? ", " : "");
        text_add_channel(&text, segment, i);
    }
    text_add(&text, "]}");
    return text.length;
}
