/* engine.h: what the explorer's own files share: one execution as far as it has come. */
#ifndef EXPLORE_ENGINE_H
#define EXPLORE_ENGINE_H

#include "explore.h"

/* Limits of a case; all are checked. */
#define LOCATIONS 96
#define STORES 40    /* of one object */
#define MESSAGES 384 /* stores of one execution, with one initial value an object */
#define EVENTS 512

/* What has happened before some point: per object the latest store (0: none but the initial value), per thread the
 * number of its events. */
struct view {
    uint16_t seen[LOCATIONS];
    uint16_t clock[EXPLORE_THREADS];
};

/* One store; number 0 is not used. */
struct message {
    uint64_t value;
    uint16_t location;
    uint16_t position; /* in its object's modification order */
    int16_t event;     /* -1: initial value */
    uint8_t followed;  /* a read-modify-write took this value: nothing may come between */
    struct view view;  /* what whoever acquires it gets */
};

/* One object; it keeps its number over all executions of a case. */
struct location {
    const void *address;
    const char *name;
    size_t size;
    int narrow;
    int count; /* of `order`; 0: not touched in this execution */
    uint16_t order[STORES];
    uint8_t written_by[EXPLORE_THREADS]; /* learned: the thread may store here */
};

enum event_kind { EVENT_LOAD, EVENT_STORE, EVENT_UPDATE, EVENT_FENCE };

struct event {
    uint8_t kind, thread, order;
    uint16_t number;                 /* in its thread, from 1 */
    int16_t location;                /* -1: fence */
    uint16_t source;                 /* message that was read, or 0 */
    uint16_t target;                 /* message that was written, or 0 */
    uint16_t clock[EXPLORE_THREADS]; /* happens-before: events of each thread up to here, this one with them */
};

enum thread_state { THREAD_UNUSED, THREAD_READY, THREAD_PARKED, THREAD_DONE };

struct thread {
    enum thread_state state;
    int mortal;
    struct view now;      /* happened before its next event */
    struct view acquired; /* what an acquire fence would add */
    struct view released; /* as of its last release fence */
    uint64_t history;     /* hash of what it did and saw */
    /* While it is parked, or has just been offered a store: */
    int location;
    int waiting;    /* a wait, which may last for ever, and not a mere load */
    int update;     /* the store after the one it takes is its own */
    uint64_t bound; /* of a wait */
    uint16_t source;
};

struct execution {
    struct thread threads[EXPLORE_THREADS];
    int thread_count, current;
    struct message messages[MESSAGES];
    int message_count;
    struct event events[EVENTS];
    int event_count;
    int sequential; /* an event was seq_cst */
};

extern struct execution execution;
extern struct location locations[LOCATIONS];
extern int location_count;

/* A choice of the exploration: 0 to count - 1. */
int engine_choose(int count);

/* Whether the present choice is new: everything before was explored in earlier executions. */
int engine_fresh(void);

/* Give up this execution: it is none, or one that was found elsewhere. Does not return. */
void engine_abandon(void);

/* Let other threads go on until this one has been offered a store. */
void engine_park(void);

/* Before each operation: the thread may be killed here. Does not return then. */
void engine_step(void);

/* A fault of a case, or a limit that is too small: ends the program. */
void engine_bug(const char *text);

/* Forget all stores, keep what was learned of the objects. */
void memory_reset(void);

/* What `into` and `from` know together. */
void memory_join(struct view *into, const struct view *from);

/* Whether a parked thread's wait could take a store that is there. */
int memory_could_take(const struct thread *thread);

/* Whether somebody who can still do something may write the object. */
int memory_may_change(int location, int except);

/* Whether the last exploration learned of a write it had not reckoned with; and forget that it did. */
int memory_learned(void);

/* Forget objects, names and knowledge: another case begins. */
void memory_forget(void);

/* A hash of all stores with what they carry. */
uint64_t memory_hash(void);

/* Who wrote a message: the same in all executions that differ in other things only. */
uint64_t memory_identity(uint16_t message);

/* One more value into a hash. */
uint64_t memory_mix(uint64_t hash, uint64_t value);

/* Whether the seq_cst events can stand in one order (the axiom "psc" of RC11). */
int order_consistent(void);

/* Show the execution. */
void trace_print(const struct explore_case *test);

#endif
