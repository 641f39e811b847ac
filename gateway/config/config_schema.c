/* config_schema.c: the one table of gateway.ini's sections and keys. */
#include "config/config_schema.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/rate_limiter.h"
#include "base/utf8.h"
#include "config/config.h"
#include "shm/nearest.h"

#define KIB UINT64_C(1024)
#define MIB (KIB * 1024)
#define TIB (MIB * MIB)
#define SECOND UINT64_C(1000) /* in milliseconds */
#define DAY (86400 * SECOND)
#define PATH_SIZE_MAX 4095 /* PATH_MAX without its NUL */

/* MQTT strings have at most 65535 bytes (3.1.1, 1.5.3), and so has the topic shmgate/CLIENT_ID/status. */
#define MQTT_STRING_MAX 65535
#define CLIENT_ID_MAX (MQTT_STRING_MAX - 15)

static const struct config_value_choice versions[] = {{"3.1.1", 4}, {"5", 5}, {NULL, 0}};
static const struct config_value_choice directions[] = {
    {"publish", LAYOUT_PUBLISH}, {"subscribe", LAYOUT_SUBSCRIBE}, {NULL, 0}};
static const struct config_value_choice qualities[] = {{"0", 0}, {"1", 1}, {"2", 2}, {NULL, 0}};
static const struct config_value_choice booleans[] = {{"yes", 1}, {"no", 0}, {"true", 1}, {"false", 0}, {"on", 1},
                                                      {"off", 0}, {"1", 1},  {"0", 0},    {NULL, 0}};
static const struct config_value_choice overflows[] = {
    {"drop-oldest", LAYOUT_DROP_OLDEST}, {"reject", LAYOUT_REJECT}, {NULL, 0}};
static const struct config_value_choice retained[] = {{"deliver", 0}, {"ignore", 1}, {NULL, 0}};
static const struct config_value_choice spools[] = {
    {"off", CONFIG_SPOOL_OFF}, {"overflow", CONFIG_SPOOL_OVERFLOW}, {"always", CONFIG_SPOOL_ALWAYS}, {NULL, 0}};

static const struct config_value_choice batches[] = {
    {"frame", CONFIG_BATCH_FRAME}, {"lines", CONFIG_BATCH_LINES}, {NULL, 0}};
static const struct config_value_choice unpacks[] = {
    {"no", CONFIG_BATCH_NONE}, {"frame", CONFIG_BATCH_FRAME}, {"lines", CONFIG_BATCH_LINES}, {NULL, 0}};
static const struct config_value_choice drains[] = {{"in-order", 0}, {"live-first", 1}, {NULL, 0}};

#define IN_CONFIG(member) offsetof(struct config, member)
#define IN_CHANNEL(member) offsetof(struct config_channel, member)
#define RANGE(low, high, type) {.min = (low), .max = (high), .width = sizeof(type)}
#define ZERO_OR(low, high, type) {.min = (low), .max = (high), .width = sizeof(type), .zero_allowed = 1}
#define BYTES(low, high) {.min = (low), .max = (high)}
#define ONE_OF(table) {.choices = (table)}
#define NO_RULE {0}

#define MQTT CONFIG_SECTION_MQTT
#define SHM CONFIG_SECTION_SHM
#define SPOOL CONFIG_SECTION_SPOOL
#define METRICS CONFIG_SECTION_METRICS
#define CHANNEL CONFIG_SECTION_CHANNEL
#define REQUIRED CONFIG_KEY_REQUIRED
#define PUBLISH CONFIG_KEY_PUBLISH
#define SUBSCRIBE CONFIG_KEY_SUBSCRIBE
#define COMPUTED CONFIG_KEY_COMPUTED
#define LIVE CONFIG_RELOAD_LIVE
#define RECONNECT CONFIG_RELOAD_RECONNECT
#define SEGMENT CONFIG_RELOAD_SEGMENT
#define RESTART CONFIG_RELOAD_RESTART
#define COUNT config_value_count
#define SIZE config_value_size
#define DURATION_MS config_value_duration_ms
#define DURATION_S config_value_duration_s
#define CHOICE config_value_choice
#define STRING config_value_string
#define READABLE config_value_file

/* section, key, default, flags, reload, parser, field, limits */
static const struct config_key keys[] = {
    {MQTT, "uri", NULL, REQUIRED, RECONNECT, config_value_uris, IN_CONFIG(uris), NO_RULE},
    {MQTT, "client_id", "shmgate-HOSTNAME", COMPUTED, RECONNECT, config_value_client_id, IN_CONFIG(client_id),
     BYTES(1, CLIENT_ID_MAX)},
    {MQTT, "version", "5", 0, RECONNECT, CHOICE, IN_CONFIG(mqtt_version), ONE_OF(versions)},
    {MQTT, "username", NULL, 0, RECONNECT, STRING, IN_CONFIG(username), BYTES(1, MQTT_STRING_MAX)},
    {MQTT, "password_file", NULL, 0, RECONNECT, READABLE, IN_CONFIG(password_file), NO_RULE},
    {MQTT, "ca_file", NULL, 0, RECONNECT, READABLE, IN_CONFIG(ca_file), NO_RULE},
    {MQTT, "cert_file", NULL, 0, RECONNECT, READABLE, IN_CONFIG(cert_file), NO_RULE},
    {MQTT, "key_file", NULL, 0, RECONNECT, READABLE, IN_CONFIG(key_file), NO_RULE},
    {MQTT, "keepalive", "60s", 0, RECONNECT, DURATION_S, IN_CONFIG(keepalive_s), RANGE(5, 65535, uint32_t)},
    {MQTT, "connect_timeout", "10s", 0, RECONNECT, DURATION_MS, IN_CONFIG(connect_timeout_ms),
     RANGE(SECOND, 300 * SECOND, uint32_t)},
    {MQTT, "session_expiry", "7d", 0, RECONNECT, DURATION_S, IN_CONFIG(session_expiry_s),
     ZERO_OR(1, 3650 * DAY / SECOND, uint32_t)},
    {MQTT, "stats_interval", "60s", 0, LIVE, DURATION_MS, IN_CONFIG(stats_interval_ms), ZERO_OR(100, DAY, uint32_t)},

    {SHM, "segment", "/shmgate", 0, RESTART, config_value_segment, IN_CONFIG(segment), NO_RULE},
    {SHM, "group", NULL, 0, SEGMENT, config_value_group, IN_CONFIG(group), NO_RULE},
    {SHM, "mode", "0660", 0, SEGMENT, config_value_mode, IN_CONFIG(mode), NO_RULE},

    {SPOOL, "path", "/var/lib/shmgate/spool.db", 0, RESTART, STRING, IN_CONFIG(spool_path), BYTES(1, PATH_SIZE_MAX)},
    {SPOOL, "max_size", "256M", 0, LIVE, SIZE, IN_CONFIG(spool_max_size), RANGE(MIB, TIB, uint64_t)},
    {SPOOL, "max_age", "7d", 0, LIVE, DURATION_MS, IN_CONFIG(spool_max_age_ms), ZERO_OR(SECOND, 3650 * DAY, uint64_t)},
    {SPOOL, "interval", "10s", 0, LIVE, DURATION_MS, IN_CONFIG(spool_interval_ms), RANGE(100, DAY, uint32_t)},

    {METRICS, "listen", NULL, 0, LIVE, config_value_listen, IN_CONFIG(metrics_listen), NO_RULE},

    {CHANNEL, "direction", NULL, REQUIRED, SEGMENT, CHOICE, IN_CHANNEL(direction), ONE_OF(directions)},
    {CHANNEL, "topic", NULL, REQUIRED, SEGMENT, STRING, IN_CHANNEL(topic), BYTES(1, MQTT_STRING_MAX)},
    {CHANNEL, "qos", "1", 0, SEGMENT, CHOICE, IN_CHANNEL(qos), ONE_OF(qualities)},
    {CHANNEL, "max_payload", "256", 0, SEGMENT, SIZE, IN_CHANNEL(max_payload), RANGE(1, LAYOUT_PAYLOAD_MAX, uint32_t)},
    {CHANNEL, "slots", "1024", 0, SEGMENT, COUNT, IN_CHANNEL(slots),
     RANGE(LAYOUT_SLOTS_MIN, LAYOUT_SLOTS_MAX, uint32_t)},
    /* Before "retain", as max_rate before max_age: of two keys as near to a typo, the first is suggested. */
    {CHANNEL, "retained", "deliver", SUBSCRIBE, LIVE, CHOICE, IN_CHANNEL(ignore_retained), ONE_OF(retained)},
    {CHANNEL, "retain", "no", PUBLISH, LIVE, CHOICE, IN_CHANNEL(retain), ONE_OF(booleans)},
    {CHANNEL, "writers", "4", PUBLISH, SEGMENT, COUNT, IN_CHANNEL(writers), RANGE(1, 256, uint32_t)},
    {CHANNEL, "overflow", "drop-oldest", PUBLISH, SEGMENT, CHOICE, IN_CHANNEL(overflow), ONE_OF(overflows)},
    {CHANNEL, "spool", "off", PUBLISH, LIVE, CHOICE, IN_CHANNEL(spool), ONE_OF(spools)},
    {CHANNEL, "spool_max_size", "0", PUBLISH, LIVE, SIZE, IN_CHANNEL(spool_max_size), ZERO_OR(KIB, TIB, uint64_t)},
    {CHANNEL, "spool_max_age", "0", PUBLISH, LIVE, DURATION_MS, IN_CHANNEL(spool_max_age_ms),
     ZERO_OR(SECOND, 3650 * DAY, uint64_t)},
    {CHANNEL, "drain", "in-order", PUBLISH, LIVE, CHOICE, IN_CHANNEL(live_first), ONE_OF(drains)},
    {CHANNEL, "source", "no", PUBLISH, LIVE, CHOICE, IN_CHANNEL(source), ONE_OF(booleans)},
    {CHANNEL, "batch_max", "1", PUBLISH, LIVE, COUNT, IN_CHANNEL(batch_max), RANGE(1, 10000, uint32_t)},
    {CHANNEL, "batch_time", "10ms", PUBLISH, LIVE, DURATION_MS, IN_CHANNEL(batch_time_ms),
     ZERO_OR(1, 3600 * SECOND, uint32_t)},
    {CHANNEL, "batch_format", "frame", PUBLISH, LIVE, CHOICE, IN_CHANNEL(batch_format), ONE_OF(batches)},
    {CHANNEL, "unpack", "no", SUBSCRIBE, LIVE, CHOICE, IN_CHANNEL(unpack), ONE_OF(unpacks)},
    {CHANNEL, "topic_max", "256", SUBSCRIBE | COMPUTED, SEGMENT, SIZE, IN_CHANNEL(topic_max),
     RANGE(1, LAYOUT_TOPIC_MAX, uint32_t)},
    {CHANNEL, "max_rate", "0", SUBSCRIBE, LIVE, COUNT, IN_CHANNEL(max_rate), ZERO_OR(1, RATE_LIMITER_MAX, uint32_t)},
    {CHANNEL, "max_age", "0", SUBSCRIBE, LIVE, DURATION_MS, IN_CHANNEL(max_age_ms), ZERO_OR(1, 3650 * DAY, uint64_t)},
};
#define KEY_COUNT (sizeof(keys) / sizeof(keys[0]))
_Static_assert(KEY_COUNT <= CONFIG_KEYS_MAX, "raise CONFIG_KEYS_MAX");

static const char *const titles[CONFIG_SECTIONS] = {"[mqtt]",    "[shm]",      "[spool]",
                                                    "[metrics]", "[defaults]", "[channel NAME]"};
static const char *const names[CONFIG_SECTIONS] = {"mqtt", "shm", "spool", "metrics", "defaults", "channel"};

size_t config_schema_count(void)
{
    return KEY_COUNT;
}

const struct config_key *config_schema_key(size_t index)
{
    return &keys[index];
}

void config_schema_each(void (*visit)(void *context, const struct config_key *key), void *context)
{
    for (size_t i = 0; i < KEY_COUNT; i++)
        visit(context, &keys[i]);
}

/* Whether the section can have the key. */
static int has_key(enum config_section section, const struct config_key *key)
{
    if (section == CONFIG_SECTION_DEFAULTS)
        return key->section == CONFIG_SECTION_CHANNEL && strcmp(key->name, "direction") != 0;
    return key->section == section;
}

int config_schema_find(enum config_section section, const char *name)
{
    for (size_t i = 0; i < KEY_COUNT; i++)
        if (has_key(section, &keys[i]) && strcmp(keys[i].name, name) == 0)
            return (int)i;
    return -1;
}

int config_schema_section(const char *name, const char **channel)
{
    size_t size = strcspn(name, " \t");

    *channel = NULL;
    for (int i = 0; i < CONFIG_SECTIONS; i++) {
        if (strlen(names[i]) != size || memcmp(names[i], name, size) != 0)
            continue;
        if (i == CONFIG_SECTION_CHANNEL)
            *channel = name + size + strspn(name + size, " \t");
        else if (name[size])
            return -1;
        return i;
    }
    return -1;
}

const char *config_schema_section_title(enum config_section section)
{
    return titles[section];
}

void config_schema_suggest_key(enum config_section section, const char *name, char *out, size_t out_size)
{
    const struct config_key *nearest = NULL;
    size_t best = SIZE_MAX, used;

    for (size_t i = 0; i < KEY_COUNT; i++) {
        size_t edits = nearest_distance(name, keys[i].name);
        if (has_key(section, &keys[i]) && edits < best) {
            best = edits;
            nearest = &keys[i];
        }
    }
    if (nearest) {
        snprintf(out, out_size, "did you mean \"%s\"?", nearest->name);
        return;
    }
    for (size_t i = 0; i < KEY_COUNT; i++) {
        if (strcmp(keys[i].name, name) == 0) {
            snprintf(out, out_size, "it belongs in %s", titles[keys[i].section]);
            return;
        }
    }
    used = (size_t)snprintf(out, out_size, "expected one of");
    for (size_t i = 0, first = 1; i < KEY_COUNT; i++) {
        if (has_key(section, &keys[i]) && used < out_size) {
            used += (size_t)snprintf(out + used, out_size - used, "%s %s", first ? "" : ",", keys[i].name);
            first = 0;
        }
    }
}

void config_schema_suggest_section(const char *name, char *out, size_t out_size)
{
    size_t best = SIZE_MAX, size = strcspn(name, " \t");
    char word[80], channel[80];
    int nearest = -1;

    snprintf(word, sizeof(word), "%.*s", (int)(size < sizeof(word) ? size : sizeof(word) - 1), name);
    for (int i = 0; i < CONFIG_SECTIONS; i++) {
        size_t edits = nearest_distance(word, names[i]);
        if (edits < best) {
            best = edits;
            nearest = i;
        }
    }
    name += size + strspn(name + size, " \t");
    utf8_escape(channel, sizeof(channel), name, strlen(name));
    if (nearest == CONFIG_SECTION_CHANNEL && *name)
        snprintf(out, out_size, "did you mean [channel %s]?", channel);
    else if (nearest >= 0)
        snprintf(out, out_size, "did you mean %s?", titles[nearest]);
    else
        snprintf(out, out_size, "expected [mqtt], [shm], [spool], [metrics], [defaults] or [channel NAME]");
}
