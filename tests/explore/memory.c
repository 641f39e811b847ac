/* memory.c: loads, stores, updates and fences of one execution, by views: which stores a load may take, where a store
 * may stand. */
#include <string.h>

#include "engine.h"

struct location locations[LOCATIONS];
int location_count;
static int learned;

static int acquires(int order)
{
    return order == memory_order_acquire || order >= memory_order_acq_rel;
}

static int releases(int order)
{
    return order >= memory_order_release;
}

static struct thread *self(void)
{
    return &execution.threads[execution.current];
}

static int position(uint16_t message)
{
    return message ? execution.messages[message].position : 0;
}

void memory_join(struct view *into, const struct view *from)
{
    for (int i = 0; i < location_count; i++)
        if (position(from->seen[i]) > position(into->seen[i]))
            into->seen[i] = from->seen[i];
    for (int i = 0; i < execution.thread_count; i++)
        if (from->clock[i] > into->clock[i])
            into->clock[i] = from->clock[i];
}

static int message_new(int location, uint64_t value)
{
    struct message *message = &execution.messages[++execution.message_count];

    if (execution.message_count + 1 >= MESSAGES)
        engine_bug("too many stores: enlarge MESSAGES");
    memset(message, 0, sizeof(*message));
    message->value = value;
    message->location = (uint16_t)location;
    message->event = -1;
    return execution.message_count;
}

/* The object's number; it gets its initial value, the one in memory, when an execution first touches it. */
static int find(const void *address, size_t size)
{
    static uint8_t table[1024];
    uint8_t *entry = &table[((uintptr_t)address >> 1) % sizeof(table)];
    int location = *entry;

    if (location >= location_count || locations[location].address != address)
        for (location = 0; location < location_count && locations[location].address != address; location++)
            continue;
    if (location == LOCATIONS)
        engine_bug("too many objects: enlarge LOCATIONS");
    if (location == location_count)
        locations[location_count++] = (struct location){.address = address};
    *entry = (uint8_t)location;
    if (size > 0 && locations[location].count == 0) {
        uint64_t value = 0;

        memcpy(&value, address, size); /* little-endian, like the segment */
        if (locations[location].size != 0 && locations[location].size != size)
            engine_bug("an object is accessed in two sizes");
        locations[location].size = size;
        locations[location].order[0] = (uint16_t)message_new(location, value);
        locations[location].count = 1;
    }
    return location;
}

void explore_narrow(const void *object)
{
    locations[find(object, 0)].narrow = 1;
}

void explore_name(const void *object, const char *name)
{
    locations[find(object, 0)].name = name;
}

void memory_reset(void)
{
    for (int i = 0; i < location_count; i++)
        locations[i].count = 0;
    execution.message_count = 0;
}

void memory_forget(void)
{
    memset(locations, 0, sizeof(locations));
    location_count = 0;
    learned = 0;
}

int memory_learned(void)
{
    int was = learned;

    learned = 0;
    return was;
}

static struct event *event_new(int kind, int order, int location)
{
    struct thread *thread = self();
    struct event *event = &execution.events[execution.event_count++];

    if (execution.event_count == EVENTS)
        engine_bug("too many operations in one execution (a loop without an end?)");
    thread->now.clock[execution.current]++;
    *event = (struct event){.kind = (uint8_t)kind,
                            .thread = (uint8_t)execution.current,
                            .order = (uint8_t)order,
                            .number = thread->now.clock[execution.current],
                            .location = (int16_t)location};
    execution.sequential |= order == memory_order_seq_cst;
    return event;
}

/* The event is complete. */
static void event_close(struct event *event)
{
    memcpy(event->clock, self()->now.clock, sizeof(event->clock));
    if (event->order == memory_order_seq_cst && engine_fresh() && !order_consistent())
        engine_abandon();
}

/* Whether the thread's load may take the message. `bound` is UINT64_MAX for one that takes any value. */
static int may_take(const struct thread *thread, uint16_t message)
{
    const struct message *from = &execution.messages[message];

    return from->position >= position(thread->now.seen[from->location]) && !(thread->update && from->followed) &&
           (!thread->waiting || from->value > thread->bound);
}

int memory_could_take(const struct thread *thread)
{
    const struct location *location = &locations[thread->location];

    for (int p = 0; p < location->count; p++)
        if (may_take(thread, location->order[p]))
            return 1;
    return 0;
}

int memory_may_change(int location, int except)
{
    for (int i = 0; i < execution.thread_count; i++)
        if (i != except && execution.threads[i].state != THREAD_DONE &&
            (explore_patient || locations[location].written_by[i]))
            return 1;
    return 0;
}

/* Choose the store that this load takes its value from. */
static uint16_t source_choose(int number)
{
    struct location *location = &locations[number];
    struct thread *thread = self();
    uint16_t found[STORES];
    int count = 0, pick;

    thread->location = number;
    for (int p = location->count - 1; p >= 0; p--)
        if (may_take(thread, location->order[p]))
            found[count++] = location->order[p];
    if (location->narrow && count > 0)
        return found[count - 1];
    pick = engine_choose(count + ((thread->waiting && count == 0) || memory_may_change(number, execution.current)));
    if (pick < count)
        return found[pick];
    engine_park();
    /* Since the offer, another update may have taken the place behind it. */
    if (!may_take(thread, thread->source))
        engine_abandon();
    return thread->source;
}

static uint64_t take(struct event *event, uint16_t source)
{
    struct thread *thread = self();
    const struct message *message = &execution.messages[source];

    thread->now.seen[event->location] = source;
    memory_join(&thread->acquired, &message->view);
    if (acquires(event->order))
        memory_join(&thread->now, &message->view);
    event->source = source;
    thread->history = memory_mix(thread->history, (uint64_t)event->location << 48 | memory_identity(source));
    return message->value;
}

/* Let each parked load choose whether this is what it waits for. */
static void offer(uint16_t message)
{
    for (int i = 0; i < execution.thread_count; i++) {
        struct thread *thread = &execution.threads[i];

        if (thread->state != THREAD_PARKED || thread->location != execution.messages[message].location ||
            !may_take(thread, message))
            continue;
        if (engine_choose(2) == 1) {
            thread->source = message;
            thread->state = THREAD_READY;
        }
    }
}

/* Put a store behind the one at `before` in the modification order. */
static void put(struct event *event, uint64_t value, int before)
{
    struct location *location = &locations[event->location];
    struct thread *thread = self();
    uint16_t number = (uint16_t)message_new(event->location, value);
    struct message *message = &execution.messages[number];

    if (location->count == STORES)
        engine_bug("too many stores to one object: enlarge STORES");
    for (int p = location->count++; p > before + 1; p--) {
        location->order[p] = location->order[p - 1];
        execution.messages[location->order[p]].position = (uint16_t)p;
    }
    location->order[before + 1] = number;
    message->position = (uint16_t)(before + 1);
    message->event = (int16_t)(event - execution.events);
    event->target = number;
    thread->now.seen[event->location] = number;
    message->view = releases(event->order) ? thread->now : thread->released;
    if (event->source) /* a read-modify-write goes on with the release sequence that it took its value from */
        memory_join(&message->view, &execution.messages[event->source].view);
    thread->history = memory_mix(thread->history, (uint64_t)event->location << 48 | value);
    offer(number);
}

/* An operation begins. That it may write is learned here and not when it does: one of two updates of the same value
 * never does. */
static void start(const void *object, size_t size, int writes, int *location)
{
    engine_step();
    *location = find(object, size);
    self()->update = self()->waiting = 0;
    if (writes && !locations[*location].written_by[execution.current])
        locations[*location].written_by[execution.current] = (uint8_t)(learned = 1);
}

uint64_t explore_load(const void *object, size_t size, int order)
{
    struct event *event;
    uint16_t source;
    uint64_t value;
    int location;

    start(object, size, 0, &location);
    source = source_choose(location);
    event = event_new(EVENT_LOAD, order, location);
    value = take(event, source);
    event_close(event);
    return value;
}

void explore_store(void *object, size_t size, uint64_t value, int order)
{
    int location, count = 0, least, places[STORES];
    struct event *event;

    start(object, size, 1, &location);
    least = position(self()->now.seen[location]);
    for (int p = locations[location].count - 1; p >= least; p--)
        if (!execution.messages[locations[location].order[p]].followed)
            places[count++] = p;
    count = places[engine_choose(count)];
    event = event_new(EVENT_STORE, order, location);
    put(event, size < 8 ? value & ((UINT64_C(1) << 8 * size) - 1) : value, count);
    event_close(event);
}

enum change { CHANGE_SET, CHANGE_ADD, CHANGE_OR };

static uint64_t update_as(uint16_t source, int location, enum change change, uint64_t operand, int order)
{
    struct event *event = event_new(EVENT_UPDATE, order, location);
    size_t size = locations[location].size;
    uint64_t value = take(event, source);
    uint64_t result = change == CHANGE_SET ? operand : change == CHANGE_ADD ? value + operand : value | operand;

    execution.messages[source].followed = 1;
    put(event, size < 8 ? result & ((UINT64_C(1) << 8 * size) - 1) : result, position(source));
    event_close(event);
    return value;
}

static uint64_t update(void *object, size_t size, enum change change, uint64_t operand, int order)
{
    int location;

    start(object, size, 1, &location);
    self()->update = 1;
    return update_as(source_choose(location), location, change, operand, order);
}

uint64_t explore_exchange(void *object, size_t size, uint64_t value, int order)
{
    return update(object, size, CHANGE_SET, value, order);
}

uint64_t explore_add(void *object, size_t size, uint64_t value, int order)
{
    return update(object, size, CHANGE_ADD, value, order);
}

uint64_t explore_or(void *object, size_t size, uint64_t value, int order)
{
    return update(object, size, CHANGE_OR, value, order);
}

int explore_compare_exchange(void *object, size_t size, void *expected, uint64_t value, int order, int order_failed)
{
    uint64_t wanted = 0;
    uint16_t source;
    int location;

    start(object, size, 1, &location);
    memcpy(&wanted, expected, size);
    source = source_choose(location);
    if (execution.messages[source].value != wanted) {
        struct event *event = event_new(EVENT_LOAD, order_failed, location);
        uint64_t found = take(event, source);

        event_close(event);
        memcpy(expected, &found, size);
        return 0;
    }
    if (execution.messages[source].followed)
        engine_abandon(); /* no update can take this value any more */
    update_as(source, location, CHANGE_SET, value, order);
    return 1;
}

static uint64_t wait_for(void *object, uint64_t bound, uint64_t change, int is_update)
{
    int location;
    uint16_t source;
    struct event *event;
    uint64_t value;

    start(object, sizeof(uint64_t), is_update, &location);
    self()->waiting = 1;
    self()->update = is_update;
    self()->bound = bound;
    source = source_choose(location);
    self()->waiting = 0;
    if (is_update)
        return update_as(source, location, CHANGE_ADD, change, memory_order_acquire);
    event = event_new(EVENT_LOAD, memory_order_acquire, location);
    value = take(event, source);
    event_close(event);
    return value;
}

uint64_t explore_take(void *object, uint64_t bound, uint64_t change)
{
    return wait_for(object, bound, change, 1);
}

uint64_t explore_wait(void *object, uint64_t bound)
{
    return wait_for(object, bound, 0, 0);
}

void explore_fence(int order)
{
    struct thread *thread = self();
    struct event *event;

    engine_step();
    event = event_new(EVENT_FENCE, order, -1);
    if (acquires(order))
        memory_join(&thread->now, &thread->acquired);
    if (releases(order))
        thread->released = thread->now;
    event_close(event);
}
