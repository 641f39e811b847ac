/* segment_beside.c: the names beside a segment's, and what is found under them. See segment.h for what is where when.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform.h"
#include "segment_internal.h"

#define RANDOM_DIGITS 16
#define BUSY_TRIES 20
#define BUSY_SLEEP_MS 5

void segment_beside_name(char *beside, const char *name, const char *suffix)
{
    snprintf(beside, SEGMENT_NAME_SIZE, "%s%s-%016llx", name, suffix, (unsigned long long)platform_random());
}

/* Whether `tail` is what stands behind a segment's name in a name beside it. */
static int is_tail(const char *tail, const char *suffix)
{
    size_t length = strlen(suffix);

    if (strncmp(tail, suffix, length) != 0)
        return 0;
    tail += length;
    if (tail[0] == '-')
        return strlen(tail + 1) == RANDOM_DIGITS && strspn(tail + 1, "0123456789abcdef") == RANDOM_DIGITS;
    /* Versions before this one had ".next", ".next1", ".next2" ... */
    return strcmp(suffix, SEGMENT_NEXT_SUFFIX) == 0 &&
           (tail[0] == '\0' || (tail[0] >= '0' && tail[0] <= '9' && tail[1] == '\0'));
}

int segment_is_beside(const char *beside, const char *name, const char *suffix)
{
    if (name)
        return strncmp(beside, name, strlen(name)) == 0 && is_tail(beside + strlen(name), suffix);
    for (const char *dot = strchr(beside, '.'); dot; dot = strchr(dot + 1, '.'))
        if (is_tail(dot, SEGMENT_NEXT_SUFFIX) || is_tail(dot, SEGMENT_ASIDE_SUFFIX))
            return 1;
    return 0;
}

void segment_report(const struct segment_options *options, const char *format, ...)
{
    struct reason text;
    va_list arguments;

    if (!options->report)
        return;
    va_start(arguments, format);
    reason_set_list(&text, 0, format, arguments);
    va_end(arguments);
    options->report(options->context, text.text);
}

/* ---- The list ---- */

int segment_list_add(struct segment_list *list, struct segment *old)
{
    struct segment *larger = realloc(list->segments, (list->count + (size_t)1) * sizeof(larger[0]));
    uint32_t at = list->count;

    if (!larger) {
        segment_close(old);
        return -ENOMEM;
    }
    list->segments = larger;
    for (; at > 0 && larger[at - 1].layout.serial > old->layout.serial; at--)
        larger[at] = larger[at - 1];
    larger[at] = *old;
    list->count++;
    segment_clear(old);
    return 0;
}

void segment_list_close(struct segment_list *list)
{
    for (uint32_t i = 0; i < list->count; i++)
        segment_close(&list->segments[i]);
    free(list->segments);
    *list = (struct segment_list){0};
}

static int list_has(const struct segment_list *list, uint64_t generation)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (list->segments[i].layout.generation == generation)
            return 1;
    return 0;
}

/* ---- What was set aside ---- */

struct search {
    const char *name, *suffix;
    char (*found)[SEGMENT_NAME_SIZE];
    size_t count, capacity;
    int rc;
};

static int note_name(void *context, const char *name)
{
    struct search *search = context;

    if (!segment_is_beside(name, search->name, search->suffix))
        return 0;
    if (search->count == search->capacity) {
        size_t capacity = search->capacity ? 2 * search->capacity : 8;
        char(*larger)[SEGMENT_NAME_SIZE] = realloc(search->found, capacity * sizeof(larger[0]));

        if (!larger)
            return search->rc = -ENOMEM;
        search->found = larger;
        search->capacity = capacity;
    }
    snprintf(search->found[search->count++], SEGMENT_NAME_SIZE, "%s", name);
    return 0;
}

/* The names of that kind beside the segment's, before any of them is touched. The caller frees search->found. */
static int find_names(struct search *search, const char *name, const char *suffix)
{
    *search = (struct search){.name = name, .suffix = suffix};
    platform_object_each(name, note_name, search);
    return search->rc;
}

int segment_drop_asides(const char *name)
{
    struct search search;
    int dropped = 0;

    find_names(&search, name, SEGMENT_ASIDE_SUFFIX);
    for (size_t i = 0; i < search.count; i++)
        dropped |= platform_object_remove(search.found[i]) == 0;
    free(search.found);
    return dropped;
}

void segment_retire_asides(const char *name)
{
    struct search search;

    find_names(&search, name, SEGMENT_ASIDE_SUFFIX);
    for (size_t i = 0; i < search.count; i++) {
        struct segment aside;
        int rc = segment_take_over(&aside, search.found[i], NULL);

        if (rc == 0 || rc == -EPROTO) {
            segment_retire(&aside);
            segment_close(&aside);
        }
    }
    free(search.found);
}

void segment_report_aside(const struct segment_options *options, const char *name, const char *aside, const char *why)
{
    if (options->set_aside)
        (*options->set_aside)++;
    segment_report(options, "segment set aside: name=%s: %s; what it held is in /dev/shm%s and is not published", name,
                   why, aside);
}

int segment_set_aside(struct segment *segment, const struct segment_options *options, const char *why,
                      struct reason *reason)
{
    char aside[SEGMENT_NAME_SIZE];
    int rc;

    segment_drop_asides(options->name);
    segment_beside_name(aside, options->name, SEGMENT_ASIDE_SUFFIX);
    if ((rc = platform_object_rename(segment->name, aside)) < 0)
        return reason_set(reason, rc, "set segment %s aside: %s: remove it with: shmgate release -S %s", segment->name,
                          strerror(-rc), options->name);
    segment_retire(segment);
    segment_report_aside(options, segment->name, aside, why);
    return 0;
}

/* ---- Leftovers ---- */

struct leftovers {
    const struct segment *present;
    const struct segment_options *options;
    struct reason *reason, strange; /* `strange`: about the first of those that are not ours */
    unsigned strangers;
};

/* What one of them is, and what becomes of it. */
static int take_leftover(struct segment_list *olds, struct segment *old, const struct segment *present,
                         struct reason *reason)
{
    int rc;

    /* Its gateway died before the exchange, and nobody has ever used this one; or it is the second of two of the same
     * segment, as an upgrade leaves them. */
    if (list_has(olds, old->layout.generation) ||
        (present && old->layout.serial > present->layout.serial && !ring_retired(old->header))) {
        platform_object_remove(old->name);
        segment_close(old);
        return 0;
    }
    segment_retire(old);
    rc = segment_list_add(olds, old);
    return rc < 0 ? reason_set(reason, rc, "out of memory") : 0;
}

/* A gateway that has just died may not have let go of everything yet. */
static int take_patiently(struct segment *old, const char *name, struct reason *why)
{
    int rc;

    for (int tries = 0; (rc = segment_take_over(old, name, why)) == -EBUSY && tries < BUSY_TRIES; tries++)
        platform_sleep_ms(BUSY_SLEEP_MS);
    return rc;
}

/* One that is no segment of this version. */
static int take_other(struct segment_list *olds, struct segment *old, const struct segment_options *options,
                      struct reason *reason)
{
    uint32_t major = old->base ? layout_major(old->base, old->size) : 0;
    struct reason why = *reason;
    int rc = 0;

    if (major == LAYOUT_OLD_MAJOR) {
        if ((rc = segment_upgrade(olds, old, options, reason)) == 0)
            platform_object_remove(old->name);
    } else if (major > LAYOUT_MAJOR) {
        segment_report(options, "left alone beside segment %s: %s", options->name, why.text);
    } else {
        rc = segment_set_aside(old, options, why.text, reason);
    }
    segment_close(old);
    /* What cannot be helped does not stop anybody. */
    if (rc < 0 && rc != -ENOMEM) {
        segment_report(options, "left alone beside segment %s: %s", options->name, reason->text);
        rc = 0;
    }
    return rc;
}

/* Take what is under one of the names, if it is one for this pass. */
static int take_name(struct segment_list *olds, const char *name, int others, struct leftovers *left)
{
    struct segment old;
    struct reason why;
    int rc = take_patiently(&old, name, &why);

    if (rc == 0 && !others)
        return take_leftover(olds, &old, left->present, left->reason);
    if (rc == -EPROTO && others) {
        *left->reason = why;
        return take_other(olds, &old, left->options, left->reason);
    }
    if (rc == 0 || rc == -EPROTO)
        segment_close(&old);
    else if (rc != -ENOENT && rc != -EAGAIN && rc != -ENOMEM && others && left->strangers++ == 0)
        left->strange = why;
    return rc == -ENOMEM ? reason_set(left->reason, rc, "out of memory") : others ? 0 : 1;
}

int segment_find_leftovers(struct segment_list *olds, const struct segment *present,
                           const struct segment_options *options, struct reason *reason)
{
    struct reason ignored;
    struct leftovers left = {.present = present, .options = options, .reason = reason ? reason : &ignored};
    struct search search;
    int rc = find_names(&search, options->name, SEGMENT_NEXT_SUFFIX);

    if (rc < 0)
        reason_set(reason, rc, "out of memory");
    /* What is not of this version last: whether it was taken over before can be told when all others are known. */
    for (int others = 0; rc >= 0 && others < 2; others++)
        for (size_t i = 0; rc >= 0 && i < search.count; i++)
            if (search.found[i][0] && (rc = take_name(olds, search.found[i], others, &left)) == 0)
                search.found[i][0] = '\0';
    if (left.strangers > 0)
        segment_report(options, "passed over %u object%s beside segment %s: %s", left.strangers,
                       left.strangers > 1 ? "s" : "", options->name, left.strange.text);
    free(search.found);
    return rc < 0 ? rc : 0;
}
