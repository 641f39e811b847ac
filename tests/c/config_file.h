/* config_file.h: what the tests of the configuration share: load a text as a file, and look at the faults it has. */
#ifndef SHMGATE_TESTS_CONFIG_FILE_H
#define SHMGATE_TESTS_CONFIG_FILE_H

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "check.h"
#include "config/config.h"

/* The least that a good file needs. */
#define CHANNEL "[channel c]\ndirection = publish\ntopic = t\n"
#define MQTT "[mqtt]\nuri = mqtt://h\n"

static struct config config;
static char faults[1 << 16]; /* "LINE: message\n" for each fault */
static char path[] = "/tmp/shmgate-test-XXXXXX";

static inline void keep_fault(void *context, const char *file, unsigned line, const char *message)
{
    size_t used = strlen(faults);

    (void)context;
    (void)file;
    snprintf(faults + used, sizeof(faults) - used, "%u: %s\n", line, message);
}

static inline void clean_up(void)
{
    unlink(path);
    config_free(&config);
}

/* Write the temporary file; it goes when the program ends. */
static inline int write_file(const void *data, size_t size)
{
    static int made;
    FILE *file;
    int fd;

    if (!made) {
        fd = mkstemp(path);
        if (fd < 0)
            return -1;
        close(fd);
        atexit(clean_up);
        made = 1;
    }
    file = fopen(path, "w");
    if (!file || fwrite(data, 1, size, file) != size)
        return -1;
    return fclose(file);
}

/* Load a file of these bytes; the result stands in `config` and `faults`. */
static inline int load_bytes(const void *data, size_t size)
{
    config_free(&config);
    faults[0] = '\0';
    return write_file(data, size) < 0 ? -EIO : config_load(&config, path, keep_fault, NULL);
}

static inline int load(const char *text)
{
    return load_bytes(text, strlen(text));
}

/* Load `before`, then KEY = VALUE, then `after`. */
static inline int load_setting(const char *before, const char *key, const char *value, const char *after)
{
    size_t size = strlen(before) + strlen(key) + strlen(value) + strlen(after) + 8;
    char *text = malloc(size);
    int status;

    snprintf(text, size, "%s%s = %s\n%s", before, key, value, after);
    status = load(text);
    free(text);
    return status;
}

static inline int load_channel(const char *key, const char *value)
{
    return load_setting(MQTT CHANNEL, key, value, "");
}

static inline int load_mqtt(const char *key, const char *value)
{
    return load_setting(MQTT, key, value, CHANNEL);
}

/* Whether exactly this fault was told. Prints what was told when not. */
static inline int told(const char *expected)
{
    size_t size = strlen(expected);

    if (strncmp(faults, expected, size) == 0 && strcmp(faults + size, "\n") == 0)
        return 1;
    printf("  expected: %s\n  told: %s", expected, faults);
    return 0;
}

/* The same, but only for how it begins. */
static inline int told_begin(const char *expected)
{
    const char *end = strchr(faults, '\n');

    if (strncmp(faults, expected, strlen(expected)) == 0 && end && !end[1])
        return 1;
    printf("  expected: %s...\n  told: %s", expected, faults);
    return 0;
}

#endif
