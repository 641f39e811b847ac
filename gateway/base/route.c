/* route.c: which topic names and topic filters MQTT allows, and which filter takes which topic. */
#include "base/route.h"

#include <errno.h>
#include <string.h>

#include "base/utf8.h"

/* An MQTT string carries its length in 16 bits (3.1.1, 1.5.3). */
#define TOPIC_SIZE_MAX 65535

static const char share_prefix[] = "$share/";
#define SHARE_PREFIX_SIZE (sizeof(share_prefix) - 1)

static int is_noncharacter(uint32_t code)
{
    return (code & 0xfffe) == 0xfffe || (code >= 0xfdd0 && code <= 0xfdef);
}

/* What topic names and filters have in common. */
static int text_valid(const char *text, size_t size, struct reason *reason)
{
    size_t length;

    if (size == 0)
        return reason_set(reason, -EINVAL, "it is empty");
    if (size > TOPIC_SIZE_MAX)
        return reason_set(reason, -EINVAL, "it has %zu bytes, and MQTT allows %d", size, TOPIC_SIZE_MAX);
    for (size_t at = 0; at < size; at += length) {
        uint32_t code = 0;
        length = utf8_decode(text + at, size - at, &code);
        if (length == 0)
            return reason_set(reason, -EINVAL, "byte %zu is not UTF-8", at + 1);
        if (utf8_is_control(code) || is_noncharacter(code))
            return reason_set(reason, -EINVAL, "byte %zu begins U+%04X, which brokers refuse in topics", at + 1,
                              (unsigned)code);
    }
    return 0;
}

int route_topic_valid(const char *topic, size_t size, struct reason *reason)
{
    int status = text_valid(topic, size, reason);

    if (status < 0)
        return status;
    for (size_t at = 0; at < size; at++) {
        if (topic[at] == '+' || topic[at] == '#')
            return reason_set(reason, -EINVAL, "%c is a wildcard, which only a subscription may use", topic[at]);
    }
    return 0;
}

size_t route_filter_prefix(const char *filter, size_t size)
{
    const char *end;

    if (size <= SHARE_PREFIX_SIZE || memcmp(filter, share_prefix, SHARE_PREFIX_SIZE) != 0)
        return 0;
    end = memchr(filter + SHARE_PREFIX_SIZE, '/', size - SHARE_PREFIX_SIZE);
    return end ? (size_t)(end - filter) + 1 : 0;
}

/* The part of a shared subscription before the filter proper: a group of at least one character and without
   wildcards. */
static int share_valid(const char *filter, size_t size, struct reason *reason)
{
    size_t prefix = route_filter_prefix(filter, size);

    if (size < SHARE_PREFIX_SIZE || memcmp(filter, share_prefix, SHARE_PREFIX_SIZE) != 0)
        return 0;
    if (prefix == 0 || prefix == size || prefix == SHARE_PREFIX_SIZE + 1)
        return reason_set(reason, -EINVAL, "a shared subscription is written $share/GROUP/FILTER");
    for (size_t at = SHARE_PREFIX_SIZE; at < prefix; at++) {
        if (filter[at] == '+' || filter[at] == '#')
            return reason_set(reason, -EINVAL, "the group of a shared subscription has no wildcards");
    }
    return 0;
}

int route_filter_valid(const char *filter, size_t size, struct reason *reason)
{
    int status = text_valid(filter, size, reason);

    if (status == 0)
        status = share_valid(filter, size, reason);
    if (status < 0)
        return status;
    for (size_t at = route_filter_prefix(filter, size); at < size; at++) {
        int whole = (at == 0 || filter[at - 1] == '/') && (at + 1 == size || filter[at + 1] == '/');
        if ((filter[at] == '+' || filter[at] == '#') && !whole)
            return reason_set(reason, -EINVAL, "the wildcard %c must be a level of its own, between slashes",
                              filter[at]);
        if (filter[at] == '#' && at + 1 != size)
            return reason_set(reason, -EINVAL, "the wildcard # must be the last level");
    }
    return 0;
}

int route_filter_has_wildcard(const char *filter, size_t size)
{
    for (size_t at = route_filter_prefix(filter, size); at < size; at++)
        if (filter[at] == '+' || filter[at] == '#')
            return 1;
    return 0;
}

/* Bytes of the level that begins at `text`: up to the next slash or the end. */
static size_t level_size(const char *text, size_t size)
{
    const char *end = memchr(text, '/', size);

    return end ? (size_t)(end - text) : size;
}

int route_match(const char *filter, size_t filter_size, const char *topic, size_t topic_size)
{
    size_t prefix = route_filter_prefix(filter, filter_size);

    filter += prefix;
    filter_size -= prefix;
    if (filter_size == 0 || topic_size == 0)
        return 0;
    if (topic[0] == '$' && (filter[0] == '+' || filter[0] == '#'))
        return 0;
    for (;;) {
        size_t want = level_size(filter, filter_size), have;

        if (filter_size == 1 && filter[0] == '#')
            return 1;
        have = level_size(topic, topic_size);
        if (!(want == 1 && filter[0] == '+') && (want != have || memcmp(filter, topic, want) != 0))
            return 0;
        filter += want;
        filter_size -= want;
        topic += have;
        topic_size -= have;
        /* Each is now at its end or at a slash. */
        if (topic_size == 0)
            return filter_size == 0 || (filter_size == 2 && filter[1] == '#');
        if (filter_size == 0)
            return 0;
        filter++, filter_size--;
        topic++, topic_size--;
    }
}

uint32_t route_filter_identifier(const char *filter)
{
    /* FNV-1a (Fowler, Noll, Vo; RFC 9923), folded into the range of an identifier. Two filters with one hash share
     * their messages, no worse than without identifiers. */
    uint32_t hash = 2166136261u;

    for (; *filter; filter++)
        hash = (hash ^ (unsigned char)*filter) * 16777619u;
    return hash % 268435455u + 1;
}

int route_filters_overlap(const char *one, const char *other)
{
    one += route_filter_prefix(one, strlen(one));
    other += route_filter_prefix(other, strlen(other));
    /* A wildcard at the beginning takes no topic that begins with $ (MQTT 5, 4.7.2). */
    if ((*one == '$' && strchr("+#", *other)) || (*other == '$' && strchr("+#", *one)))
        return 0;
    for (;;) {
        size_t one_size = strcspn(one, "/"), other_size = strcspn(other, "/");

        if (*one == '#' || *other == '#')
            return 1;
        if (*one != '+' && *other != '+' && (one_size != other_size || memcmp(one, other, one_size) != 0))
            return 0;
        one += one_size;
        other += other_size;
        if (!*one || !*other)
            /* "a/#" takes "a", too. */
            return (!*one && !*other) || strcmp(one, "/#") == 0 || strcmp(other, "/#") == 0;
        one++;
        other++;
    }
}
