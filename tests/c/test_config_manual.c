/* test_config_manual.c: gateway.ini(5) says of each key what the table of keys says: whether it is required, its range
 * or values, its default, and what a reload does. Each failure tells the line that the page lacks, and where. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "config/config_schema.h"

/* The repository's folder; without it the place is taken from this file's. */
#define BELOW "tests/c/test_config_manual.c"
#define MANUAL_SIZE_MAX 200000 /* bytes; the page has a tenth of it */

static const char *const reloads[] = {[CONFIG_RELOAD_LIVE] = "live",
                                      [CONFIG_RELOAD_RECONNECT] = "reconnect",
                                      [CONFIG_RELOAD_SEGMENT] = "segment",
                                      [CONFIG_RELOAD_RESTART] = "restart"};

/* The whole page; the caller frees it. NULL when it is not there. */
static char *read_manual(void)
{
    const char *folder = getenv("SHMGATE_SOURCE_DIR"), *file = __FILE__;
    char path[1024], *text = calloc(1, MANUAL_SIZE_MAX + 1);
    FILE *stream;

    if (folder)
        snprintf(path, sizeof(path), "%s/gateway/man/gateway.ini.5", folder);
    else
        snprintf(path, sizeof(path), "%.*sgateway/man/gateway.ini.5", (int)(strlen(file) - strlen(BELOW)), file);
    stream = fopen(path, "r");
    if (!text || !stream || fread(text, 1, MANUAL_SIZE_MAX, stream) == 0) {
        printf("  could not read %s\n", path);
        free(text);
        text = NULL;
    }
    if (stream)
        fclose(stream);
    return text;
}

/* Copy the part from a line that begins with `head` to the next line that begins with one of the `tails`. Returns 0
 * when there is no such line. */
static int cut(char *part, size_t part_size, const char *text, const char *head, const char *const tails[])
{
    const char *begin = strstr(text, head), *end;

    if (!begin)
        return 0;
    end = begin + strlen(begin);
    for (size_t i = 0; tails[i]; i++) {
        const char *tail = strstr(begin + strlen(head), tails[i]);
        if (tail && tail < end)
            end = tail;
    }
    snprintf(part, part_size, "%.*s", (int)(end - begin), begin);
    return 1;
}

/* The section of the page about a section of the file. */
static int cut_section(char *part, const char *manual, enum config_section section)
{
    static const char *const tails[] = {"\n.Ss ", "\n.Sh ", NULL};
    char head[64];

    snprintf(head, sizeof(head), "\n.Ss %s\n", config_schema_section_title(section));
    return cut(part, MANUAL_SIZE_MAX, manual, head, tails);
}

struct search {
    const char *manual;
    char *section, *entry;
    unsigned missing;
};

static void require(struct search *search, const struct config_key *key, const char *line)
{
    if (strstr(search->entry, line))
        return;
    printf("  gateway/man/gateway.ini.5: %s of %s lacks: %s", key->name, config_schema_section_title(key->section),
           line + 1);
    search->missing++;
}

/* What the parser itself expects instead of a value that no key takes: "Range: 1s to 5m.", "Values: 0, 1 or 2."; "" for
 * other kinds. */
static void describe_values(const struct config_key *key, char *line, size_t line_size)
{
    int choice = key->parse == config_value_choice;
    int number = key->parse == config_value_count || key->parse == config_value_size ||
                 key->parse == config_value_duration_ms || key->parse == config_value_duration_s;
    struct reason reason = {""};
    char *hint;
    uint64_t field[2];

    *line = '\0';
    if ((!choice && !number) || key->parse(&key->rule, "?", field, &reason) == 0 ||
        strncmp(reason.text, "expected ", 9) != 0)
        return;
    hint = strstr(reason.text, " (units");
    snprintf(line, line_size, "\n%s: %.*s.\n", choice ? "Values" : "Range",
             (int)(hint ? hint - reason.text - 9 : (long)strlen(reason.text) - 9), reason.text + 9);
}

static void look_for_key(void *context, const struct config_key *key)
{
    static const char *const tails[] = {"\n.It Ic ", "\n.El", NULL};
    struct search *search = context;
    char line[256];

    snprintf(line, sizeof(line), "\n.It Ic %s No = ", key->name);
    if (!cut_section(search->section, search->manual, key->section) ||
        !cut(search->entry, MANUAL_SIZE_MAX, search->section, line, tails)) {
        printf("  gateway/man/gateway.ini.5: under .Ss %s an entry is missing: .It Ic %s No = Ar ...\n",
               config_schema_section_title(key->section), key->name);
        search->missing++;
        return;
    }
    /* The last line of an entry was cut before its end. */
    strcat(search->entry, "\n");
    describe_values(key, line, sizeof(line));
    require(search, key, line);
    if (key->flags & CONFIG_KEY_REQUIRED)
        snprintf(line, sizeof(line), "\nRequired.\n");
    else if (key->default_text)
        snprintf(line, sizeof(line), "\nDefault:\n.Ql %s .\n", key->default_text);
    else
        snprintf(line, sizeof(line), "\nDefault: none.\n");
    require(search, key, line);
    snprintf(line, sizeof(line), "\nReload: %s.\n", reloads[key->reload]);
    require(search, key, line);
    if (key->flags & (CONFIG_KEY_PUBLISH | CONFIG_KEY_SUBSCRIBE))
        require(search, key,
                key->flags & CONFIG_KEY_PUBLISH ? "\nPublish channels only.\n" : "\nSubscribe channels only.\n");
}

/* Every key of the table stands in the manual, with its default and what a reload does. */
static void test_manual_says_what_the_table_says(void)
{
    struct search search = {
        .manual = read_manual(), .section = calloc(1, MANUAL_SIZE_MAX + 1), .entry = calloc(1, MANUAL_SIZE_MAX + 2)};

    CHECK(search.manual && search.section && search.entry);
    config_schema_each(look_for_key, &search);
    CHECK_EQUAL(search.missing, 0);
    free((char *)search.manual);
    free(search.section);
    free(search.entry);
}

/* Every key of the manual stands in the table, so that one that was removed does not live on there. */
static void test_manual_has_no_other_keys(void)
{
    char *manual = read_manual(), *section = calloc(1, MANUAL_SIZE_MAX + 1), name[64];
    unsigned others = 0, found = 0;

    CHECK(manual && section);
    for (int i = 0; i < CONFIG_SECTIONS; i++) {
        if (!cut_section(section, manual, (enum config_section)i)) {
            printf("  gateway/man/gateway.ini.5: a section is missing: .Ss %s\n",
                   config_schema_section_title((enum config_section)i));
            others++;
            continue;
        }
        for (const char *at = section; (at = strstr(at, "\n.It Ic ")) != NULL; at++) {
            CHECK_EQUAL(sscanf(at, "\n.It Ic %63s", name), 1);
            found++;
            if (config_schema_find((enum config_section)i, name) < 0) {
                printf("  gateway/man/gateway.ini.5: remove an entry: %s has no key %s\n",
                       config_schema_section_title((enum config_section)i), name);
                others++;
            }
        }
    }
    CHECK_EQUAL(others, 0);
    CHECK_EQUAL(found, config_schema_count());
    free(manual);
    free(section);
}

/* Each word behind "Reload:" is explained. */
static void test_manual_explains_reloads(void)
{
    static const char *const tails[] = {"\n.Sh ", NULL};
    char *manual = read_manual(), *section = calloc(1, MANUAL_SIZE_MAX + 1), line[64];

    CHECK(manual && section);
    CHECK(cut(section, MANUAL_SIZE_MAX, manual, "\n.Sh RELOAD\n", tails));
    for (int i = CONFIG_RELOAD_LIVE; i <= CONFIG_RELOAD_RESTART; i++) {
        snprintf(line, sizeof(line), "\n.It %s\n", reloads[i]);
        CHECK(strstr(section, line));
    }
    free(manual);
    free(section);
}

#define TEST(name) {#name, name}
static const struct check_test tests[] = {
    TEST(test_manual_says_what_the_table_says),
    TEST(test_manual_has_no_other_keys),
    TEST(test_manual_explains_reloads),
};

CHECK_MAIN(tests)
