/* test_config_schema.c: the table of keys is complete, and the shipped conf/gateway.ini says what it says. */
#include "config/config_schema.h"
#include "config_file.h"

/* The repository's folder; without it the place is taken from this file's. */
#ifndef SHMGATE_SOURCE_DIR
#define SHMGATE_SOURCE_DIR ""
#endif

/* Any key with one letter missing, doubled, changed, or two swapped, is suggested back. */
static void test_every_key_is_suggested_for_a_typo(void)
{
    char wrong[64], hint[256], expected[96];

    for (size_t i = 0; i < config_schema_count(); i++) {
        const struct config_key *key = config_schema_key(i);
        size_t size = strlen(key->name);
        for (size_t at = 0; at + 1 < size; at++) {
            snprintf(expected, sizeof(expected), "did you mean \"%s\"?", key->name);
            strcpy(wrong, key->name);
            wrong[at] = key->name[at + 1];
            wrong[at + 1] = key->name[at];
            config_schema_suggest_key(key->section, wrong, hint, sizeof(hint));
            CHECK(strcmp(hint, expected) == 0 || config_schema_find(key->section, wrong) >= 0);
            snprintf(wrong, sizeof(wrong), "%.*s%s", (int)at, key->name, key->name + at + 1);
            config_schema_suggest_key(key->section, wrong, hint, sizeof(hint));
            CHECK(strcmp(hint, expected) == 0);
            snprintf(wrong, sizeof(wrong), "%.*s%s", (int)at + 1, key->name, key->name + at);
            config_schema_suggest_key(key->section, wrong, hint, sizeof(hint));
            CHECK(strcmp(hint, expected) == 0);
            strcpy(wrong, key->name);
            wrong[at] = 'z';
            config_schema_suggest_key(key->section, wrong, hint, sizeof(hint));
            CHECK(strcmp(hint, expected) == 0);
        }
    }
}

/* Read conf/gateway.ini whole, from the source folder or beside this file. NULL when it is not there. */
static char *read_shipped_file(char shipped[1024])
{
    static const char below[] = "tests/c/test_config_schema.c", *const file = __FILE__;
    const char *folder = getenv("SHMGATE_SOURCE_DIR");
    char *text = calloc(1, 100001);
    FILE *stream;

    if (folder || *SHMGATE_SOURCE_DIR)
        snprintf(shipped, 1024, "%s/conf/gateway.ini", folder ? folder : SHMGATE_SOURCE_DIR);
    else
        snprintf(shipped, 1024, "%.*sconf/gateway.ini", (int)(strlen(file) - strlen(below)), file);
    stream = fopen(shipped, "r");
    if (!stream || fread(text, 1, 100000, stream) == 0) {
        printf("  could not read %s\n", shipped);
        free(text);
        text = NULL;
    }
    if (stream)
        fclose(stream);
    return text;
}

struct search {
    const char *text;
    int missing;
};

/* Look for "#KEY = DEFAULT" or "KEY = ..." in the part of the text that is about the key's section. */
static void look_for_key(void *context, const struct config_key *key)
{
    static const char *const headings[] = {"\n[mqtt]\n",    "\n[shm]\n",       "\n[spool]\n",
                                           "\n[metrics]\n", "\n#[defaults]\n", "\n[channel telemetry]\n"};
    static const char *const ends[] = {
        "\n[shm]\n", "\n[spool]\n", "\n[metrics]\n", "\n#[defaults]\n", "\n[channel telemetry]\n", NULL};
    struct search *search = context;
    const char *begin = strstr(search->text, headings[key->section]), *found;
    const char *end = ends[key->section] ? strstr(search->text, ends[key->section])
                                         : search->text + strlen(search->text);
    char line[128];

    if (key->default_text)
        snprintf(line, sizeof(line), "\n#%s = %s\n", key->name, key->default_text);
    else if (key->flags & CONFIG_KEY_REQUIRED)
        snprintf(line, sizeof(line), "\n%s = ", key->name);
    else
        snprintf(line, sizeof(line), "\n#%s = ", key->name);
    found = begin ? strstr(begin, line) : NULL;
    if (!found || !end || found >= end) {
        printf("  conf/gateway.ini: %s has no line \"%s\"\n", config_schema_section_title(key->section), line + 1);
        search->missing++;
    }
}

/* The shipped file passes as it is, and shows every key, with the default of the schema. */
static void test_shipped_file_shows_every_key(void)
{
    char shipped[1024];
    struct search search = {read_shipped_file(shipped), 0};

    CHECK(search.text);
    faults[0] = '\0';
    CHECK_EQUAL(config_load(&config, shipped, keep_fault, NULL), 0);
    CHECK_EQUAL(config.channel_count, 2);
    config_schema_each(look_for_key, &search);
    free((char *)search.text);
    CHECK_EQUAL(search.missing, 0);
}

/* Each line that shows a default is valid when its # is taken away, and changes nothing. */
static void test_shipped_defaults_are_the_defaults(void)
{
    static const char *const keys[] = {"version",
                                       "keepalive",
                                       "connect_timeout",
                                       "session_expiry",
                                       "stats_interval",
                                       "segment",
                                       "mode",
                                       "path",
                                       "max_size",
                                       "max_age",
                                       "qos",
                                       "retain",
                                       "max_payload",
                                       "slots",
                                       "writers",
                                       "overflow",
                                       "spool",
                                       "spool_max_size",
                                       "spool_max_age",
                                       "interval",
                                       "drain",
                                       "source",
                                       "topic_max",
                                       "max_rate",
                                       "retained",
                                       "max_age"};
    char shipped[1024], *text = read_shipped_file(shipped);
    struct config given = {0};
    unsigned taken = 0;

    CHECK(text);
    for (char *at = text; (at = strstr(at, "\n#")) != NULL; at++)
        for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
            if (strncmp(at + 2, keys[i], strlen(keys[i])) == 0 && strncmp(at + 2 + strlen(keys[i]), " = ", 3) == 0) {
                memmove(at + 1, at + 2, strlen(at + 2) + 1);
                taken++;
            }
    CHECK(taken >= sizeof(keys) / sizeof(keys[0]));
    CHECK_EQUAL(load(text), 0);
    free(text);
    CHECK_EQUAL(config_load(&given, shipped, keep_fault, NULL), 0);
    int same = given.keepalive_s == config.keepalive_s && given.connect_timeout_ms == config.connect_timeout_ms &&
               given.session_expiry_s == config.session_expiry_s &&
               given.stats_interval_ms == config.stats_interval_ms && given.mode == config.mode &&
               given.spool_max_size == config.spool_max_size && given.spool_max_age_ms == config.spool_max_age_ms &&
               given.spool_interval_ms == config.spool_interval_ms && given.mqtt_version == config.mqtt_version &&
               strcmp(given.segment, config.segment) == 0;
    for (size_t i = 0; i < 2; i++) {
        const struct config_channel *a = &given.channels[i], *b = &config.channels[i];
        same &= a->qos == b->qos && a->retain == b->retain && a->max_payload == b->max_payload &&
                a->slots == b->slots && a->writers == b->writers && a->overflow == b->overflow &&
                a->spool == b->spool && a->spool_max_size == b->spool_max_size &&
                a->spool_max_age_ms == b->spool_max_age_ms && a->live_first == b->live_first &&
                a->source == b->source && a->topic_max == b->topic_max && a->max_rate == b->max_rate &&
                a->ignore_retained == b->ignore_retained && a->max_age_ms == b->max_age_ms;
    }
    config_free(&given);
    CHECK(same);
}

/* The table is complete: each key has a parser, says what a reload does, and stands once. */
static void test_schema_is_complete(void)
{
    for (size_t i = 0; i < config_schema_count(); i++) {
        const struct config_key *key = config_schema_key(i);
        CHECK(key->parse != NULL);
        CHECK(key->reload >= CONFIG_RELOAD_LIVE && key->reload <= CONFIG_RELOAD_RESTART);
        CHECK_EQUAL(config_schema_find(key->section, key->name), (int)i);
    }
}

#define TEST(name) {#name, name}
static const struct check_test tests[] = {
    TEST(test_every_key_is_suggested_for_a_typo),
    TEST(test_shipped_file_shows_every_key),
    TEST(test_shipped_defaults_are_the_defaults),
    TEST(test_schema_is_complete),
};

CHECK_MAIN(tests)
