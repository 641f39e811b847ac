/* test_mqtt_limits.c: how large a PUBLISH is, and what a broker's limits make of a message. */
#include "mqtt/mqtt_limits.h"

#include <errno.h>

#include "check.h"

/* What holds without a word from the broker: everything MQTT allows. */
static void test_silent_broker_limits_nothing(void)
{
    struct mqtt_limits_message message = {4, 65535, 16 << 20, 2, 1};
    struct mqtt_limits limits;

    mqtt_limits_init(&limits);
    CHECK_EQUAL(mqtt_limits_apply(&limits, &message), 0);
    CHECK_EQUAL(message.qos, 2);
    CHECK_EQUAL(message.retain, 1);
    CHECK_EQUAL(limits.alias_max, 0);
}

/* The sizes of packets written out by hand: 30 07 0001 't' "abcd", and so on. */
static void test_publish_sizes(void)
{
    CHECK_EQUAL(mqtt_limits_publish_size(4, 1, 4, 0, 0), 9);
    CHECK_EQUAL(mqtt_limits_publish_size(4, 1, 4, 1, 0), 11);
    CHECK_EQUAL(mqtt_limits_publish_size(5, 1, 4, 0, 0), 10);
    CHECK_EQUAL(mqtt_limits_publish_size(5, 1, 4, 2, 0), 12);
    CHECK_EQUAL(mqtt_limits_publish_size(5, 0, 4, 1, 3), 14);
    CHECK_EQUAL(mqtt_limits_publish_size(5, 0, 0, 0, 128), 2 + 2 + 2 + 128 + 1);
}

/* The length field grows by a byte at 128, 16384 and 2097152 (MQTT 5, table 1-1). */
static void test_length_field_grows(void)
{
    static const size_t bounds[] = {128, 16384, 2097152};

    for (size_t i = 0; i < 3; i++) {
        size_t below = mqtt_limits_publish_size(4, 1, bounds[i] - 1 - 3, 0, 0),
               above = mqtt_limits_publish_size(4, 1, bounds[i] - 3, 0, 0);

        CHECK_EQUAL(below, 1 + (i + 1) + bounds[i] - 1);
        CHECK_EQUAL(above, 1 + (i + 2) + bounds[i]);
    }
}

/* The largest packet is taken, one byte more is not. */
static void test_packet_limit_is_exact(void)
{
    struct mqtt_limits_message message = {5, 10, 100 - 2 - 2 - 10 - 2 - 1, 1, 0};
    struct mqtt_limits limits;

    mqtt_limits_init(&limits);
    limits.packet_max = 100;
    CHECK_EQUAL(mqtt_limits_apply(&limits, &message), 0);
    message.size++;
    CHECK_EQUAL(mqtt_limits_apply(&limits, &message), -EMSGSIZE);
}

/* QoS and retain are lowered to what the broker takes; the packet without an identifier is then smaller. */
static void test_qos_and_retain_are_lowered(void)
{
    struct mqtt_limits_message message = {4, 1, 4, 2, 1};
    struct mqtt_limits limits;

    mqtt_limits_init(&limits);
    limits.qos_max = 0;
    limits.retain = 0;
    limits.packet_max = 9;
    CHECK_EQUAL(mqtt_limits_apply(&limits, &message), 0);
    CHECK_EQUAL(message.qos, 0);
    CHECK_EQUAL(message.retain, 0);
    limits.qos_max = 1;
    CHECK_EQUAL(mqtt_limits_apply(&limits, &message), 0);
    CHECK_EQUAL(message.qos, 0);
}

static const struct check_test tests[] = {
    {"test_silent_broker_limits_nothing", test_silent_broker_limits_nothing},
    {"test_publish_sizes", test_publish_sizes},
    {"test_length_field_grows", test_length_field_grows},
    {"test_packet_limit_is_exact", test_packet_limit_is_exact},
    {"test_qos_and_retain_are_lowered", test_qos_and_retain_are_lowered},
};

CHECK_MAIN(tests)
