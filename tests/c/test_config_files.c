/* test_config_files.c: what makes up a configuration beside the file itself: files that drop in, [defaults],
 * placeholders, names in topics. */
#include <sys/stat.h>

#include "config_file.h"
#include "layout.h"

static char folder[sizeof(path) + 8];
static char dropped[8][sizeof(folder) + 32];
static size_t dropped_count;
static char where[1 << 12]; /* "FILE:LINE " for each fault, FILE without its folder */

static void keep_place(void *context, const char *file, unsigned line, const char *message)
{
    size_t used = strlen(where);
    const char *name = strrchr(file, '/');

    keep_fault(context, file, line, message);
    snprintf(where + used, sizeof(where) - used, "%s:%u ",
             name && strncmp(file, folder, strlen(folder)) == 0 ? name + 1 : "main", line);
}

/* Load the text as the main file, with what was dropped in before. */
static int load_all(const char *text)
{
    config_free(&config);
    faults[0] = where[0] = '\0';
    return write_file(text, strlen(text)) < 0 ? -EIO : config_load(&config, path, keep_place, NULL);
}

static void forget_dropped(void)
{
    while (dropped_count > 0)
        unlink(dropped[--dropped_count]);
    rmdir(folder);
}

/* Put a file into the folder beside the main file. */
static int drop_in(const char *name, const char *text)
{
    static int registered;
    FILE *file;

    if (write_file("", 0) < 0)
        return -1;
    snprintf(folder, sizeof(folder), "%s.d", path);
    if (!registered)
        atexit(forget_dropped);
    registered = 1;
    mkdir(folder, 0700);
    snprintf(dropped[dropped_count], sizeof(dropped[0]), "%s/%s", folder, name);
    file = fopen(dropped[dropped_count++], "w");
    if (!file || fputs(text, file) < 0)
        return -1;
    return fclose(file);
}

/* Later files replace keys, add to channels and bring new ones, in the order of their names; others than *.ini and
 * hidden ones are passed over. */
static void test_later_files_replace_and_add(void)
{
    forget_dropped();
    CHECK_EQUAL(drop_in("20-b.ini", "[channel c]\ntopic = second\n"), 0);
    CHECK_EQUAL(drop_in("10-a.ini", "[channel c]\ntopic = first\nqos = 0\n[channel d]\ndirection = publish\ntopic = "
                                    "d\n[mqtt]\nkeepalive = 7s\n"),
                0);
    CHECK_EQUAL(drop_in("30.ini.old", "rubbish"), 0);
    CHECK_EQUAL(drop_in(".40.ini", "rubbish"), 0);
    CHECK_EQUAL(load_all(MQTT CHANNEL), 0);
    CHECK_EQUAL(config.file_count, 3);
    CHECK_EQUAL(config.channel_count, 2);
    CHECK(strcmp(config.channels[0].topic, "second") == 0 && config.channels[0].qos == 0);
    CHECK(strcmp(config.channels[1].name, "d") == 0);
    CHECK_EQUAL(config.keepalive_s, 7);
}

/* A fault is told with the file and the line it stands on, and one that has to do with a line of another file names
 * that; within a file nothing stands twice. */
static void test_faults_name_their_file(void)
{
    forget_dropped();
    CHECK_EQUAL(drop_in("a.ini", "[channel c]\n\nqos = 3\nretain = maybe\nretain = no\n[channel c]\n"), 0);
    CHECK_EQUAL(drop_in("b.ini", "x = 1\n[channel in]\ndirection = subscribe\ntopic = t\n"), 0);
    CHECK_EQUAL(load_all(MQTT CHANNEL), -EINVAL);
    CHECK(strcmp(where, "main:5 a.ini:3 a.ini:4 a.ini:5 a.ini:6 b.ini:1 ") == 0);
    CHECK(strstr(faults, "5: topic of [channel c] is subscribed to by [channel in] on line 4 of /"));
    CHECK(strstr(faults, "/b.ini: its messages would come back\n"));
    CHECK(strstr(faults, "5: retain stands on line 4 already\n"));
    CHECK(strstr(faults, "6: [channel c] stands on line 1 already\n"));
}

/* [defaults] holds for every channel that does not say otherwise, before or behind it and in any file, and only where
 * it means something. */
static void test_defaults_are_inherited(void)
{
    forget_dropped();
    CHECK_EQUAL(drop_in("a.ini", "[defaults]\nslots = 16\n"), 0);
    CHECK_EQUAL(
        load_all(
            MQTT
            "[channel a]\ndirection = publish\nqos = 2\n[defaults]\nqos = 0\nslots = 8\nwriters = 9\nmax_rate = 5\n"
            "topic = p/{channel}\n[channel b]\ndirection = subscribe\n"),
        0);
    CHECK(config.channels[0].qos == 2 && config.channels[1].qos == 0);
    CHECK(config.channels[0].slots == 16 && config.channels[1].slots == 16);
    CHECK(config.channels[0].writers == 9 && config.channels[1].writers == 1);
    CHECK(config.channels[0].max_rate == 0 && config.channels[1].max_rate == 5);
    CHECK(strcmp(config.channels[0].topic, "p/a") == 0 && strcmp(config.channels[1].topic, "p/b") == 0);
}

/* A fault in [defaults] is told once, at its line; a direction is none of its keys. */
static void test_faults_of_defaults_are_told_once(void)
{
    forget_dropped();
    CHECK_EQUAL(load_all(MQTT "[defaults]\nqos = 7\n" CHANNEL "[channel d]\ndirection = publish\ntopic = u\n"),
                -EINVAL);
    CHECK(told("4: qos 7: expected 0, 1 or 2"));
    CHECK_EQUAL(load_all(MQTT "[defaults]\ndirection = publish\n" CHANNEL), -EINVAL);
    CHECK(told_begin("4: unknown key \"direction\" in [defaults]"));
}

/* Placeholders are filled in before a value is understood; a dollar before anything else is a dollar. */
static void test_placeholders_are_filled_in(void)
{
    char host[256], expected[300];

    forget_dropped();
    CHECK_EQUAL(gethostname(host, sizeof(host)), 0);
    host[strcspn(host, ".")] = '\0';
    snprintf(expected, sizeof(expected), "%s/line7/$/none", host);
    setenv("SHMGATE_TEST_LINE", "line7", 1);
    setenv("SHMGATE_TEST_QOS", "2", 1);
    unsetenv("SHMGATE_TEST_UNSET");
    CHECK_EQUAL(load_all(MQTT "[channel c]\ndirection = publish\nqos = ${env:SHMGATE_TEST_QOS}\n"
                              "topic = ${hostname}/${env:SHMGATE_TEST_LINE}/$$/${env:SHMGATE_TEST_UNSET:-none}\n"
                              "[channel d]\ndirection = subscribe\ntopic = $share/group/x\n"),
                0);
    CHECK(strcmp(config.channels[0].topic, expected) == 0);
    CHECK_EQUAL(config.channels[0].qos, 2);
    CHECK(strcmp(config.channels[1].topic, "$share/group/x") == 0);
}

/* A placeholder that is unknown, not set, without an end, or brings what a file may not have, is a fault at its line.
 */
static void test_placeholders_that_are_faults(void)
{
    static const struct {
        const char *value, *fault;
    } cases[] = {
        {"${nothing}", "6: spool_max_age ${nothing}: unknown placeholder ${nothing}: expected ${hostname}, ${env:NAME} "
                       "or ${env:NAME:-TEXT}, or $$ for a dollar"},
        {"${env:SHMGATE_TEST_UNSET}",
         "6: spool_max_age ${env:SHMGATE_TEST_UNSET}: ${env:SHMGATE_TEST_UNSET}: the environment has no such variable: "
         "set it, or write ${env:NAME:-TEXT}"},
        {"${hostname", "6: spool_max_age ${hostname: a placeholder begins with ${ and ends with }"},
        {"${env:SHMGATE_TEST_BAD}", "6: spool_max_age ${env:SHMGATE_TEST_BAD}: ${env:SHMGATE_TEST_BAD} is not UTF-8 "
                                    "text without control characters"},
        {"${env:SHMGATE_TEST_UNSET:-}",
         "6: spool_max_age ${env:SHMGATE_TEST_UNSET:-}: nothing is left once it is filled in"},
        {"${env:SHMGATE_TEST_UNSET:-soon}",
         "6: spool_max_age soon: expected 0 or 1s to 3650d (units: ms s m h d; none: seconds)"},
    };

    forget_dropped();
    unsetenv("SHMGATE_TEST_UNSET");
    setenv("SHMGATE_TEST_BAD", "two\nlines", 1);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        CHECK_EQUAL(load_channel("spool_max_age", cases[i].value), -EINVAL);
        CHECK(told(cases[i].fault));
    }
}

/* The names in a topic are filled in before it is checked; unknown ones, single braces, and a lane where there is none,
 * are faults. */
static void test_names_in_topics(void)
{
    static const struct {
        const char *topic, *fault;
    } cases[] = {
        {"a/{chanel}", "4: topic a/{chanel}: unknown name {chanel}: expected {channel}, {client_id} or {lane}"},
        {"a/{channel", "4: topic a/{channel: braces stand in pairs, around {channel}, {client_id} or {lane}"},
        {"a}", "4: topic a}: braces stand in pairs, around {channel}, {client_id} or {lane}"},
        {"shmgate/{client_id}/stats",
         "4: topic shmgate/me/stats: the gateway publishes its own status and stats there"},
    };
    char text[256];

    forget_dropped();
    CHECK_EQUAL(load_all("[mqtt]\nuri = mqtt://h\nclient_id = me\n[channel c]\ndirection = publish\ntopic = "
                         "{client_id}/{channel}/{lane}\n"),
                0);
    CHECK(strcmp(config.channels[0].topic, "me/c/{lane}") == 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        snprintf(text, sizeof(text),
                 "[channel c]\ndirection = publish\n\ntopic = %s\n[mqtt]\nuri = mqtt://h\nclient_id = me\n",
                 cases[i].topic);
        CHECK_EQUAL(load_all(text), -EINVAL);
        CHECK(told(cases[i].fault));
    }
    CHECK_EQUAL(load_all(MQTT "[channel c]\ndirection = subscribe\ntopic = {lane}/a\n"), -EINVAL);
    CHECK(told("5: topic {lane}/a: {lane} is only for direction = publish"));
}

/* A password or a private key that everybody on the machine can read is a fault that says what to do. */
static void test_secret_for_everybody_is_a_fault(void)
{
    char value[sizeof(dropped[0])], expected[600];

    forget_dropped();
    CHECK_EQUAL(drop_in("password", "secret\n"), 0);
    strcpy(value, dropped[0]);
    CHECK_EQUAL(chmod(value, 0644), 0);
    snprintf(expected, sizeof(expected), "[mqtt]\nuri = mqtt://h\nusername = u\npassword_file = %s\n" CHANNEL, value);
    CHECK_EQUAL(load_all(expected), -EINVAL);
    snprintf(expected, sizeof(expected),
             "4: password_file %s: everybody on this machine can read or change it: chmod o-rw %s", value, value);
    CHECK(told(expected));
    CHECK_EQUAL(chmod(value, 0640), 0);
    snprintf(expected, sizeof(expected), "[mqtt]\nuri = mqtt://h\nusername = u\npassword_file = %s\n" CHANNEL, value);
    CHECK_EQUAL(load_all(expected), 0);
}

static const struct check_test tests[] = {
    {"test_later_files_replace_and_add", test_later_files_replace_and_add},
    {"test_faults_name_their_file", test_faults_name_their_file},
    {"test_defaults_are_inherited", test_defaults_are_inherited},
    {"test_faults_of_defaults_are_told_once", test_faults_of_defaults_are_told_once},
    {"test_placeholders_are_filled_in", test_placeholders_are_filled_in},
    {"test_placeholders_that_are_faults", test_placeholders_that_are_faults},
    {"test_names_in_topics", test_names_in_topics},
    {"test_secret_for_everybody_is_a_fault", test_secret_for_everybody_is_a_fault},
};

CHECK_MAIN(tests)
