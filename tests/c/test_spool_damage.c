/* test_spool_damage.c: what the spool does with a file that is damaged, another's or missing. */
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>

#include "spool/spool_file.h"
#include "spool_fixture.h"

static void run_sql(const char *sql)
{
    sqlite3 *db;

    if (sqlite3_open(spool_path, &db) == SQLITE_OK && sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        printf("  %s: %s\n", sql, sqlite3_errmsg(db));
    sqlite3_close(db);
}

/* A file that is no database is set aside under a name that says when, a new one is begun, and the log says where the
 * old one is. */
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

/* All bytes of the spool's file, to compare. Returns their number, 0 for none. */
static size_t read_file(char *bytes, size_t size)
{
    FILE *file = fopen(spool_path, "rb");
    size_t count = file ? fread(bytes, 1, size, file) : 0;

    if (file)
        fclose(file);
    return count;
}

/* A file of a later version is left alone, byte for byte, and the log says what to do; once it is out of the way, the
 * spool works. */
static void test_later_version_is_left_alone(void)
{
    static char before[1 << 16], after[1 << 16];
    size_t size;

    CHECK_EQUAL(begin(), 0);
    CHECK_EQUAL(open_spool(), 0);
    CHECK_EQUAL(take(lane(0), 0, 10, 100), 0);
    spool_close(spool);
    spool = NULL;
    run_sql("PRAGMA user_version = 99");
    size = read_file(before, sizeof(before));
    CHECK_EQUAL(open_spool(), 0);
    CHECK_EQUAL(spool_state(spool), SPOOL_STATE_FAILED);
    CHECK(strstr(told, "it is of version 99, this program knows version 1: run the shmgated that made it"));
    CHECK_EQUAL(spool_step(spool, platform_monotonic_ns() / 1000000 + SPOOL_RETRY_MS, 0), 1);
    CHECK_EQUAL(spool_state(spool), SPOOL_STATE_FAILED);
    CHECK_EQUAL(count_files("spool.db."), 0);
    CHECK(size > 0 && size < sizeof(before));
    CHECK_EQUAL(read_file(after, sizeof(after)), size);
    CHECK_EQUAL(memcmp(before, after, size), 0);
    CHECK_EQUAL(unlink(spool_path), 0);
    CHECK_EQUAL(spool_step(spool, platform_monotonic_ns() / 1000000 + 2 * SPOOL_RETRY_MS, 0), 1);
    CHECK_EQUAL(spool_state(spool), SPOOL_STATE_OK);
}

/* There is no version below 1: such a file is damaged. */
static void test_version_that_there_is_not_is_set_aside(void)
{
    CHECK_EQUAL(begin(), 0);
    CHECK_EQUAL(open_spool(), 0);
    spool_close(spool);
    spool = NULL;
    run_sql("PRAGMA user_version = 0");
    CHECK_EQUAL(open_spool(), 0);
    CHECK_EQUAL(spool_state(spool), SPOOL_STATE_OK);
    CHECK_EQUAL(count_files("spool.db.damaged-"), 1);
}

/* The number in the header that asks for a later SQLite to write the file: it makes way, and does not pass for a disk
 * that is read-only. */
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
    CHECK_EQUAL(count_files("spool.db.damaged-"), 1);
}

/* Damage that shows while the gateway works: the file is set aside, what it held is counted as lost, and the spool goes
 * on. */
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
            off_t at = rand_r(&seed) % 4 ? rand_r(&seed) % size
                                         : rand_r(&seed) % 200 + 4096 * (rand_r(&seed) % (size / 4096));

            byte = (unsigned char)rand_r(&seed);
            /* The version of the tables: a file of a later one is left alone, which is no fault. */
            if (at >= 60 && at < 64)
                continue;
            CHECK_EQUAL(pwrite(fd, &byte, 1, at), 1);
        }
        close(fd);
        CHECK_EQUAL(work_with_damage(), 0);
        CHECK_EQUAL(work_with_damage(), 0);
        if (spool_state(spool) != SPOOL_STATE_OK)
            printf("  round %d: %s\n", round, told);
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

static const struct check_test tests[] = {
#define TEST(name) {#name, name}
    TEST(test_damaged_file_is_set_aside),
    TEST(test_later_version_is_left_alone),
    TEST(test_version_that_there_is_not_is_set_aside),
    TEST(test_file_that_sqlite_cannot_write_is_set_aside),
    TEST(test_damage_at_work_is_counted_as_lost),
    TEST(test_random_damage),
    TEST(test_foreign_rows_are_damage),
    TEST(test_set_aside_files_are_few),
    TEST(test_missing_directory),
    TEST(test_second_gateway_is_refused),
};

int main(int argc, char **argv)
{
    int code = check_main(tests, sizeof(tests) / sizeof(tests[0]), argc, argv);

    spool_close(spool);
    return code;
}
