/* write_guard.h: keeps Paho from using freed memory when a write to the broker fails.
 *
 * When writing a PUBLISH of QoS 1 or 2 fails, Paho 1.3.12 to 1.3.15 frees topic and payload while the message stays in
 * its list of messages to resend (eclipse/paho.mqtt.c issues 1532, 1621, 1622). So it must never see such a failure:
 * the executable defines writev() and SSL_write() itself, which come before those of the libraries when the dynamic
 * linker binds Paho's calls. On a fatal error they shut the socket down and report all bytes as written; Paho's receive
 * thread then notices the end of the connection, and goes the way that keeps the message whole.
 */
#ifndef SHMGATE_WRITE_GUARD_H
#define SHMGATE_WRITE_GUARD_H

/* Whether a write of this thread was reported as done although it failed, since the last call. A QoS 0 message counts
 * as sent when its write succeeds, so its answer asks here. */
int write_guard_take_failure(void);

/* Whether Paho's calls do come here: 1 or 0. They do not when the program was linked so that it hides the two
 * functions. */
int write_guard_active(void);

/* A new connection is up: its socket gets TCP_NODELAY at the next write. Paho sets it nowhere, and a PUBLISH that waits
 * for the acknowledgement of the one before costs up to 40 ms (eclipse/paho.mqtt.c issue 530; tcp(7)). It gets
 * TCP_USER_TIMEOUT too: with bytes that the other side has not taken for `silence_ms` milliseconds the connection ends.
 * While a write is pending Paho cannot send the ping that would find out, and waits for longer. */
void write_guard_new_connection(unsigned silence_ms);

#endif
