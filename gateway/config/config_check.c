/* config_check.c: what only several keys of gateway.ini together can get wrong, and the defaults that are computed
   from others. */
#include "config/config_check.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/route.h"
#include "base/tls_files.h"
#include "base/utf8.h"
#include "config/config_fill.h"

#define SHOWN 80       /* bytes of a topic shown in a message */
#define TOPIC_ROOM 256 /* bytes of topic for a filter with wildcards, unless topic_max says otherwise */

static unsigned line_of(const struct config_origin *origin, enum config_section section, const char *key)
{
    int index = config_schema_find(section, key);

    assert(index >= 0);
    return origin->key_line[index];
}

static unsigned mqtt_line(const struct config_origins *origins, const char *key)
{
    return line_of(&origins->sections[CONFIG_SECTION_MQTT], CONFIG_SECTION_MQTT, key);
}

/* "shmgate-" and the host's name, with - in place of what a client id cannot have. */
static int make_client_id(struct config *config)
{
    char host[256] = "", id[sizeof(host) + 16];

    if (gethostname(host, sizeof(host) - 1) < 0 || !host[0])
        strcpy(host, "localhost");
    for (char *at = host; *at; at++)
        if (*at <= ' ' || *at > '~' || strchr("/+#", *at))
            *at = '-';
    snprintf(id, sizeof(id), "shmgate-%s", host);
    config->client_id = strdup(id);
    return config->client_id ? 0 : -ENOMEM;
}

/* Report the keys without which a section means nothing. */
static void check_required(const struct config_origin *origin, enum config_section section, unsigned line,
                           const char *title, struct config_faults *faults)
{
    for (size_t i = 0; i < config_schema_count(); i++) {
        const struct config_key *key = config_schema_key(i);
        if (key->section == section && (key->flags & CONFIG_KEY_REQUIRED) && origin->key_line[i] == 0)
            config_faults_add(faults, line, "%s: %s is missing", title, key->name);
    }
}

static int has_tls(const struct config *config)
{
    for (size_t i = 0; i < config->uri_count; i++)
        if (strncmp(config->uris[i], "mqtts:", 6) == 0)
            return 1;
    return 0;
}

/* Report files that hold no certificate or key. Files that cannot be read have been reported with their values. */
static void check_tls_files(const struct config *config, const struct config_origins *origins,
                            struct config_faults *faults)
{
    int pair = config->cert_file && config->key_file;
    const struct tls_files files = {.ca_file = config->ca_file,
                                    .cert_file = pair ? config->cert_file : NULL,
                                    .key_file = pair ? config->key_file : NULL};
    const char *setting;
    struct reason reason;

    if (!has_tls(config))
        return;
    if (tls_files_check(&files, &setting, &reason) < 0)
        config_faults_add(faults, setting ? mqtt_line(origins, setting) : 0, "%s", reason.text);
    /* No fault: what is written meanwhile must be kept, and a machine's clock may be set only after the start. */
    else if (tls_files_check_dates(&files, &setting, &reason) < 0)
        config_faults_warn(faults, mqtt_line(origins, setting), "%s", reason.text);
}

/* A secret that everybody on the machine can read is none. */
static void check_secret(const char *key, const char *path, const struct config_origins *origins,
                         struct config_faults *faults)
{
    struct stat status;

    if (path && stat(path, &status) == 0 && (status.st_mode & (S_IROTH | S_IWOTH)))
        config_faults_add(faults, mqtt_line(origins, key),
                          "%s %s: everybody on this machine can read or change it: chmod o-rw %s", key, path, path);
}

static void check_mqtt(const struct config *config, const struct config_origins *origins, struct config_faults *faults)
{
    static const char *const tls_keys[] = {"ca_file", "cert_file", "key_file"};
    unsigned section_line = origins->sections[CONFIG_SECTION_MQTT].line;
    unsigned password = mqtt_line(origins, "password_file"), cert = mqtt_line(origins, "cert_file");
    unsigned key = mqtt_line(origins, "key_file");

    if (section_line || !origins->broken_sections)
        check_required(&origins->sections[CONFIG_SECTION_MQTT], CONFIG_SECTION_MQTT,
                       section_line ? section_line : origins->last_line, "[mqtt]", faults);
    if (password && !mqtt_line(origins, "username"))
        config_faults_add(faults, password, "password_file needs username beside it");
    if (cert && !key)
        config_faults_add(faults, cert, "cert_file needs key_file beside it: the certificate's private key");
    if (key && !cert)
        config_faults_add(faults, key, "key_file needs cert_file beside it: the key's certificate");
    for (size_t i = 0; i < sizeof(tls_keys) / sizeof(tls_keys[0]); i++) {
        unsigned line = mqtt_line(origins, tls_keys[i]);
        if (line && config->uri_count > 0 && !has_tls(config))
            config_faults_add(faults, line, "%s is for TLS, but no uri begins with mqtts://", tls_keys[i]);
    }
    check_tls_files(config, origins, faults);
    check_secret("password_file", config->password_file, origins, faults);
    check_secret("key_file", config->key_file, origins, faults);
}

/* Report keys that mean nothing for the channel's direction. */
static void check_direction(const struct config_channel *channel, const struct config_origin *origin,
                            struct config_faults *faults)
{
    unsigned other = channel->direction == LAYOUT_PUBLISH ? CONFIG_KEY_SUBSCRIBE : CONFIG_KEY_PUBLISH;

    for (size_t i = 0; i < config_schema_count(); i++) {
        const struct config_key *key = config_schema_key(i);
        if (key->section == CONFIG_SECTION_CHANNEL && (key->flags & other) && origin->key_line[i])
            config_faults_add(faults, origin->key_line[i], "%s is only for direction = %s", key->name,
                              other == CONFIG_KEY_PUBLISH ? "publish" : "subscribe");
    }
}

/* The topics that the gateway itself publishes to: shmgate/CLIENT_ID/status and /stats. */
static int is_own_topic(const char *client_id, const char *topic)
{
    size_t size = client_id ? strlen(client_id) : 0;

    if (!client_id || strncmp(topic, "shmgate/", 8) != 0 || strncmp(topic + 8, client_id, size) != 0)
        return 0;
    return strcmp(topic + 8 + size, "/status") == 0 || strcmp(topic + 8 + size, "/stats") == 0;
}

static void check_topic(const struct config *config, const struct config_channel *channel, unsigned line,
                        struct config_faults *faults)
{
    struct reason reason;
    char topic[SHOWN];
    size_t size = strlen(channel->topic);
    int status = channel->direction == LAYOUT_PUBLISH ? route_topic_valid(channel->topic, size, &reason)
                                                      : route_filter_valid(channel->topic, size, &reason);

    utf8_escape(topic, sizeof(topic), channel->topic, size);
    if (size > LAYOUT_TOPIC_MAX)
        config_faults_add(faults, line, "topic %s: it has %zu bytes once it is filled in; MQTT takes %d", topic, size,
                          LAYOUT_TOPIC_MAX);
    else if (status < 0)
        config_faults_add(faults, line, "topic %s: %s", topic, reason.text);
    else if (channel->direction == LAYOUT_PUBLISH && strncmp(channel->topic, "$SYS", 4) == 0)
        config_faults_add(faults, line, "topic %s: topics that begin with $SYS are the broker's own", topic);
    else if (channel->direction == LAYOUT_PUBLISH && is_own_topic(config->client_id, channel->topic))
        config_faults_add(faults, line, "topic %s: the gateway publishes its own status and stats there", topic);
}

/* How many bytes of topic a slot keeps: those of the filter when it can match only itself, rounded up to 8. */
static void set_topic_max(struct config_channel *channel, unsigned line, struct config_faults *faults)
{
    size_t size = strlen(channel->topic), exact = size - route_filter_prefix(channel->topic, size);
    int wildcard = route_filter_has_wildcard(channel->topic, size);

    if (line == 0) {
        size_t rounded = (exact + 7) / 8 * 8;
        channel->topic_max = wildcard ? TOPIC_ROOM
                                      : (uint32_t)(rounded > LAYOUT_TOPIC_MAX ? LAYOUT_TOPIC_MAX : rounded);
    } else if (!wildcard && channel->topic_max < exact) {
        config_faults_add(faults, line, "topic_max %u: the topic itself has %zu bytes", (unsigned)channel->topic_max,
                          exact);
    }
}

static void check_channel(const struct config *config, struct config_channel *channel,
                          const struct config_origin *origin, struct config_faults *faults)
{
    unsigned topic_line = line_of(origin, CONFIG_SECTION_CHANNEL, "topic");
    char title[96];

    snprintf(title, sizeof(title), "[channel %s]", channel->name);
    check_required(origin, CONFIG_SECTION_CHANNEL, channel->line, title, faults);
    if (!channel->direction)
        return;
    check_direction(channel, origin, faults);
    if (channel->topic)
        check_topic(config, channel, topic_line, faults);
    if (channel->direction == LAYOUT_SUBSCRIBE) {
        channel->writers = 1;
        if (channel->topic)
            set_topic_max(channel, line_of(origin, CONFIG_SECTION_CHANNEL, "topic_max"), faults);
    } else {
        channel->topic_max = 0;
        if (channel->source && config->mqtt_version < 5)
            config_faults_add(faults, line_of(origin, CONFIG_SECTION_CHANNEL, "source"),
                              "source = yes: only MQTT 5 has user properties: set version = 5 in [mqtt]");
    }
}

/* A message that the gateway publishes and then takes in again goes round for as long as somebody copies it from one
 * channel to the other, which is what the reader of a command channel may well do. */
static void check_loops(const struct config *config, const struct config_origins *origins, struct config_faults *faults)
{
    char other[CONFIG_FAULTS_LINE_SIZE];

    for (size_t i = 0; i < config->channel_count; i++) {
        const struct config_channel *out = &config->channels[i];
        if (out->direction != LAYOUT_PUBLISH || !out->topic)
            continue;
        for (size_t j = 0; j < config->channel_count; j++) {
            const struct config_channel *in = &config->channels[j];
            if (in->direction != LAYOUT_SUBSCRIBE || !in->topic)
                continue;
            if (route_match(in->topic, strlen(in->topic), out->topic, strlen(out->topic)))
                config_faults_add(
                    faults, line_of(&origins->channels[i], CONFIG_SECTION_CHANNEL, "topic"),
                    "topic of [channel %s] is subscribed to by [channel %s] on %s: "
                    "its messages would come back",
                    out->name, in->name,
                    config_faults_name_line(faults, line_of(&origins->channels[i], CONFIG_SECTION_CHANNEL, "topic"),
                                            line_of(&origins->channels[j], CONFIG_SECTION_CHANNEL, "topic"), other));
        }
    }
}

/* Of a topic that a shared filter and another one take, the broker sends a copy for each. Only the identifiers of MQTT
 * 5 tell which copy is for whom. */
static void check_shared(const struct config *config, const struct config_origins *origins,
                         struct config_faults *faults)
{
    for (size_t i = 0; config->mqtt_version < 5 && i < config->channel_count; i++) {
        const struct config_channel *shared = &config->channels[i];

        if (shared->direction != LAYOUT_SUBSCRIBE || !shared->topic ||
            route_filter_prefix(shared->topic, strlen(shared->topic)) == 0)
            continue;
        for (size_t j = 0; j < config->channel_count; j++) {
            const struct config_channel *other = &config->channels[j];

            if (i == j || other->direction != LAYOUT_SUBSCRIBE || !other->topic ||
                strcmp(other->topic, shared->topic) == 0 || !route_filters_overlap(shared->topic, other->topic))
                continue;
            config_faults_warn(faults, line_of(&origins->channels[i], CONFIG_SECTION_CHANNEL, "topic"),
                               "topic %.80s: a shared subscription, whose topics [channel %s] takes, too: with MQTT "
                               "3.1.1 nothing tells their messages apart, and both channels get each of them: set "
                               "version = 5 in [mqtt], or let the filters have no topic in common",
                               shared->topic, other->name);
            break;
        }
    }
}

/* Fill in the names in the topics. One that cannot be is reported, and taken away. */
static int fill_topics(struct config *config, const struct config_origins *origins, struct config_faults *faults)
{
    struct reason reason;
    char shown[SHOWN];

    for (size_t i = 0; i < config->channel_count; i++) {
        struct config_channel *channel = &config->channels[i];
        char *filled = NULL;
        int status = channel->topic
                         ? config_fill_topic(channel->topic, channel->name, config->client_id, &filled, &reason)
                         : 0;

        if (status == -ENOMEM)
            return status;
        if (status == 0 && filled && channel->direction == LAYOUT_SUBSCRIBE && strstr(filled, CONFIG_FILL_LANE)) {
            status = reason_set(&reason, -EINVAL, "{lane} is only for direction = publish");
        }
        if (status < 0) {
            utf8_escape(shown, sizeof(shown), channel->topic, strlen(channel->topic));
            config_faults_add(faults, line_of(&origins->channels[i], CONFIG_SECTION_CHANNEL, "topic"), "topic %s: %s",
                              shown, reason.text);
            free(filled);
            filled = NULL;
        }
        free(channel->topic);
        channel->topic = filled;
    }
    return 0;
}

int config_check(struct config *config, const struct config_origins *origins, struct config_faults *faults)
{
    if (mqtt_line(origins, "client_id") == 0 && make_client_id(config) < 0)
        return -ENOMEM;
    check_mqtt(config, origins, faults);
    if (fill_topics(config, origins, faults) < 0)
        return -ENOMEM;
    for (size_t i = 0; i < config->channel_count; i++)
        check_channel(config, &config->channels[i], &origins->channels[i], faults);
    check_loops(config, origins, faults);
    check_shared(config, origins, faults);
    if (config->channel_count == 0 && !origins->broken_sections)
        config_faults_add(faults, origins->last_line,
                          "there is no [channel NAME] section: a gateway needs at least one");
    return 0;
}
