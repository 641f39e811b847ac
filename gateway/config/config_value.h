/* config_value.h: understand the text of one value: numbers, durations, sizes, choices, names, files, broker addresses.
 *
 * Each function has the type config_value_parser. It checks `text` (not empty, UTF-8, without control characters)
 * against the limits in `rule` and stores the result at `field`, whose type belongs to the parser. An earlier string
 * or list there is freed.
 * Returns 0; -EINVAL with what was expected in `reason`, `field` unchanged; -ENOMEM. Some read the disk or the group
 * database, as said below, and may block on it; the others do not block.
 */
#ifndef SHMGATE_CONFIG_VALUE_H
#define SHMGATE_CONFIG_VALUE_H

#include <stddef.h>
#include <stdint.h>

#include "shm/reason.h"

/* A word and what it stands for; a table ends with a NULL name. */
struct config_value_choice {
    const char *name;
    unsigned value;
};

/* What a value may be. */
struct config_value_rule {
    uint64_t min, max; /* numbers, in the unit of the field; strings, in bytes */
    int zero_allowed;  /* 0 is fine beside the range: it switches the thing off */
    size_t width;      /* of a number's field: 4 or 8 bytes, unsigned */
    const struct config_value_choice *choices;
};

typedef int (*config_value_parser)(const struct config_value_rule *rule, const char *text, void *field,
                                   struct reason *reason);

#define CONFIG_VALUE_PARSER(name) \
    int name(const struct config_value_rule *rule, const char *text, void *field, struct reason *reason)

CONFIG_VALUE_PARSER(config_value_count);       /* uint32: a plain number */
CONFIG_VALUE_PARSER(config_value_size);        /* uint32 or uint64, bytes: a number, or with K M G, powers of 1024 */
CONFIG_VALUE_PARSER(config_value_duration_ms); /* uint32 or uint64, milliseconds: ms s m h d; bare: seconds */
CONFIG_VALUE_PARSER(config_value_duration_s);  /* uint32, seconds: the same, in whole seconds */
CONFIG_VALUE_PARSER(config_value_choice);      /* unsigned, int or enum: one of the choices */
CONFIG_VALUE_PARSER(config_value_string);      /* char *: any text of min to max bytes */
CONFIG_VALUE_PARSER(config_value_file);        /* char *: a regular file that this process can read; asks the disk */
CONFIG_VALUE_PARSER(config_value_client_id);   /* char *: a level of the status topic, too, so without / + # */
CONFIG_VALUE_PARSER(config_value_segment);     /* char *: a name that segment_name_check takes */
CONFIG_VALUE_PARSER(config_value_group);       /* char *: a group of this machine; asks the group database */
CONFIG_VALUE_PARSER(config_value_mode);        /* unsigned: octal permissions for owner and group, none for others */
CONFIG_VALUE_PARSER(config_value_listen); /* char *: unix:/PATH, or an address and port of the loopback interface */
CONFIG_VALUE_PARSER(config_value_uris);   /* the member uris of a struct config, and its uri_count */

/* Whether `name` has 1 to `max` characters of A-Z a-z 0-9 _ . -: 1 or 0. */
int config_value_is_name(const char *name, size_t max);

/* Why a file that a value names cannot be opened, in words that lead to what to do. Returns `out`. */
#define CONFIG_VALUE_OPEN_SIZE 320
const char *config_value_explain_open(int error, char out[CONFIG_VALUE_OPEN_SIZE]);

#endif
