/* top_terminal.h: take the terminal over for a full screen, and give it back as it was, whatever ends the program but a
 * SIGKILL. */
#ifndef SHMGATE_TOP_TERMINAL_H
#define SHMGATE_TOP_TERMINAL_H

#include "shm/reason.h"

#define TOP_TERMINAL_TIMEOUT (-1) /* the time is over */
#define TOP_TERMINAL_END (-2)     /* SIGINT, SIGTERM or SIGHUP has come, or the terminal has gone */

/* Take the terminal. Returns 0, and top_terminal_end must be called; -errno with the reason: standard input or output
 * is no terminal, or an unknown one. */
int top_terminal_begin(struct reason *reason);

/* Give it back. Nothing when it was not taken. */
void top_terminal_end(void);

/* Wait for a key, or a change of the screen's size (KEY_RESIZE), at most until CLOCK_MONOTONIC reads deadline_ns.
 * Returns a key of ncurses, or one of the above. Signals that end the program are looked at only here. */
int top_terminal_key(unsigned long long deadline_ns);

#endif
