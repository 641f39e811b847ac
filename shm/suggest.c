/* suggest.c: what to do about a name that does not exist or may not be used. See suggest.h. */
#include "suggest.h"

#include <stdio.h>
#include <string.h>

#include "nearest.h"
#include "platform.h"

#define NAMES_SIZE 140 /* bytes of the names that are told */

/* Names that there are, and the one that is nearest to what was asked for. */
struct names {
    const char *wanted;
    char list[NAMES_SIZE], nearest[SEGMENT_NAME_MAX + 8];
    size_t count, left_out, used, best;
};

static void names_begin(struct names *names, const char *wanted)
{
    memset(names, 0, sizeof(*names));
    names->wanted = wanted;
    names->best = SIZE_MAX;
}

static int names_add(void *context, const char *name)
{
    struct names *names = context;
    size_t distance = nearest_distance(names->wanted, name), size = strlen(name);

    names->count++;
    if (distance < names->best) {
        names->best = distance;
        snprintf(names->nearest, sizeof(names->nearest), "%s", name);
    }
    if (names->left_out > 0 || names->used + size + 3 > sizeof(names->list))
        names->left_out++;
    else
        names->used += (size_t)snprintf(names->list + names->used, sizeof(names->list) - names->used, "%s%s",
                                        names->used > 0 ? ", " : "", name);
    return 0;
}

/* "there is a", "there are a, b and 3 more". */
static void names_tell(const struct names *names, char *out, size_t out_size)
{
    char more[32] = "";

    if (names->left_out > 0 && names->used > 0)
        snprintf(more, sizeof(more), " and %zu more", names->left_out);
    else if (names->left_out > 0)
        snprintf(more, sizeof(more), "%zu", names->left_out);
    snprintf(out, out_size, "there %s %s%s", names->count == 1 ? "is" : "are", names->list, more);
}

void suggest_segment(const char *name, char *out, size_t out_size)
{
    static const char what[] = "start shmgated, or check the segment's name";
    struct names names;
    char list[SUGGEST_SIZE];

    names_begin(&names, name);
    if (segment_each(names_add, &names) < 0 || names.count == 0) {
        snprintf(out, out_size, "%s", what);
        return;
    }
    names_tell(&names, list, sizeof(list));
    if (names.best != SIZE_MAX && strlen(names.nearest) < 100)
        snprintf(out, out_size, "%s (did you mean %s? %s)", what, names.nearest, list);
    else
        snprintf(out, out_size, "%s (%s)", what, list);
}

void suggest_channel(const struct segment *segment, const char *name, char *out, size_t out_size)
{
    struct names names;
    char list[SUGGEST_SIZE];

    names_begin(&names, name);
    for (uint32_t i = 0; i < segment->layout.channel_count; i++)
        names_add(&names, segment->layout.channels[i].name);
    names_tell(&names, list, sizeof(list));
    if (names.best != SIZE_MAX)
        snprintf(out, out_size, "did you mean %s? (%s)", names.nearest, list);
    else
        snprintf(out, out_size, "add [channel %s] to gateway.ini (%s)", name, list);
}

void suggest_group(const char *name, char *out, size_t out_size)
{
    char group[64];
    unsigned mode;
    long gid;

    if (platform_object_group(name, &gid, &mode) < 0) {
        snprintf(out, out_size, "run as its user, or as a member of its group");
        return;
    }
    platform_group_name(gid, group, sizeof(group));
    if ((mode & 060) != 060)
        snprintf(out, out_size, "its mode is %04o, so only its user may; see group and mode in [shm] of gateway.ini",
                 mode);
    else if (gid == 0)
        snprintf(out, out_size, "it is of group %s: set group in [shm] of gateway.ini", group);
    else if (strncmp(group, "group ", 6) == 0)
        snprintf(out, out_size, "it is of %s, which has no name here: run as its user, or as a member of it", group);
    else
        snprintf(out, out_size, "become a member of its group with: sudo usermod -aG %s \"$USER\", and log in again",
                 group);
}
