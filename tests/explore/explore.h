/* explore.h: runs a few threads of real code in every way that the C11 memory model allows, and asks after each whether
 * all is well.
 *
 * The code under test is compiled against the stdatomic.h beside this file, whose operations are choices of the
 * explorer: which store a load takes its value from, where a store stands in its object's modification order, whether
 * the thread is killed here. Each execution is run again from the start with the next combination of choices, until
 * there is none left. Code that is explored must be deterministic but for its atomic operations, and every loop in it
 * bounded or ended by a wait.
 *
 * THE MODEL is RC11 (Lahav, Vafeiadis, Kang, Hur, Dreyer: "Repairing sequential consistency in C/C++11", PLDI 2017), on
 * which C++20's wording is based: C11 without values out of thin air. Coherence, release and acquire, fences and
 * read-modify-writes are kept by views (memory.c); the order of seq_cst operations and fences by the paper's axiom over
 * the whole execution (order.c). A release sequence is only the release store and read-modify-writes, as in C++20:
 * weaker than C11, so what holds here holds there.
 *
 * NOT COVERED: load buffering (a load that takes its value from a store that depends on, or follows, it in its own
 * thread; RC11 forbids it, and C11 on 64-bit ARM or POWER may show it for relaxed accesses), mixed-size accesses, and
 * more threads, messages or slots than a case has: one writer and two readers of a lane of two slots, up to five
 * messages of two words; two lanes for the doorbell; one or two deaths. Plain memory is private to a thread, except
 * explore_state, which is for a case's own book-keeping; the looks at a payload in its slot that a caller of ring_peek
 * makes by plain loads are made by relaxed ones here. A thread that is killed hands its successor all it had seen and
 * done, as the kernel's lock does. Without load buffering no value shows that a load comes before another thread's
 * later store; explore_known asks for the order itself.
 *
 * HOW IT IS COMPLETE WITHOUT TRYING SCHEDULES: two schedules in which all loads take the same stores and the stores
 * have the same order are one execution. So there is one schedule: the first thread that can go on does. A load takes
 * any store that is there and allowed, or waits for one that is not there yet; a store offers itself to each load that
 * waits. A wait that nothing comes for is thrown away, because the same execution was found where the load did not
 * wait. Waiting is tried only for objects that another unfinished thread is known to write; when an execution shows a
 * write that was not known, the exploration starts again with that knowledge. Where a thread ends in a state that was
 * met before (by a hash of 64 bits), and there was no seq_cst operation, what follows is not explored again; readers,
 * which leave nothing behind, are so explored one after the other and not in all combinations. cases_model.c checks the
 * number of executions against those known from the literature. */
#ifndef EXPLORE_H
#define EXPLORE_H

#include <stddef.h>
#include <stdint.h>

#include "stdatomic.h"

#define EXPLORE_THREADS 6 /* of a case, with the one that looks at the end */

struct explore_thread {
    const char *name;
    void (*run)(void); /* NULL: no more threads */
    int after;         /* 1 + number of the thread whose end (or death) comes before this one's start; 0: none */
};

struct explore_case {
    const char *name;
    const char *promise; /* what is checked, in a sentence */
    void (*begin)(void); /* sets up memory and private state before each execution; no atomic operations */
    struct explore_thread threads[EXPLORE_THREADS];
    void (*end)(void);   /* runs when all threads have ended or wait for ever; it sees everything they did; or NULL */
    uint64_t executions; /* the number there must be; 0: any */
    int full;            /* 1: only in the full exploration */
};

/* State that a case's threads share with each other outside the model: who wrote and read what. Zeroed before each
 * execution. */
extern uint64_t explore_state[128];

/* In a case: what must hold. The first failure ends the case and shows the execution. */
void explore_expect(int holds, const char *text);
#define EXPECT(condition) explore_expect((condition) != 0, #condition)

/* The calling thread may be killed before any of its following atomic operations (each is tried); 0 ends this. */
void explore_mortal(int on);

/* Whether thread `number` waits for something that will not come. For the end. */
int explore_blocked(int number);

/* How many of the operations of thread `number` happened before the calling thread's next one (happens-before,
 * C11 5.1.2.4). It shows that a load was ordered before a later store of another thread, which no value shows in a
 * model without load buffering. */
unsigned explore_known(int number);

/* A load of `object` takes the first store it may: no choice. For members that the code under test treats like another
 * one that is explored, to keep a case small. Call it in begin. */
void explore_narrow(const void *object);

/* Name of an object in a trace. Call it in begin. */
void explore_name(const void *object, const char *name);

/* Wait until `object` has a value above `bound` and add `change` to it, in one step (acquire). Waiting for ever is an
 * end of the thread. */
uint64_t explore_take(void *object, uint64_t bound, uint64_t change);

/* The same without the change. */
uint64_t explore_wait(void *object, uint64_t bound);

/* 1: a load may wait for a store of any thread that has not ended, known to write the object or not. Slower, and finds
 * the same. */
extern int explore_patient;

/* Executions of all cases so far, without those that were given up as none. */
extern unsigned long long explore_total;

/* Explore one case. Returns 1 when it holds; prints the result, and the execution when it does not. */
int explore_run(const struct explore_case *test);

#endif
