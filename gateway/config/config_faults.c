/* config_faults.c: the faults of a configuration, gathered while its files are read, told in the order of their lines.
 */
#include "config/config_faults.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGE_SIZE 1024

int config_faults_begin_file(struct config_faults *faults, const char *path, unsigned before)
{
    struct config_faults_file *files = realloc(faults->files, (faults->file_count + 1) * sizeof(*files));

    if (!files)
        return -ENOMEM;
    faults->files = files;
    files[faults->file_count] = (struct config_faults_file){strdup(path), before};
    if (!files[faults->file_count].path)
        return -ENOMEM;
    faults->file_count++;
    return 0;
}

/* The file of a line; there is one. */
static const struct config_faults_file *file_of(const struct config_faults *faults, unsigned line)
{
    size_t at = faults->file_count - 1;

    while (at > 0 && line <= faults->files[at].before)
        at--;
    return &faults->files[at];
}

int config_faults_same_file(const struct config_faults *faults, unsigned line, unsigned other)
{
    return file_of(faults, line) == file_of(faults, other);
}

const char *config_faults_name_line(const struct config_faults *faults, unsigned at, unsigned line,
                                    char out[CONFIG_FAULTS_LINE_SIZE])
{
    const struct config_faults_file *file = file_of(faults, line);

    if (file_of(faults, at) == file)
        snprintf(out, CONFIG_FAULTS_LINE_SIZE, "line %u", line - file->before);
    else
        snprintf(out, CONFIG_FAULTS_LINE_SIZE, "line %u of %s", line - file->before, file->path);
    return out;
}

/* Make room for one more. */
static int grow_faults(struct config_faults *faults)
{
    size_t capacity = faults->capacity ? 2 * faults->capacity : 16;
    struct config_fault *items;

    if (faults->count < faults->capacity)
        return 0;
    items = realloc(faults->items, capacity * sizeof(*items));
    if (!items)
        return -ENOMEM;
    faults->items = items;
    faults->capacity = capacity;
    return 0;
}

static void add(struct config_faults *faults, unsigned line, int warning, const char *format, va_list arguments)
{
    char message[MESSAGE_SIZE];

    if (faults->count == CONFIG_FAULTS_MAX) {
        faults->left_out += !warning;
        return;
    }
    vsnprintf(message, sizeof(message), format, arguments);
    if (grow_faults(faults) < 0) {
        faults->out_of_memory = 1;
        return;
    }
    faults->items[faults->count] = (struct config_fault){
        .line = line, .warning = warning, .order = faults->count, .message = strdup(message)};
    if (faults->items[faults->count].message)
        faults->count++;
    else
        faults->out_of_memory = 1;
}

void config_faults_add(struct config_faults *faults, unsigned line, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    add(faults, line, 0, format, arguments);
    va_end(arguments);
}

void config_faults_warn(struct config_faults *faults, unsigned line, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    add(faults, line, 1, format, arguments);
    va_end(arguments);
}

static int compare_faults(const void *a, const void *b)
{
    const struct config_fault *left = a, *right = b;

    if (left->line != right->line)
        return left->line < right->line ? -1 : 1;
    return left->order < right->order ? -1 : left->order > right->order;
}

static void tell(const struct config_faults *faults, unsigned line, const char *message, config_report report,
                 void *context)
{
    const struct config_faults_file *file = file_of(faults, line);

    report(context, file->path, line > file->before ? line - file->before : 0, message);
}

/* Tell all faults, or all warnings, by line. Returns how many there are. */
static size_t tell_all(struct config_faults *faults, int warnings, config_report report, void *context)
{
    size_t told = 0;

    if (faults->count > 0)
        qsort(faults->items, faults->count, sizeof(*faults->items), compare_faults);
    for (size_t i = 0; i < faults->count; i++) {
        if (faults->items[i].warning != warnings)
            continue;
        tell(faults, faults->items[i].line, faults->items[i].message, report, context);
        told++;
    }
    return told;
}

void config_faults_report_warnings(struct config_faults *faults, config_report report, void *context)
{
    tell_all(faults, 1, report, context);
}

int config_faults_report(struct config_faults *faults, config_report report, void *context)
{
    size_t told = tell_all(faults, 0, report, context);

    if (faults->left_out > 0) {
        char message[64];
        snprintf(message, sizeof(message), "%zu more faults are not shown", faults->left_out);
        tell(faults, faults->items[faults->count - 1].line, message, report, context);
    }
    if (faults->out_of_memory) {
        tell(faults, 0, "out of memory", report, context);
        return -ENOMEM;
    }
    return told + faults->left_out > 0 ? -EINVAL : 0;
}

void config_faults_free(struct config_faults *faults)
{
    for (size_t i = 0; i < faults->count; i++)
        free(faults->items[i].message);
    for (size_t i = 0; i < faults->file_count; i++)
        free(faults->files[i].path);
    free(faults->files);
    free(faults->items);
    *faults = (struct config_faults){0};
}
