/* segment_each.c: which segments there are on this machine. See segment_each in segment.h. */
#include <string.h>

#include "platform.h"
#include "segment.h"
#include "shared_memory.h"

struct listing {
    int (*visit)(void *context, const char *name);
    void *context;
};

static int visit_object(void *context, const char *name)
{
    const struct listing *listing = context;
    const uint64_t magic = LAYOUT_MAGIC;

    /* Names that a gateway gives to segments that are replaced are no names to attach to. */
    if (segment_name_check(name, NULL) < 0 || !platform_object_begins(name, &magic, sizeof(magic)))
        return 0;
    return listing->visit(listing->context, name);
}

int segment_each(int (*visit)(void *context, const char *name), void *context)
{
    struct listing listing = {.visit = visit, .context = context};

    return platform_object_each("/", visit_object, &listing);
}

int shared_memory_each_segment(int (*visit)(void *context, const char *name), void *context)
{
    return segment_each(visit, context);
}
