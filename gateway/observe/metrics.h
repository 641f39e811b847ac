/* metrics.h: the counters for Prometheus, over HTTP, on a Unix socket or a loopback port.
 *
 * A THREAD OF ITS OWN, and it shares nothing with the loop: for each answer it attaches to the segment by its name, as
 * any program may, reads the counters there and lets it go. So no client can delay a message, the loop still waits on
 * nothing but its doorbell, no lock is held by both, and a segment that is replaced at a reload needs no word about it.
 * (In the loop, each client would have to ring the doorbell, and the loop would write to sockets.) It costs some tens
 * of microseconds an answer. The thread is there only while something listens; with no client it sleeps in poll(2)
 * without a timeout: no wake-up.
 *
 * A hostile client, which must be on this machine, costs one of METRICS_CLIENTS places for METRICS_HTTP_LIMIT_MS, and
 * with that bounded memory; all of them together can keep a scraper out. A Unix socket is for the gateway's user and
 * group (0660), a port for everybody on the machine.
 */
#ifndef SHMGATE_METRICS_H
#define SHMGATE_METRICS_H

#include <stddef.h>

#include "shm/reason.h"

#define METRICS_CLIENTS 4 /* connections at a time; the kernel queues as many more */

struct metrics;

/* Nothing listens yet. Remembers the time as that of the process's start. On success *out must be given to
 * metrics_destroy. -ENOMEM. */
int metrics_create(struct metrics **out);

/* Serve the counters of `segment` on `address` (as in gateway.ini; NULL: nowhere) instead of what was. Both strings are
 * copied. The socket file of a dead process is replaced; what is no socket, or answers, is not. Waits until the thread
 * has finished the answer it is building; call it from one thread. Returns 0; with the reason, and what was
 * served before goes on: -EADDRINUSE somebody else listens there; -ENOMEM; or -errno of socket(2), bind(2), listen(2),
 * pthread_create(3). */
int metrics_serve(struct metrics *metrics, const char *address, const char *segment, struct reason *reason);

/* Count `count` more segments that were set aside, since the process's start. Any thread. */
void metrics_count_set_aside(struct metrics *metrics, unsigned count);

/* End it; a Unix socket's file goes. NULL is allowed. */
void metrics_destroy(struct metrics *metrics);

#endif
