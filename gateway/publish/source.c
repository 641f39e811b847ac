/* source.c: the order between sources. See source.h. */
#include "publish/source.h"

#define ORDER_SEGMENTS (UINT64_C(1) << 62) /* those below it are of segments that are gone */

uint64_t source_order_of_gone(size_t index)
{
    return (uint64_t)index < ORDER_SEGMENTS ? (uint64_t)index : ORDER_SEGMENTS - 1;
}

uint64_t source_order_of_segment(uint64_t serial, int in_ring)
{
    /* A serial number of the segment can be any: what is above this is as good as last. */
    uint64_t most = ORDER_SEGMENTS / 2;

    return ORDER_SEGMENTS + 2 * (serial < most ? serial : most) + (in_ring ? 1 : 0);
}

int source_is_unsent(const struct source *source)
{
    return source->type->end(source) > source->next;
}

/* Whether `other` goes before `source`: a stream of the same segment does for its own lane only, which source->before
 * is for; and a channel that says live-first waits for no stream. */
static int goes_before(const struct source *other, const struct source *source)
{
    return other->order < source->order && other->generation != source->generation &&
           (other->share == SOURCE_LIVE || !source->channel->live_first || source->share != SOURCE_LIVE);
}

int source_is_behind(const struct source *source)
{
    if (source->before && !source->channel->live_first && source_is_unsent(source->before))
        return 1;
    for (const struct source *other = source->group->earlier; other; other = other->earlier_next)
        if (goes_before(other, source) && source_is_unsent(other))
            return 1;
    return 0;
}

void source_group_add_earlier(struct source_group *group, struct source *source)
{
    source->earlier_next = group->earlier;
    group->earlier = source;
}

void source_group_remove(struct source_group *group, struct source *source)
{
    for (struct source **at = &group->earlier; *at; at = &(*at)->earlier_next) {
        if (*at == source) {
            *at = source->earlier_next;
            break;
        }
    }
    for (struct source **at = &group->blocked; *at; at = &(*at)->blocked_next) {
        if (*at == source) {
            *at = source->blocked_next;
            source->is_blocked = 0;
            break;
        }
    }
}
