/* test_spool_age.c: how old spooled messages are, whatever becomes of the clock, in this boot and in the next. */
#include <sqlite3.h>
#include <time.h>

#include "spool_fixture.h"

#define SECOND INT64_C(1000000000)
#define DAY (86400 * SECOND)
#define YEAR (365 * DAY)
#define MAX_AGE_MS 604800000 /* seven days */

static int64_t unix_ns, boot_ns; /* both clocks */
static const char *boot_id;

int __real_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);
void __wrap_platform_boot_id(char *id);

int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
    int64_t time_ns = clock == CLOCK_REALTIME ? unix_ns : boot_ns;

    if (clock != CLOCK_REALTIME && clock != CLOCK_BOOTTIME)
        return __real_clock_gettime(clock, now);
    *now = (struct timespec){.tv_sec = time_ns / SECOND, .tv_nsec = time_ns % SECOND};
    return 0;
}

void __wrap_platform_boot_id(char *id)
{
    strcpy(id, boot_id);
}

static void pass(int64_t time_ns)
{
    unix_ns += time_ns;
    boot_ns += time_ns;
}

/* The machine starts, with its clock at that time. */
static int boot(const char *id, int64_t clock_ns)
{
    spool_close(spool);
    spool = NULL;
    boot_id = id;
    unix_ns = clock_ns;
    boot_ns = 10 * SECOND;
    options.max_age_ms = MAX_AGE_MS;
    return open_spool();
}

/* The stream of a lane that was made in this boot. */
static struct spool_stream *present(unsigned number)
{
    struct spool_source source = {
        .channel = "a", .topic = "t/a", .boot = boot_id, .qos = 1, .generation = 7, .lane = number};

    return spool_stream_for(spool, &source);
}

static int spool_some(unsigned number, uint64_t first, uint64_t count)
{
    int rc = take(present(number), first, first + count, 10);

    return rc < 0 ? rc : spool_commit(spool);
}

/* The loop looks at the ages, as it does each second. */
static void look(void)
{
    static uint64_t now_ms;

    for (int i = 0; i < 3; i++)
        spool_step(spool, now_ms += 2000, (uint64_t)unix_ns);
}

static uint64_t dropped(void)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < spool_stream_count(spool); i++)
        sum += spool_stream(spool, i)->ledger.dropped[SPOOL_DROP_AGE];
    return sum;
}

/* What has lain longer than max_age is dropped, and nothing else. */
static void test_age_limit(void)
{
    CHECK_EQUAL(begin(), 0);
    CHECK_EQUAL(boot("one", 56 * YEAR), 0);
    CHECK_EQUAL(spool_some(0, 0, 5), 0);
    pass(4 * DAY);
    CHECK_EQUAL(spool_some(0, 5, 5), 0);
    pass(2 * DAY + DAY / 2);
    look();
    CHECK_EQUAL(dropped(), 0);
    pass(DAY);
    look();
    CHECK_EQUAL(dropped(), 5);
    CHECK_EQUAL(spool_held(spool), 5);
}

/* The clock is set after the boot, forward from a date without a battery or back from far ahead: ages stay as they are,
 * also after the daemon's restart. */
static void test_clock_that_is_set_changes_no_age(void)
{
    static const int64_t starts[] = {0, 50 * YEAR, 56 * YEAR - 10 * DAY, 56 * YEAR + 10 * DAY, 80 * YEAR};

    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
        CHECK_EQUAL(begin(), 0);
        CHECK_EQUAL(boot("one", starts[i]), 0);
        CHECK_EQUAL(spool_some(0, 0, 5), 0);
        pass(60 * SECOND);
        look();
        unix_ns = 56 * YEAR;
        look();
        CHECK_EQUAL(spool_some(0, 5, 5), 0);
        CHECK_EQUAL(reopen(), 0);
        look();
        CHECK_EQUAL(dropped(), 0);
        pass(8 * DAY);
        look();
        CHECK_EQUAL(spool_held(spool), 0);
        CHECK_EQUAL(dropped(), 10);
    }
}

/* What came before the clock was set has its right age in the next boot, as the boot learnt the time later. */
static void test_next_boot_knows_ages_by_the_clock_that_was_set(void)
{
    CHECK_EQUAL(begin(), 0);
    CHECK_EQUAL(boot("one", 0), 0);
    CHECK_EQUAL(spool_some(0, 0, 5), 0);
    pass(60 * SECOND);
    unix_ns = 56 * YEAR;
    look();
    CHECK_EQUAL(boot("two", 56 * YEAR + 6 * DAY), 0);
    look();
    CHECK_EQUAL(dropped(), 0);
    CHECK_EQUAL(boot("three", 56 * YEAR + 8 * DAY), 0);
    look();
    CHECK_EQUAL(dropped(), 5);
}

/* In the boot after it a clock that is off, whichever way, drops nothing; and nothing stays for ever. */
static void test_wrong_clock_drops_nothing_and_keeps_nothing(void)
{
    static const int64_t clocks[] = {0, 50 * YEAR, 56 * YEAR - DAY, 80 * YEAR, 136 * YEAR};

    for (size_t i = 0; i < sizeof(clocks) / sizeof(clocks[0]); i++) {
        CHECK_EQUAL(begin(), 0);
        CHECK_EQUAL(boot("one", 56 * YEAR), 0);
        CHECK_EQUAL(spool_some(0, 0, 5), 0);
        CHECK_EQUAL(boot("two", clocks[i]), 0);
        look();
        pass(60 * SECOND);
        CHECK_EQUAL(spool_some(1, 0, 5), 0);
        look();
        CHECK_EQUAL(dropped(), 0);
        pass(8 * DAY);
        look();
        CHECK_EQUAL(dropped(), 10);
    }
}

/* The messages of a boot whose clock was far ahead do not stay until that time has come. */
static void test_clock_that_was_ahead_keeps_nothing(void)
{
    CHECK_EQUAL(begin(), 0);
    CHECK_EQUAL(boot("one", 80 * YEAR), 0);
    CHECK_EQUAL(spool_some(0, 0, 5), 0);
    CHECK_EQUAL(boot("two", 56 * YEAR), 0);
    look();
    CHECK_EQUAL(dropped(), 0);
    pass(8 * DAY);
    look();
    CHECK_EQUAL(dropped(), 5);
}

/* A file of before has Unix times and no column for more: its messages keep their ages, and it is gone on with. */
static void test_file_of_before_keeps_its_ages(void)
{
    sqlite3 *db;

    CHECK_EQUAL(begin(), 0);
    CHECK_EQUAL(boot("one", 56 * YEAR), 0);
    CHECK_EQUAL(spool_some(0, 0, 5), 0);
    spool_close(spool);
    spool = NULL;
    CHECK_EQUAL(sqlite3_open(spool_path, &db), SQLITE_OK);
    CHECK_EQUAL(sqlite3_exec(db,
                             "ALTER TABLE stream DROP COLUMN epoch_ns;"
                             "UPDATE message SET spooled_ns = 56 * 31536000000000000;",
                             NULL, NULL, NULL),
                SQLITE_OK);
    sqlite3_close(db);
    CHECK_EQUAL(boot("one", 56 * YEAR + 6 * DAY), 0);
    CHECK_EQUAL(told[0], '\0');
    CHECK_EQUAL(spool_some(0, 5, 5), 0);
    look();
    CHECK_EQUAL(dropped(), 0);
    CHECK_EQUAL(boot("two", 56 * YEAR + 8 * DAY), 0);
    look();
    CHECK_EQUAL(dropped(), 5);
    CHECK_EQUAL(spool_held(spool), 5);
}

static const struct check_test tests[] = {
    {"test_age_limit", test_age_limit},
    {"test_clock_that_is_set_changes_no_age", test_clock_that_is_set_changes_no_age},
    {"test_next_boot_knows_ages_by_the_clock_that_was_set", test_next_boot_knows_ages_by_the_clock_that_was_set},
    {"test_wrong_clock_drops_nothing_and_keeps_nothing", test_wrong_clock_drops_nothing_and_keeps_nothing},
    {"test_clock_that_was_ahead_keeps_nothing", test_clock_that_was_ahead_keeps_nothing},
    {"test_file_of_before_keeps_its_ages", test_file_of_before_keeps_its_ages},
};

int main(int argc, char **argv)
{
    int code = check_main(tests, sizeof(tests) / sizeof(tests[0]), argc, argv);

    spool_close(spool);
    return code;
}
