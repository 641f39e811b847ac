/* loop.h: the gateway at work: one thread, one loop, which waits on nothing but the doorbell. */
#ifndef SHMGATE_LOOP_H
#define SHMGATE_LOOP_H

#include "config/config.h"

struct metrics;

enum loop_end {
    LOOP_STOPPED, /* SIGTERM or SIGINT: everything is closed in order, the segment stays */
    LOOP_RELOAD,  /* SIGHUP, and *next holds a valid new configuration: run again with it */
    LOOP_AGAIN,   /* a reload, or a segment put back, could not be had: run again with the configuration as it was */
    LOOP_UNABLE,  /* could not start with this configuration: the reason has been logged */
    LOOP_FAILED   /* the broker refused us for good: the reason has been logged */
};

/* Serve until told otherwise. A reload that leaves [mqtt], the segment's name and the spool's path as they are is done
 * here: *config is then the new one. `next` is filled when LOOP_RELOAD is returned and is then the caller's. `metrics`
 * is borrowed; what it serves follows the configuration, and goes on afterwards. Logs. */
enum loop_end loop_run(struct config *config, struct config *next, struct metrics *metrics);

/* Whether a transport has left a thread behind that waits for a name server: then the process ends by _exit(2). */
int loop_is_left_behind(void);

/* Tell the loop of a signal: SIGTERM, SIGINT or SIGHUP. Safe in a signal handler, also while no loop runs. */
void loop_signal(int signal_number);

/* Log a fault of a configuration file; a config_report. */
void loop_report_fault(void *context, const char *file, unsigned line, const char *message);

/* Log what a configuration's reading has warned of. */
void loop_log_warnings(const struct config *config);

#endif
