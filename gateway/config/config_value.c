/* config_value.c: understand the text of one value: numbers, durations, sizes, choices, names, files. */
#include "config/config_value.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/group_lookup.h"
#include "base/listen_address.h"
#include "shm/platform.h"
#include "shm/segment.h"

#define CHOICES_SIZE 256 /* bytes of all choices of a key, as a sentence: the longest have 60 */

struct unit {
    const char *name;
    uint64_t factor;
};

/* From the largest to the smallest, so that the first that divides a number is the one to show it in. */
static const struct unit size_units[] = {{"G", 1 << 30}, {"M", 1 << 20}, {"K", 1 << 10}, {"", 1}, {NULL, 0}};
static const struct unit duration_units[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000},
                                             {"", 1000},      {"ms", 1},      {NULL, 0}};
static const struct unit no_units[] = {{"", 1}, {NULL, 0}};

/* What a number may be written in, and what its field counts in: units of the smallest one. */
struct measure {
    const struct unit *units;
    uint64_t field_unit;
    const char *hint;
};

#define SIZE_HINT " (units: K M G, powers of 1024; none: bytes)"
#define DURATION_HINT " (units: ms s m h d; none: seconds)"
static const struct measure counts = {no_units, 1, ""}, sizes = {size_units, 1, SIZE_HINT},
                            durations_ms = {duration_units, 1, DURATION_HINT},
                            durations_s = {duration_units, 1000, DURATION_HINT};

/* Read digits and a unit as a number of the smallest unit. Returns 0; -EINVAL not of that form; -ERANGE beyond 64
   bits. */
static int read_number(const char *text, const struct unit *units, uint64_t *number)
{
    uint64_t value = 0;
    size_t digits = strspn(text, "0123456789");
    const char *suffix = text + digits;

    if (digits == 0)
        return -EINVAL;
    suffix += strspn(suffix, " \t");
    while (units->name && strcmp(units->name, suffix) != 0)
        units++;
    if (!units->name)
        return -EINVAL;
    for (size_t i = 0; i < digits; i++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(text[i] - '0'), &value))
            return -ERANGE;
    if (__builtin_mul_overflow(value, units->factor, &value))
        return -ERANGE;
    *number = value;
    return 0;
}

static void show(char *out, size_t out_size, const struct unit *units, uint64_t number)
{
    while (units->factor > 1 && (number == 0 || number % units->factor != 0))
        units++;
    snprintf(out, out_size, "%" PRIu64 "%s", number / units->factor, units->name);
}

/* Read a number into its field, and say what was expected when it is not one. */
static int parse_number(const struct config_value_rule *rule, const struct measure *measure, const char *text,
                        void *field, struct reason *reason)
{
    const struct unit *units = measure->units;
    uint64_t number = 0, field_unit = measure->field_unit;
    int status = read_number(text, units, &number), whole = number % field_unit == 0;
    char low[32], high[32];

    number /= field_unit;
    if (status == 0 && whole && ((number >= rule->min && number <= rule->max) || (number == 0 && rule->zero_allowed))) {
        uint32_t narrow = (uint32_t)number;
        memcpy(field, rule->width == 4 ? (void *)&narrow : (void *)&number, rule->width);
        return 0;
    }
    show(low, sizeof(low), units, rule->min * field_unit);
    show(high, sizeof(high), units, rule->max * field_unit);
    return reason_set(reason, -EINVAL, "expected %s%s to %s%s%s", rule->zero_allowed ? "0 or " : "", low, high,
                      whole ? "" : " in whole seconds", measure->hint);
}

CONFIG_VALUE_PARSER(config_value_count)
{
    return parse_number(rule, &counts, text, field, reason);
}

CONFIG_VALUE_PARSER(config_value_size)
{
    return parse_number(rule, &sizes, text, field, reason);
}

CONFIG_VALUE_PARSER(config_value_duration_ms)
{
    return parse_number(rule, &durations_ms, text, field, reason);
}

CONFIG_VALUE_PARSER(config_value_duration_s)
{
    return parse_number(rule, &durations_s, text, field, reason);
}

CONFIG_VALUE_PARSER(config_value_choice)
{
    char expected[CHOICES_SIZE] = "";
    size_t used = 0;

    for (const struct config_value_choice *choice = rule->choices; choice->name; choice++) {
        if (strcmp(choice->name, text) == 0) {
            memcpy(field, &choice->value, sizeof(choice->value));
            return 0;
        }
    }
    for (const struct config_value_choice *choice = rule->choices; choice->name && used < sizeof(expected); choice++) {
        const char *between = choice == rule->choices ? " " : choice[1].name ? ", " : " or ";
        used += (size_t)snprintf(expected + used, sizeof(expected) - used, "%s%s", between, choice->name);
    }
    return reason_set(reason, -EINVAL, "expected%s", expected);
}

/* Keep a copy of `text` in the string at `field`. */
static int keep_string(const char *text, void *field)
{
    char **string = field, *copy = strdup(text);

    if (!copy)
        return -ENOMEM;
    free(*string);
    *string = copy;
    return 0;
}

CONFIG_VALUE_PARSER(config_value_string)
{
    size_t size = strlen(text);

    if (size < rule->min || size > rule->max)
        return reason_set(reason, -EINVAL, "it has %zu bytes, expected %" PRIu64 " to %" PRIu64, size, rule->min,
                          rule->max);
    return keep_string(text, field);
}

const char *config_value_explain_open(int error, char out[CONFIG_VALUE_OPEN_SIZE])
{
    char group[64];

    if (error != EACCES) {
        snprintf(out, CONFIG_VALUE_OPEN_SIZE, "%s", strerror(error));
        return out;
    }
    platform_group_name((long)getegid(), group, sizeof(group));
    snprintf(
        out, CONFIG_VALUE_OPEN_SIZE,
        "%s: let the group %s read it (chgrp %s and chmod 0640), or hand it over with LoadCredential= of the service",
        strerror(error), group, group);
    return out;
}

CONFIG_VALUE_PARSER(config_value_file)
{
    char why[CONFIG_VALUE_OPEN_SIZE];
    struct stat status;
    int fd, rc = 0;

    (void)rule;
    /* Without O_NONBLOCK a FIFO would hold us up until somebody writes to it. */
    fd = open(text, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        rc = errno == ENOMEM ? -ENOMEM : -EINVAL;
        return reason_set(reason, rc, "could not open the file: %s", config_value_explain_open(errno, why));
    }
    if (fstat(fd, &status) < 0)
        rc = reason_set(reason, -EINVAL, "could not look at the file: %s", strerror(errno));
    else if (!S_ISREG(status.st_mode))
        rc = reason_set(reason, -EINVAL, "it is not a regular file");
    close(fd);
    return rc < 0 ? rc : keep_string(text, field);
}

CONFIG_VALUE_PARSER(config_value_client_id)
{
    if (strpbrk(text, "/+#"))
        return reason_set(reason, -EINVAL,
                          "/ + and # cannot be used: the name is a level of the topic shmgate/CLIENT_ID/status");
    return config_value_string(rule, text, field, reason);
}

int config_value_is_name(const char *name, size_t max)
{
    size_t size = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-");

    return name[size] == '\0' && size >= 1 && size <= max;
}

CONFIG_VALUE_PARSER(config_value_segment)
{
    (void)rule;
    return segment_name_check(text, reason) < 0 ? -EINVAL : keep_string(text, field);
}

CONFIG_VALUE_PARSER(config_value_listen)
{
    struct listen_address address;

    (void)rule;
    return listen_address_parse(&address, text, reason) < 0 ? -EINVAL : keep_string(text, field);
}

CONFIG_VALUE_PARSER(config_value_group)
{
    long gid;
    int rc = group_lookup(text, &gid);

    (void)rule;
    if (rc == 0)
        return keep_string(text, field);
    if (rc == -ENOMEM)
        return rc;
    if (rc == -ENOENT)
        return reason_set(reason, -EINVAL, "this machine has no such group");
    return reason_set(reason, -EINVAL, "could not look up the group: %s",
                      rc == -ETIMEDOUT ? "the name service does not answer" : strerror(-rc));
}

CONFIG_VALUE_PARSER(config_value_mode)
{
    size_t digits = strspn(text, "01234567");
    unsigned long mode;

    (void)rule;
    mode = digits > 0 && digits <= 4 && !text[digits] ? strtoul(text, NULL, 8) : 0;
    if ((mode & ~0660ul) != 0 || (mode & 0600) != 0600)
        return reason_set(
            reason, -EINVAL,
            "expected 0600, 0620, 0640 or 0660: the gateway itself reads and writes, others have no access");
    *(unsigned *)field = (unsigned)mode;
    return 0;
}
