/* test_spool_power.c: the power is cut at every write system call of the spool's file: what had been reported committed
 * is there.
 *
 * A job of takes, deliveries, drops by size and a checkpoint or two runs on a disk that remembers every write (disk.h),
 * and notes after each commit how far the disk was and what was promised. Then, for every operation of that disk, the
 * files are put back as a power cut behind it would have left them: with all writes; without those since the last sync;
 * with some sectors of those.
 */
#include <errno.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <time.h>

#include "disk.h"
#include "spool/spool_file.h"
#include "spool_fixture.h"

#define LANES 2
#define BATCHES 60
#define BATCH 40
#define SIZE 200

/* What a successful commit promised, and how many operations the disk had seen then. */
struct promise {
    size_t position;
    uint64_t taken[LANES]; /* messages below it were taken */
    uint64_t done[LANES];  /* messages below it were delivered before the commit began: they may be there or not */
};

static struct promise promises[BATCHES + 1];
static size_t promise_count;
static unsigned seed;
static char restored[40];
static int faults;

static void count_fault(void *context, const char *line)
{
    (void)context;
    printf("  %s\n", line);
    faults++;
}

/* Run the job on a fresh file. */
static int run_job(uint64_t max_bytes)
{
    uint64_t taken[LANES] = {0}, done[LANES] = {0};

    disk_forget();
    promise_count = 0;
    if (begin() < 0)
        return -1;
    options.max_bytes = max_bytes;
    if (open_spool() < 0)
        return -1;
    for (int batch = 0; batch < BATCHES; batch++) {
        unsigned which = rand_r(&seed) % LANES;
        struct promise *promise = &promises[promise_count];

        if (rand_r(&seed) % 3 > 0) {
            if (take(lane(which), taken[which], taken[which] + BATCH, SIZE) < 0)
                return -1;
            taken[which] += BATCH;
        } else {
            while (done[which] < taken[which] && rand_r(&seed) % 50 > 0)
                spool_done(spool, lane(which), done[which]++, 1, -1);
        }
        if (spool_commit(spool) < 0)
            return -1;
        promise->position = disk_position();
        memcpy(promise->taken, taken, sizeof(taken));
        memcpy(promise->done, done, sizeof(done));
        promise_count++;
    }
    spool_close(spool);
    spool = NULL;
    return 0;
}

/* Whether the restored file holds what was promised before the cut, and nothing that is wrong. */
static int promise_kept(size_t position)
{
    const struct promise *promise = NULL, *latest = &promises[promise_count - 1];
    struct spool_message message;
    int kept = 1;

    for (size_t i = 0; i < promise_count && promises[i].position <= position; i++)
        promise = &promises[i];
    if (open_spool() < 0 || spool_state(spool) != SPOOL_STATE_OK)
        return 0;
    for (unsigned number = 0; number < LANES; number++) {
        const struct spool_stream *stream = spool_find(spool, 7, number);
        /* Messages go from the front, delivered or dropped. */
        uint64_t gone = stream ? stream->ledger.delivered + stream->ledger.dropped[SPOOL_DROP_SIZE] : 0, at;

        if (!stream && promise && promise->taken[number] > 0)
            return 0;
        if (!stream)
            continue;
        kept &= adds_up(stream) && (!promise || stream->ledger.next >= promise->taken[number]);
        /* Of the last commit under way, deliveries may be on the disk already. */
        at = promise && latest->done[number] < promise->taken[number] ? latest->done[number] : UINT64_MAX;
        if (at < gone)
            at = gone;
        for (; promise && at < promise->taken[number]; at++)
            kept &= next(stream, at) == at;
        for (at = 0; spool_next(spool, stream, at, &message) == 0; at = message.sequence + 1)
            kept &= message.size == SIZE && next(stream, message.sequence) == message.sequence;
    }
    return kept;
}

/* Put the files back as they were, look, and say what is wrong. */
static int survives(size_t position, enum disk_loss loss)
{
    sqlite3 *db;
    int fine;

    empty_folder(restored);
    told[0] = '\0';
    if (disk_restore(restored, position, loss, &seed) < 0)
        return 0;
    fine = promise_kept(position) && count_files("spool.db.") >= 0 && !strstr(told, "set aside");
    spool_close(spool);
    spool = NULL;
    faults = 0;
    if (fine && spool_file_open_to_read(&db, spool_path, NULL) == 0) {
        spool_file_check(db, count_fault, NULL);
        sqlite3_close(db);
    }
    if (!fine || faults > 0)
        printf("  cut behind operation %zu, loss %d: %s\n", position, (int)loss,
               told[0] ? told : "a promise is broken");
    return fine && faults == 0;
}

static void remove_restored(void)
{
    empty_folder(restored);
    rmdir(restored);
}

/* Cut the power behind every operation of a job; in the short set, behind one in four or five. */
static void cut_everywhere(uint64_t max_bytes)
{
    size_t end, points = 0, bad = 0;
    int all = getenv("SHMGATE_TEST_ROUNDS") != NULL;

    CHECK_EQUAL(run_job(max_bytes), 0);
    end = disk_position();
    if (!restored[0]) {
        snprintf(restored, sizeof(restored), "/dev/shm/shmgate-power-XXXXXX");
        CHECK(mkdtemp(restored));
        atexit(remove_restored);
    }
    snprintf(spool_path, sizeof(spool_path), "%s/spool.db", restored);
    for (size_t position = 0; position <= end; position += 1 + (all ? 0 : rand_r(&seed) % 8)) {
        for (int loss = DISK_LOSES_NOTHING; loss <= DISK_LOSES_SOME; loss++) {
            bad += !survives(position, (enum disk_loss)loss);
            points++;
        }
        /* The looking is recorded, too, behind the end: it is not part of the job. */
        disk_cut(end);
    }
    printf("  %zu points tried, %zu violations\n", points, bad);
    CHECK_EQUAL(bad, 0);
    CHECK(points > 300);
}

/* Takes and deliveries: at every cut the file opens, its counts add up, and it holds all that had been reported
 * committed. */
static void test_every_cut_keeps_what_was_committed(void)
{
    cut_everywhere(64 << 20);
}

/* The same with a limit, so that messages are dropped in the same commits. */
static void test_every_cut_with_a_size_limit(void)
{
    cut_everywhere(300 << 10);
}

static const struct check_test tests[] = {
    {"test_every_cut_keeps_what_was_committed", test_every_cut_keeps_what_was_committed},
    {"test_every_cut_with_a_size_limit", test_every_cut_with_a_size_limit},
};

int main(int argc, char **argv)
{
    const char *given = getenv("SHMGATE_TEST_SEED");
    int code;

    seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);
    printf("seed %u\n", seed);
    code = disk_install() < 0 ? 2 : check_main(tests, sizeof(tests) / sizeof(tests[0]), argc, argv);
    spool_close(spool);
    disk_forget();
    return code;
}
