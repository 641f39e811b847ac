/* config_faults.h: the faults of one configuration file, gathered while it is read, told in the order of its lines. */
#ifndef SHMGATE_CONFIG_FAULTS_H
#define SHMGATE_CONFIG_FAULTS_H

#include <stddef.h>

#include "config.h"

struct config_fault { unsigned line; size_t order; char *message; };

/* Begins as all zero; ends with config_faults_free. */
struct config_faults {
    struct config_fault *items;
    size_t count, capacity;
    size_t left_out;  /* beyond CONFIG_FAULTS_MAX */
    int out_of_memory;
};

/* Faults that are kept: more than anybody reads; a binary file given by mistake would have one a line. */
#define CONFIG_FAULTS_MAX 1000

/* Add a fault at `line`. Text beyond 1 KiB is cut. */
void config_faults_add(struct config_faults *faults, unsigned line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Report all faults by line, those of one line in the order they were found. Returns 0 when there were none, -EINVAL,
 * or -ENOMEM when one could not be kept. */
int config_faults_report(struct config_faults *faults, const char *file, config_report report, void *context);

void config_faults_free(struct config_faults *faults);

#endif
