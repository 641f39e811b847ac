/* test_subscribe.c: which message of the broker a subscribe channel takes, and what becomes of the others. */
#include "fixture.h"
#include "mqtt/mqtt.h"
#include "subscribe/subscribe.h"

static struct subscribe *subscribe;

/* Serve the usual channels, of which "in" takes what `rules` say. Returns 0 or -errno. */
static int begin(struct subscribe_channel rules)
{
    struct subscribe_channel channels[FIXTURE_USUAL] = {[CHANNEL_IN] = rules};
    int rc;

    subscribe_destroy(subscribe);
    subscribe = NULL;
    fixture_begin();
    rc = fixture_serve_usual();
    if (rc < 0 || subscribe_create(&subscribe) < 0)
        return -1;
    return subscribe_serve(subscribe, &fixture_segment, channels);
}

/* A message as the MQTT client hands it over. */
static struct transport_arrival message_of(const char *topic, size_t size)
{
    static const char payload[256];

    return (struct transport_arrival){.topic = topic, .topic_size = strlen(topic), .payload = payload, .size = size};
}

static void arrive(const char *topic, size_t size)
{
    struct transport_arrival message = message_of(topic, size);

    subscribe_arrival(subscribe, &message);
}

/* The ledger of channel "in". */
static struct ring_ledger ledger(void)
{
    struct ring_ledger now;

    ring_ledger_load(segment_ring(&fixture_segment, LANE_IN).lane, &now);
    return now;
}

/* Of a flood no more than the rate passes, after a burst of one second's worth, and what is dropped is counted. */
static void test_flood_is_limited(void)
{
    uint64_t before, elapsed_s;

    CHECK_EQUAL(begin((struct subscribe_channel){.filter = "t/#", .max_rate = 5}), 0);
    before = platform_monotonic_ns();
    for (int i = 0; i < 1000; i++)
        arrive("t/a", 3);
    elapsed_s = (platform_monotonic_ns() - before) / 1000000000 + 1;
    CHECK(ledger().delivered >= 5 && ledger().delivered <= 5 + 5 * elapsed_s);
    CHECK_EQUAL(ledger().dropped[LAYOUT_DROP_RATE], 1000 - ledger().delivered);
    CHECK_EQUAL(subscribe_dropped(subscribe), 1u << LAYOUT_DROP_RATE);
}

/* Messages that are dropped for another reason, or are for nobody, do not use up the rate. */
static void test_unfit_messages_are_not_part_of_the_rate(void)
{
    CHECK_EQUAL(begin((struct subscribe_channel){.filter = "t/#", .max_rate = 1}), 0);
    arrive("t/a", 65);
    arrive("t/a-topic-of-21-bytes", 1);
    arrive("elsewhere", 1);
    arrive("t/a", 64);
    CHECK_EQUAL(ledger().delivered, 1);
    CHECK_EQUAL(ledger().dropped[LAYOUT_DROP_TOO_LARGE], 1);
    CHECK_EQUAL(ledger().dropped[LAYOUT_DROP_TOPIC_TOO_LONG], 1);
    CHECK_EQUAL(ledger().dropped[LAYOUT_DROP_RATE], 0);
    CHECK_EQUAL(subscribe_unrouted(subscribe), 1);
}

/* A retained message that is not wanted is passed over without being counted, as lost or as meant for nobody; a live
 * one is taken. */
static void test_unwanted_retained_message_is_not_counted(void)
{
    struct transport_arrival message = message_of("t/a", 1);

    CHECK_EQUAL(begin((struct subscribe_channel){.filter = "t/#", .ignore_retained = 1}), 0);
    message.retained = 1;
    subscribe_arrival(subscribe, &message);
    CHECK_EQUAL(ledger().delivered, 0);
    CHECK_EQUAL(subscribe_dropped(subscribe), 0);
    CHECK_EQUAL(subscribe_unrouted(subscribe), 0);
    arrive("t/a", 1);
    CHECK_EQUAL(ledger().delivered, 1);
}

/* When message `sequence` of "in" ends, as readers find it in its slot; -1 when there is none. */
static int64_t end_of(uint64_t sequence)
{
    struct ring ring = segment_ring(&fixture_segment, LANE_IN);
    struct ring_message message;

    return ring_peek(&ring, sequence, &message) == 0 ? (int64_t)message.expires_ns : -1;
}

/* A message whose own time is over, or that was made longer ago than max_age, is dropped and counted; one that bears no
 * proper time is as old as its arrival. */
static void test_stale_message_is_dropped_on_arrival(void)
{
    struct transport_arrival message = message_of("t/a", 1);
    char made[32];

    CHECK_EQUAL(begin((struct subscribe_channel){.filter = "t/#", .max_age_ms = 60000}), 0);
    message.expires = 1;
    subscribe_arrival(subscribe, &message);
    CHECK_EQUAL(ledger().dropped[LAYOUT_DROP_EXPIRED], 1);
    message.expiry_s = 3600;
    subscribe_arrival(subscribe, &message);
    CHECK_EQUAL(ledger().delivered, 1);
    message.made = made;
    message.made_size = (size_t)snprintf(made, sizeof(made), "%llu.5",
                                         (unsigned long long)(platform_time_ns() / 1000000000 - 61));
    subscribe_arrival(subscribe, &message);
    CHECK_EQUAL(ledger().dropped[LAYOUT_DROP_EXPIRED], 2);
    message.made_size = (size_t)snprintf(made, sizeof(made), "%llu",
                                         (unsigned long long)(platform_time_ns() / 1000000000 + 3600));
    subscribe_arrival(subscribe, &message);
    message.made_size = (size_t)snprintf(made, sizeof(made), "yesterday");
    subscribe_arrival(subscribe, &message);
    CHECK_EQUAL(ledger().delivered, 3);
    CHECK_EQUAL(subscribe_dropped(subscribe), 1u << LAYOUT_DROP_EXPIRED);
}

/* What is taken bears its end: by its own interval or by max_age from when it was made, whichever is earlier. */
static void test_message_in_the_ring_bears_its_end(void)
{
    struct transport_arrival message = message_of("t/a", 1);
    int64_t second = 1000000000, now = (int64_t)platform_time_ns(), boot = (int64_t)platform_boot_ns();
    char made[32];

    CHECK_EQUAL(begin((struct subscribe_channel){.filter = "t/#"}), 0);
    subscribe_arrival(subscribe, &message);
    CHECK_EQUAL(end_of(0), 0);
    message.expires = 1;
    message.expiry_s = 3600;
    subscribe_arrival(subscribe, &message);
    CHECK(end_of(1) >= boot + 3600 * second && end_of(1) <= (int64_t)platform_boot_ns() + 3600 * second);
    CHECK_EQUAL(begin((struct subscribe_channel){.filter = "t/#", .max_age_ms = 7200000}), 0);
    message.made = made;
    message.made_size = (size_t)snprintf(made, sizeof(made), "%lld", (long long)(now / second - 3700));
    subscribe_arrival(subscribe, &message);
    CHECK(end_of(0) >= boot + 3499 * second && end_of(0) <= (int64_t)platform_boot_ns() + 3500 * second);
    message.expiry_s = 3000;
    subscribe_arrival(subscribe, &message);
    CHECK(end_of(1) >= boot + 3000 * second && end_of(1) <= (int64_t)platform_boot_ns() + 3000 * second);
}

/* Each sample of a frame is a message of the channel, as old as it says itself; what is unfit is dropped alone. */
static void test_frame_is_taken_apart(void)
{
    uint64_t now_ns = platform_time_ns();
    struct frame frame = {0};
    struct transport_arrival message = message_of("t/a", 0);
    size_t room;

    CHECK_EQUAL(begin((struct subscribe_channel){.filter = "t/#", .unpack = FRAME_BINARY, .max_age_ms = 60000}), 0);
    CHECK_EQUAL(frame_reserve(&frame, 0), 0);
    frame_begin(&frame, FRAME_BINARY, 0);
    for (size_t size = 63; size <= 65; size++) {
        memset(frame_room(&frame, &room), 'x', size);
        frame_add(&frame, size, now_ns);
    }
    frame_add(&frame, 1, now_ns - UINT64_C(61000000000));
    frame_end(&frame);
    message.payload = frame.bytes;
    message.size = frame.size;
    subscribe_arrival(subscribe, &message);
    CHECK_EQUAL(ledger().delivered, 2);
    CHECK_EQUAL(ledger().tail, 2);
    CHECK_EQUAL(ledger().dropped[LAYOUT_DROP_TOO_LARGE], 1);
    CHECK_EQUAL(ledger().dropped[LAYOUT_DROP_EXPIRED], 1);
    message.size--;
    subscribe_arrival(subscribe, &message);
    CHECK_EQUAL(ledger().delivered, 2);
    CHECK_EQUAL(ledger().dropped[LAYOUT_DROP_CORRUPT], 1);
    frame_free(&frame);
}

/* Lines are taken apart at each newline; one at the very end begins no further line. */
static void test_lines_are_taken_apart(void)
{
    struct transport_arrival message = message_of("t/a", 0);

    CHECK_EQUAL(begin((struct subscribe_channel){.filter = "t/#", .unpack = FRAME_LINES}), 0);
    message.payload = "one\n\nthree\n";
    message.size = 11;
    subscribe_arrival(subscribe, &message);
    CHECK_EQUAL(ledger().delivered, 3);
    message.size = 0;
    subscribe_arrival(subscribe, &message);
    CHECK_EQUAL(ledger().delivered, 4);
}

static const struct check_test tests[] = {
    {"test_frame_is_taken_apart", test_frame_is_taken_apart},
    {"test_lines_are_taken_apart", test_lines_are_taken_apart},
    {"test_flood_is_limited", test_flood_is_limited},
    {"test_unfit_messages_are_not_part_of_the_rate", test_unfit_messages_are_not_part_of_the_rate},
    {"test_unwanted_retained_message_is_not_counted", test_unwanted_retained_message_is_not_counted},
    {"test_stale_message_is_dropped_on_arrival", test_stale_message_is_dropped_on_arrival},
    {"test_message_in_the_ring_bears_its_end", test_message_in_the_ring_bears_its_end},
};

int main(int argc, char **argv)
{
    int code;

    fixture_begin();
    code = check_main(tests, sizeof(tests) / sizeof(tests[0]), argc, argv);
    subscribe_destroy(subscribe);
    fixture_end();
    return code;
}
