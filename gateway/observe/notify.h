/* notify.h: tell systemd how the daemon is: ready, reloading, stopping, alive (sd_notify(3), without libsystemd).
 *
 * Each call sends one datagram to $NOTIFY_SOCKET and never waits: when the socket is full, the message is given up.
 * Without $NOTIFY_SOCKET every call does nothing and returns 0. Call them from one thread, as they read the
 * environment. All return 0; -EAGAIN the service manager is not reading, try again later; -EINVAL the address is
 * neither a path nor abstract; or -errno of socket(2) or sendto(2). No error is a reason to stop: log it and go on.
 */
#ifndef SHMGATE_NOTIFY_H
#define SHMGATE_NOTIFY_H

#include <stdint.h>

/* Send `state`: lines NAME=VALUE. */
int notify_send(const char *state);

/* The daemon serves, at start or after a reload. `status` is shown by systemctl status; it may be NULL, and its control
 * characters are escaped. */
int notify_ready(const char *status);

/* Change the line that systemctl status shows. */
int notify_status(const char *status);

/* A reload has begun; notify_ready ends it. */
int notify_reloading(void);

/* The orderly stop has begun. */
int notify_stopping(void);

/* The loop is alive; to be called from the loop that moves messages, at least every notify_watchdog_interval_ms. */
int notify_watchdog(void);

/* Milliseconds after which notify_watchdog is due again: half of what systemd waits for ($WATCHDOG_USEC), at least 1.
 * 0: no watchdog is asked for, or it is asked of another process ($WATCHDOG_PID). */
uint64_t notify_watchdog_interval_ms(void);

#endif
