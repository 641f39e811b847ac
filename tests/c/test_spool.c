/* test_spool.c: what the spool keeps, counts and drops, and what it does with a file or a disk that fails. */
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>

#include "disk.h"
#include "spool_file.h"
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
    char error[200];

    faults = 0;
    if (spool_file_open_to_read(&db, spool_path, error, sizeof(error)) < 0)
        return -1;
    spool_file_check(db, count_fault, NULL);
    sqlite3_close(db);
    return faults;
}

static void run_sql(const char *sql)
{
    sqlite3 *db;

    if (sqlite3_open(spool_path, &db) == SQLITE_OK && sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        printf("  %s: %s\n", sql, sqlite3_errmsg(db));
    sqlite3_close(db);
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

/* Answers that follow each other become one deletion; a message between two that were answered is none of them, nor is one that was refused delivered. */
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

/* What has lain longer than max_age is dropped; a message from before the clock was set is not taken for an old one. */
static void test_age_limit(void)
{
    uint64_t now = UINT64_C(1800000000000000000);
    struct spool_message message = {.payload = "x", .size = 1};

    CHECK_EQUAL(begin(), 0);
    options.max_age_ms = 60000;
    CHECK_EQUAL(open_spool(), 0);
    CHECK_EQUAL(spool_take(spool, lane(0), &message, 1000), 0);
    message.sequence = 1;
    CHECK_EQUAL(spool_take(spool, lane(1), &message, now), 0);
    CHECK_EQUAL(spool_commit(spool), 0);
    spool_step(spool, 5000, now + UINT64_C(59000000000));
    CHECK_EQUAL(spool_held(spool), 2);
    CHECK_EQUAL(lane(0)->ledger.held, 1);
    CHECK_EQUAL(begin(), 0);
    options.max_age_ms = 60000;
    message.sequence = 0;
    CHECK_EQUAL(open_spool(), 0);
    CHECK_EQUAL(spool_take(spool, lane(1), &message, platform_time_ns() - UINT64_C(61000000000)), 0);
    message.sequence = 1;
    CHECK_EQUAL(spool_take(spool, lane(1), &message, platform_time_ns()), 0);
    CHECK_EQUAL(spool_commit(spool), 0);
    CHECK_EQUAL(lane(1)->ledger.dropped[SPOOL_DROP_AGE], 1);
    CHECK_EQUAL(lane(1)->ledger.held, 1);
}

/* A full disk costs nothing but the batch: its messages are still the ring's, and go to disk when there is room again. Said once each way. */
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

/* A file that is no database is set aside under a name that says when, a new one is begun, and the log says where the old one is. */
static void test_damaged_file_is_set_aside(void)
{
    int fd;

    CHECK_EQUAL(begin(), 0);
    fd = open(spool_path, O_WRONLY | O_CREAT, 0600);
    CHECK(fd >= 0 && write(fd, "this is not a database, and never was one", 40) == 40 && close(fd) == 0);
    CHECK_EQUAL(open_spool(), 0);
    CHECK_EQUAL(spool_state(spool), SPOOL_STATE_OK);
    CHECK_EQUAL(count_files("spool.db.damaged-"), 1);
    CHECK(strstr(told, "spool set aside"));
    CHECK_EQUAL(take(lane(0), 0, 10, 100), 0);
    CHECK_EQUAL(spool_commit(spool), 0);
}

/* A file of a later version is not touched but set aside. */
static void test_other_version_is_set_aside(void)
{
    CHECK_EQUAL(begin(), 0);
    CHECK_EQUAL(open_spool(), 0);
    spool_close(spool);
    spool = NULL;
    run_sql("PRAGMA user_version = 99");
    CHECK_EQUAL(open_spool(), 0);
    CHECK_EQUAL(spool_state(spool), SPOOL_STATE_OK);
    CHECK_EQUAL(count_files("spool.db.version-"), 1);
    CHECK(strstr(told, "version 99"));
}

/* The number in the header that asks for a later SQLite to write the file: it makes way, and does not pass for a disk that is read-only. */
static void test_file_that_sqlite_cannot_write_is_set_aside(void)
{
    int fd;

    CHECK_EQUAL(begin(), 0);
    CHECK_EQUAL(open_spool(), 0);
    spool_close(spool);
    spool = NULL;
    fd = open(spool_path, O_RDWR);
    CHECK(fd >= 0);
    CHECK_EQUAL(pwrite(fd, "\x03", 1, 18), 1);
    close(fd);
    CHECK_EQUAL(open_spool(), 0);
    CHECK_EQUAL(spool_state(spool), SPOOL_STATE_OK);
    CHECK_EQUAL(count_files("spool.db.version-"), 1);
}

/* Damage that shows while the gateway works: the file is set aside, what it held is counted as lost, and the spool goes on. */
static void test_damage_at_work_is_counted_as_lost(void)
{
    int fd;

    CHECK_EQUAL(begin(), 0);
    CHECK_EQUAL(open_spool(), 0);
    CHECK_EQUAL(take(lane(0), 0, 2000, 1000), 0);
    CHECK_EQUAL(spool_commit(spool), 0);
    spool_close(spool);
    spool = NULL;
    fd = open(spool_path, O_WRONLY);
    CHECK(fd >= 0);
    for (int page = 4; page < 300; page++)
        CHECK_EQUAL(pwrite(fd, "garbage garbage garbage", 23, 4096L * page), 23);
    close(fd);
    CHECK_EQUAL(open_spool(), 0);
    CHECK_EQUAL(lane(0)->ledger.held, 2000);
    for (uint64_t i = 0; i < 2000 && lane(0)->ledger.held > 0; i++)
        if (next(lane(0), i) == UINT64_MAX)
            break;
    CHECK_EQUAL(lane(0)->ledger.held, 0);
    CHECK_EQUAL(lane(0)->ledger.dropped[SPOOL_DROP_LOST], 2000);
    CHECK_EQUAL(spool_state(spool), SPOOL_STATE_OK);
    CHECK_EQUAL(take(lane(0), 2000, 2010, 100), 0);
    CHECK_EQUAL(spool_commit(spool), 0);
    CHECK_EQUAL(reopen(), 0);
    CHECK_EQUAL(lane(0)->ledger.dropped[SPOOL_DROP_LOST], 2000);
    CHECK_EQUAL(lane(0)->ledger.held, 10);
    CHECK(adds_up(lane(0)));
}

/* Work with a file whose pages have been changed at random: read, tick off, take, commit. */
static int work_with_damage(void)
{
    if (reopen() < 0)
        return -1;
    for (unsigned number = 0; number < 3; number++) {
        struct spool_message message;
        uint64_t at = 0;

        for (int i = 0; i < 50 && spool_next(spool, lane(number), at, &message) == 0; i++) {
            at = message.sequence + 1;
            spool_done(spool, lane(number), message.sequence, 1, i % 4 == 3 ? SPOOL_DROP_REFUSED : -1);
        }
        take(lane(number), lane(number)->batch.next, lane(number)->batch.next + 20, 100);
    }
    spool_commit(spool);
    spool_step(spool, UINT64_MAX / 2, platform_time_ns());
    for (size_t i = 0; i < spool_stream_count(spool); i++)
        if (spool_stream(spool, i)->ledger.taken > UINT64_MAX / 4)
            return -1;
    return 0;
}

/* Whatever bytes the file holds, nothing crashes, hangs or counts below zero, and in the end the spool works. */
static void test_random_damage(void)
{
    unsigned seed = (unsigned)platform_random();
    const char *given = getenv("SHMGATE_TEST_SEED");

    if (given)
        seed = (unsigned)strtoul(given, NULL, 10);
    printf("  seed %u\n", seed);
    for (int round = 0; round < 60; round++) {
        unsigned char byte;
        off_t size;
        int fd;

        CHECK_EQUAL(begin(), 0);
        options.max_bytes = 100000;
        CHECK_EQUAL(open_spool(), 0);
        for (unsigned number = 0; number < 3; number++)
            CHECK_EQUAL(take(lane(number), 0, 150, 100), 0);
        CHECK_EQUAL(spool_commit(spool), 0);
        spool_close(spool);
        spool = NULL;
        fd = open(spool_path, O_RDWR);
        CHECK(fd >= 0);
        size = lseek(fd, 0, SEEK_END);
        for (unsigned i = 0; i < 1u << rand_r(&seed) % 10; i++) {
            off_t at = rand_r(&seed) % 4 ? rand_r(&seed) % size : rand_r(&seed) % 200 + 4096 * (rand_r(&seed) % (size / 4096));

            byte = (unsigned char)rand_r(&seed);
            CHECK_EQUAL(pwrite(fd, &byte, 1, at), 1);
        }
        close(fd);
        CHECK_EQUAL(work_with_damage(), 0);
        CHECK_EQUAL(work_with_damage(), 0);
        CHECK_EQUAL(spool_state(spool), SPOOL_STATE_OK);
    }
}

/* Rows that somebody else wrote do not make the counts run below zero. */
static void test_foreign_rows_are_damage(void)
{
    CHECK_EQUAL(begin(), 0);
    CHECK_EQUAL(open_spool(), 0);
    CHECK_EQUAL(take(lane(0), 0, 3, 10), 0);
    CHECK_EQUAL(spool_commit(spool), 0);
    spool_close(spool);
    spool = NULL;
    run_sql("UPDATE stream SET qos = 77");
    CHECK_EQUAL(open_spool(), 0);
    CHECK_EQUAL(count_files("spool.db.damaged-"), 1);
    /* A topic, or an origin, that would make the broker close every connection. */
    for (int i = 0; i < 2; i++) {
        CHECK_EQUAL(take(lane(0), 0, 3, 10), 0);
        CHECK_EQUAL(spool_commit(spool), 0);
        spool_close(spool);
        spool = NULL;
        run_sql(i == 0 ? "UPDATE stream SET topic = 'a/#'" : "UPDATE stream SET boot = x'ff'");
        CHECK_EQUAL(open_spool(), 0);
        CHECK_EQUAL(count_files("spool.db.damaged-"), 2 + i);
    }
    spool_close(spool);
    spool = NULL;
    run_sql("INSERT INTO message (stream, sequence, time_ns, spooled_ns, payload) VALUES (99, 1, 1, 1, x'00')");
    options.max_bytes = 1;
    CHECK_EQUAL(open_spool(), 0);
    CHECK_EQUAL(take(lane(0), 0, 3, 10), 0);
    CHECK(spool_commit(spool) < 0);
    CHECK_EQUAL(spool_state(spool), SPOOL_STATE_OK);
}

/* A disk that damages every file is not filled with set-aside ones. */
static void test_set_aside_files_are_few(void)
{
    char name[PATH_MAX];

    CHECK_EQUAL(begin(), 0);
    for (int i = 0; i < SPOOL_FILE_ASIDE_MAX; i++) {
        snprintf(name, sizeof(name), "%s.damaged-2026010%dT000000Z", spool_path, i);
        CHECK(close(open(name, O_WRONLY | O_CREAT, 0600)) == 0);
    }
    CHECK(symlink("/proc/self/exe", spool_path) == 0);
    CHECK_EQUAL(open_spool(), 0);
    CHECK_EQUAL(spool_state(spool), SPOOL_STATE_FAILED);
    CHECK(strstr(told, "could not use spool"));
    CHECK_EQUAL(take(lane(0), 0, 1, 1), -EAGAIN);
}

/* No directory: nothing is taken, the line says what to do, and the spool begins to work when there is one. */
static void test_missing_directory(void)
{
    char path[128], missing[100];

    CHECK_EQUAL(begin(), 0);
    snprintf(missing, sizeof(missing), "%s/missing", folder);
    snprintf(path, sizeof(path), "%s/spool.db", missing);
    options.path = path;
    CHECK_EQUAL(open_spool(), 0);
    CHECK_EQUAL(spool_state(spool), SPOOL_STATE_FAILED);
    CHECK(strstr(told, "No such file or directory: make its directory"));
    CHECK_EQUAL(mkdir(missing, 0700), 0);
    spool_step(spool, spool_deadline_ms(spool), platform_time_ns());
    CHECK_EQUAL(spool_state(spool), SPOOL_STATE_OK);
    CHECK(strstr(told, "spool works again"));
    spool_close(spool);
    spool = NULL;
    empty_folder(missing);
    CHECK_EQUAL(rmdir(missing), 0);
}

/* Two gateways do not share a file: the second one says so and goes without. */
static void test_second_gateway_is_refused(void)
{
    struct spool *second;

    CHECK_EQUAL(begin(), 0);
    CHECK_EQUAL(open_spool(), 0);
    CHECK_EQUAL(spool_open(&second, &options, remember, NULL), 0);
    CHECK_EQUAL(spool_state(second), SPOOL_STATE_FAILED);
    CHECK(strstr(told, "another gateway has it"));
    spool_close(second);
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
    TEST(test_committed_messages_outlive_the_process), TEST(test_payloads_of_all_sizes), TEST(test_only_what_is_done_with_is_deleted),
    TEST(test_answer_to_several_messages), TEST(test_answers_are_joined_without_what_is_between),
    TEST(test_disorder_is_refused), TEST(test_size_limit_drops_the_oldest), TEST(test_channel_limit_spares_other_channels), TEST(test_age_limit),
    TEST(test_full_disk_undoes_the_batch), TEST(test_done_is_remembered_while_the_disk_is_full), TEST(test_damaged_file_is_set_aside),
    TEST(test_other_version_is_set_aside), TEST(test_file_that_sqlite_cannot_write_is_set_aside), TEST(test_damage_at_work_is_counted_as_lost), TEST(test_foreign_rows_are_damage),
    TEST(test_set_aside_files_are_few), TEST(test_random_damage), TEST(test_missing_directory), TEST(test_second_gateway_is_refused),
    TEST(test_begin_anew_keeps_what_is_held), TEST(test_empty_file_shrinks),
};

int main(int argc, char **argv)
{
    int code = disk_install() < 0 ? 2 : check_main(tests, sizeof(tests) / sizeof(tests[0]), argc, argv);

    spool_close(spool);
    disk_forget();
    return code;
}
