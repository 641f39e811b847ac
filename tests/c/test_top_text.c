/* test_top_text.c: numbers in few columns, and foreign bytes that a terminal does not obey. */
#include <locale.h>
#include <stdlib.h>

#include "check.h"
#include "tool/top_text.h"

/* Each text at the borders between its forms. */
static void test_forms(void)
{
    char text[TOP_TEXT_SIZE];

    CHECK(strcmp(top_text_count(text, 99999), "99999") == 0);
    CHECK(strcmp(top_text_count(text, 100000), "100k") == 0);
    CHECK(strcmp(top_text_count(text, 999600), "1.00M") == 0);
    CHECK(strcmp(top_text_count(text, 45600000), "45.6M") == 0);
    CHECK(strcmp(top_text_rate(text, -1), "-") == 0);
    CHECK(strcmp(top_text_rate(text, 0.01), "0") == 0);
    CHECK(strcmp(top_text_rate(text, 9.51), "9.5") == 0);
    CHECK(strcmp(top_text_rate(text, 9.99), "10") == 0);
    CHECK(strcmp(top_text_rate(text, 1234567), "1.23M") == 0);
    CHECK(strcmp(top_text_bytes(text, 1023), "1023") == 0);
    CHECK(strcmp(top_text_bytes(text, 24576), "24.0K") == 0);
    CHECK(strcmp(top_text_ms(text, 0), "-") == 0);
    CHECK(strcmp(top_text_ms(text, 123), "0.12") == 0);
    CHECK(strcmp(top_text_ms(text, 12340), "12.3") == 0);
    CHECK(strcmp(top_text_ms(text, 60000000), "60s") == 0);
    CHECK(strcmp(top_text_span(text, 400000000), "0.4s") == 0);
    CHECK(strcmp(top_text_span(text, 303000000000), "5m03s") == 0);
    CHECK(strcmp(top_text_span(text, 86400000000000u * 4 + 3600000000000u * 5), "4d05h") == 0);
}

/* No value, however large, takes more than its columns: the table's columns stay under their titles. */
static void test_columns_hold(void)
{
    char text[TOP_TEXT_SIZE];

    for (uint64_t value = 1, last = 0; value > last; last = value, value = value * 21 / 20 + 1) {
        CHECK(strlen(top_text_count(text, value)) <= 5);
        CHECK(strlen(top_text_rate(text, (double)value / 64)) <= 5);
        CHECK(strlen(top_text_bytes(text, value)) <= 6);
        CHECK(strlen(top_text_ms(text, value < UINT32_MAX ? (uint32_t)value : UINT32_MAX)) <= 5);
        CHECK(strlen(top_text_span(text, value)) <= 7);
        if (value > UINT64_MAX / 2)
            break;
    }
    CHECK(strlen(top_text_count(text, UINT64_MAX)) <= 5);
    CHECK(strlen(top_text_span(text, UINT64_MAX)) <= 7);
}

static int shows(int columns, const char *bytes, size_t size, const wchar_t *expected, int used)
{
    wchar_t text[64];

    return top_text_escape(text, 64, columns, (struct top_text_bytes){bytes, size}, NULL) == used &&
           wcscmp(text, expected) == 0;
}

/* Control characters, C1 ones too, and bytes that are no UTF-8 are shown as what they are; wide characters take two
 * columns; marks that could turn a line round do not reach the terminal. */
static void test_escape_utf8(void)
{
    CHECK(setlocale(LC_CTYPE, "C.UTF-8"));
    CHECK(shows(40, "\033[2J\r\n\t\x7f", 8, L"\\x1b[2J\\x0d\\x0a\\x09\\x7f", 23));
    CHECK(shows(40,
                "\xc2\x9b"
                "2J",
                4, L"\\xc2\\x9b2J", 10));
    CHECK(shows(40, "\xff\xc3", 2, L"\\xff\\xc3", 8));
    CHECK(shows(40, "a\0b", 3, L"a\\x00b", 6));
    CHECK(shows(40, "\xe2\x80\xae", 3, L"\\xe2\\x80\\xae", 12));
    CHECK(shows(40, "\xc3\xa9\xe6\x97\xa5", 5, L"\u00e9\u65e5", 3));
}

/* What does not fit as a whole is left out: no half escape, no half wide character; and the bytes taken are told. */
static void test_escape_cuts(void)
{
    wchar_t text[8];
    size_t taken;

    CHECK(setlocale(LC_CTYPE, "C.UTF-8"));
    CHECK(shows(3, "abcd", 4, L"abc", 3));
    CHECK(shows(5, "ab\033", 3, L"ab", 2));
    CHECK(shows(2, "a\xe6\x97\xa5", 4, L"a", 1));
    CHECK(shows(0, "a", 1, L"", 0));
    CHECK(shows(-1, "a", 1, L"", 0));
    CHECK_EQUAL(top_text_escape(text, 8, 100, (struct top_text_bytes){"abcdefghij", 10}, &taken), 7);
    CHECK_EQUAL(taken, 7);
    CHECK_EQUAL(top_text_escape(text, 8, 6, (struct top_text_bytes){"\033\033", 2}, &taken), 4);
    CHECK_EQUAL(taken, 1);
}

/* In the C locale everything above ASCII is shown as bytes. */
static void test_escape_in_the_c_locale(void)
{
    CHECK(setlocale(LC_CTYPE, "C"));
    CHECK(shows(40, "a\xc3\xa9", 3, L"a\\xc3\\xa9", 9));
}

static const struct check_test tests[] = {
    {"test_forms", test_forms},
    {"test_columns_hold", test_columns_hold},
    {"test_escape_utf8", test_escape_utf8},
    {"test_escape_cuts", test_escape_cuts},
    {"test_escape_in_the_c_locale", test_escape_in_the_c_locale},
};
CHECK_MAIN(tests)
