/* hash.c: a short name for a state of an execution, to know it again. */
#include "engine.h"

/* Who wrote a message: the same in all executions that differ in other things only. */
uint64_t memory_identity(uint16_t message)
{
    int event = message ? execution.messages[message].event : -1;

    return event < 0 ? 0 : (uint64_t)execution.events[event].thread << 16 | execution.events[event].number;
}

uint64_t memory_mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * UINT64_C(0x9e3779b97f4a7c15);
    hash ^= hash >> 29;
    hash *= UINT64_C(0xbf58476d1ce4e5b9);
    return hash ^ hash >> 32;
}

uint64_t memory_hash(void)
{
    uint64_t hash = 1;

    for (int i = 0; i < location_count; i++)
        for (int p = 1; p < locations[i].count; p++) {
            const struct message *message = &execution.messages[locations[i].order[p]];

            hash = memory_mix(hash, (uint64_t)i << 32 | memory_identity(locations[i].order[p]));
            hash = memory_mix(hash, message->value);
            for (int k = 0; k < location_count; k++)
                if (message->view.seen[k])
                    hash = memory_mix(hash, (uint64_t)k << 32 | memory_identity(message->view.seen[k]));
        }
    return hash;
}
