/* inflight.c: the messages that are on their way to the broker. See inflight.h. */
#include "publish/inflight.h"

#include <assert.h>
#include <stddef.h>

/* A token is 32 bits, so that it fits a pointer everywhere: 24 of generation, 8 of index. */
#define GENERATION_MASK 0xffffffu

void inflight_init(struct inflight *inflight)
{
    for (int i = 0; i < INFLIGHT_WINDOW; i++)
        inflight->entries[i] = (struct inflight_entry){.next = i + 1 < INFLIGHT_WINDOW ? i + 1 : -1};
    inflight->free = 0;
    inflight->used = 0;
    inflight->unacknowledged = 0;
    inflight->limit = INFLIGHT_WINDOW;
}

void inflight_chain_init(struct inflight_chain *chain, void *owner, unsigned qos)
{
    *chain = (struct inflight_chain){.owner = owner, .first = -1, .last = -1, .unacknowledged = qos == 0};
}

void inflight_set_limit(struct inflight *inflight, unsigned limit)
{
    inflight->limit = limit < 1 ? 1 : limit > INFLIGHT_WINDOW ? INFLIGHT_WINDOW : limit;
}

int inflight_has_room(const struct inflight *inflight, const struct inflight_chain *chain)
{
    return chain->unacknowledged ? inflight->used < INFLIGHT_WINDOW : !inflight_is_full(inflight);
}

int inflight_is_full(const struct inflight *inflight)
{
    return inflight->used == INFLIGHT_WINDOW || inflight->used - inflight->unacknowledged >= inflight->limit;
}

uint64_t inflight_add(struct inflight *inflight, struct inflight_chain *chain, uint64_t sequence, uint32_t count,
                      uint64_t now_ns)
{
    int index = inflight->free;
    struct inflight_entry *entry;

    assert(index >= 0);
    entry = &inflight->entries[index];
    inflight->free = entry->next;
    inflight->used++;
    inflight->unacknowledged += (unsigned)chain->unacknowledged;
    entry->chain = chain;
    entry->sequence = sequence;
    entry->count = count;
    entry->sent_ns = now_ns;
    entry->generation = (entry->generation + 1) & GENERATION_MASK;
    entry->answer = INFLIGHT_WAITING;
    entry->next = -1;
    if (chain->last >= 0)
        inflight->entries[chain->last].next = index;
    else
        chain->first = index;
    chain->last = index;
    chain->waiting++;
    return (uint64_t)entry->generation << 8 | (unsigned)index;
}

static void entry_give_back(struct inflight *inflight, int index)
{
    assert(inflight->used > 0 && inflight->used >= inflight->unacknowledged);
    inflight->unacknowledged -= (unsigned)inflight->entries[index].chain->unacknowledged;
    inflight->entries[index].chain = NULL;
    inflight->entries[index].next = inflight->free;
    inflight->free = index;
    inflight->used--;
}

void inflight_cancel(struct inflight *inflight, struct inflight_chain *chain)
{
    int index = chain->last, before = -1;

    assert(index >= 0);
    for (int i = chain->first; i != index; i = inflight->entries[i].next)
        before = i;
    if (before >= 0)
        inflight->entries[before].next = -1;
    else
        chain->first = -1;
    chain->last = before;
    chain->waiting--;
    entry_give_back(inflight, index);
}

void inflight_forget(struct inflight *inflight, struct inflight_chain *chain)
{
    while (chain->first >= 0) {
        int index = chain->first;

        chain->first = inflight->entries[index].next;
        entry_give_back(inflight, index);
    }
    chain->last = -1;
    chain->waiting = 0;
    chain->failed = 0;
}

struct inflight_chain *inflight_answer(struct inflight *inflight, uint64_t token, enum inflight_answer answer,
                                       uint64_t now_ns)
{
    unsigned index = token & 0xff;
    struct inflight_entry *entry;

    if (index >= INFLIGHT_WINDOW)
        return NULL;
    entry = &inflight->entries[index];
    if (!entry->chain || entry->generation != token >> 8 || entry->answer != INFLIGHT_WAITING)
        return NULL;
    entry->answer = answer;
    if (answer == INFLIGHT_DELIVERED && entry->chain->latency)
        latency_add(entry->chain->latency, (int64_t)(now_ns - entry->sent_ns), entry->count);
    assert(entry->chain->waiting > 0);
    entry->chain->waiting--;
    entry->chain->failed |= answer == INFLIGHT_FAILED;
    return entry->chain;
}

enum inflight_answer inflight_take(struct inflight *inflight, struct inflight_chain *chain, uint64_t *sequence,
                                   uint32_t *count)
{
    int index = chain->first;
    enum inflight_answer answer;

    if (index < 0)
        return INFLIGHT_WAITING;
    answer = inflight->entries[index].answer;
    if (answer == INFLIGHT_WAITING || (answer == INFLIGHT_FAILED && chain->waiting > 0))
        return INFLIGHT_WAITING;
    *sequence = inflight->entries[index].sequence;
    *count = inflight->entries[index].count;
    do {
        index = chain->first;
        chain->first = inflight->entries[index].next;
        entry_give_back(inflight, index);
    } while (answer == INFLIGHT_FAILED && chain->first >= 0);
    if (chain->first < 0) {
        chain->last = -1;
        chain->failed = 0;
    }
    return answer;
}
