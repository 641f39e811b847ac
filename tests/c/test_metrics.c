/* test_metrics.c: the text that Prometheus reads, and the addresses it may be served on. */
#include "base/listen_address.h"
#include "fixture.h"
#include "observe/metrics_text.h"

static const struct metrics_facts facts = {
    .segment = "/s\"\\\n\xff", .version = "1", .start_ns = 1700000000123456789, .set_aside = 7};

/* A label's value can neither end before its end nor begin a line, whatever a hostile segment calls its channels; what
 * is not UTF-8 is replaced. */
static void test_labels_are_escaped(void)
{
    char *text = NULL, *line;
    size_t size = 0;

    fixture_begin();
    CHECK_EQUAL(fixture_serve_usual(), 0);
    strcpy(fixture_segment.layout.channels[CHANNEL_OUT].name, "a\"} 1\nforged\\\x80");
    CHECK_EQUAL(metrics_text_make(&fixture_segment, &facts, &text, &size), 0);
    CHECK_EQUAL(strlen(text), size);
    CHECK(strstr(text, "\nshmgate_build_info{version=\"1\",segment=\"/s\\\"\\\\\\n\xef\xbf\xbd\"} 1\n"));
    CHECK(strstr(
        text,
        "\nshmgate_messages_written_total{channel=\"a\\\"} 1\\nforged\\\\\xef\xbf\xbd\",direction=\"publish\"} 0\n"));
    CHECK(strstr(text, "\nprocess_start_time_seconds 1700000000.123\n"));
    CHECK(strstr(text, "\nshmgate_segments_set_aside_total 7\n"));
    for (line = text; *line; line = strchr(line, '\n') + 1)
        CHECK(strncmp(line, "# ", 2) == 0 || strncmp(line, "shmgate_", 8) == 0 || strncmp(line, "process_", 8) == 0);
    free(text);
}

/* Microseconds become seconds, and only for channels that had messages. */
static void test_latencies_are_seconds(void)
{
    static const uint32_t us[LAYOUT_LATENCIES] = {20, 1500, 2000000, 4294967295u, 1, 2, 3, 4};
    char *text = NULL;
    size_t size;

    fixture_begin();
    CHECK_EQUAL(fixture_serve_usual(), 0);
    ring_set_latency(segment_channel(&fixture_segment, CHANNEL_OUT), us);
    CHECK_EQUAL(metrics_text_make(&fixture_segment, &facts, &text, &size), 0);
    CHECK(strstr(text, "{channel=\"out\",direction=\"publish\",stage=\"write_to_send\",quantile=\"0.5\"} 0.000020\n"));
    CHECK(strstr(text, "stage=\"write_to_send\",quantile=\"0.99\"} 0.001500\n") &&
          strstr(text, "quantile=\"0.999\"} 2.000000\n"));
    CHECK(strstr(text, "stage=\"write_to_send\",quantile=\"1\"} 4294.967295\n") &&
          strstr(text, "stage=\"send_to_ack\",quantile=\"1\"} 0.000004\n"));
    CHECK(!strstr(text, "shmgate_latency_seconds{channel=\"strict\"") &&
          !strstr(text, "shmgate_latency_seconds{channel=\"in\""));
    free(text);
}

/* Loopback addresses and full paths are taken, everything else is refused with the reason and leaves the address alone.
 */
static void test_addresses(void)
{
    static const char *const good[] = {"127.0.0.1:9464", "127.255.1.2:1", "[::1]:65535", "unix:/run/x.sock"};
    static const char *const bad[] = {"",
                                      ":",
                                      ":1",
                                      "127.0.0.1",
                                      "127.0.0.1:",
                                      "127.0.0.1:0",
                                      "127.0.0.1:+1",
                                      "127.0.0.1:1 ",
                                      "127.0.0.1:65536",
                                      "127.0.0.1:000001",
                                      "128.0.0.1:1",
                                      "126.255.255.255:1",
                                      "0.0.0.0:1",
                                      "127.1:1",
                                      "::1:1",
                                      "[::]:1",
                                      "[::1%lo]:1",
                                      "[::ffff:127.0.0.1]:1",
                                      "[::1]",
                                      "localhost:1",
                                      "unix:",
                                      "unix:x",
                                      "unix:/",
                                      "unix:/a/",
                                      "unix:@x",
                                      "1111111111111111111111111111111111111111111111111111111111111111:1"};
    struct listen_address address, same;
    struct reason reason;
    char path[200] = "unix:/";

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        CHECK_EQUAL(listen_address_parse(&address, good[i], &reason), 0);
    CHECK(strcmp(listen_address_path(&address), "/run/x.sock") == 0);
    memset(path + 6, 'x', 106);
    CHECK_EQUAL(listen_address_parse(&address, path, &reason), 0);
    same = address;
    path[112] = 'x';
    CHECK_EQUAL(listen_address_parse(&address, path, &reason), -EINVAL);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        reason.text[0] = '\0';
        CHECK_EQUAL(listen_address_parse(&address, bad[i], &reason), -EINVAL);
        CHECK(reason.text[0] != '\0');
    }
    CHECK(memcmp(&address, &same, sizeof(same)) == 0);
}

static const struct check_test tests[] = {
    {"test_labels_are_escaped", test_labels_are_escaped},
    {"test_latencies_are_seconds", test_latencies_are_seconds},
    {"test_addresses", test_addresses},
};

FIXTURE_MAIN(tests)
