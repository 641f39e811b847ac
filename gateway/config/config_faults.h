/* config_faults.h: the faults of a configuration, gathered while its files are read, told in the order of their lines.
 *
 * The lines of all files are numbered through, in the order of reading, so that a number says which file, too: line 3
 * of a second file that follows one of 100 lines is 103. Only what is told to people is taken apart again.
 */
#ifndef SHMGATE_CONFIG_FAULTS_H
#define SHMGATE_CONFIG_FAULTS_H

#include <stddef.h>

#include "config/config.h"

struct config_fault {
    unsigned line;
    int warning; /* 1: it may have been meant so */
    size_t order;
    char *message;
};

struct config_faults_file {
    char *path;
    unsigned before;
}; /* lines of the files before it */

/* Begins as all zero; ends with config_faults_free. */
struct config_faults {
    struct config_faults_file *files;
    size_t file_count;
    struct config_fault *items;
    size_t count, capacity;
    size_t left_out; /* beyond CONFIG_FAULTS_MAX */
    int out_of_memory;
};

/* Faults that are kept: more than anybody reads; a binary file given by mistake would have one a line. */
#define CONFIG_FAULTS_MAX 1000

/* The lines behind `before` are those of the file `path`, which is copied. 0 or -ENOMEM. */
int config_faults_begin_file(struct config_faults *faults, const char *path, unsigned before);

/* Whether two lines are of one file. */
int config_faults_same_file(const struct config_faults *faults, unsigned line, unsigned other);

/* How a message at `at` names another line: "line 7", "line 7 of /etc/shmgate/gateway.d/site.ini". */
#define CONFIG_FAULTS_LINE_SIZE 320
const char *config_faults_name_line(const struct config_faults *faults, unsigned at, unsigned line,
                                    char out[CONFIG_FAULTS_LINE_SIZE]);

/* Add a fault at `line`. Text beyond 1 KiB is cut. */
void config_faults_add(struct config_faults *faults, unsigned line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Add something at `line` that is allowed, and probably not what was meant. */
void config_faults_warn(struct config_faults *faults, unsigned line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Give what was warned of to `report`, by line. */
void config_faults_report_warnings(struct config_faults *faults, config_report report, void *context);

/* Report all faults by line, those of one line in the order they were found; line 0 is that of the first file as a
 * whole. Returns 0 when there were none, -EINVAL, or -ENOMEM when one could not be kept. */
int config_faults_report(struct config_faults *faults, config_report report, void *context);

void config_faults_free(struct config_faults *faults);

#endif
