/* test_config_values.c: each key takes what it should and refuses the rest, alone and beside other keys. */
#include <sys/stat.h>

#include "base/tls_files.h"
#include "config_file.h"

/* A file with only what is required has the defaults everywhere else. */
static void test_defaults(void)
{
    CHECK_EQUAL(load(MQTT CHANNEL), 0);
    CHECK_EQUAL(config.uri_count, 1);
    CHECK(strcmp(config.uris[0], "mqtt://h") == 0);
    CHECK(strncmp(config.client_id, "shmgate-", 8) == 0 && config.client_id[8]);
    CHECK_EQUAL(config.mqtt_version, 5);
    CHECK(!config.username && !config.password_file && !config.ca_file && !config.cert_file && !config.key_file &&
          !config.group);
    CHECK_EQUAL(config.keepalive_s, 60);
    CHECK_EQUAL(config.connect_timeout_ms, 10000);
    CHECK_EQUAL(config.session_expiry_s, 7 * 86400);
    CHECK_EQUAL(config.stats_interval_ms, 60000);
    CHECK(strcmp(config.segment, "/shmgate") == 0);
    CHECK_EQUAL(config.mode, 0660);
    CHECK(strcmp(config.spool_path, "/var/lib/shmgate/spool.db") == 0);
    CHECK_EQUAL(config.spool_max_size, 256 << 20);
    CHECK_EQUAL(config.spool_max_age_ms, 7LL * 86400 * 1000);
    CHECK(strcmp(config.path, path) == 0);
    CHECK_EQUAL(config.channel_count, 1);
    CHECK(strcmp(config.channels[0].name, "c") == 0 && strcmp(config.channels[0].topic, "t") == 0);
    CHECK_EQUAL(config.channels[0].direction, LAYOUT_PUBLISH);
    CHECK_EQUAL(config.channels[0].overflow, LAYOUT_DROP_OLDEST);
    CHECK_EQUAL(config.channels[0].spool, CONFIG_SPOOL_OFF);
    CHECK_EQUAL(config.channels[0].qos, 1);
    CHECK_EQUAL(config.channels[0].retain, 0);
    CHECK_EQUAL(config.channels[0].max_payload, 256);
    CHECK_EQUAL(config.channels[0].topic_max, 0);
    CHECK_EQUAL(config.channels[0].slots, 1024);
    CHECK_EQUAL(config.channels[0].writers, 4);
    CHECK_EQUAL(config.channels[0].line, 3);
}

/* Every value that is given arrives in its field, in the field's unit. */
static void test_every_value_arrives(void)
{
    CHECK_EQUAL(load("[channel in.1]\ndirection=subscribe\ntopic=a/#\nqos=2\nmax_payload=4K\nslots=16\ntopic_max=1K\n"
                     "max_rate=1000000\nretained=ignore\nmax_age=250ms\n"
                     "[spool]\npath=/x\nmax_size=2G\nmax_age=0\n[shm]\nsegment=/s_1.a-b\nmode=600\n"
                     "[mqtt]\nuri = mqtts://h:1 , mqtt://[::1]:65535,mqtt://1.2.3.4\nclient_id=a b\n"
                     "version=3.1.1\nusername=u\n"
                     "keepalive=5m\nconnect_timeout=1500ms\nstats_interval=0\nsession_expiry=0\n"
                     "[channel out]\ndirection=publish\ntopic=b\nqos=0\nretain=yes\noverflow=reject\n"
                     "writers=256\nslots=3\nspool=off\n"),
                0);
    CHECK_EQUAL(config.uri_count, 3);
    CHECK(strcmp(config.uris[0], "mqtts://h:1") == 0 && strcmp(config.uris[1], "mqtt://[::1]:65535") == 0);
    CHECK(strcmp(config.uris[2], "mqtt://1.2.3.4") == 0);
    CHECK(strcmp(config.client_id, "a b") == 0 && strcmp(config.username, "u") == 0);
    CHECK_EQUAL(config.mqtt_version, 4);
    CHECK_EQUAL(config.keepalive_s, 300);
    CHECK_EQUAL(config.connect_timeout_ms, 1500);
    CHECK_EQUAL(config.stats_interval_ms, 0);
    CHECK_EQUAL(config.session_expiry_s, 0);
    CHECK(strcmp(config.segment, "/s_1.a-b") == 0 && strcmp(config.spool_path, "/x") == 0);
    CHECK_EQUAL(config.mode, 0600);
    CHECK_EQUAL(config.spool_max_size, 2LL << 30);
    CHECK_EQUAL(config.spool_max_age_ms, 0);
    CHECK_EQUAL(config.channel_count, 2);
    CHECK_EQUAL(config.channels[0].direction, LAYOUT_SUBSCRIBE);
    CHECK_EQUAL(config.channels[0].qos, 2);
    CHECK_EQUAL(config.channels[0].max_payload, 4096);
    CHECK_EQUAL(config.channels[0].topic_max, 1024);
    CHECK_EQUAL(config.channels[0].max_rate, 1000000);
    CHECK_EQUAL(config.channels[0].ignore_retained, 1);
    CHECK_EQUAL(config.channels[0].max_age_ms, 250);
    CHECK_EQUAL(config.channels[0].slots, 16);
    CHECK_EQUAL(config.channels[0].writers, 1);
    CHECK_EQUAL(config.channels[1].retain, 1);
    CHECK_EQUAL(config.channels[1].qos, 0);
    CHECK_EQUAL(config.channels[1].overflow, LAYOUT_REJECT);
    CHECK_EQUAL(config.channels[1].writers, 256);
    CHECK_EQUAL(config.channels[1].slots, 3);
}

/* Broker addresses: what is good passes as written, what is not is named with what was expected. */
static void test_uris(void)
{
    static const char *const good[] = {"mqtt://h",
                                       "mqtts://h",
                                       "mqtt://h:1",
                                       "mqtt://h:65535",
                                       "mqtt://a.b-c_d",
                                       "mqtt://127.0.0.1:1883",
                                       "mqtt://[::1]",
                                       "mqtts://[fe80::1%eth0]:8883",
                                       "mqtt://a,mqtts://b , mqtt://c"};
    static const char *const bad[] = {"h",
                                      "tcp://h",
                                      "ssl://h:1",
                                      "MQTT://h",
                                      "mqtt:/h",
                                      "mqtt://",
                                      "mqtt://:1883",
                                      "mqtt://h:",
                                      "mqtt://h:0",
                                      "mqtt://h:65536",
                                      "mqtt://h:1x",
                                      "mqtt://h:-1",
                                      "mqtt://h:000001",
                                      "mqtt://u:p@h",
                                      "mqtt://h/",
                                      "mqtt://h/x",
                                      "mqtt://h?x",
                                      "mqtt://a b",
                                      "mqtt://::1",
                                      "mqtt://[::1",
                                      "mqtt://[h]",
                                      "mqtt://[::1%]",
                                      "mqtt://[::1]x",
                                      "mqtt://[]",
                                      "mqtt://a,",
                                      ",mqtt://a",
                                      "mqtt://a,,mqtt://b",
                                      "mqtt://a;mqtt://b",
                                      "mqtt://a,h"};
    char name[300] = "mqtt://";

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        CHECK_EQUAL(load_setting("[mqtt]\n", "uri", good[i], CHANNEL), 0);
    CHECK_EQUAL(config.uri_count, 3);
    CHECK(strcmp(config.uris[2], "mqtt://c") == 0);
    CHECK_EQUAL(load_setting("[mqtt]\n", "uri", "mqtt://a, h", CHANNEL), -EINVAL);
    CHECK(told("2: uri mqtt://a, h: h: expected mqtt://HOST[:PORT], or mqtts:// for TLS"));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CHECK_EQUAL(load_setting("[mqtt]\n", "uri", bad[i], CHANNEL), -EINVAL);
        CHECK(told_begin("2: uri "));
    }
    CHECK_EQUAL(load_setting("[mqtt]\n", "uri", "tcp://h", CHANNEL), -EINVAL);
    CHECK(told("2: uri tcp://h: expected mqtt://HOST[:PORT], or mqtts:// for TLS"));
    memset(name + 7, 'h', 253);
    CHECK_EQUAL(load_setting("[mqtt]\n", "uri", name, CHANNEL), 0);
    name[260] = 'h';
    CHECK_EQUAL(load_setting("[mqtt]\n", "uri", name, CHANNEL), -EINVAL);
}

/* A password that stands where none belongs is in no fault: not in that of the value, nor of the list's part, nor of
 * the line. */
static void test_passwords_are_not_shown(void)
{
    static const char *const texts[] = {
        "uri = mqtt://me:Geheim77@h:1",
        "uri = mqtts://me:Geheim77@h",
        "uri = tcp://me:Geheim77@h",
        "uri = me:Geheim77@h",
        "uri = mqtt://a, mqtt://me:Geheim77@h",
        "uri = mqtt://me:Geheim77@h, mqtt://b",
        "uri = mqtt://me:x,Geheim77@h",
        "uri = mqtt://me:x@Geheim77@h",
        "uri = mqtt://me:x/Geheim77?@h",
        "uri = mqtt://me:x #Geheim77@h",
        "uri = \"mqtt://me:Geheim77@h\"",
        "uri = mqtt://h?password=Geheim77",
        "uri = ${env:SHMGATE_TEST_URI}",
        "uri: mqtt://me:Geheim77@h",
        "uri mqtt://me:Geheim77=@h",
        "uri = mqtt://h\nusername = me\npassword = Geheim77",
        "uri = mqtt://h\nusername = me\npassword: Geheim77",
        "uri = mqtt://h\nusername = me\npassword Geheim77",
        "uri = mqtt://h\nusername = me\npassword Geheim77=",
        "uri = mqtt://h\nusername = me\npassword_file = Geheim77",
        "uri = mqtt://h\nusername = me\npassword_file = 'Geheim77'",
        "uri = mqtt://h\nusername = me\npassword_file = Geheim77 ; mine",
    };
    char text[200];

    setenv("SHMGATE_TEST_URI", "mqtt://me:Geheim77@h", 1);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        snprintf(text, sizeof(text), "[mqtt]\n%s\n" CHANNEL, texts[i]);
        CHECK_EQUAL(load(text), -EINVAL);
        CHECK(!strstr(faults, "Geheim77"));
    }
    CHECK_EQUAL(load_setting("[mqtt]\n", "uri", "mqtt://me:Geheim77@h:1", CHANNEL), -EINVAL);
    CHECK(told("2: uri mqtt://***@h:1: user and password have keys of their own: username and password_file"));
    CHECK_EQUAL(load_setting(MQTT CHANNEL "[shm]\n", "group", "no@such-group", ""), -EINVAL);
    CHECK(told_begin("7: group no@such-group: "));
}

/* Durations: units, whole seconds where MQTT counts them, limits, and no number too large to be noticed. */
static void test_durations(void)
{
    static const char *const bad[] = {"0",
                                      "4",
                                      "4999ms",
                                      "5500ms",
                                      "65536",
                                      "19h",
                                      "1.5s",
                                      "-5",
                                      "+5",
                                      "s",
                                      "5 x",
                                      "5ss",
                                      "5S",
                                      "0x10",
                                      "1e3",
                                      "99999999999999999999",
                                      "18446744073709551616s",
                                      "18446744073709551621s",
                                      "300000000000000d"};
    static const struct {
        const char *text;
        unsigned seconds;
    } good[] = {{"5", 5},       {"5s", 5},        {"5000ms", 5}, {"2m", 120},
                {"18h", 64800}, {"65535", 65535}, {"5 s", 5},    {"0060", 60}};

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        CHECK_EQUAL(load_mqtt("keepalive", good[i].text), 0);
        CHECK_EQUAL(config.keepalive_s, good[i].seconds);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CHECK_EQUAL(load_mqtt("keepalive", bad[i]), -EINVAL);
        CHECK(told_begin("3: keepalive "));
    }
    CHECK_EQUAL(load_mqtt("keepalive", "4s"), -EINVAL);
    CHECK(told("3: keepalive 4s: expected 5s to 65535s (units: ms s m h d; none: seconds)"));
    CHECK_EQUAL(load_mqtt("stats_interval", "99ms"), -EINVAL);
    CHECK(told("3: stats_interval 99ms: expected 0 or 100ms to 1d (units: ms s m h d; none: seconds)"));
    CHECK_EQUAL(load_mqtt("stats_interval", "0s"), 0);
    CHECK_EQUAL(load_mqtt("connect_timeout", "5m"), 0);
    CHECK_EQUAL(config.connect_timeout_ms, 300000);
    CHECK_EQUAL(load_mqtt("connect_timeout", "300001ms"), -EINVAL);
}

/* Sizes and counts: powers of 1024, limits at both ends, and no number too large to be noticed. */
static void test_sizes_and_counts(void)
{
    static const char *const bad_sizes[] = {
        "0", "16777217", "17M", "1KB", "1k", "1 K B", "-1", "18446744073709551617", "17179869184G", "17592186044417M",
        "1T"};
    static const char *const bad_counts[] = {"1", "0", "16777217", "1K", "1024 ,", "4294967298", "1024.0"};

    CHECK_EQUAL(load_channel("max_payload", "16M"), 0);
    CHECK_EQUAL(config.channels[0].max_payload, 16 << 20);
    CHECK_EQUAL(load_channel("max_payload", "1"), 0);
    CHECK_EQUAL(load_channel("max_payload", "2 K"), 0);
    CHECK_EQUAL(config.channels[0].max_payload, 2048);
    for (size_t i = 0; i < sizeof(bad_sizes) / sizeof(bad_sizes[0]); i++) {
        CHECK_EQUAL(load_channel("max_payload", bad_sizes[i]), -EINVAL);
        CHECK(strstr(faults, "expected 1 to 16M (units: K M G, powers of 1024; none: bytes)"));
    }
    CHECK_EQUAL(load_channel("slots", "2"), 0);
    CHECK_EQUAL(load_channel("slots", "16777216"), 0);
    for (size_t i = 0; i < sizeof(bad_counts) / sizeof(bad_counts[0]); i++) {
        CHECK_EQUAL(load_channel("slots", bad_counts[i]), -EINVAL);
        CHECK(strstr(faults, "expected 2 to 16777216\n"));
    }
    CHECK_EQUAL(load_channel("writers", "257"), -EINVAL);
    CHECK(told("6: writers 257: expected 1 to 256"));
    CHECK_EQUAL(load_setting(MQTT CHANNEL "[spool]\n", "max_size", "1024G", ""), 0);
    CHECK_EQUAL(config.spool_max_size, 1LL << 40);
    CHECK_EQUAL(load_setting(MQTT CHANNEL "[spool]\n", "max_size", "1025G", ""), -EINVAL);
    CHECK_EQUAL(load_setting(MQTT CHANNEL "[spool]\n", "max_age", "3650d", ""), 0);
    CHECK_EQUAL(config.spool_max_age_ms, 3650LL * 86400000);
}

/* Words: each spelling of yes and no, and a list of what is known for anything else. */
static void test_choices(void)
{
    static const char *const yes[] = {"yes", "true", "on", "1"}, *const no[] = {"no", "false", "off", "0"};

    for (int i = 0; i < 4; i++) {
        CHECK_EQUAL(load_channel("retain", yes[i]), 0);
        CHECK_EQUAL(config.channels[0].retain, 1);
        CHECK_EQUAL(load_channel("retain", no[i]), 0);
        CHECK_EQUAL(config.channels[0].retain, 0);
    }
    CHECK_EQUAL(load_channel("retain", "maybe"), -EINVAL);
    CHECK(told("6: retain maybe: expected yes, no, true, false, on, off, 1 or 0"));
    CHECK_EQUAL(load_channel("qos", "3"), -EINVAL);
    CHECK(told("6: qos 3: expected 0, 1 or 2"));
    CHECK_EQUAL(load_channel("overflow", "drop_oldest"), -EINVAL);
    CHECK(told("6: overflow drop_oldest: expected drop-oldest or reject"));
    CHECK_EQUAL(load_mqtt("version", "3.1"), -EINVAL);
    CHECK(told("3: version 3.1: expected 3.1.1 or 5"));
}

/* Segment, mode, group and client id are what the system calls and the status topic can take. */
static void test_names_and_modes(void)
{
    static const char *const segments[] = {"shmgate",      "/",   "/a/b",   "//a",     "/a b",
                                           "/gr\xc3\xbcn", "/.x", "/sem.x", "/x.next", "/x.next3"};
    static const char *const modes[] = {"0666", "0770", "0060", "0", "600x", "8", "02660", "0o660", "0400", "06600"};
    char segment[300] = "/";

    memset(segment + 1, 's', 199);
    CHECK_EQUAL(load_setting(MQTT CHANNEL "[shm]\n", "segment", segment, ""), 0);
    segment[200] = 's';
    CHECK_EQUAL(load_setting(MQTT CHANNEL "[shm]\n", "segment", segment, ""), -EINVAL);
    for (size_t i = 0; i < sizeof(segments) / sizeof(segments[0]); i++) {
        CHECK_EQUAL(load_setting(MQTT CHANNEL "[shm]\n", "segment", segments[i], ""), -EINVAL);
        CHECK(told_begin("7: segment "));
    }
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        CHECK_EQUAL(load_setting(MQTT CHANNEL "[shm]\n", "mode", modes[i], ""), -EINVAL);
        CHECK(told_begin("7: mode "));
    }
    CHECK_EQUAL(load_setting(MQTT CHANNEL "[shm]\n", "mode", "640", ""), 0);
    CHECK_EQUAL(config.mode, 0640);
    CHECK_EQUAL(load_setting(MQTT CHANNEL "[shm]\n", "group", "root", ""), 0);
    CHECK(strcmp(config.group, "root") == 0);
    CHECK_EQUAL(load_setting(MQTT CHANNEL "[shm]\n", "group", "no-such-group-here", ""), -EINVAL);
    CHECK(told("7: group no-such-group-here: this machine has no such group"));
    CHECK_EQUAL(load_mqtt("client_id", "a/b"), -EINVAL);
    CHECK_EQUAL(load_mqtt("client_id", "a+"), -EINVAL);
    CHECK_EQUAL(load_mqtt("client_id", "a#"), -EINVAL);
    CHECK(told_begin("3: client_id a#: / + and # cannot be used"));
    CHECK_EQUAL(load_mqtt("client_id", "gr\xc3\xbcn 7"), 0);
}

/* Files that are named must be there and readable, and keys that need one another must come together. */
static void test_files_and_pairs(void)
{
    CHECK_EQUAL(load_mqtt("ca_file", "/no/such/file"), -EINVAL);
    CHECK(strstr(faults, "3: ca_file /no/such/file: could not open the file: No such file or directory\n") == faults);
    CHECK_EQUAL(load_setting("[mqtt]\nuri=mqtts://h\n", "ca_file", "/tmp", CHANNEL), -EINVAL);
    CHECK(told("3: ca_file /tmp: it is not a regular file"));
    CHECK_EQUAL(load_setting("[mqtt]\nuri=mqtts://h\n", "ca_file", path, CHANNEL), -EINVAL);
    CHECK(strstr(faults, "holds no certificate (PEM)"));
    CHECK_EQUAL(load_mqtt("ca_file", path), -EINVAL);
    CHECK(told("3: ca_file is for TLS, but no uri begins with mqtts://"));
    CHECK_EQUAL(load_setting("[mqtt]\nuri=mqtt://g,mqtts://h\n", "ca_file", path, CHANNEL), -EINVAL);
    CHECK(strstr(faults, "holds no certificate (PEM)"));
    CHECK_EQUAL(load_setting("[mqtt]\nuri=mqtts://h\n", "cert_file", path, CHANNEL), -EINVAL);
    CHECK(told("3: cert_file needs key_file beside it: the certificate's private key"));
    CHECK_EQUAL(load_setting("[mqtt]\nuri=mqtts://h\n", "key_file", path, CHANNEL), -EINVAL);
    CHECK(told("3: key_file needs cert_file beside it: the key's certificate"));
    CHECK_EQUAL(load_mqtt("password_file", path), -EINVAL);
    CHECK(told("3: password_file needs username beside it"));
    CHECK_EQUAL(load_setting(MQTT "username=u\n", "password_file", path, CHANNEL), 0);
}

/* A named pipe as a certificate, a password or gateway.ini itself is refused at once: nobody waits for its other end.
 */
static void test_pipe_as_file_does_not_hang(void)
{
    char pipe_path[64], secret[64];
    const struct tls_files files = {.ca_file = pipe_path};
    const char *setting;
    struct reason reason;

    CHECK_EQUAL(load(MQTT CHANNEL), 0);
    snprintf(pipe_path, sizeof(pipe_path), "%s.pipe", path);
    CHECK_EQUAL(mkfifo(pipe_path, 0600), 0);
    (void)load_setting("[mqtt]\nuri=mqtts://h\n", "ca_file", pipe_path, CHANNEL);
    CHECK(strstr(faults, "it is not a regular file"));
    CHECK_EQUAL(config_read_secret(pipe_path, secret, sizeof(secret), &reason), -ENOTSUP);
    CHECK(strstr(reason.text, "it is not a regular file"));
    CHECK_EQUAL(tls_files_check(&files, &setting, &reason), -EINVAL);
    CHECK(strstr(reason.text, "it is not a regular file"));
    faults[0] = '\0';
    CHECK_EQUAL(config_load(&config, pipe_path, keep_fault, NULL), -ENOTSUP);
    CHECK(strstr(faults, "it is not a regular file"));
    unlink(pipe_path);
}

/* Topics obey MQTT for the channel's direction, leave the broker's and the gateway's own alone, and form no loop. */
static void test_topics(void)
{
    static const struct {
        const char *direction, *topic, *fault;
    } cases[] = {
        {"publish", "a/+", "5: topic a/+: + is a wildcard, which only a subscription may use"},
        {"publish", "$SYS/a", "5: topic $SYS/a: topics that begin with $SYS are the broker's own"},
        {"publish", "shmgate/me/status",
         "5: topic shmgate/me/status: the gateway publishes its own status and stats there"},
        {"publish", "shmgate/me/stats",
         "5: topic shmgate/me/stats: the gateway publishes its own status and stats there"},
        {"subscribe", "a/#/b", "5: topic a/#/b: the wildcard # must be the last level"},
        {"subscribe", "$share/g", "5: topic $share/g: a shared subscription is written $share/GROUP/FILTER"},
    };
    char text[300];

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        snprintf(text, sizeof(text),
                 "[channel c]\nqos = 1\nslots = 8\ndirection = %s\ntopic = %s\n" MQTT "client_id = me\n",
                 cases[i].direction, cases[i].topic);
        CHECK_EQUAL(load(text), -EINVAL);
        CHECK(told(cases[i].fault));
    }
    CHECK_EQUAL(load(MQTT "client_id = me\n[channel c]\ndirection=publish\ntopic=shmgate/you/status\n"), 0);
    CHECK_EQUAL(load(MQTT CHANNEL "[channel d]\ndirection = subscribe\ntopic = +\n"), -EINVAL);
    CHECK(told("5: topic of [channel c] is subscribed to by [channel d] on line 8: its messages would come back"));
    CHECK_EQUAL(load(MQTT CHANNEL "[channel d]\ndirection = publish\ntopic = t\n"), 0);
}

/* Keys that mean nothing for a channel's direction are faults. */
static void test_keys_of_the_other_direction(void)
{
    static const char *const publish_keys[] = {"retain = no",        "writers = 1",         "overflow = reject",
                                               "spool = off",        "spool_max_size = 1M", "spool_max_age = 1d",
                                               "drain = live-first", "source = yes"};
    char text[300], expected[128];

    for (size_t i = 0; i < sizeof(publish_keys) / sizeof(publish_keys[0]); i++) {
        snprintf(text, sizeof(text), MQTT "[channel c]\n%s\ndirection = subscribe\ntopic = t\n", publish_keys[i]);
        CHECK_EQUAL(load(text), -EINVAL);
        snprintf(expected, sizeof(expected), "4: %.*s is only for direction = publish",
                 (int)strcspn(publish_keys[i], " "), publish_keys[i]);
        CHECK(told(expected));
    }
    CHECK_EQUAL(load_channel("topic_max", "10"), -EINVAL);
    CHECK(told("6: topic_max is only for direction = subscribe"));
    CHECK_EQUAL(load_channel("max_rate", "10"), -EINVAL);
    CHECK(told("6: max_rate is only for direction = subscribe"));
    CHECK_EQUAL(load_channel("spool", "always"), 0);
    CHECK_EQUAL(config.channels[0].spool, CONFIG_SPOOL_ALWAYS);
    CHECK_EQUAL(load("[mqtt]\nuri = mqtt://h\nversion = 3.1.1\n" CHANNEL "source = yes\n"), -EINVAL);
    CHECK(strstr(faults, "source = yes: only MQTT 5 has user properties: set version = 5 in [mqtt]"));
}

/* The room for topics follows from the filter unless it is given, and cannot be too small for a topic without
   wildcards. */
static void test_topic_max(void)
{
    static const struct {
        const char *topic;
        unsigned room;
    } cases[] = {{"a", 8},   {"12345678", 8},       {"123456789", 16},  {"a/+", 256},
                 {"#", 256}, {"$share/group/a", 8}, {"$share/g/#", 256}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        CHECK_EQUAL(load_setting(MQTT "[channel c]\ndirection = subscribe\n", "topic", cases[i].topic, ""), 0);
        CHECK_EQUAL(config.channels[0].topic_max, cases[i].room);
    }
    CHECK_EQUAL(load_setting(MQTT "[channel c]\ndirection = subscribe\ntopic = abcd\n", "topic_max", "4", ""), 0);
    CHECK_EQUAL(config.channels[0].topic_max, 4);
    CHECK_EQUAL(load_setting(MQTT "[channel c]\ndirection = subscribe\ntopic = abcd\n", "topic_max", "3", ""), -EINVAL);
    CHECK(told("6: topic_max 3: the topic itself has 4 bytes"));
    CHECK_EQUAL(load_setting(MQTT "[channel c]\ndirection = subscribe\ntopic = abcd\n", "topic_max", "65536", ""),
                -EINVAL);
}

/* Quotes around a value are taken as they stand, with a warning that has file and line; a value that they make wrong is
   a fault that names them. */
static void test_quotes_are_warned_of(void)
{
    static const char *const quoted[] = {"\"t\"", "'t'", "\xe2\x80\x9ct\xe2\x80\x9d", "`t`"};
    static const char *const others[] = {"t", "\"t", "t\"", "\"t'", "a\"b\"c", "\""};
    char expected[64];

    for (size_t i = 0; i < 4; i++) {
        CHECK_EQUAL(load_setting(MQTT "[channel c]\ndirection = publish\n", "topic", quoted[i], ""), 0);
        CHECK(strcmp(config.channels[0].topic, quoted[i]) == 0);
        CHECK_EQUAL(config.warning_count, 1);
        snprintf(expected, sizeof(expected), "%s:5: topic ", path);
        CHECK(config.warning_count == 1 && strncmp(config.warnings[0], expected, strlen(expected)) == 0);
        CHECK(config.warning_count == 1 && strstr(config.warnings[0], "quotes"));
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        CHECK_EQUAL(load_setting(MQTT "[channel c]\ndirection = publish\n", "topic", others[i], ""), 0);
        CHECK_EQUAL(config.warning_count, 0);
    }
    CHECK_EQUAL(load_setting(MQTT CHANNEL, "qos", "\"1\"", ""), -EINVAL);
    CHECK(strstr(faults, "without the quotes"));
}

/* A secret is the first line of its file, without the end of line; anything else about it is an error that does not
   show it. */
static void test_secret(void)
{
    struct reason reason;
    char secret[16];

    CHECK_EQUAL(write_file("hunter2\r\nmore", 13), 0);
    CHECK_EQUAL(config_read_secret(path, secret, sizeof(secret), &reason), 0);
    CHECK(strcmp(secret, "hunter2") == 0);
    CHECK_EQUAL(write_file("123456789012345", 15), 0);
    CHECK_EQUAL(config_read_secret(path, secret, sizeof(secret), &reason), 0);
    CHECK(strcmp(secret, "123456789012345") == 0);
    CHECK_EQUAL(write_file(" a ; b\n", 7), 0);
    CHECK_EQUAL(config_read_secret(path, secret, sizeof(secret), &reason), 0);
    CHECK(strcmp(secret, " a ; b") == 0);
    CHECK_EQUAL(write_file("1234567890123456", 16), 0);
    CHECK_EQUAL(config_read_secret(path, secret, sizeof(secret), &reason), -EMSGSIZE);
    CHECK(!strstr(reason.text, "12345678901"));
    CHECK(secret[0] == 0 && secret[15] == 0);
    /* The byte-order mark of an editor is none of it. */
    CHECK_EQUAL(write_file("\xef\xbb\xbf"
                           "hunter2\r\n",
                           12),
                0);
    CHECK_EQUAL(config_read_secret(path, secret, sizeof(secret), &reason), 0);
    CHECK(strcmp(secret, "hunter2") == 0);
    CHECK_EQUAL(write_file("\xef\xbb\xbf", 3), 0);
    CHECK_EQUAL(config_read_secret(path, secret, sizeof(secret), &reason), -EINVAL);
    CHECK_EQUAL(write_file("\nx", 2), 0);
    CHECK_EQUAL(config_read_secret(path, secret, sizeof(secret), &reason), -EINVAL);
    CHECK_EQUAL(write_file("", 0), 0);
    CHECK_EQUAL(config_read_secret(path, secret, sizeof(secret), &reason), -EINVAL);
    CHECK_EQUAL(write_file("a\0b\n", 4), 0);
    CHECK_EQUAL(config_read_secret(path, secret, sizeof(secret), &reason), -EINVAL);
    CHECK_EQUAL(config_read_secret("/no/such/file", secret, sizeof(secret), &reason), -ENOENT);
    CHECK(strstr(reason.text, "/no/such/file: No such file or directory"));
}

#define TEST(name) {#name, name}
static const struct check_test tests[] = {
    TEST(test_defaults),
    TEST(test_every_value_arrives),
    TEST(test_uris),
    TEST(test_passwords_are_not_shown),
    TEST(test_durations),
    TEST(test_sizes_and_counts),
    TEST(test_choices),
    TEST(test_names_and_modes),
    TEST(test_files_and_pairs),
    TEST(test_pipe_as_file_does_not_hang),
    TEST(test_topics),
    TEST(test_keys_of_the_other_direction),
    TEST(test_topic_max),
    TEST(test_quotes_are_warned_of),
    TEST(test_secret),
};

CHECK_MAIN(tests)
