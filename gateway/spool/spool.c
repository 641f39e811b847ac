/* spool.c: the spool's life: its streams, its file, and what to do when that fails. See spool.h; spool_batch.c moves
 * the messages.
 *
 * What can go wrong with the file:
 *   - it cannot be opened (no directory, no permission, another gateway has it): tried again every SPOOL_RETRY_MS
 *   - it is damaged: it is set aside, a new one is begun, what the old one held is counted as lost
 *   - it is of a later version: it is left alone, and looked at again every SPOOL_RETRY_MS
 *   - after an error of the disk it is opened again, and the ledgers are read from it
 */
#include "spool/spool.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shm/platform.h"
#include "spool/spool_file.h"
#include "spool/spool_internal.h"

#define DONE_BATCH 512                /* delivered messages that are deleted at once: some 2 ms of work */
#define TRIM_MS 1000                  /* how often the ages are looked at */
#define STEP_NS UINT64_C(10000000000) /* by which the clock must have been set for the file to be told */

__attribute__((format(printf, 3, 4))) static void spool_tell(const struct spool *spool, int fault, const char *format,
                                                             ...)
{
    va_list arguments;

    va_start(arguments, format);
    spool->report(spool->context, fault, format, arguments);
    va_end(arguments);
}

/* ---- Streams ---- */

static void stream_free(struct spool_stream *stream)
{
    if (!stream)
        return;
    free((char *)stream->source.channel);
    free((char *)stream->source.topic);
    free((char *)stream->source.boot);
    free(stream);
}

static struct spool_stream *stream_new(const struct spool_source *source)
{
    struct spool_stream *stream = calloc(1, sizeof(*stream));

    if (!stream)
        return NULL;
    stream->source = *source;
    stream->source.channel = strdup(source->channel);
    stream->source.topic = strdup(source->topic);
    stream->source.boot = strdup(source->boot);
    if (stream->source.channel && stream->source.topic && stream->source.boot)
        return stream;
    stream_free(stream);
    return NULL;
}

static int stream_add(struct spool *spool, struct spool_stream *stream)
{
    if (spool->stream_count == spool->stream_capacity) {
        size_t capacity = spool->stream_capacity ? 2 * spool->stream_capacity : 16;
        struct spool_stream **larger = realloc(spool->streams, capacity * sizeof(larger[0]));

        if (!larger)
            return -ENOMEM;
        spool->streams = larger;
        spool->stream_capacity = capacity;
    }
    spool->streams[spool->stream_count++] = stream;
    if (stream->id > spool->last_id)
        spool->last_id = stream->id;
    return 0;
}

struct spool_stream *spool_stream_by_id(const struct spool *spool, int64_t id)
{
    for (size_t i = 0; i < spool->stream_count; i++)
        if (spool->streams[i]->id == id)
            return spool->streams[i];
    return NULL;
}

int spool_is_of_this_boot(const struct spool *spool, const struct spool_stream *stream)
{
    return strcmp(stream->source.boot, spool->boot) == 0;
}

/* When this boot began, by the clock as it is now. Never 0. */
static uint64_t epoch_of(uint64_t now_ns)
{
    uint64_t boot_ns = platform_boot_ns();

    return now_ns > boot_ns ? now_ns - boot_ns : 1;
}

/* A stream without messages begins to tell their ages by boot time. */
static void stream_begin_epoch(const struct spool *spool, struct spool_stream *stream)
{
    if (stream->ledger.held == 0 && spool_is_of_this_boot(spool, stream))
        stream->epoch_ns = epoch_of(platform_time_ns());
}

/* Take a stream as the file has it. */
static int load_stream(void *context, const struct spool_stream *from)
{
    struct spool *spool = context;
    struct spool_stream *stream = spool_stream_by_id(spool, from->id);

    if (!stream) {
        stream = stream_new(&from->source);
        if (!stream)
            return -ENOMEM;
        stream->id = from->id;
        if (stream_add(spool, stream) < 0) {
            stream_free(stream);
            return -ENOMEM;
        }
    }
    stream->ledger = stream->batch = from->ledger;
    stream->epoch_ns = from->epoch_ns;
    stream_begin_epoch(spool, stream);
    stream->touched = 0;
    stream->in_file = 1;
    return 0;
}

void spool_touch(struct spool_stream *stream)
{
    stream->touched = 1;
}

/* ---- The file ---- */

void spool_close_file(struct spool *spool)
{
    spool_rows_close(&spool->rows);
    sqlite3_close(spool->db);
    spool->db = NULL;
    spool->in_transaction = 0;
    spool->used = spool->journal = 0;
}

int spool_measure(struct spool *spool)
{
    uint64_t journal = spool_rows_journal(&spool->rows);
    int rc = spool_rows_used(&spool->rows, &spool->used);

    spool->journal = journal > SPOOL_JOURNAL_BYTES ? journal - SPOOL_JOURNAL_BYTES : 0;
    spool->used += spool->journal;
    return rc;
}

/* Only one gateway may work with the file. The lock has a file of its own: closing the database's would drop SQLite's
 * locks (fcntl(2)). */
static int lock_file(struct spool *spool, struct reason *reason)
{
    char path[PATH_MAX];
    int rc = 0;

    if (spool->lock_fd >= 0)
        return 0;
    if (snprintf(path, sizeof(path), "%s-lock", spool->options.path) >= (int)sizeof(path))
        rc = -ENAMETOOLONG;
    if (rc == 0 && (spool->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640)) < 0)
        rc = -errno;
    if (rc < 0)
        return reason_set(reason, rc, "%s", strerror(-rc));
    if ((rc = platform_lock(spool->lock_fd, 0)) < 0) {
        close(spool->lock_fd);
        spool->lock_fd = -1;
        reason_set(reason, rc, "%s",
                   rc == -EAGAIN ? "another gateway has it: give each a path of its own in [spool]" : strerror(-rc));
        return rc == -EAGAIN ? -EBUSY : rc;
    }
    return 0;
}

/* The file has no row of some streams: what they held is lost, but for what was delivered and only not ticked off yet.
 */
static void count_missing(struct spool *spool)
{
    size_t kept = 0;

    for (size_t i = 0; i < spool->done_count; i++) {
        const struct spool_done *done = &spool->done[i];
        struct spool_ledger *ledger = &done->stream->ledger;
        uint64_t count = done->count < ledger->held ? done->count : ledger->held;

        if (done->stream->in_file || ledger->held == 0) {
            spool->done[kept++] = *done;
            continue;
        }
        ledger->held -= count;
        if (done->dropped < 0)
            ledger->delivered += count;
        else
            ledger->dropped[done->dropped] += count;
    }
    spool->done_count = kept;
    for (size_t i = 0; i < spool->stream_count; i++) {
        struct spool_stream *stream = spool->streams[i];

        if (stream->in_file || stream->ledger.taken == 0)
            continue;
        stream->ledger.dropped[SPOOL_DROP_LOST] += stream->ledger.held;
        stream->ledger.held = stream->ledger.bytes = 0;
        assert(spool_ledger_sum(&stream->ledger) == stream->ledger.taken);
        stream->batch = stream->ledger;
        spool_touch(stream);
        spool->touched = 1;
    }
}

/* Open the file and read the streams. What memory knows and the file does not is lost. */
static int open_file(struct spool *spool, struct reason *reason)
{
    int rc = lock_file(spool, reason);

    if (rc < 0 || (rc = spool_file_open(&spool->db, spool->options.path, reason)) < 0)
        return rc;
    for (size_t i = 0; i < spool->stream_count; i++)
        spool->streams[i]->in_file = 0;
    rc = spool_rows_open(&spool->rows, spool->db);
    if (rc == SQLITE_OK)
        rc = spool_rows_streams(&spool->rows, load_stream, spool);
    if (rc == SQLITE_OK)
        rc = spool_measure(spool);
    if (rc != SQLITE_OK) {
        rc = reason_set(reason, spool_file_errno(spool->db, rc), "%s",
                        rc == SQLITE_CORRUPT ? "a row of it makes no sense" : sqlite3_errmsg(spool->db));
        spool_close_file(spool);
        return rc;
    }
    count_missing(spool);
    return 0;
}

/* What a person can do about each error. */
static const char *advice(int rc)
{
    switch (rc) {
    case -ENOENT:
        return ": make its directory";
    case -EACCES:
    case -EROFS:
        return ": let the gateway's user write there";
    case -ENOSPC:
    case -EDQUOT:
        return ": make room on its disk";
    case -EFBIG:
        return ": end the program that has it open";
    case -EPROTO:
        return ": run the shmgated that made it, or give another path in [spool]";
    default:
        return "";
    }
}

void spool_set_state(struct spool *spool, int rc, const char *reason)
{
    int full = rc == -ENOSPC || rc == -EDQUOT || rc == -EFBIG;
    enum spool_state state = rc == 0 ? SPOOL_STATE_OK : full ? SPOOL_STATE_FULL : SPOOL_STATE_FAILED;

    if (state == spool->state)
        return;
    if (rc < 0)
        spool_tell(spool, 1, "could not use spool: path=%s: %s%s; messages stay in the rings meanwhile",
                   spool->options.path, reason, advice(rc));
    else if (spool->state != SPOOL_STATE_OFF)
        spool_tell(spool, 0, "spool works again: path=%s", spool->options.path);
    spool->state = state;
}

/* Give the file another name and begin a new one. The reason says why, and then what happened. */
int spool_replace_file(struct spool *spool, struct reason *reason)
{
    char aside[PATH_MAX];
    int moved = spool_file_set_aside(spool->options.path, aside, sizeof(aside));

    if (moved == 0) {
        spool_tell(spool, 1,
                   "spool set aside: path=%s: %s; what it held is in %s: look at it with: shmgate spool export -f %s",
                   spool->options.path, reason->text, aside, aside);
        return open_file(spool, reason);
    }
    if (moved == -EEXIST)
        return reason_wrap(reason, -EIO, "%d earlier ones are set aside already, remove those", SPOOL_FILE_ASIDE_MAX);
    return reason_wrap(reason, -EIO, "it cannot be set aside (%s)", strerror(-moved));
}

/* Open the file; one that is damaged makes way for a new one. */
static int get_file(struct spool *spool)
{
    struct reason reason = {""};
    int rc = open_file(spool, &reason);

    if (rc == -EBADMSG)
        rc = spool_replace_file(spool, &reason);
    /* A file that opens is not one that takes: after a failed batch only a batch shows that it works again. */
    if (rc < 0 || !spool->batch_wanted)
        spool_set_state(spool, rc, reason.text);
    return rc;
}

/* ---- Life ---- */

int spool_open(struct spool **out, const struct spool_options *options, spool_report report, void *context)
{
    struct spool *spool = calloc(1, sizeof(*spool));

    *out = NULL;
    if (!spool)
        return -ENOMEM;
    spool->options = *options;
    spool->report = report;
    spool->context = context;
    spool->lock_fd = -1;
    spool->may_try = 1;
    platform_boot_id(spool->boot);
    /* What one does not know of two boots is not the same. */
    if (strcmp(spool->boot, "unknown") == 0)
        spool->boot[0] = '\0';
    spool->done = calloc(SPOOL_DONE_MAX, sizeof(spool->done[0]));
    if (!spool->done) {
        spool_close(spool);
        return -ENOMEM;
    }
    if (get_file(spool) < 0)
        spool->may_try = 0;
    spool->retry_ms = platform_monotonic_ns() / 1000000 + SPOOL_RETRY_MS;
    *out = spool;
    return 0;
}

void spool_close(struct spool *spool)
{
    if (!spool)
        return;
    if (spool->done)
        spool_commit(spool);
    spool_close_file(spool);
    for (size_t i = 0; i < spool->stream_count; i++)
        stream_free(spool->streams[i]);
    if (spool->lock_fd >= 0)
        close(spool->lock_fd);
    free(spool->streams);
    free(spool->done);
    free(spool);
}

enum spool_state spool_state(const struct spool *spool)
{
    return spool->state;
}

uint64_t spool_bytes(const struct spool *spool)
{
    return spool->used;
}

uint64_t spool_held(const struct spool *spool)
{
    uint64_t held = 0;

    for (size_t i = 0; i < spool->stream_count; i++)
        held += spool->streams[i]->ledger.held;
    return held;
}

size_t spool_stream_count(const struct spool *spool)
{
    return spool->stream_count;
}

struct spool_stream *spool_stream(const struct spool *spool, size_t index)
{
    return spool->streams[index];
}

struct spool_stream *spool_find(const struct spool *spool, uint64_t generation, uint32_t lane)
{
    for (size_t i = 0; i < spool->stream_count; i++)
        if (spool->streams[i]->source.generation == generation && spool->streams[i]->source.lane == lane)
            return spool->streams[i];
    return NULL;
}

struct spool_stream *spool_stream_for(struct spool *spool, const struct spool_source *source)
{
    struct spool_stream *stream = spool_find(spool, source->generation, source->lane);

    if (stream || !(stream = stream_new(source)))
        return stream;
    stream->id = spool->last_id + 1;
    stream_begin_epoch(spool, stream);
    if (stream_add(spool, stream) == 0)
        return stream;
    stream_free(stream);
    return NULL;
}

void spool_begin_anew(struct spool *spool)
{
    for (size_t i = 0; i < spool->stream_count; i++) {
        struct spool_stream *stream = spool->streams[i];
        struct spool_ledger ledger = {.taken = stream->batch.held,
                                      .held = stream->batch.held,
                                      .bytes = stream->batch.bytes,
                                      .next = stream->batch.next};

        stream->batch = ledger;
        spool_touch(stream);
    }
    spool->touched = 1;
    spool_commit(spool);
}

void spool_restore(struct spool *spool, struct spool_stream *stream, const struct spool_ledger *known, uint64_t next)
{
    if (known->taken == 0)
        return;
    stream->ledger = *known;
    stream->ledger.dropped[SPOOL_DROP_LOST] += known->held;
    stream->ledger.held = stream->ledger.bytes = 0;
    /* The segment may say what it likes; the sums hold. */
    stream->ledger.taken = spool_ledger_sum(&stream->ledger);
    stream->ledger.next = next;
    stream->batch = stream->ledger;
    spool_touch(stream);
    spool->touched = 1;
    if (known->held > 0)
        spool_tell(spool, 1, "spooled messages are gone: channel=%s count=%llu path=%s", stream->source.channel,
                   (unsigned long long)known->held, spool->options.path);
}

void spool_count_lost(struct spool *spool, struct spool_stream *stream, uint64_t count)
{
    stream->batch.taken += count;
    stream->batch.dropped[SPOOL_DROP_LOST] += count;
    stream->ledger.taken += count;
    stream->ledger.dropped[SPOOL_DROP_LOST] += count;
    spool_touch(stream);
    spool->touched = 1;
}

/* An empty file that once held much gives the disk its space back. */
static void shrink(struct spool *spool)
{
    if (!spool->db || spool->in_transaction || spool->touched || spool->done_count > 0 || spool_held(spool) > 0)
        return;
    spool_rows_done(&spool->rows);
    if (spool_rows_shrink(&spool->rows) == SQLITE_OK)
        spool_measure(spool);
}

/* The clock has been set: the next boot is to tell the ages of what came in this one by it, whenever it came. */
static void follow_clock(struct spool *spool, uint64_t now_ns)
{
    uint64_t epoch_ns = epoch_of(now_ns);

    for (size_t i = 0; i < spool->stream_count; i++) {
        struct spool_stream *stream = spool->streams[i];
        uint64_t known_ns = stream->epoch_ns;

        if (known_ns == 0 || !spool_is_of_this_boot(spool, stream) ||
            (epoch_ns > known_ns ? epoch_ns - known_ns : known_ns - epoch_ns) < STEP_NS)
            continue;
        stream->epoch_ns = epoch_ns;
        if (stream->in_file) {
            spool_touch(stream);
            spool->touched = 1;
        }
    }
}

int spool_step(struct spool *spool, uint64_t now_ms, uint64_t now_ns)
{
    int worked = 0;

    if (spool->state != SPOOL_STATE_OK && now_ms >= spool->retry_ms) {
        spool->retry_ms = now_ms + SPOOL_RETRY_MS;
        spool->may_try = 1;
        if (!spool->db && get_file(spool) < 0)
            spool->may_try = 0;
        worked = 1;
    }
    if (spool->db && now_ms >= spool->trim_ms) {
        spool->trim_ms = now_ms + TRIM_MS;
        follow_clock(spool, now_ns);
        if (spool_trim_due(spool, now_ns))
            spool->trim_wanted = 1;
        shrink(spool);
    }
    if (spool->trim_wanted || spool->touched || spool->done_messages >= DONE_BATCH ||
        (spool->done_count > 0 && now_ms >= spool->done_ms))
        worked |= spool_commit(spool) == 0;
    return worked;
}

uint64_t spool_deadline_ms(const struct spool *spool)
{
    uint64_t deadline = UINT64_MAX;

    if (spool->state != SPOOL_STATE_OK)
        return spool->retry_ms;
    if (spool->done_count > 0)
        deadline = spool->done_ms;
    if (spool->trim_wanted || spool->touched)
        deadline = 0;
    if (spool_held(spool) > 0 && spool->trim_ms < deadline)
        deadline = spool->trim_ms;
    return deadline;
}
