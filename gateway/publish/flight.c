/* flight.c: the messages that are on their way to the broker. See flight.h. */
#include "publish/flight.h"

#include <assert.h>
#include <stddef.h>

/* A token is 32 bits, so that it fits a pointer everywhere: 24 of generation, 8 of index. */
#define GENERATION_MASK 0xffffffu

void flight_init(struct flight *flight)
{
    for (int i = 0; i < FLIGHT_WINDOW; i++)
        flight->entries[i] = (struct flight_entry){.next = i + 1 < FLIGHT_WINDOW ? i + 1 : -1};
    flight->free = 0;
    flight->used = 0;
    flight->unacknowledged = 0;
    flight->limit = FLIGHT_WINDOW;
}

void flight_lane_init(struct flight_lane *lane, void *owner, unsigned qos, void (*answered)(struct flight_lane *lane))
{
    *lane = (struct flight_lane){
        .answered = answered, .owner = owner, .first = -1, .last = -1, .unacknowledged = qos == 0};
}

void flight_set_limit(struct flight *flight, unsigned limit)
{
    flight->limit = limit < 1 ? 1 : limit > FLIGHT_WINDOW ? FLIGHT_WINDOW : limit;
}

int flight_has_room(const struct flight *flight, const struct flight_lane *lane)
{
    return lane->unacknowledged ? flight->used < FLIGHT_WINDOW : !flight_is_full(flight);
}

int flight_is_full(const struct flight *flight)
{
    return flight->used == FLIGHT_WINDOW || flight->used - flight->unacknowledged >= flight->limit;
}

uint64_t flight_add(struct flight *flight, struct flight_lane *lane, uint64_t sequence, uint32_t count, uint64_t now_ns)
{
    int index = flight->free;
    struct flight_entry *entry;

    assert(index >= 0);
    entry = &flight->entries[index];
    flight->free = entry->next;
    flight->used++;
    flight->unacknowledged += (unsigned)lane->unacknowledged;
    entry->lane = lane;
    entry->sequence = sequence;
    entry->count = count;
    entry->sent_ns = now_ns;
    entry->generation = (entry->generation + 1) & GENERATION_MASK;
    entry->answer = FLIGHT_WAITING;
    entry->next = -1;
    if (lane->last >= 0)
        flight->entries[lane->last].next = index;
    else
        lane->first = index;
    lane->last = index;
    lane->waiting++;
    return (uint64_t)entry->generation << 8 | (unsigned)index;
}

static void give_back(struct flight *flight, int index)
{
    flight->unacknowledged -= (unsigned)flight->entries[index].lane->unacknowledged;
    flight->entries[index].lane = NULL;
    flight->entries[index].next = flight->free;
    flight->free = index;
    flight->used--;
}

void flight_cancel(struct flight *flight, struct flight_lane *lane)
{
    int index = lane->last, before = -1;

    assert(index >= 0);
    for (int i = lane->first; i != index; i = flight->entries[i].next)
        before = i;
    if (before >= 0)
        flight->entries[before].next = -1;
    else
        lane->first = -1;
    lane->last = before;
    lane->waiting--;
    give_back(flight, index);
}

int flight_answer(struct flight *flight, uint64_t token, enum flight_answer answer, uint64_t now_ns)
{
    unsigned index = token & 0xff;
    struct flight_entry *entry;

    if (index >= FLIGHT_WINDOW)
        return 0;
    entry = &flight->entries[index];
    if (!entry->lane || entry->generation != token >> 8 || entry->answer != FLIGHT_WAITING)
        return 0;
    entry->answer = answer;
    if (answer == FLIGHT_DELIVERED && entry->lane->latency)
        latency_add(entry->lane->latency, (int64_t)(now_ns - entry->sent_ns), entry->count);
    entry->lane->waiting--;
    entry->lane->failed |= answer == FLIGHT_FAILED;
    if (entry->lane->answered)
        entry->lane->answered(entry->lane);
    return 1;
}

enum flight_answer flight_take(struct flight *flight, struct flight_lane *lane, uint64_t *sequence, uint32_t *count)
{
    int index = lane->first;
    enum flight_answer answer;

    if (index < 0)
        return FLIGHT_WAITING;
    answer = flight->entries[index].answer;
    if (answer == FLIGHT_WAITING || (answer == FLIGHT_FAILED && lane->waiting > 0))
        return FLIGHT_WAITING;
    *sequence = flight->entries[index].sequence;
    *count = flight->entries[index].count;
    do {
        index = lane->first;
        lane->first = flight->entries[index].next;
        give_back(flight, index);
    } while (answer == FLIGHT_FAILED && lane->first >= 0);
    if (lane->first < 0) {
        lane->last = -1;
        lane->failed = 0;
    }
    return answer;
}
