/* test_mqtt_codes.c: every reason code that a broker may send in a packet (MQTT 5, table 2-6) is told in words of its
 * own. */
#include <string.h>

#include "check.h"
#include "mqtt/mqtt_codes.h"

#define C MQTT_PACKET_CONNACK
#define P MQTT_PACKET_PUBACK
#define S MQTT_PACKET_SUBACK
#define D MQTT_PACKET_DISCONNECT

/* The table's failures that a broker sends, and the packets they come in. */
static const struct {
    int code, packets;
} table[] = {
    {0x80, C | P | S | D},
    {0x81, C | D},
    {0x82, C | D},
    {0x83, C | P | S | D},
    {0x84, C},
    {0x85, C},
    {0x86, C},
    {0x87, 15},
    {0x88, C},
    {0x89, C | D},
    {0x8a, C},
    {0x8b, D},
    {0x8c, C | D},
    {0x8d, D},
    {0x8e, D},
    {0x8f, S | D},
    {0x90, C | P | D},
    {0x91, P | S},
    {0x93, D},
    {0x94, D},
    {0x95, C | D},
    {0x96, D},
    {0x97, C | P | S | D},
    {0x98, D},
    {0x99, C | P | D},
    {0x9a, C | D},
    {0x9b, C | D},
    {0x9c, C | D},
    {0x9d, C | D},
    {0x9e, S | D},
    {0x9f, C | D},
    {0xa0, D},
    {0xa1, S | D},
    {0xa2, S | D},
};
#define TABLE (sizeof(table) / sizeof(table[0]))

/* In each packet that can carry a code there is a line for it that is meant for this packet. */
static void test_every_code_of_every_packet_has_words(void)
{
    for (size_t i = 0; i < TABLE; i++) {
        for (int packet = C; packet <= D; packet *= 2) {
            const struct mqtt_code *found = mqtt_codes_find((enum mqtt_packet)packet, table[i].code);

            CHECK(found && found->text[0]);
            CHECK(!(table[i].packets & packet) || (found->packets & packet));
        }
    }
    CHECK(!mqtt_codes_find(C, 0xfe));
    CHECK(strcmp(mqtt_codes_text(D, 0xfe), "an unknown reason code") == 0);
}

/* No two codes are told in the same words in one packet. */
static void test_no_two_codes_share_words(void)
{
    for (size_t i = 0; i < TABLE; i++)
        for (size_t j = 0; j < i; j++)
            for (int packet = C; packet <= D; packet *= 2)
                if (table[i].packets & table[j].packets & packet)
                    CHECK(strcmp(mqtt_codes_text((enum mqtt_packet)packet, table[i].code),
                                 mqtt_codes_text((enum mqtt_packet)packet, table[j].code)) != 0);
}

/* What 3.1.1 can say of a connection is told, too; what passes by itself is not for ever. */
static void test_codes_of_3_1_1(void)
{
    for (int code = 1; code <= 5; code++)
        CHECK(mqtt_codes_find_311(code) && mqtt_codes_find_311(code)->permanent == (code != 3));
    CHECK(!mqtt_codes_find_311(6) && !mqtt_codes_find_311(0));
}

/* Words that people search for, and that lead to what to do. */
static void test_words_lead_to_the_cause(void)
{
    static const struct {
        enum mqtt_packet packet;
        int code;
        const char *word;
    } cases[] = {
        {D, 0x8e, "client_id"},       {D, 0x8d, "keep-alive"},  {D, 0x8b, "shutting down"}, {D, 0x98, "administrative"},
        {D, 0x93, "receive maximum"}, {D, 0x96, "rate"},        {D, 0x99, "format"},        {D, 0xa0, "connect time"},
        {D, 0x95, "too large"},       {D, 0x94, "topic alias"}, {P, 0x87, "publish"},       {S, 0x87, "subscribe"},
        {C, 0x87, "username"},        {D, 0x9d, "uri"},         {C, 0x90, "will"},          {D, 0x97, "quota"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        CHECK(strstr(mqtt_codes_text(cases[i].packet, cases[i].code), cases[i].word));
}

static const struct check_test tests[] = {
    {"test_every_code_of_every_packet_has_words", test_every_code_of_every_packet_has_words},
    {"test_no_two_codes_share_words", test_no_two_codes_share_words},
    {"test_codes_of_3_1_1", test_codes_of_3_1_1},
    {"test_words_lead_to_the_cause", test_words_lead_to_the_cause},
};

CHECK_MAIN(tests)
