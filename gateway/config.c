/* config.c: what gateway.ini says, checked: the file's lines become a struct config. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config_check.h"
#include "config_faults.h"
#include "config_lines.h"
#include "config_schema.h"
#include "utf8.h"

#define REASON_SIZE 512
#define SHOWN 80                                 /* bytes of a value shown in a message */
#define NAME_MAX_SIZE (LAYOUT_NAME_SIZE - 1)     /* characters of a channel's name */

/* Where the reading stands. */
struct loader {
    struct config *config;
    struct config_origins origins;
    struct config_faults faults;
    size_t channel_capacity;
    enum config_section section;
    struct config_origin *origin;  /* of the current section; NULL: the section was a fault, its keys are passed over */
    void *fields;                  /* struct config or struct config_channel, by the current section */
    struct config_channel spare;   /* has the keys of a channel that cannot be kept, so that they are checked too */
    struct config_origin spare_origin;
    int before_sections;
    int error;                     /* -ENOMEM */
};

static int apply_defaults(enum config_section section, void *fields)
{
    char reason[REASON_SIZE];

    for (size_t i = 0; i < config_schema_count(); i++) {
        const struct config_key *key = config_schema_key(i);
        int status;
        if (key->section != section || !key->default_text || (key->flags & CONFIG_KEY_COMPUTED))
            continue;
        status = key->parse(&key->rule, key->default_text, (char *)fields + key->offset, reason, sizeof(reason));
        if (status < 0)
            return status;
    }
    return 0;
}

/* Make room for one channel more. Pointers into the arrays are set anew by the caller. */
static int grow_channels(struct loader *loader)
{
    size_t capacity = loader->channel_capacity ? 2 * loader->channel_capacity : 8;
    struct config_channel *channels;
    struct config_origin *origins;

    if (loader->config->channel_count < loader->channel_capacity)
        return 0;
    channels = realloc(loader->config->channels, capacity * sizeof(*channels));
    if (!channels)
        return -ENOMEM;
    loader->config->channels = channels;
    origins = realloc(loader->origins.channels, capacity * sizeof(*origins));
    if (!origins)
        return -ENOMEM;
    loader->origins.channels = origins;
    loader->channel_capacity = capacity;
    return 0;
}

static int channel_is_acceptable(struct loader *loader, unsigned line, const char *name)
{
    const struct config *config = loader->config;
    char shown[SHOWN];

    if (!config_value_is_name(name, NAME_MAX_SIZE)) {
        utf8_escape(shown, sizeof(shown), name, strlen(name));
        config_faults_add(&loader->faults, line,
                          "[channel %s]: expected a name of 1 to %d characters of A-Z a-z 0-9 _ . -", shown,
                          NAME_MAX_SIZE);
        return 0;
    }
    for (size_t i = 0; i < config->channel_count; i++) {
        if (strcmp(config->channels[i].name, name) == 0) {
            config_faults_add(&loader->faults, line, "[channel %s] stands on line %u already", name,
                              config->channels[i].line);
            return 0;
        }
    }
    if (config->channel_count == LAYOUT_CHANNELS_MAX) {
        config_faults_add(&loader->faults, line, "[channel %s]: a segment has room for %d channels", name,
                          LAYOUT_CHANNELS_MAX);
        return 0;
    }
    return 1;
}

static void free_channel(struct config_channel *channel)
{
    free(channel->name);
    free(channel->topic);
}

/* Make the spare channel the current section. */
static void begin_spare_channel(struct loader *loader, unsigned line, const char *name)
{
    char shown[SHOWN];

    utf8_escape(shown, sizeof(shown), name, strlen(name));
    free_channel(&loader->spare);
    loader->spare = (struct config_channel){ .line = line, .name = strdup(shown) };
    loader->origins.broken_sections++;
    loader->spare_origin = (struct config_origin){ .line = line };
    loader->fields = &loader->spare;
    loader->origin = &loader->spare_origin;
    if (!loader->spare.name)
        loader->error = -ENOMEM;
}

/* Begin a channel and make it the current section. */
static void begin_channel(struct loader *loader, unsigned line, const char *name)
{
    struct config *config = loader->config;
    struct config_channel *channel;

    if (!channel_is_acceptable(loader, line, name)) {
        begin_spare_channel(loader, line, name);
        return;
    }
    if (grow_channels(loader) < 0) {
        loader->error = -ENOMEM;
        return;
    }
    channel = &config->channels[config->channel_count];
    *channel = (struct config_channel){ .line = line, .name = strdup(name) };
    loader->origin = &loader->origins.channels[config->channel_count];
    *loader->origin = (struct config_origin){ .line = line };
    loader->fields = channel;
    config->channel_count++;
    if (!channel->name || apply_defaults(CONFIG_SECTION_CHANNEL, channel) < 0)
        loader->error = -ENOMEM;
}

static void take_section(void *context, unsigned line, const char *name)
{
    struct loader *loader = context;
    const char *channel;
    int section;

    loader->before_sections = 0;
    loader->origin = NULL;
    if (loader->error)
        return;
    if (!name) {
        loader->origins.broken_sections++;
        return;
    }
    section = config_schema_section(name, &channel);
    if (section < 0) {
        char shown[SHOWN], hint[REASON_SIZE];
        utf8_escape(shown, sizeof(shown), name, strlen(name));
        config_schema_suggest_section(name, hint, sizeof(hint));
        loader->origins.broken_sections++;
        config_faults_add(&loader->faults, line, "unknown section [%s]: %s", shown, hint);
        return;
    }
    loader->section = (enum config_section)section;
    if (section == CONFIG_SECTION_CHANNEL) {
        begin_channel(loader, line, channel);
        return;
    }
    loader->origin = &loader->origins.sections[section];
    loader->fields = loader->config;
    if (loader->origin->line)
        config_faults_add(&loader->faults, line, "[%s] stands on line %u already", name, loader->origin->line);
    else
        loader->origin->line = line;
}

/* How messages name the current section. */
static void show_section(const struct loader *loader, char *out, size_t out_size)
{
    if (loader->section == CONFIG_SECTION_CHANNEL)
        snprintf(out, out_size, "[channel %s]", ((const struct config_channel *)loader->fields)->name);
    else
        snprintf(out, out_size, "%s", config_schema_section_title(loader->section));
}

static void take_setting(void *context, unsigned line, const char *name, const char *value)
{
    struct loader *loader = context;
    char reason[REASON_SIZE], shown[SHOWN], section[96];
    const struct config_key *key;
    int index, status;

    if (loader->before_sections && value)
        config_faults_add(&loader->faults, line, "%s stands before any [SECTION]", name);
    if (!loader->origin || loader->error)
        return;
    index = config_schema_find(loader->section, name);
    if (index < 0) {
        show_section(loader, section, sizeof(section));
        config_schema_suggest_key(loader->section, name, reason, sizeof(reason));
        config_faults_add(&loader->faults, line, "unknown key \"%s\" in %s: %s", name, section, reason);
        return;
    }
    if (loader->origin->key_line[index]) {
        config_faults_add(&loader->faults, line, "%s stands on line %u already", name, loader->origin->key_line[index]);
        return;
    }
    loader->origin->key_line[index] = line;
    if (!value)
        return;
    key = config_schema_key((size_t)index);
    status = key->parse(&key->rule, value, (char *)loader->fields + key->offset, reason, sizeof(reason));
    if (status == -ENOMEM) {
        loader->error = -ENOMEM;
    } else if (status < 0) {
        utf8_escape(shown, sizeof(shown), value, strlen(value));
        config_faults_add(&loader->faults, line, "%s %s: %s", name, shown, reason);
    }
}

/* Read the open file into loader->config. Returns 0, with faults gathered, or -errno. */
static int load_file(struct loader *loader, FILE *file)
{
    struct config_lines_taker taker = { loader, take_section, take_setting };
    int status;

    for (int section = 0; section < CONFIG_SECTION_CHANNEL; section++) {
        status = apply_defaults((enum config_section)section, loader->config);
        if (status < 0)
            return status;
    }
    status = config_lines_parse(file, &taker, &loader->faults, &loader->origins.last_line);
    if (status == 0)
        status = loader->error;
    if (status == 0)
        status = config_check(loader->config, &loader->origins, &loader->faults);
    return status;
}

int config_load(struct config *config, const char *path, config_report report, void *context)
{
    struct loader loader = { .config = config, .before_sections = 1 };
    char message[REASON_SIZE];
    FILE *file = NULL;
    int status;

    *config = (struct config){ .path = strdup(path) };
    if (!config->path) {
        status = -ENOMEM;
        goto cleanup;
    }
    file = fopen(path, "re");
    status = file ? load_file(&loader, file) : -errno;
cleanup:
    if (status < 0) {
        snprintf(message, sizeof(message), "could not read the file: %s", strerror(-status));
        report(context, path, 0, message);
    } else {
        status = config_faults_report(&loader.faults, path, report, context);
    }
    if (file)
        fclose(file); /* it was only read: nothing can be lost here */
    config_faults_free(&loader.faults);
    free(loader.origins.channels);
    free_channel(&loader.spare);
    if (status < 0)
        config_free(config);
    return status;
}

void config_free(struct config *config)
{
    for (size_t i = 0; i < config->uri_count; i++)
        free(config->uris[i]);
    for (size_t i = 0; i < config->channel_count; i++)
        free_channel(&config->channels[i]);
    free(config->uris);
    free(config->channels);
    free(config->client_id);
    free(config->username);
    free(config->password_file);
    free(config->ca_file);
    free(config->cert_file);
    free(config->key_file);
    free(config->segment);
    free(config->group);
    free(config->spool_path);
    free(config->metrics_listen);
    free(config->path);
    *config = (struct config){ 0 };
}

/* Read up to `size` bytes from the start of `path`. Returns their number or -errno. */
static ssize_t read_start(const char *path, char *buffer, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t used = 0;
    ssize_t count = 1;

    if (fd < 0)
        return -errno;
    while (used < size && count > 0) {
        count = read(fd, buffer + used, size - used);
        if (count < 0 && errno == EINTR)
            count = 1;
        else if (count < 0)
            count = -errno;
        else
            used += (size_t)count;
    }
    close(fd);
    return count < 0 ? count : (ssize_t)used;
}

int config_read_secret(const char *path, char *secret, size_t size, char *error, size_t error_size)
{
    ssize_t count = read_start(path, secret, size);
    size_t length = 0;
    char *end;
    int status = 0;

    if (count < 0) {
        snprintf(error, error_size, "could not read %s: %s", path, strerror((int)-count));
        status = (int)count;
        goto cleanup;
    }
    end = memchr(secret, '\n', (size_t)count);
    length = end ? (size_t)(end - secret) : (size_t)count;
    if (length > 0 && end && secret[length - 1] == '\r')
        length--;
    if (length == size) {
        snprintf(error, error_size, "the first line of %s is longer than %zu bytes", path, size - 1);
        status = -EMSGSIZE;
    } else if (length == 0) {
        snprintf(error, error_size, "the first line of %s is empty", path);
        status = -EINVAL;
    } else if (memchr(secret, '\0', length)) {
        snprintf(error, error_size, "the first line of %s contains a NUL byte", path);
        status = -EINVAL;
    }
cleanup:
    explicit_bzero(status < 0 ? secret : secret + length, status < 0 ? size : size - length);
    return status;
}
