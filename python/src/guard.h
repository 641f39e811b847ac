/* guard.h: who is inside a handle, so that closing it waits for them.
 *
 * Python code can run in the middle of a call: a signal's handler while it waits, a finalizer, an argument's
 * __buffer__; and without a GIL, or while a call has let it go, another thread. Each of them may close the handle that
 * the call is using. So a call enters the handle's guard first and leaves it at its end; a close marks the guard, and
 * the last one to leave is told to free the handle. One atomic word; no function waits. */
#ifndef SHMGATE_PYTHON_GUARD_H
#define SHMGATE_PYTHON_GUARD_H

#include <stdatomic.h>
#include <stdint.h>

struct guard {
    _Atomic uint32_t state; /* GUARD_CLOSED, GUARD_ALONE, and the number of those inside */
};

enum guard_answer { GUARD_IN = 0, GUARD_IS_CLOSED, GUARD_IS_BUSY };

/* Enter beside others. GUARD_IN or GUARD_IS_CLOSED. */
enum guard_answer guard_enter(struct guard *guard);

/* Enter as the only one who may use what is guarded; those who have entered beside others only keep it from being
 * freed. Also GUARD_IS_BUSY. */
enum guard_answer guard_enter_alone(struct guard *guard);

/* Leave, in the way one has entered. Returns 1 when it was closed meanwhile and the caller must free the handle. */
int guard_leave(struct guard *guard);
int guard_leave_alone(struct guard *guard);

/* Close. Returns 1 when this call has closed it: then the caller is inside, may still end what others do there, and
 * must call guard_leave. 0: it was closed already. */
int guard_close(struct guard *guard);

/* Close, if nobody is inside: returns 1, and nothing is left to be left. 0: somebody is, or it was closed already. */
int guard_close_unused(struct guard *guard);

int guard_is_closed(const struct guard *guard);

#endif
