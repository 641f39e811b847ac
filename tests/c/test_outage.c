/* test_outage.c: each different reason of an outage is told once, and no flood of them. */
#include "check.h"
#include "mqtt/outage.h"

/* The same reason is told once, also between others; another address, code or text is another reason; a time is none.
 */
static void test_each_reason_is_told_once(void)
{
    struct outage outage = {0};

    CHECK_EQUAL(outage_add(&outage, 0, -1, "refused at 12:00"), OUTAGE_FIRST);
    CHECK_EQUAL(outage_add(&outage, 0, -1, "refused at 13:07"), OUTAGE_KNOWN);
    CHECK_EQUAL(outage_add(&outage, 0, -1, "timed out"), OUTAGE_OTHER);
    CHECK_EQUAL(outage_add(&outage, 1, -1, "timed out"), OUTAGE_OTHER);
    CHECK_EQUAL(outage_add(&outage, 1, 5, "timed out"), OUTAGE_OTHER);
    CHECK_EQUAL(outage_add(&outage, 0, -1, "refused at 14:00"), OUTAGE_KNOWN);
    CHECK_EQUAL(outage_add(&outage, 0, -1, "timed out"), OUTAGE_KNOWN);
}

/* However many different reasons come, a few are told, and the last of them is known as such. */
static void test_reasons_are_limited(void)
{
    struct outage outage = {0};
    int told = 0, last = 0;

    for (int code = 0; code < 1000; code++) {
        enum outage_news news = outage_add(&outage, 0, code, "x");

        told += news != OUTAGE_KNOWN;
        last += news == OUTAGE_LAST;
    }
    CHECK_EQUAL(told, OUTAGE_REASONS);
    CHECK_EQUAL(last, 1);
}

static const struct check_test tests[] = {
    {"test_each_reason_is_told_once", test_each_reason_is_told_once},
    {"test_reasons_are_limited", test_reasons_are_limited},
};

CHECK_MAIN(tests)
