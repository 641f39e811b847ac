/* cases_model.c: the explorer itself: small programs whose number of executions under RC11 is known (the usual names of
 * the literature). */
#include "cases.h"

static uint64_t x, y, z;

#define R(object, order) atomic_load_explicit(&object, memory_order_##order)
#define W(object, value, order) atomic_store_explicit(&object, value, memory_order_##order)
#define FENCE(order) atomic_thread_fence(memory_order_##order)
#define ADD(object, order) atomic_fetch_add_explicit(&object, 1, memory_order_##order)

static void begin(void)
{
    explore_name(&x, "x");
    explore_name(&y, "y");
    explore_name(&z, "z");
}

/* Store buffering: 4 with relaxed accesses, without both zeros when seq_cst. */
static void sb_relaxed_0(void)
{
    W(x, 1, relaxed);
    R(y, relaxed);
}
static void sb_relaxed_1(void)
{
    W(y, 1, relaxed);
    R(x, relaxed);
}
static void sb_release_0(void)
{
    W(x, 1, release);
    R(y, acquire);
}
static void sb_release_1(void)
{
    W(y, 1, release);
    R(x, acquire);
}
static void sb_seq_cst_0(void)
{
    W(x, 1, seq_cst);
    R(y, seq_cst);
}
static void sb_seq_cst_1(void)
{
    W(y, 1, seq_cst);
    R(x, seq_cst);
}
static void sb_fences_0(void)
{
    W(x, 1, relaxed);
    FENCE(seq_cst);
    R(y, relaxed);
}
static void sb_fences_1(void)
{
    W(y, 1, relaxed);
    FENCE(seq_cst);
    R(x, relaxed);
}
/* An acq_rel update instead of the fence orders nothing here. */
static void sb_update_0(void)
{
    W(x, 1, relaxed);
    ADD(z, acq_rel);
    R(y, relaxed);
}

/* Message passing: seeing the flag without the data is the one that release and acquire forbid. */
static void mp_relaxed_0(void)
{
    W(x, 1, relaxed);
    W(y, 1, relaxed);
}
static void mp_relaxed_1(void)
{
    R(y, relaxed);
    R(x, relaxed);
}
static void mp_release_0(void)
{
    W(x, 1, relaxed);
    W(y, 1, release);
}
static void mp_acquire_1(void)
{
    R(y, acquire);
    R(x, relaxed);
}
static void mp_fences_0(void)
{
    W(x, 1, relaxed);
    FENCE(release);
    W(y, 1, relaxed);
}
static void mp_fences_1(void)
{
    R(y, relaxed);
    FENCE(acquire);
    R(x, relaxed);
}
/* A relaxed update goes on with the release sequence, a relaxed store of the same thread does not. */
static void mp_chain_0(void)
{
    W(x, 1, relaxed);
    W(y, 1, release);
}
static void mp_chain_1(void)
{
    ADD(y, relaxed);
}
static void mp_chain_2(void)
{
    if (R(y, acquire) == 2)
        EXPECT(R(x, relaxed) == 1);
}
static void mp_later_0(void)
{
    W(x, 1, relaxed);
    W(y, 1, release);
    W(y, 2, relaxed);
}

/* Load buffering: both ones would be out of thin air. */
static void lb_0(void)
{
    R(x, relaxed);
    W(y, 1, relaxed);
}
static void lb_1(void)
{
    R(y, relaxed);
    W(x, 1, relaxed);
}

/* Coherence of one object. */
static void corr_0(void)
{
    W(x, 1, relaxed);
}
static void corr_1(void)
{
    R(x, relaxed);
    R(x, relaxed);
}
static void coww_0(void)
{
    W(x, 1, relaxed);
    W(x, 2, relaxed);
}
static void coww_1(void)
{
    W(x, 3, relaxed);
}

/* Two stores each to two objects: each order of each object, but for the circle when seq_cst. */
static void w22_0(void)
{
    W(x, 1, relaxed);
    W(y, 1, relaxed);
}
static void w22_1(void)
{
    W(y, 2, relaxed);
    W(x, 2, relaxed);
}
static void w22_sc_0(void)
{
    W(x, 1, seq_cst);
    W(y, 1, seq_cst);
}
static void w22_sc_1(void)
{
    W(y, 2, seq_cst);
    W(x, 2, seq_cst);
}

/* Independent reads of independent writes. */
static void iriw_0(void)
{
    W(x, 1, release);
}
static void iriw_1(void)
{
    W(y, 1, release);
}
static void iriw_2(void)
{
    R(x, acquire);
    R(y, acquire);
}
static void iriw_3(void)
{
    R(y, acquire);
    R(x, acquire);
}
static void iriw_sc_0(void)
{
    W(x, 1, seq_cst);
}
static void iriw_sc_1(void)
{
    W(y, 1, seq_cst);
}
static void iriw_sc_2(void)
{
    R(x, seq_cst);
    R(y, seq_cst);
}
static void iriw_sc_3(void)
{
    R(y, seq_cst);
    R(x, seq_cst);
}
static void iriw_fence_2(void)
{
    R(x, relaxed);
    FENCE(seq_cst);
    R(y, relaxed);
}
static void iriw_fence_3(void)
{
    R(y, relaxed);
    FENCE(seq_cst);
    R(x, relaxed);
}

/* Updates are one step each: every order of three, and none is lost. */
static void add(void)
{
    ADD(x, relaxed);
}
static void add_end(void)
{
    EXPECT(R(x, relaxed) == 3);
}

/* Compare and exchange: one of two wins. */
static void cas(void)
{
    uint64_t expected = 0;

    explore_state[0] += (uint64_t)atomic_compare_exchange_strong_explicit(&x, &expected, 1, memory_order_seq_cst,
                                                                          memory_order_seq_cst);
}
static void cas_end(void)
{
    EXPECT(explore_state[0] == 1);
}

/* A wait ends when what it waits for is there; two waits for one token leave one waiting. */
static void wait_post(void)
{
    ADD(x, release);
}
static void wait_take(void)
{
    explore_take(&x, 0, (uint64_t)-1);
    explore_state[0]++;
}
static void wait_end(void)
{
    EXPECT(explore_state[0] == 1 && explore_blocked(1) + explore_blocked(2) == 1);
}

/* Killed before each of two stores, or not at all; whoever comes after knows all that was done. */
static void kill_0(void)
{
    explore_mortal(1);
    W(x, 1, relaxed);
    W(y, 1, relaxed);
}
static void kill_1(void)
{
    R(y, relaxed);
    R(x, relaxed);
}

/* Release of x, acquire and seq_cst mixed (the paper's example of what the older rule forbade too much: not all zeros
 * with fences only). */
static void rwc_0(void)
{
    W(x, 1, relaxed);
}
static void rwc_1(void)
{
    R(x, acquire);
    FENCE(seq_cst);
    R(y, relaxed);
}
static void rwc_2(void)
{
    W(y, 1, relaxed);
    FENCE(seq_cst);
    R(x, relaxed);
}

#define TWO(label, a, b, n)                     \
    {.name = "model-" label,                    \
     .promise = "executions as known",          \
     .begin = begin,                            \
     .threads = {{"one", a, 0}, {"two", b, 0}}, \
     .executions = n}

const struct explore_case cases_model[] = {
    TWO("sb-relaxed", sb_relaxed_0, sb_relaxed_1, 4),
    TWO("sb-release", sb_release_0, sb_release_1, 4),
    TWO("sb-seq-cst", sb_seq_cst_0, sb_seq_cst_1, 3),
    TWO("sb-fences", sb_fences_0, sb_fences_1, 3),
    TWO("sb-update", sb_update_0, sb_fences_1, 4),
    TWO("sb-mixed", sb_seq_cst_0, sb_fences_1, 3),
    TWO("mp-relaxed", mp_relaxed_0, mp_relaxed_1, 4),
    TWO("mp-half", mp_release_0, mp_relaxed_1, 4),
    TWO("mp-release", mp_release_0, mp_acquire_1, 3),
    TWO("mp-fences", mp_fences_0, mp_fences_1, 3),
    TWO("mp-fence-acquire", mp_fences_0, mp_acquire_1, 3),
    TWO("mp-later", mp_later_0, mp_acquire_1, 5),
    TWO("lb", lb_0, lb_1, 3),
    TWO("corr", corr_0, corr_1, 3),
    TWO("coww", coww_0, coww_1, 3),
    TWO("2+2w", w22_0, w22_1, 4),
    TWO("2+2w-seq-cst", w22_sc_0, w22_sc_1, 3),
    TWO("kill", kill_0, kill_1, 1 + 2 + 4),
    {.name = "model-mp-chain",
     .promise = "a release sequence goes on through an update",
     .begin = begin,
     .threads = {{"one", mp_chain_0, 0}, {"two", mp_chain_1, 0}, {"three", mp_chain_2, 0}},
     .executions = 6},
    {.name = "model-iriw",
     .promise = "executions as known",
     .begin = begin,
     .threads = {{"one", iriw_0, 0}, {"two", iriw_1, 0}, {"three", iriw_2, 0}, {"four", iriw_3, 0}},
     .executions = 16},
    {.name = "model-iriw-seq-cst",
     .promise = "executions as known",
     .begin = begin,
     .threads = {{"one", iriw_sc_0, 0}, {"two", iriw_sc_1, 0}, {"three", iriw_sc_2, 0}, {"four", iriw_sc_3, 0}},
     .executions = 15},
    {.name = "model-iriw-fences",
     .promise = "executions as known",
     .begin = begin,
     .threads = {{"one", iriw_0, 0}, {"two", iriw_1, 0}, {"three", iriw_fence_2, 0}, {"four", iriw_fence_3, 0}},
     .executions = 15},
    {.name = "model-rwc",
     .promise = "executions as known",
     .begin = begin,
     .threads = {{"one", rwc_0, 0}, {"two", rwc_1, 0}, {"three", rwc_2, 0}},
     .executions = 7},
    {.name = "model-update",
     .promise = "no update is lost",
     .begin = begin,
     .threads = {{"one", add, 0}, {"two", add, 0}, {"three", add, 0}},
     .end = add_end,
     .executions = 6},
    {.name = "model-cas",
     .promise = "one of two wins",
     .begin = begin,
     .threads = {{"one", cas, 0}, {"two", cas, 0}},
     .end = cas_end,
     .executions = 2},
    {.name = "model-wait",
     .promise = "one token ends one wait",
     .begin = begin,
     .threads = {{"one", wait_post, 0}, {"two", wait_take, 0}, {"three", wait_take, 0}},
     .end = wait_end,
     .executions = 2},
    {0},
};
