/* config_schema.h: the one table of gateway.ini's sections and keys: meaning, limits, defaults, what a reload does
 * with them.
 *
 * All that knows a key by name hangs on this table: reading, defaults, the checks, the shipped conf/gateway.ini (a
 * test compares). The table is constant; nothing here blocks, any thread may ask.
 */
#ifndef SHMGATE_CONFIG_SCHEMA_H
#define SHMGATE_CONFIG_SCHEMA_H

#include "config/config_value.h"

enum config_section {
    CONFIG_SECTION_MQTT,
    CONFIG_SECTION_SHM,
    CONFIG_SECTION_SPOOL,
    CONFIG_SECTION_METRICS,
    CONFIG_SECTION_DEFAULTS, /* keys of channels: has none of its own in the table */
    CONFIG_SECTION_CHANNEL,  /* any number of them, each with a name */
    CONFIG_SECTIONS
};

/* What it takes to apply a changed value to a running gateway; each takes what those before it take. */
enum config_reload {
    CONFIG_RELOAD_LIVE = 1,  /* nothing: it holds from the next message on */
    CONFIG_RELOAD_SEGMENT,   /* a new segment, to which attached processes move over */
    CONFIG_RELOAD_RECONNECT, /* a new connection to the broker */
    CONFIG_RELOAD_RESTART    /* everything is begun anew, in the same process */
};

enum {
    CONFIG_KEY_REQUIRED = 1,
    CONFIG_KEY_PUBLISH = 2,   /* has a meaning in publish channels only */
    CONFIG_KEY_SUBSCRIBE = 4, /* ... in subscribe channels only */
    CONFIG_KEY_COMPUTED = 8   /* default_text describes the default; config_check.c makes it */
};

struct config_key {
    enum config_section section;
    const char *name;
    const char *default_text; /* as one would write it; NULL: none */
    unsigned flags;
    enum config_reload reload;
    config_value_parser parse;
    size_t offset; /* of the field, in struct config or struct config_channel */
    struct config_value_rule rule;
};

/* Room for the keys of the table, for arrays with an element a key. */
#define CONFIG_KEYS_MAX 48

/* Number of keys; the key of an index below it. */
size_t config_schema_count(void);
const struct config_key *config_schema_key(size_t index);

/* Call `visit` for each key, in the order of the table. */
void config_schema_each(void (*visit)(void *context, const struct config_key *key), void *context);

/* Index of the key `name` of `section`; -1 when there is none. Those of [defaults] are those of a channel, but for
 * direction. */
int config_schema_find(enum config_section section, const char *name);

/* The section that `name`, the text between the brackets, means, with the channel's name in *channel (NULL for the
 * others; "" when it is missing). Returns -1 when there is none. */
int config_schema_section(const char *name, const char **channel);

/* "[mqtt]", "[channel NAME]". */
const char *config_schema_section_title(enum config_section section);

/* Write what to do about a key or a section that does not exist: `: did you mean "topic"?` when something valid is
 * near, where it belongs, or what there is. */
void config_schema_suggest_key(enum config_section section, const char *name, char *out, size_t out_size);
void config_schema_suggest_section(const char *name, char *out, size_t out_size);

#endif
