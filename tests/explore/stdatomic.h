/* stdatomic.h: C11's atomic operations as calls of the explorer; found before the compiler's own header, so that the
 * shipped ring.c is built against it unchanged. Only what ring.c and layout.c use is here: anything else must not
 * compile. */
#ifndef EXPLORE_STDATOMIC_H
#define EXPLORE_STDATOMIC_H

#include <stddef.h>
#include <stdint.h>

enum memory_order_names {
    memory_order_relaxed,
    memory_order_acquire,
    memory_order_release,
    memory_order_acq_rel,
    memory_order_seq_cst
};

uint64_t explore_load(const void *object, size_t size, int order);
void explore_store(void *object, size_t size, uint64_t value, int order);
uint64_t explore_exchange(void *object, size_t size, uint64_t value, int order);
uint64_t explore_add(void *object, size_t size, uint64_t value, int order);
uint64_t explore_or(void *object, size_t size, uint64_t value, int order);
int explore_compare_exchange(void *object, size_t size, void *expected, uint64_t value, int order, int order_failed);
void explore_fence(int order);

/* The casts take away _Atomic and the members' own types; sizeof is the object's. */
#define atomic_load_explicit(object, order) explore_load((const void *)(object), sizeof(*(object)), order)
#define atomic_store_explicit(object, value, order) \
    explore_store((void *)(object), sizeof(*(object)), (uint64_t)(value), order)
#define atomic_exchange_explicit(object, value, order) \
    explore_exchange((void *)(object), sizeof(*(object)), (uint64_t)(value), order)
#define atomic_fetch_add_explicit(object, value, order) \
    explore_add((void *)(object), sizeof(*(object)), (uint64_t)(value), order)
#define atomic_fetch_or_explicit(object, value, order) \
    explore_or((void *)(object), sizeof(*(object)), (uint64_t)(value), order)
#define atomic_compare_exchange_strong_explicit(object, expected, value, order, order_failed) \
    explore_compare_exchange((void *)(object), sizeof(*(object)), (expected), (uint64_t)(value), order, order_failed)
#define atomic_thread_fence(order) explore_fence(order)

/* What layout.h asserts of the machine it is built for. */
#define ATOMIC_SHORT_LOCK_FREE 2
#define ATOMIC_INT_LOCK_FREE 2
#define ATOMIC_LLONG_LOCK_FREE 2

#endif
