/* explore.c: the explorer's engine: choices, threads, and the search through all executions of a case. */
#include "explore.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "engine.h"

#define STACK_SIZE 65536
#define CHOICES 1024
#define KNOWN_BITS 22 /* of the table of known states */

struct execution execution;
uint64_t explore_state[128];
int explore_patient;
unsigned long long explore_total;

/* How one execution ended. */
enum outcome { OUTCOME_RUNNING, OUTCOME_COMPLETE, OUTCOME_KNOWN, OUTCOME_ABANDONED, OUTCOME_FAILED };

static const struct explore_case *test;
static enum outcome outcome;
static const char *failure;
static unsigned long long found[OUTCOME_FAILED + 1]; /* executions by outcome */

static struct {
    uint16_t taken[CHOICES], count[CHOICES];
    int depth, length, deepest;
} choices;

/* States in which a thread ended, by hash. What is left to do depends on nothing else, so the second visit finds
 * nothing new. */
static uint64_t *known;
static uint64_t known_count;
static int known_wanted;

static struct {
    jmp_buf top, here;
    ucontext_t context;
    int begun;
} fibres[EXPLORE_THREADS];
static jmp_buf main_point;
static ucontext_t main_context;

void engine_bug(const char *text)
{
    fprintf(stderr, "%s: %s\n", test->name, text);
    exit(2);
}

int engine_choose(int count)
{
    if (count == 1)
        return 0;
    if (choices.depth == choices.length) {
        if (choices.length == CHOICES)
            engine_bug("too many choices in one execution: enlarge CHOICES");
        choices.taken[choices.length] = 0;
        choices.count[choices.length++] = (uint16_t)count;
    }
    if (choices.count[choices.depth] != count)
        engine_bug("the case is not deterministic");
    return choices.taken[choices.depth++];
}

int engine_fresh(void)
{
    return choices.depth == choices.length;
}

/* Go to the next combination of choices. Returns 0 when there is none. */
static int choices_next(void)
{
    if (choices.length > choices.deepest)
        choices.deepest = choices.length;
    while (choices.length > 0 && choices.taken[choices.length - 1] + 1 == choices.count[choices.length - 1])
        choices.length--;
    choices.depth = 0;
    if (choices.length == 0)
        return 0;
    choices.taken[choices.length - 1]++;
    return 1;
}

/* ---- Threads: each has a stack, of which it never leaves the first frame, so that it can be begun again at any time.
 * ---- */

static void to_main(void)
{
    _longjmp(main_point, 1);
}

/* Whether a thread that has not begun will know what this one knew. */
static int is_awaited(int number)
{
    for (int i = 0; i < execution.thread_count - 1; i++)
        if (test->threads[i].after == number + 1 && !fibres[i].begun)
            return 1;
    return 0;
}

/* Whether this state was met before; it is remembered. */
static int known_state(void)
{
    uint64_t hash = memory_hash(), mask = (UINT64_C(1) << KNOWN_BITS) - 1;

    for (int i = 0; i < execution.thread_count; i++) {
        const struct thread *thread = &execution.threads[i];

        hash = memory_mix(hash, thread->state);
        if (thread->state != THREAD_DONE || is_awaited(i))
            hash = memory_mix(memory_mix(hash, thread->history), memory_identity(thread->source));
    }
    for (size_t i = 0; i < sizeof(explore_state) / sizeof(explore_state[0]); i++)
        hash = memory_mix(hash, explore_state[i]);
    hash = hash ? hash : 1;
    for (uint64_t i = hash & mask;; i = (i + 1) & mask) {
        if (known[i] == hash)
            return 1;
        if (known[i] != 0)
            continue;
        if (known_count < mask / 2) {
            known[i] = hash;
            known_count++;
        }
        return 0;
    }
}

static void fibre_body(void)
{
    for (;;) {
        if (_setjmp(fibres[execution.current].top) == 0)
            swapcontext(&fibres[execution.current].context, &main_context);
        if (execution.current < execution.thread_count - 1)
            test->threads[execution.current].run();
        else if (test->end)
            test->end();
        execution.threads[execution.current].state = THREAD_DONE;
        to_main();
    }
}

static void fibre_make(int number)
{
    static unsigned char stacks[EXPLORE_THREADS][STACK_SIZE] __attribute__((aligned(64)));

    getcontext(&fibres[number].context);
    fibres[number].context.uc_stack.ss_sp = stacks[number];
    fibres[number].context.uc_stack.ss_size = STACK_SIZE;
    fibres[number].context.uc_link = NULL;
    makecontext(&fibres[number].context, fibre_body, 0);
    execution.current = number;
    swapcontext(&main_context, &fibres[number].context);
}

static void resume(int number)
{
    execution.current = number;
    if (_setjmp(main_point) == 0) {
        if (fibres[number].begun)
            _longjmp(fibres[number].here, 1);
        fibres[number].begun = 1;
        _longjmp(fibres[number].top, 1);
    }
}

void engine_park(void)
{
    execution.threads[execution.current].state = THREAD_PARKED;
    if (_setjmp(fibres[execution.current].here) == 0)
        to_main();
}

void engine_abandon(void)
{
    outcome = OUTCOME_ABANDONED;
    to_main();
}

void engine_step(void)
{
    struct thread *thread = &execution.threads[execution.current];

    if (thread->mortal && engine_choose(2) == 1) {
        thread->state = THREAD_DONE;
        to_main();
    }
}

void explore_mortal(int on)
{
    execution.threads[execution.current].mortal = on;
}

void explore_expect(int holds, const char *text)
{
    if (holds)
        return;
    if (!order_consistent())
        engine_abandon();
    failure = text;
    outcome = OUTCOME_FAILED;
    to_main();
}

int explore_blocked(int number)
{
    return execution.threads[number].state == THREAD_PARKED;
}

unsigned explore_known(int number)
{
    return execution.threads[execution.current].now.clock[number];
}

/* ---- One execution ---- */

static void begin(void)
{
    memory_reset();
    execution.event_count = execution.sequential = 0;
    memset(explore_state, 0, sizeof(explore_state));
    for (int i = 0; i < execution.thread_count; i++) {
        memset(&execution.threads[i], 0, sizeof(execution.threads[i]));
        execution.threads[i].state = THREAD_READY;
        fibres[i].begun = 0;
    }
    outcome = OUTCOME_RUNNING;
    test->begin();
}

/* The first thread that can go on, or -1. The last one, which looks at the end, is not among them. */
static int next_thread(void)
{
    for (int i = 0; i < execution.thread_count - 1; i++) {
        int after = test->threads[i].after - 1;

        if (execution.threads[i].state != THREAD_READY)
            continue;
        if (after >= 0 && !fibres[i].begun) {
            if (execution.threads[after].state != THREAD_DONE)
                continue;
            memory_join(&execution.threads[i].now, &execution.threads[after].now);
        }
        return i;
    }
    return -1;
}

/* A load that waits for a store which nobody can make any more is no execution. Nor is one that waits when all is over,
 * though it could have taken what is there. */
static int waits_in_vain(int over)
{
    for (int i = 0; i < execution.thread_count - 1; i++) {
        const struct thread *thread = &execution.threads[i];

        if (thread->state != THREAD_PARKED || (!over && memory_may_change(thread->location, i)))
            continue;
        if (!thread->waiting || memory_could_take(thread))
            return 1;
    }
    return 0;
}

static void run_threads(void)
{
    int number;

    while ((number = next_thread()) >= 0) {
        resume(number);
        if (outcome != OUTCOME_RUNNING)
            return;
        if (execution.threads[number].state != THREAD_DONE)
            continue;
        if (waits_in_vain(0))
            outcome = OUTCOME_ABANDONED;
        else if (known_wanted && engine_fresh() && !execution.sequential && known_state())
            outcome = OUTCOME_KNOWN;
        if (outcome != OUTCOME_RUNNING)
            return;
    }
    if (waits_in_vain(1) || !order_consistent()) {
        outcome = OUTCOME_ABANDONED;
        return;
    }
    number = execution.thread_count - 1;
    for (int i = 0; i < number; i++)
        memory_join(&execution.threads[number].now, &execution.threads[i].now);
    resume(number);
    if (outcome == OUTCOME_RUNNING)
        outcome = OUTCOME_COMPLETE;
}

/* ---- All executions ---- */

/* Returns 1 when the search is complete, 0 when it has to be made again because of something that was learned. */
static int search(void)
{
    memset(found, 0, sizeof(found));
    memset(&choices, 0, sizeof(choices));
    memset(known, 0, sizeof(*known) << KNOWN_BITS);
    known_count = 0;
    do {
        begin();
        run_threads();
        found[outcome]++;
        if (outcome == OUTCOME_FAILED)
            return 1;
        if (memory_learned())
            return 0;
        if (execution.sequential && known_wanted) {
            known_wanted = 0;
            return 0;
        }
    } while (choices_next());
    return 1;
}

int explore_run(const struct explore_case *wanted)
{
    test = wanted;
    known = known ? known : malloc(sizeof(*known) << KNOWN_BITS);
    if (!known)
        engine_bug("out of memory");
    memory_forget();
    failure = NULL;
    known_wanted = test->executions == 0;
    for (execution.thread_count = 0; test->threads[execution.thread_count].run; execution.thread_count++)
        continue;
    execution.thread_count++;
    for (int i = 0; i < execution.thread_count; i++)
        fibre_make(i);
    while (!search())
        continue;
    if (!failure && test->executions != 0 && found[OUTCOME_COMPLETE] != test->executions)
        failure = "the number of executions is the known one";
    explore_total += found[OUTCOME_COMPLETE] + found[OUTCOME_KNOWN];
    printf("%-6s %-20s %9llu executions to the end, %9llu to a known state, %9llu given up, %3d choices deep\n",
           failure ? "FAILED" : "ok", test->name, found[OUTCOME_COMPLETE], found[OUTCOME_KNOWN],
           found[OUTCOME_ABANDONED], choices.deepest);
    if (failure) {
        printf("  promise: %s\n  broken:  %s\n", test->promise, failure);
        trace_print(test);
    }
    fflush(stdout);
    return !failure;
}
