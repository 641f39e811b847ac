/* outage.c: which reasons of an outage have been told. See outage.h. */
#include "mqtt/outage.h"

#include <ctype.h>

/* FNV-1a, 64 bits. */
#define OFFSET_BASIS 14695981039346656037u
#define PRIME 1099511628211u

static uint64_t mix(uint64_t hash, uint64_t value)
{
    return (hash ^ value) * PRIME;
}

enum outage_news outage_add(struct outage *outage, size_t uri, int code, const char *text)
{
    uint64_t hash = mix(mix(OFFSET_BASIS, uri), (uint32_t)code);

    for (const char *at = text; *at; at++)
        if (!isdigit((unsigned char)*at))
            hash = mix(hash, (unsigned char)*at);
    for (unsigned i = 0; i < outage->count; i++)
        if (outage->seen[i] == hash)
            return OUTAGE_KNOWN;
    if (outage->count == OUTAGE_REASONS)
        return OUTAGE_KNOWN;
    outage->seen[outage->count++] = hash;
    return outage->count == 1 ? OUTAGE_FIRST : outage->count == OUTAGE_REASONS ? OUTAGE_LAST : OUTAGE_OTHER;
}
