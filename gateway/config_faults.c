/* config_faults.c: the faults of one configuration file, gathered while it is read, told in the order of its lines. */
#include "config_faults.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGE_SIZE 1024

void config_faults_add(struct config_faults *faults, unsigned line, const char *format, ...)
{
    char message[MESSAGE_SIZE];
    va_list arguments;

    if (faults->count == CONFIG_FAULTS_MAX) {
        faults->left_out++;
        return;
    }
    if (faults->count == faults->capacity) {
        size_t capacity = faults->capacity ? 2 * faults->capacity : 16;
        struct config_fault *items = realloc(faults->items, capacity * sizeof(*items));
        if (!items) {
            faults->out_of_memory = 1;
            return;
        }
        faults->items = items;
        faults->capacity = capacity;
    }
    va_start(arguments, format);
    vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    faults->items[faults->count] = (struct config_fault){ line, faults->count, strdup(message) };
    if (faults->items[faults->count].message)
        faults->count++;
    else
        faults->out_of_memory = 1;
}

static int compare_faults(const void *a, const void *b)
{
    const struct config_fault *left = a, *right = b;

    if (left->line != right->line)
        return left->line < right->line ? -1 : 1;
    return left->order < right->order ? -1 : left->order > right->order;
}

int config_faults_report(struct config_faults *faults, const char *file, config_report report, void *context)
{
    if (faults->count > 0)
        qsort(faults->items, faults->count, sizeof(*faults->items), compare_faults);
    for (size_t i = 0; i < faults->count; i++)
        report(context, file, faults->items[i].line, faults->items[i].message);
    if (faults->left_out > 0) {
        char message[64];
        snprintf(message, sizeof(message), "%zu more faults are not shown", faults->left_out);
        report(context, file, faults->items[faults->count - 1].line, message);
    }
    if (faults->out_of_memory) {
        report(context, file, 0, "out of memory");
        return -ENOMEM;
    }
    return faults->count > 0 ? -EINVAL : 0;
}

void config_faults_free(struct config_faults *faults)
{
    for (size_t i = 0; i < faults->count; i++)
        free(faults->items[i].message);
    free(faults->items);
    *faults = (struct config_faults){ 0 };
}
