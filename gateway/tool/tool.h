/* tool.h: what the commands of shmgate share. */
#ifndef SHMGATE_TOOL_H
#define SHMGATE_TOOL_H

#include <stddef.h>
#include <stdio.h>

enum tool_exit { TOOL_DONE = 0, TOOL_FAILED = 1, TOOL_USAGE = 2, TOOL_TIMEOUT = 27 /* as mosquitto_sub -W */ };

#define TOOL_SEGMENT_SIZE 256 /* more than a segment's name may have: the library says so */

/* What the command line says. Strings are borrowed from argv. */
struct tool_options {
    const char *command;                            /* write, read, stats, ... */
    int (*run)(const struct tool_options *options); /* the command */
    const char *action;                             /* spool: list, show, export or check */
    const char *channel;
    char segment[TOOL_SEGMENT_SIZE]; /* with its slash; the default when none is named */
    int segment_named;               /* 1: by -S or $SHMGATE_SEGMENT */
    const char *message;             /* write -m */
    const char *file;                /* write -f; spool -f, NULL: the default */
    int lines, whole, empty;         /* write -l, -s, -n */
    long count;                      /* read -C; 0: no limit */
    double seconds;                  /* -W; below 0: no limit */
    const char *format;              /* read -F; NULL: payload and a newline */
    int new_only;                    /* read -R */
    int json, watch;                 /* stats and list --json, stats --watch */
    double interval_s;               /* top -d, stats --watch */
};

/* What stands behind a command that is no option. */
enum tool_takes { TOOL_TAKES_NOTHING, TOOL_TAKES_CHANNEL, TOOL_TAKES_ACTION, TOOL_TAKES_COMMAND };

struct tool_command {
    const char *name, *usage;
    const char *letters; /* its options, as getopt(3) wants them */
    const char *words;   /* those of its long options that have no letter: 'j' --json, 'w' --watch */
    enum tool_takes takes;
    int (*run)(const struct tool_options *options); /* NULL: the command line does it all */
};

/* The commands, from 0 on; NULL behind the last. The command of that name, or NULL. */
const struct tool_command *usage_command(size_t index);
const struct tool_command *usage_find(const char *name);
extern const char usage_general[];

/* Understand the command line. Returns 0 to go on, or an exit code plus 1 to exit with, having printed what was to be
 * said. */
int options_parse(struct tool_options *options, int argc, char **argv);

/* One line on standard error: "shmgate: COMMAND ...". Returns TOOL_FAILED. */
int tool_fail(const struct tool_options *options, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Send what was printed. Returns TOOL_DONE, also when nobody reads it any more; TOOL_FAILED, having said why. */
int tool_finish_output(const struct tool_options *options);

/* The ledger as JSON; *text is to be freed. Returns TOOL_DONE; TOOL_FAILED, having said why, and there is no text. */
struct shared_memory;
int stats_json(const struct tool_options *options, struct shared_memory *shm, char **text);

/* Print a topic: it may be anything, and what a terminal would obey is not for it. No newline. */
void tool_print_topic(const char *topic);

/* The commands. Each returns an exit code. */
int write_run(const struct tool_options *options);
int read_run(const struct tool_options *options);
int list_run(const struct tool_options *options);
int stats_run(const struct tool_options *options);
int watch_run(const struct tool_options *options); /* stats --watch */
int top_run(const struct tool_options *options);
int release_run(const struct tool_options *options);
int spool_run(const struct tool_options *given);

/* Limits of -d and --watch. */
#define TOOL_INTERVAL_MIN_S 0.1
#define TOOL_INTERVAL_MAX_S 3600.0

/* Where gateway.ini puts the spool unless told otherwise. */
#define TOOL_SPOOL_PATH "/var/lib/shmgate/spool.db"

/* Print one message of a read, and a newline; `format` has been checked by format_check. */
struct shared_memory_message;
void format_print(FILE *out, const char *format, const struct shared_memory_message *message);

/* Returns the first letter after % or \ that means nothing, or 0 when all do. */
char format_check(const char *format);

/* -W as the milliseconds that the library takes; below 0: for ever. */
int tool_timeout_ms(double seconds);

#endif
