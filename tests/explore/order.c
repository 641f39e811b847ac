/* order.c: the axiom of RC11 on seq_cst: the relation psc over the seq_cst events of an execution has no cycle.
 *
 *      scb      = po | po-other; hb; po-other | hb-same | mo | rb      po-other: to another object, hb-same: to the
 * same object psc_base = ([E] | [F]; hb?); scb; ([E] | hb?; [F])              E: seq_cst events, fences among them; F:
 * seq_cst fences psc_F    = [F]; (hb | hb; eco; hb); [F]                         eco: (rf | mo | rb)+ psc      =
 * psc_base | psc_F
 */
#include <string.h>

#include "engine.h"

#define WORDS (EVENTS / 64)

struct row {
    uint64_t bits[WORDS];
};

static struct row scb[EVENTS], happens[EVENTS], communicates[EVENTS];
static int before[EVENTS], after[EVENTS];

static void set(struct row *row, int bit)
{
    row->bits[bit / 64] |= UINT64_C(1) << bit % 64;
}

static int has(const struct row *row, int bit)
{
    return row->bits[bit / 64] >> bit % 64 & 1;
}

static int words(void)
{
    return (execution.event_count + 63) / 64;
}

static void add(struct row *into, const struct row *from)
{
    for (int i = 0; i < words(); i++)
        into->bits[i] |= from->bits[i];
}

/* The union of the relation's rows for each member of `from`. */
static struct row image(const struct row *from, const struct row *relation)
{
    struct row result = {0};

    for (int i = 0; i < words(); i++)
        for (uint64_t bits = from->bits[i]; bits; bits &= bits - 1)
            add(&result, &relation[i * 64 + __builtin_ctzll(bits)]);
    return result;
}

static int hb(const struct event *a, const struct event *b)
{
    return a != b && b->clock[a->thread] >= a->number;
}

static int place(uint16_t message)
{
    return execution.messages[message].position;
}

/* a before b by mo or rb; both are accesses of one object. */
static int mo_or_rb(const struct event *a, const struct event *b)
{
    if (a == b || !b->target)
        return 0;
    return a->target ? place(a->target) < place(b->target) : place(a->source) < place(b->target);
}

static int eco(const struct event *a, const struct event *b)
{
    if (a == b || a->location < 0 || a->location != b->location)
        return 0;
    if (b->target)
        return mo_or_rb(a, b);
    return a->target ? place(a->target) <= place(b->source) : place(a->source) < place(b->source);
}

/* For each event, the next one of its thread that is not on the same object, and the last one before it: -1 when there
 * is none. A chain po-other; hb; po-other from a to b exists when after[a] happens before before[b], for these two
 * reach furthest. */
static void neighbours_make(void)
{
    int last[EXPLORE_THREADS][2]; /* of each thread: its latest event, and the latest on another object than that */

    memset(last, -1, sizeof(last));
    for (int i = 0; i < execution.event_count; i++) {
        const struct event *event = &execution.events[i];
        int *seen = last[event->thread];

        after[i] = -1;
        if (seen[0] >= 0 && (event->location < 0 || event->location != execution.events[seen[0]].location))
            seen[1] = seen[0];
        before[i] = seen[1];
        seen[0] = i;
    }
    for (int i = execution.event_count - 1; i >= 0; i--) {
        const struct event *event = &execution.events[i];

        for (int k = i + 1; k < execution.event_count && after[i] < 0; k++)
            if (execution.events[k].thread == event->thread &&
                (event->location < 0 || execution.events[k].location != event->location))
                after[i] = k;
    }
}

static void relations_make(void)
{
    int count = execution.event_count;
    size_t bytes = sizeof(uint64_t) * (size_t)words();

    neighbours_make();
    for (int i = 0; i < count; i++) {
        const struct event *a = &execution.events[i];

        memset(scb[i].bits, 0, bytes);
        memset(happens[i].bits, 0, bytes);
        memset(communicates[i].bits, 0, bytes);
        for (int k = 0; k < count; k++) {
            const struct event *b = &execution.events[k];
            int same = a->location >= 0 && a->location == b->location;

            if (same && eco(a, b)) {
                set(&communicates[i], k);
                if (mo_or_rb(a, b))
                    set(&scb[i], k);
            }
            if (!hb(a, b))
                continue;
            set(&happens[i], k);
            if (same || a->thread == b->thread ||
                (after[i] >= 0 && before[k] >= 0 && hb(&execution.events[after[i]], &execution.events[before[k]])))
                set(&scb[i], k);
        }
    }
}

static int is_fence(const struct event *event)
{
    return event->kind == EVENT_FENCE;
}

/* What is reached from a seq_cst event by the first part of psc_base, and from a fence by hb; eco; hb or hb. */
static struct row successors(int i, struct row *by_fence)
{
    struct row from = {0}, through;

    memset(by_fence, 0, sizeof(*by_fence));
    set(&from, i);
    if (is_fence(&execution.events[i])) {
        add(&from, &happens[i]);
        through = image(&happens[i], communicates);
        *by_fence = image(&through, happens);
        add(by_fence, &happens[i]);
    }
    return image(&from, scb);
}

int order_consistent(void)
{
    static struct row next[EVENTS];
    int list[EVENTS], count = 0, left;
    uint8_t gone[EVENTS] = {0};

    if (!execution.sequential)
        return 1;
    relations_make();
    for (int i = 0; i < execution.event_count; i++)
        if (execution.events[i].order == memory_order_seq_cst)
            list[count++] = i;
    for (int n = 0; n < count; n++) {
        struct row by_fence, base = successors(list[n], &by_fence);
        struct row behind = image(&base, happens);

        memset(&next[n], 0, sizeof(next[n]));
        for (int m = 0; m < count; m++) {
            int fence = is_fence(&execution.events[list[m]]);

            if (has(&base, list[m]) || (fence && (has(&behind, list[m]) || has(&by_fence, list[m]))))
                set(&next[n], m);
        }
    }
    /* Take away events without a successor until none is left, or a cycle is. */
    for (left = count; left > 0;) {
        int were = left;

        for (int n = 0; n < count; n++) {
            int free = !gone[n];

            for (int m = 0; m < count && free; m++)
                free = gone[m] || !has(&next[n], m);
            if (free)
                gone[n] = 1, left--;
        }
        if (left == were)
            return 0;
    }
    return 1;
}
