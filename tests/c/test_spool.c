/* test_spool.c: what the spool keeps, counts and drops, also with a full disk. */
#include <errno.h>
#include <sqlite3.h>

#include "disk.h"
#include "spool/spool_file.h"
#include "spool_fixture.h"

static int faults;

static void count_fault(void *context, const char *line)
{
    (void)context;
    printf("  %s\n", line);
    faults++;
}

/* Check the file as a person would, with the gateway at work. */
static int check_file(void)
{
    sqlite3 *db;

    faults = 0;
    if (spool_file_open_to_read(&db, spool_path, NULL) < 0)
        return -1;
    spool_file_check(db, count_fault, NULL);
    sqlite3_close(db);
    return faults;
}

/* What a commit has taken is there for the next process, in order, with time stamps and counts. */
static void test_committed_messages_outlive_the_process(void)
{
    CHECK_EQUAL(begin(), 0);
    CHECK_EQUAL(open_spool(), 0);
    CHECK_EQUAL(spool_state(spool), SPOOL_STATE_OK);
    CHECK_EQUAL(take(lane(0), 3, 10, 64), 0);
    CHECK_EQUAL(spool_commit(spool), 0);
    CHECK_EQUAL(reopen(), 0);
    CHECK_EQUAL(spool_stream_count(spool), 1);
    CHECK_EQUAL(lane(0)->ledger.held, 7);
    CHECK_EQUAL(lane(0)->ledger.next, 10);
    CHECK(strcmp(lane(0)->source.channel, "a") == 0 && strcmp(lane(0)->source.topic, "t/a") == 0);
    CHECK_EQUAL(next(lane(0), 0), 3);
    CHECK_EQUAL(next(lane(0), 9), 9);
    CHECK(next(lane(0), 10) == UINT64_MAX);
    CHECK_EQUAL(check_file(), 0);
}

/* Payloads of every length come back byte for byte. */
static void test_payloads_of_all_sizes(void)
{
    static unsigned char payload[100010];
    const size_t sizes[] = {0, 1, 63, 4000, 4100, 99999};
    struct spool_message message;

    for (size_t i = 0; i < sizeof(payload); i++)
        payload[i] = (unsigned char)(i * 7);
    CHECK_EQUAL(begin(), 0);
    CHECK_EQUAL(open_spool(), 0);
    for (size_t i = 0; i < 6; i++) {
        struct spool_message from = {.sequence = i, .payload = payload + i, .size = sizes[i]};

        CHECK_EQUAL(spool_take(spool, lane(0), &from, 1), 0);
    }
    CHECK_EQUAL(spool_commit(spool), 0);
    for (size_t i = 0; i < 6; i++) {
        CHECK_EQUAL(spool_next(spool, lane(0), i, &message), 0);
        CHECK_EQUAL(message.sequence, i);
        CHECK_EQUAL(message.size, sizes[i]);
        CHECK(sizes[i] == 0 || memcmp(message.payload, payload + i, sizes[i]) == 0);
    }
}

/* An answer to several messages is good for those of them that are still there. */
static void test_answer_to_several_messages(void)
{
    CHECK_EQUAL(begin(), 0);
    CHECK_EQUAL(open_spool(), 0);
    CHECK_EQUAL(take(lane(0), 10, 16, 10), 0);
    CHECK_EQUAL(spool_commit(spool), 0);
    CHECK_EQUAL(spool_done(spool, lane(0), 8, 4, -1), 0);
    CHECK_EQUAL(spool_done(spool, lane(0), 14, 1000, SPOOL_DROP_REFUSED), 0);
    CHECK_EQUAL(spool_commit(spool), 0);
    CHECK_EQUAL(lane(0)->ledger.delivered, 2);
    CHECK_EQUAL(lane(0)->ledger.dropped[SPOOL_DROP_REFUSED], 2);
    CHECK_EQUAL(lane(0)->ledger.held, 2);
    CHECK_EQUAL(next(lane(0), 0), 12);
    CHECK(adds_up(lane(0)));
    CHECK_EQUAL(check_file(), 0);
}

/* Answers that follow each other become one deletion; a message between two that were answered is none of them, nor is
 * one that was refused delivered. */
static void test_answers_are_joined_without_what_is_between(void)
{
    CHECK_EQUAL(begin(), 0);
    CHECK_EQUAL(open_spool(), 0);
    CHECK_EQUAL(take(lane(0), 0, 8, 10), 0);
    CHECK_EQUAL(take(lane(11), 0, 8, 10), 0);
    CHECK_EQUAL(spool_commit(spool), 0);
    CHECK(spool_done(spool, lane(0), 0, 1, -1) == 0 && spool_done(spool, lane(0), 1, 2, -1) == 0);
    CHECK(spool_done(spool, lane(0), 4, 1, -1) == 0 && spool_done(spool, lane(0), 5, 1, SPOOL_DROP_REFUSED) == 0);
    CHECK(spool_done(spool, lane(11), 6, 1, SPOOL_DROP_REFUSED) == 0);
    CHECK_EQUAL(spool_commit(spool), 0);
    CHECK_EQUAL(lane(0)->ledger.delivered, 4);
    CHECK_EQUAL(lane(0)->ledger.dropped[SPOOL_DROP_REFUSED], 1);
    CHECK_EQUAL(lane(11)->ledger.held, 7);
    CHECK(next(lane(0), 0) == 3 && next(lane(0), 4) == 6 && next(lane(11), 6) == 7);
    CHECK(adds_up(lane(0)) && adds_up(lane(11)));
    CHECK_EQUAL(check_file(), 0);
}

/* A delivered message is deleted, and only that one; the counts agree before and after a restart. */
static void test_only_what_is_done_with_is_deleted(void)
{
    CHECK_EQUAL(begin(), 0);
    CHECK_EQUAL(open_spool(), 0);
    CHECK_EQUAL(take(lane(0), 0, 5, 10), 0);
    CHECK_EQUAL(take(lane(11), 0, 5, 10), 0);
    CHECK_EQUAL(spool_commit(spool), 0);
    CHECK_EQUAL(spool_done(spool, lane(0), 1, 1, -1), 0);
    CHECK_EQUAL(spool_done(spool, lane(11), 0, 1, SPOOL_DROP_REFUSED), 0);
    CHECK_EQUAL(lane(0)->ledger.delivered, 0);
    CHECK_EQUAL(spool_commit(spool), 0);
    /* A second answer to the same message counts nothing. */
    CHECK_EQUAL(spool_done(spool, lane(0), 1, 1, -1), 0);
    CHECK_EQUAL(spool_commit(spool), 0);
    CHECK_EQUAL(lane(0)->ledger.delivered, 1);
    CHECK_EQUAL(next(lane(0), 1), 2);
    CHECK_EQUAL(next(lane(0), 0), 0);
    CHECK_EQUAL(next(lane(11), 0), 1);
    CHECK_EQUAL(reopen(), 0);
    CHECK_EQUAL(lane(0)->ledger.delivered, 1);
    CHECK_EQUAL(lane(0)->ledger.held, 4);
    CHECK_EQUAL(lane(11)->ledger.dropped[SPOOL_DROP_REFUSED], 1);
    CHECK(adds_up(lane(0)) && adds_up(lane(11)));
    CHECK_EQUAL(check_file(), 0);
}

/* A reader's place in the file holds over commits that delete before it and add behind it, over its end, and over
 * reading another stream in between. */
static void test_place_of_reading_holds(void)
{
    CHECK_EQUAL(begin(), 0);
    CHECK_EQUAL(open_spool(), 0);
    CHECK_EQUAL(take(lane(0), 0, 4, 64), 0);
    CHECK_EQUAL(take(lane(1), 10, 14, 64), 0);
    CHECK_EQUAL(spool_commit(spool), 0);
    for (uint64_t i = 0; i < 4; i++) {
        CHECK_EQUAL(next(lane(0), i), i);
        CHECK_EQUAL(next(lane(1), 10 + i), 10 + i);
        CHECK_EQUAL(spool_done(spool, lane(0), i, 1, -1), 0);
        if (i % 2 == 1)
            CHECK_EQUAL(spool_commit(spool), 0);
    }
    CHECK_EQUAL(next(lane(1), 12), 12);
    CHECK_EQUAL(next(lane(1), 13), 13);
    CHECK(next(lane(1), 14) == UINT64_MAX);
    CHECK_EQUAL(take(lane(1), 14, 16, 64), 0);
    CHECK_EQUAL(spool_commit(spool), 0);
    CHECK_EQUAL(next(lane(1), 14), 14);
    CHECK_EQUAL(next(lane(1), 10), 10);
    CHECK_EQUAL(next(lane(1), 12), 12);
    CHECK_EQUAL(next(lane(1), 10), 10);
    CHECK_EQUAL(next(lane(1), 11), 11);
    /* What a limit or an answer takes away in front of the place is stepped over. */
    CHECK_EQUAL(spool_done(spool, lane(1), 12, 2, -1), 0);
    CHECK_EQUAL(spool_commit(spool), 0);
    CHECK_EQUAL(next(lane(1), 12), 14);
    CHECK_EQUAL(next(lane(1), 15), 15);
    CHECK(next(lane(0), 0) == UINT64_MAX);
}

/* Sequence numbers that run backwards, or beyond what SQLite counts, come from a damaged segment: they are refused. */
static void test_disorder_is_refused(void)
{
    struct spool_message message = {.sequence = UINT64_C(1) << 63, .payload = "", .size = 0};

    CHECK_EQUAL(begin(), 0);
    CHECK_EQUAL(open_spool(), 0);
    CHECK_EQUAL(take(lane(0), 5, 6, 1), 0);
    CHECK_EQUAL(take(lane(0), 5, 6, 1), -EINVAL);
    CHECK_EQUAL(spool_take(spool, lane(0), &message, 1), -EINVAL);
    CHECK_EQUAL(spool_commit(spool), 0);
    CHECK_EQUAL(lane(0)->ledger.taken, 1);
}

/* Above max_size the oldest messages of all go first; what was dropped is what is missing, to the message. */
static void test_size_limit_drops_the_oldest(void)
{
    uint64_t taken = 0, first;

    CHECK_EQUAL(begin(), 0);
    options.max_bytes = 1 << 20;
    CHECK_EQUAL(open_spool(), 0);
    for (; taken < 8000; taken += 500) {
        CHECK_EQUAL(take(lane(0), taken, taken + 500, 300), 0);
        CHECK_EQUAL(spool_commit(spool), 0);
    }
    while (spool_deadline_ms(spool) == 0)
        spool_step(spool, 0, platform_time_ns());
    CHECK(spool_bytes(spool) <= 1 << 20);
    CHECK(lane(0)->ledger.dropped[SPOOL_DROP_SIZE] > 4000);
    CHECK(lane(0)->ledger.held > 2000);
    first = next(lane(0), 0);
    CHECK_EQUAL(first, lane(0)->ledger.dropped[SPOOL_DROP_SIZE]);
    CHECK_EQUAL(lane(0)->ledger.held, taken - first);
    CHECK(adds_up(lane(0)));
    CHECK_EQUAL(check_file(), 0);
}

/* A channel's own limit takes from that channel only. */
static void test_channel_limit_spares_other_channels(void)
{
    struct spool_limit limit = {.channel = "b", .max_bytes = 100 * (100 + SPOOL_MESSAGE_BYTES)};

    CHECK_EQUAL(begin(), 0);
    options.limits = &limit;
    options.limit_count = 1;
    CHECK_EQUAL(open_spool(), 0);
    CHECK_EQUAL(take(lane(0), 0, 500, 100), 0);
    CHECK_EQUAL(take(lane(10), 0, 100, 100), 0);
    CHECK_EQUAL(take(lane(11), 0, 250, 100), 0);
    CHECK_EQUAL(spool_commit(spool), 0);
    CHECK_EQUAL(lane(0)->ledger.held, 500);
    CHECK_EQUAL(lane(10)->ledger.held + lane(11)->ledger.held, 100);
    CHECK_EQUAL(lane(10)->ledger.held, 0);
    CHECK_EQUAL(next(lane(11), 0), 150);
    CHECK_EQUAL(lane(11)->ledger.dropped[SPOOL_DROP_SIZE], 150);
}

/* A full disk costs nothing but the batch: its messages are still the ring's, and go to disk when there is room again.
 * Said once each way. */
static void test_full_disk_undoes_the_batch(void)
{
    CHECK_EQUAL(begin(), 0);
    CHECK_EQUAL(open_spool(), 0);
    CHECK_EQUAL(take(lane(0), 0, 10, 100), 0);
    CHECK_EQUAL(spool_commit(spool), 0);
    disk_set_full(1);
    if (take(lane(0), 10, 2000, 1000) == 0)
        CHECK_EQUAL(spool_commit(spool), -ENOSPC);
    CHECK_EQUAL(spool_state(spool), SPOOL_STATE_FULL);
    CHECK_EQUAL(lane(0)->ledger.held, 10);
    CHECK_EQUAL(lane(0)->batch.next, 10);
    CHECK_EQUAL(take(lane(0), 10, 11, 100), -EAGAIN);
    spool_step(spool, spool_deadline_ms(spool), platform_time_ns());
    if (take(lane(0), 10, 11, 100) == 0)
        CHECK(spool_commit(spool) < 0);
    disk_set_full(0);
    spool_step(spool, spool_deadline_ms(spool), platform_time_ns());
    CHECK_EQUAL(take(lane(0), 10, 20, 100), 0);
    CHECK_EQUAL(spool_commit(spool), 0);
    CHECK_EQUAL(spool_state(spool), SPOOL_STATE_OK);
    CHECK_EQUAL(lane(0)->ledger.held, 20);
    CHECK(strncmp(told, "! could not use spool: path=", 28) == 0 && strstr(told, "make room on its disk"));
    CHECK(strstr(told, "\nspool works again: path="));
    CHECK(!strstr(strstr(told, "! ") + 2, "! "));
    CHECK_EQUAL(check_file(), 0);
}

/* What was delivered while the disk was full is ticked off when it has room, not sent again. */
static void test_done_is_remembered_while_the_disk_is_full(void)
{
    CHECK_EQUAL(begin(), 0);
    CHECK_EQUAL(open_spool(), 0);
    CHECK_EQUAL(take(lane(0), 0, 10, 100), 0);
    CHECK_EQUAL(spool_commit(spool), 0);
    disk_set_full(1);
    for (uint64_t i = 0; i < 4; i++)
        CHECK_EQUAL(spool_done(spool, lane(0), i, 1, -1), 0);
    CHECK(spool_commit(spool) < 0);
    CHECK_EQUAL(lane(0)->ledger.delivered, 0);
    disk_set_full(0);
    spool_step(spool, spool_deadline_ms(spool), platform_time_ns());
    CHECK_EQUAL(spool_commit(spool), 0);
    CHECK_EQUAL(lane(0)->ledger.delivered, 4);
    CHECK_EQUAL(next(lane(0), 0), 4);
}

/* The segment is gone, its counters with it: only what is held counts on. */
static void test_begin_anew_keeps_what_is_held(void)
{
    CHECK_EQUAL(begin(), 0);
    CHECK_EQUAL(open_spool(), 0);
    CHECK_EQUAL(take(lane(0), 0, 10, 10), 0);
    CHECK_EQUAL(spool_commit(spool), 0);
    for (uint64_t i = 0; i < 4; i++)
        spool_done(spool, lane(0), i, 1, -1);
    CHECK_EQUAL(spool_commit(spool), 0);
    CHECK_EQUAL(take(lane(1), 0, 1, 10), 0);
    CHECK_EQUAL(spool_commit(spool), 0);
    spool_done(spool, lane(1), 0, 1, -1);
    CHECK_EQUAL(spool_commit(spool), 0);
    spool_begin_anew(spool);
    CHECK_EQUAL(lane(0)->ledger.taken, 6);
    CHECK_EQUAL(lane(0)->ledger.delivered, 0);
    CHECK_EQUAL(check_file(), 0);
    /* Streams of segments that are gone do not pile up, boot by boot. */
    CHECK_EQUAL(reopen(), 0);
    CHECK_EQUAL(spool_stream_count(spool), 1);
}

/* Another program reads the file in one go, and does not end: the journal, which cannot be shortened meanwhile, counts,
 * and what would grow beyond the limit is refused with the reason, until that program is gone. Nothing is dropped. */
static void test_journal_that_is_held_open_counts(void)
{
    char journal[300];
    uint64_t taken = 0;
    sqlite3_stmt *statement;
    struct stat status;
    sqlite3 *other;
    int rc = 0;

    CHECK_EQUAL(begin(), 0);
    options.max_bytes = 8 << 20;
    CHECK_EQUAL(open_spool(), 0);
    CHECK_EQUAL(take(lane(0), 0, 10, 300), 0);
    CHECK_EQUAL(spool_commit(spool), 0);
    CHECK_EQUAL(sqlite3_open_v2(spool_path, &other, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    CHECK_EQUAL(sqlite3_prepare_v2(other, "SELECT * FROM message", -1, &statement, NULL), SQLITE_OK);
    CHECK_EQUAL(sqlite3_step(statement), SQLITE_ROW);
    /* Many small commits: each writes the same pages of the trees' ends once more. */
    for (taken = 10; taken < 10000 && rc == 0; taken += 10)
        if ((rc = take(lane(0), taken, taken + 10, 300)) == 0)
            CHECK_EQUAL(spool_commit(spool), 0);
    CHECK_EQUAL(rc, -ENOSPC);
    taken -= 10;
    CHECK_EQUAL(spool_state(spool), SPOOL_STATE_FULL);
    CHECK(strstr(told, "journal") && strstr(told, "end the program"));
    CHECK(spool_bytes(spool) > options.max_bytes);
    snprintf(journal, sizeof(journal), "%s-wal", spool_path);
    CHECK_EQUAL(stat(journal, &status), 0);
    CHECK(status.st_size < (8 << 20) + SPOOL_JOURNAL_BYTES + (1 << 20));
    CHECK_EQUAL(lane(0)->ledger.held, taken);
    sqlite3_finalize(statement);
    sqlite3_close(other);
    spool_step(spool, UINT64_MAX / 2, platform_time_ns());
    CHECK_EQUAL(take(lane(0), taken, taken + 10, 300), 0);
    CHECK_EQUAL(spool_commit(spool), 0);
    CHECK_EQUAL(spool_state(spool), SPOOL_STATE_OK);
    CHECK(spool_bytes(spool) < 6 << 20);
    CHECK_EQUAL(lane(0)->ledger.held, taken + 10);
    CHECK(adds_up(lane(0)));
    CHECK_EQUAL(check_file(), 0);
}

/* When all is delivered, the file gives its space back. */
static void test_empty_file_shrinks(void)
{
    CHECK_EQUAL(begin(), 0);
    CHECK_EQUAL(open_spool(), 0);
    CHECK_EQUAL(take(lane(0), 0, 4000, 1000), 0);
    CHECK_EQUAL(spool_commit(spool), 0);
    CHECK(spool_bytes(spool) > 4000000);
    for (uint64_t i = 0; i < 4000; i++)
        CHECK_EQUAL(spool_done(spool, lane(0), i, 1, -1), 0);
    CHECK_EQUAL(spool_commit(spool), 0);
    spool_step(spool, UINT64_MAX / 2, platform_time_ns());
    CHECK(spool_bytes(spool) < 65536);
    CHECK_EQUAL(check_file(), 0);
}

static const struct check_test tests[] = {
#define TEST(name) {#name, name}
    TEST(test_committed_messages_outlive_the_process),
    TEST(test_payloads_of_all_sizes),
    TEST(test_answer_to_several_messages),
    TEST(test_answers_are_joined_without_what_is_between),
    TEST(test_only_what_is_done_with_is_deleted),
    TEST(test_place_of_reading_holds),
    TEST(test_disorder_is_refused),
    TEST(test_size_limit_drops_the_oldest),
    TEST(test_channel_limit_spares_other_channels),
    TEST(test_full_disk_undoes_the_batch),
    TEST(test_done_is_remembered_while_the_disk_is_full),
    TEST(test_begin_anew_keeps_what_is_held),
    TEST(test_journal_that_is_held_open_counts),
    TEST(test_empty_file_shrinks),
};

int main(int argc, char **argv)
{
    int code = disk_install() < 0 ? 2 : check_main(tests, sizeof(tests) / sizeof(tests[0]), argc, argv);

    spool_close(spool);
    disk_forget();
    return code;
}
