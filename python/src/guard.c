/* guard.c: who is inside a handle. All accesses are sequentially consistent: what one did inside is seen by whoever
 * comes after it. */
#include "guard.h"

#define GUARD_CLOSED UINT32_C(0x80000000)
#define GUARD_ALONE UINT32_C(0x40000000) /* one of those inside is there alone */

static enum guard_answer enter(struct guard *guard, uint32_t refused, uint32_t mark)
{
    uint32_t state = atomic_load(&guard->state);

    do {
        if (state & GUARD_CLOSED)
            return GUARD_IS_CLOSED;
        if (state & refused)
            return GUARD_IS_BUSY;
    } while (!atomic_compare_exchange_weak(&guard->state, &state, (state | mark) + 1));
    return GUARD_IN;
}

enum guard_answer guard_enter(struct guard *guard)
{
    return enter(guard, 0, 0);
}

enum guard_answer guard_enter_alone(struct guard *guard)
{
    return enter(guard, GUARD_ALONE, GUARD_ALONE);
}

int guard_leave(struct guard *guard)
{
    return atomic_fetch_sub(&guard->state, 1) - 1 == GUARD_CLOSED;
}

int guard_leave_alone(struct guard *guard)
{
    return atomic_fetch_sub(&guard->state, GUARD_ALONE + 1) - (GUARD_ALONE + 1) == GUARD_CLOSED;
}

int guard_close(struct guard *guard)
{
    uint32_t state = atomic_load(&guard->state);

    do {
        if (state & GUARD_CLOSED)
            return 0;
    } while (!atomic_compare_exchange_weak(&guard->state, &state, (state | GUARD_CLOSED) + 1));
    return 1;
}

int guard_close_unused(struct guard *guard)
{
    uint32_t unused = 0;

    return atomic_compare_exchange_strong(&guard->state, &unused, GUARD_CLOSED);
}

int guard_is_closed(const struct guard *guard)
{
    return (atomic_load(&guard->state) & GUARD_CLOSED) != 0;
}
