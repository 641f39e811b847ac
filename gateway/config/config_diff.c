/* config_diff.c: what has changed between two configurations. See config_diff.h. */
#include "config/config_diff.h"

#include <stdio.h>
#include <string.h>

struct diff {
    config_diff_report report;
    void *context;
    int reload;
};

static void found(struct diff *diff, enum config_reload reload, const char *section, const char *what)
{
    char line[160];

    if ((int)reload > diff->reload)
        diff->reload = reload;
    snprintf(line, sizeof(line), "%s %s", section, what);
    if (diff->report)
        diff->report(diff->context, line);
}

static int same_strings(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static int same_uris(const struct config *a, const struct config *b)
{
    if (a->uri_count != b->uri_count)
        return 0;
    for (size_t i = 0; i < a->uri_count; i++)
        if (strcmp(a->uris[i], b->uris[i]) != 0)
            return 0;
    return 1;
}

/* Whether the key's field holds the same in two structures of its kind. */
static int same_field(const struct config_key *key, const void *a, const void *b)
{
    const char *field_a = (const char *)a + key->offset, *field_b = (const char *)b + key->offset;

    if (key->parse == config_value_uris)
        return same_uris(a, b);
    if (key->parse == config_value_string || key->parse == config_value_file || key->parse == config_value_client_id ||
        key->parse == config_value_segment || key->parse == config_value_group || key->parse == config_value_listen)
        return same_strings(*(char *const *)field_a, *(char *const *)field_b);
    return memcmp(field_a, field_b, key->rule.width > 0 ? key->rule.width : sizeof(unsigned)) == 0;
}

static void compare(struct diff *diff, const char *title, int channels, const void *before, const void *after)
{
    for (size_t i = 0; i < config_schema_count(); i++) {
        const struct config_key *key = config_schema_key(i);
        const char *section = title ? title : config_schema_section_title(key->section);

        if ((key->section == CONFIG_SECTION_CHANNEL) == channels && !same_field(key, before, after))
            found(diff, key->reload, section, key->name);
    }
}

static const struct config_channel *find(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->channel_count; i++)
        if (strcmp(config->channels[i].name, name) == 0)
            return &config->channels[i];
    return NULL;
}

int config_diff(const struct config *before, const struct config *after, config_diff_report report, void *context)
{
    struct diff diff = {.report = report, .context = context};
    char title[96];

    compare(&diff, NULL, 0, before, after);
    for (size_t i = 0; i < before->channel_count; i++) {
        const struct config_channel *channel = &before->channels[i], *now = find(after, channel->name);

        snprintf(title, sizeof(title), "[channel %s]", channel->name);
        if (now)
            compare(&diff, title, 1, channel, now);
        else
            found(&diff, CONFIG_RELOAD_SEGMENT, title, "removed");
    }
    for (size_t i = 0; i < after->channel_count; i++) {
        snprintf(title, sizeof(title), "[channel %s]", after->channels[i].name);
        if (!find(before, after->channels[i].name))
            found(&diff, CONFIG_RELOAD_SEGMENT, title, "added");
    }
    return diff.reload;
}
