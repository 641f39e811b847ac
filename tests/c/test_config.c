/* test_config.c: gateway.ini is read to the letter, and every fault in it is told once, with its line. */
#include <time.h>

#include "config_file.h"

/* Ends of line, a byte-order mark, blank lines, comments, spaces and a last line without an end are matters of taste.
 */
static void test_forms_of_the_file(void)
{
    CHECK_EQUAL(load("\xef\xbb\xbf[mqtt]\r\nuri = mqtt://h\r\n\r\n[channel c]\r\n"
                     "direction = publish\r\ntopic = t\r\n"),
                0);
    CHECK(strcmp(config.channels[0].topic, "t") == 0);
    CHECK_EQUAL(load("; comment\n# comment\n   # indented comment\n \t \n[ mqtt ]  \nuri=mqtt://h  \n[channel  c ]\n"
                     "direction  =publish\ntopic=a=b: c;d#e"),
                -EINVAL);
    CHECK(told_begin("9: topic a=b: c;d#e: # is a wildcard"));
    CHECK_EQUAL(load("[mqtt]\nuri=mqtt://h\n[channel c]\ndirection=publish\ntopic = a=b: c;d"), 0);
    CHECK(strcmp(config.channels[0].topic, "a=b: c;d") == 0);
    CHECK_EQUAL(load("[mqtt]\nuri=mqtt://h\n[channel c]\ndirection=subscribe\ntopic = #"), 0);
}

/* Values far beyond inih's 200 bytes arrive whole, whatever their length; so do section names beyond its 49. */
static void test_long_values(void)
{
    char name[64], *text = malloc(200000), *topic = malloc(100001);

    for (size_t size = 150; size < 260; size++) {
        memset(topic, 'x', size);
        topic[size] = '\0';
        CHECK_EQUAL(load_setting(MQTT "[channel c]\ndirection = publish\n", "topic", topic, ""), 0);
        CHECK(strcmp(config.channels[0].topic, topic) == 0);
    }
    memset(topic, 'x', 100000);
    topic[5000] = '\0';
    CHECK_EQUAL(load_setting(MQTT "[channel c]\ndirection = publish\n", "topic", topic, "qos = 2\n"), 0);
    CHECK_EQUAL(strlen(config.channels[0].topic), 5000);
    CHECK_EQUAL(config.channels[0].qos, 2);
    topic[5000] = 'x';
    topic[65535] = '\0';
    CHECK_EQUAL(load_setting(MQTT "[channel c]\ndirection = publish\n", "topic", topic, ""), 0);
    topic[65535] = 'x';
    topic[100000] = '\0';
    CHECK_EQUAL(load_setting(MQTT "[channel c]\ndirection = publish\n", "topic", topic, ""), -EINVAL);
    CHECK(strlen(faults) < 300);
    CHECK(strstr(faults, "5: topic xxx") == faults && strstr(faults, "it has 100000 bytes, expected 1 to 65535"));
    memset(name, 'n', 63);
    name[63] = '\0';
    snprintf(text, 200000,
             MQTT "[channel %s]\ndirection=publish\ntopic=t\n[channel %.62s]\ndirection=publish\ntopic=u\n", name,
             name);
    CHECK_EQUAL(load(text), 0);
    CHECK_EQUAL(strlen(config.channels[0].name), 63);
    CHECK_EQUAL(strlen(config.channels[1].name), 62);
    free(text);
    free(topic);
}

/* A line beyond a mebibyte is a fault and the next line is read as if nothing had been. */
static void test_line_too_long(void)
{
    size_t size = (2 << 20);
    char *text = malloc(size + 200);

    memset(text, 'x', size);
    strcpy(text, MQTT);
    text[strlen(text)] = 'x';
    strcpy(text + size, "\n" CHANNEL "qos = 7\n");
    CHECK_EQUAL(load(text), -EINVAL);
    CHECK(strcmp(faults, "3: the line is longer than 1048576 bytes\n7: qos 7: expected 0, 1 or 2\n") == 0);
    free(text);
}

/* What inih would take silently in another sense than the author's is a fault with its line. */
static void test_faulty_lines(void)
{
    static const struct {
        const char *text, *fault;
    } cases[] = {
        {MQTT "  version = 5\n" CHANNEL,
         "3: the line is indented: begin it at the margin, and keep each value on one line"},
        {MQTT CHANNEL " [shm]\n", "6: the line is indented: begin it at the margin, and keep each value on one line"},
        {"uri = mqtt://h\n" MQTT CHANNEL, "1: uri stands before any [SECTION]"},
        {MQTT "version\n" CHANNEL, "3: version: expected KEY = VALUE, [SECTION] or a comment"},
        {MQTT "version: 5\n" CHANNEL, "3: version: 5: expected KEY = VALUE, [SECTION] or a comment"},
        {MQTT "username : a=b\n" CHANNEL,
         "3: \"username : a\" is not a key: expected KEY = VALUE, in letters, digits, _ and -"},
        {MQTT "= 5\n" CHANNEL, "3: the key before = is missing"},
        {MQTT "version =\n" CHANNEL, "3: version has no value: give one, or remove the line"},
        {MQTT "version = 5 ; the newest\n" CHANNEL, "3: version 5 ; the newest: a comment needs a line of its own "
                                                    "(a value cannot contain ; or # after white space)"},
        {MQTT "username = me\t# you\n" CHANNEL, "3: username: byte 3 is the control character U+0009"},
        {MQTT "username = me # you\n" CHANNEL,
         "3: username me # you: a comment needs a line of its own (a value cannot contain ; or # after white space)"},
        {MQTT "username = ;x\n" CHANNEL,
         "3: username ;x: a comment needs a line of its own (a value cannot contain ; or # after white space)"},
        {MQTT "username = a\x01z\n" CHANNEL, "3: username: byte 2 is the control character U+0001"},
        {MQTT "username = gr\xfcn\n" CHANNEL, "3: username: byte 3 is not UTF-8: save the file as UTF-8"},
        {MQTT CHANNEL "[shm\nmode = 0660\n", "6: [shm: the closing ] is missing"},
        {MQTT CHANNEL "[shm] # memory\nmode = 0660\n", "6: text after [shm]: a comment needs a line of its own"},
        {MQTT CHANNEL "[sh\xff]\nmode = 0660\n", "6: name of the section: byte 3 is not UTF-8: save the file as UTF-8"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        CHECK_EQUAL(load(cases[i].text), -EINVAL);
        CHECK(told(cases[i].fault));
    }
    CHECK_EQUAL(load_bytes(MQTT CHANNEL "qos\0 = 1\n", sizeof(MQTT CHANNEL "qos\0 = 1\n") - 1), -EINVAL);
    CHECK(told("6: the line contains a NUL byte: is this a text file in UTF-8?"));
}

/* An unknown key or section is named with the nearest valid one, with where it belongs, or with all there are. */
static void test_unknown_names(void)
{
    static const struct {
        const char *text, *fault;
    } cases[] = {
        {MQTT CHANNEL "tpoic = x\n", "6: unknown key \"tpoic\" in [channel c]: did you mean \"topic\"?"},
        {MQTT CHANNEL "max-payload = 5\n",
         "6: unknown key \"max-payload\" in [channel c]: did you mean \"max_payload\"?"},
        {MQTT CHANNEL "QoS = 5\n", "6: unknown key \"QoS\" in [channel c]: did you mean \"qos\"?"},
        {MQTT CHANNEL "slot = 5\n", "6: unknown key \"slot\" in [channel c]: did you mean \"slots\"?"},
        {MQTT "user = 5\n" CHANNEL, "3: unknown key \"user\" in [mqtt]: did you mean \"username\"?"},
        {MQTT "url = 5\n" CHANNEL, "3: unknown key \"url\" in [mqtt]: did you mean \"uri\"?"},
        {MQTT "keep_alive = 5\n" CHANNEL, "3: unknown key \"keep_alive\" in [mqtt]: did you mean \"keepalive\"?"},
        {MQTT "passwordfile = 5\n" CHANNEL,
         "3: unknown key \"passwordfile\" in [mqtt]: did you mean \"password_file\"?"},
        {MQTT "segment = /x\n" CHANNEL, "3: unknown key \"segment\" in [mqtt]: it belongs in [shm]"},
        {MQTT CHANNEL "[shm]\nxyzzy = 1\n", "7: unknown key \"xyzzy\" in [shm]: expected one of segment, group, mode"},
        {MQTT CHANNEL "[smh]\nmode = 1\n", "6: unknown section [smh]: did you mean [shm]?"},
        {MQTT CHANNEL "[chanel b]\nmode = 1\n", "6: unknown section [chanel b]: did you mean [channel b]?"},
        {MQTT CHANNEL "[MQTT]\nmode = 1\n", "6: unknown section [MQTT]: did you mean [mqtt]?"},
        {MQTT CHANNEL "[mqtt two]\n", "6: unknown section [mqtt two]: did you mean [mqtt]?"},
        {MQTT CHANNEL "[weather]\n",
         "6: unknown section [weather]: expected [mqtt], [shm], [spool], [metrics], [defaults] or [channel NAME]"},
        {MQTT CHANNEL "[]\n",
         "6: unknown section []: expected [mqtt], [shm], [spool], [metrics], [defaults] or [channel NAME]"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        CHECK_EQUAL(load(cases[i].text), -EINVAL);
        CHECK(told(cases[i].fault));
    }
}

/* What stands twice is a fault at the second place that names the first, and hides no other fault. */
static void test_duplicates(void)
{
    CHECK_EQUAL(load(MQTT "uri = mqtt://g\n" CHANNEL), -EINVAL);
    CHECK(told("3: uri stands on line 2 already"));
    CHECK_EQUAL(load(MQTT CHANNEL "[mqtt]\nversion = 4\n"), -EINVAL);
    CHECK(strcmp(faults, "6: [mqtt] stands on line 1 already\n7: version 4: expected 3.1.1 or 5\n") == 0);
    CHECK_EQUAL(load(MQTT CHANNEL "[channel c]\ntopic = b\nqos = 9\n"), -EINVAL);
    CHECK(strcmp(faults, "6: [channel c] stands on line 3 already\n8: qos 9: expected 0, 1 or 2\n") == 0);
}

/* What is missing is said where its section begins, or at the last line when that is missing too. */
static void test_missing(void)
{
    CHECK_EQUAL(load(""), -EINVAL);
    CHECK(strcmp(faults, "1: [mqtt]: uri is missing\n"
                         "1: there is no [channel NAME] section: a gateway needs at least one\n") == 0);
    CHECK_EQUAL(load("\n[mqtt]\nversion = 5\n" CHANNEL), -EINVAL);
    CHECK(told("2: [mqtt]: uri is missing"));
    CHECK_EQUAL(load("[mqtt]\nuri =\n" CHANNEL), -EINVAL);
    CHECK(told("2: uri has no value: give one, or remove the line"));
    CHECK_EQUAL(load("[mqqt]\nuri = mqtt://h\n[chanel c]\ntopic = t\n"), -EINVAL);
    CHECK(strcmp(faults, "1: unknown section [mqqt]: did you mean [mqtt]?\n"
                         "3: unknown section [chanel c]: did you mean [channel c]?\n") == 0);
    CHECK_EQUAL(load(MQTT "[channel c]\n"), -EINVAL);
    CHECK(strcmp(faults, "3: [channel c]: direction is missing\n3: [channel c]: topic is missing\n") == 0);
    CHECK_EQUAL(load(MQTT "[channel c]\ndirection = out\ntopic = #\n"), -EINVAL);
    CHECK(told("4: direction out: expected publish or subscribe"));
}

/* Channel names have 1 to 63 plain characters. */
static void test_channel_names(void)
{
    static const char *const bad[] = {"[channel]", "[channel a b]", "[channel a/b]", "[channel gr\xc3\xbcn]",
                                      "[channel x123456789012345678901234567890123456789012345678901234567890123]"};
    char text[256];

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(text, sizeof(text), MQTT CHANNEL "%s\nqos = 1\n", bad[i]);
        CHECK_EQUAL(load(text), -EINVAL);
        CHECK(told_begin("6: [channel ") && strstr(faults, "expected a name of 1 to 63 characters"));
    }
}

/* A segment has room for 4096 channels; the next one is a fault. */
static void test_too_many_channels(void)
{
    char *text = malloc(1 << 20), *at = text + sprintf(text, MQTT);

    for (int i = 0; i < 4097; i++)
        at += sprintf(at, "[channel c%d]\ndirection = publish\ntopic = t%d\n", i, i);
    CHECK_EQUAL(load(text), -EINVAL);
    CHECK(told("12291: [channel c4096]: a segment has room for 4096 channels"));
    free(text);
}

/* All faults are told, each once, by line, whatever step found them; the configuration is empty then. */
static void test_all_faults_in_line_order(void)
{
    CHECK_EQUAL(load("[mqtt]\nkeepalive = 1\nuri = x\n[channel c]\ndirection = publish\ntopic = a/#\n"
                     "qos = 5\n[channel d]\nslots\n[sh]\n"),
                -EINVAL);
    CHECK(strcmp(faults, "2: keepalive 1: expected 5s to 65535s (units: ms s m h d; none: seconds)\n"
                         "3: uri x: expected mqtt://HOST[:PORT], or mqtts:// for TLS\n"
                         "6: topic a/#: # is a wildcard, which only a subscription may use\n"
                         "7: qos 5: expected 0, 1 or 2\n"
                         "8: [channel d]: direction is missing\n8: [channel d]: topic is missing\n"
                         "9: slots: expected KEY = VALUE, [SECTION] or a comment\n"
                         "10: unknown section [sh]: did you mean [shm]?\n") == 0);
    CHECK(!config.uris && !config.channels && !config.path && !config.channel_count);
}

/* A file that cannot be read is one fault, of the file as a whole. */
static void test_unreadable_file(void)
{
    faults[0] = '\0';
    CHECK_EQUAL(config_load(&config, "/no/such/file", keep_fault, NULL), -ENOENT);
    CHECK(told("0: could not read the file: No such file or directory"));
    faults[0] = '\0';
    CHECK_EQUAL(config_load(&config, "/tmp", keep_fault, NULL), -EISDIR);
    CHECK(told("0: could not read the file: Is a directory"));
    faults[0] = '\0';
    CHECK_EQUAL(config_load(&config, "/dev/zero", keep_fault, NULL), -ENOTSUP);
    CHECK(told("0: could not read the file: it is not a regular file"));
    config_free(&config);
    config_free(&config);
}

/* Random bytes, and good files with random damage, are read without harm, and every message is one clean line. */
static void test_random_files(void)
{
    static const char base[] = MQTT CHANNEL "[shm]\nmode = 0660\n[channel d]\ndirection = subscribe\n"
                                            "topic = a/#\nslots = 4\n";
    unsigned seed = (unsigned)time(NULL);
    char text[512];

    printf("  seed %u\n", seed);
    srand(seed);
    for (int i = 0; i < 4000; i++) {
        size_t size = i % 2 ? sizeof(base) - 1 : (size_t)rand() % sizeof(text);
        int status;
        if (i % 2) {
            memcpy(text, base, size);
            for (int j = rand() % 4; j >= 0; j--)
                text[(size_t)rand() % size] = rand() % 2 ? (char)rand() : "\n[]=;# \r"[rand() % 8];
        } else {
            for (size_t j = 0; j < size; j++)
                text[j] = rand() % 3 ? "\n[mqtt]\nuri=;# \\channel x"[rand() % 25] : (char)rand();
        }
        status = load_bytes(text, size);
        CHECK(status == 0 || status == -EINVAL);
        CHECK((status == 0) == (faults[0] == '\0'));
        for (const char *at = faults; *at; at++)
            CHECK(*at == '\n' || (unsigned char)*at >= ' ');
    }
}

/* A binary file has more faults than anybody reads; they are counted. */
static void test_faults_are_limited(void)
{
    char text[5000], *last;

    memset(text, 'x', sizeof(text));
    for (size_t i = 1; i < sizeof(text); i += 2)
        text[i] = '\n';
    CHECK_EQUAL(load_bytes(text, sizeof(text)), -EINVAL);
    last = strstr(faults, "more faults are not shown\n");
    CHECK(last && last[strlen("more faults are not shown\n")] == '\0');
}

#define TEST(name) {#name, name}
static const struct check_test tests[] = {
    TEST(test_forms_of_the_file),
    TEST(test_long_values),
    TEST(test_line_too_long),
    TEST(test_faulty_lines),
    TEST(test_unknown_names),
    TEST(test_duplicates),
    TEST(test_missing),
    TEST(test_channel_names),
    TEST(test_too_many_channels),
    TEST(test_all_faults_in_line_order),
    TEST(test_unreadable_file),
    TEST(test_random_files),
    TEST(test_faults_are_limited),
};

CHECK_MAIN(tests)
