/* spool_trim.c: the limits of the spool: size and age of the whole, and of a channel. The oldest goes first, and is
 * counted. */
#include <string.h>

#include "shm/platform.h"
#include "spool/spool_internal.h"

/* Messages that one commit drops at most: some 20 ms of work. */
#define TRIM_MAX 4096

/* Messages that are dropped before the size is looked at again: it falls when a page of 4 KiB is empty. */
#define TRIM_STEP 8

/* 2020-01-01 as Unix time. A machine without a battery for its clock starts in 1970 or at its image's date: a message
 * from before this program existed has a wrong time, not a great age. */
#define CLOCK_SET_NS UINT64_C(1577836800000000000)

/* Nor has one the age of more than ten years, the longest max_age: a clock is far ahead. */
#define AGE_BELIEVED_NS (UINT64_C(3653) * 86400 * 1000000000)

/* When the message came, as Unix time, as well as that is known. */
static uint64_t came_ns(const struct spool_stream *stream, const struct spool_row *row)
{
    return stream ? stream->epoch_ns + row->spooled_ns : row->spooled_ns;
}

static uint64_t age_ns(const struct spool *spool, const struct spool_row *row, uint64_t now_ns)
{
    const struct spool_stream *stream = spool_stream_by_id(spool, row->stream);
    int is_present = stream && spool_is_of_this_boot(spool, stream);
    uint64_t boot_ns = platform_boot_ns(), unix_ns = came_ns(stream, row), age = 0;

    if (is_present && stream->epoch_ns > 0)
        return boot_ns > row->spooled_ns ? boot_ns - row->spooled_ns : 0;
    if (unix_ns >= CLOCK_SET_NS && now_ns > unix_ns && now_ns - unix_ns <= AGE_BELIEVED_NS)
        age = now_ns - unix_ns;
    /* What came in an earlier boot has lain here for all of this one. */
    if (stream && !is_present && spool->boot[0] && age < boot_ns)
        age = boot_ns;
    return age;
}

static int too_old(const struct spool *spool, const struct spool_row *row, uint64_t max_age_ms, uint64_t now_ns)
{
    return max_age_ms > 0 && age_ns(spool, row, now_ns) / 1000000 > max_age_ms;
}

static int trim_drop(struct spool *spool, const struct spool_row *row, enum spool_drop reason)
{
    struct spool_stream *stream = spool_stream_by_id(spool, row->stream);

    /* A message of no stream is nothing that we wrote. */
    return stream ? spool_remove(spool, stream, row->sequence, 1, (int)reason) : SQLITE_CORRUPT;
}

/* Drop what is too old or too much of the whole. */
static int trim_all(struct spool *spool, uint64_t now_ns, unsigned *left)
{
    const struct spool_options *options = &spool->options;
    unsigned owed = 0;
    struct spool_row row;
    uint64_t used;
    int rc;

    while (*left > 0) {
        enum spool_drop reason = SPOOL_DROP_SIZE;

        rc = spool_rows_oldest(&spool->rows, 0, &row);
        if (rc != SQLITE_OK)
            return rc == SQLITE_NOTFOUND ? SQLITE_OK : rc;
        if (too_old(spool, &row, options->max_age_ms, now_ns)) {
            reason = SPOOL_DROP_AGE;
        } else if (owed > 0) {
            owed--;
        } else {
            if ((rc = spool_rows_used(&spool->rows, &used)) != SQLITE_OK)
                return rc;
            if (used <= options->max_bytes)
                return SQLITE_OK;
            owed = TRIM_STEP - 1;
        }
        if ((rc = trim_drop(spool, &row, reason)) != SQLITE_OK)
            return rc;
        --*left;
    }
    spool->trim_more = 1;
    return SQLITE_OK;
}

/* The oldest message of a channel, and the bytes it holds. SQLITE_NOTFOUND: none. */
static int oldest_of_channel(struct spool *spool, const char *channel, struct spool_row *oldest, uint64_t *bytes)
{
    uint64_t oldest_ns = 0;
    int rc = SQLITE_NOTFOUND;

    *bytes = 0;
    for (size_t i = 0; i < spool->stream_count; i++) {
        const struct spool_stream *stream = spool->streams[i];
        struct spool_row row;
        int result;

        if (stream->batch.held == 0 || strcmp(stream->source.channel, channel) != 0)
            continue;
        *bytes += stream->batch.bytes;
        result = spool_rows_oldest(&spool->rows, stream->id, &row);
        if (result != SQLITE_OK && result != SQLITE_NOTFOUND)
            return result;
        if (result == SQLITE_OK && (rc != SQLITE_OK || came_ns(stream, &row) < oldest_ns)) {
            *oldest = row;
            oldest_ns = came_ns(stream, &row);
            rc = SQLITE_OK;
        }
    }
    return rc;
}

static int trim_channel(struct spool *spool, const struct spool_limit *limit, uint64_t now_ns, unsigned *left)
{
    while (*left > 0) {
        struct spool_row row;
        uint64_t bytes;
        int rc = oldest_of_channel(spool, limit->channel, &row, &bytes), old;

        if (rc != SQLITE_OK)
            return rc == SQLITE_NOTFOUND ? SQLITE_OK : rc;
        old = too_old(spool, &row, limit->max_age_ms, now_ns);
        if (!old && (limit->max_bytes == 0 || bytes <= limit->max_bytes))
            return SQLITE_OK;
        if ((rc = trim_drop(spool, &row, old ? SPOOL_DROP_AGE : SPOOL_DROP_SIZE)) != SQLITE_OK)
            return rc;
        --*left;
    }
    spool->trim_more = 1;
    return SQLITE_OK;
}

int spool_trim(struct spool *spool, uint64_t now_ns)
{
    unsigned left = TRIM_MAX;
    int rc = SQLITE_OK;

    spool->trim_more = 0;
    for (size_t i = 0; rc == SQLITE_OK && i < spool->options.limit_count; i++)
        rc = trim_channel(spool, &spool->options.limits[i], now_ns, &left);
    return rc == SQLITE_OK ? trim_all(spool, now_ns, &left) : rc;
}

int spool_trim_due(struct spool *spool, uint64_t now_ns)
{
    struct spool_row row;
    uint64_t bytes;

    if (spool_held(spool) == 0)
        return 0;
    if (spool_rows_oldest(&spool->rows, 0, &row) == SQLITE_OK &&
        too_old(spool, &row, spool->options.max_age_ms, now_ns))
        return 1;
    for (size_t i = 0; i < spool->options.limit_count; i++)
        if (oldest_of_channel(spool, spool->options.limits[i].channel, &row, &bytes) == SQLITE_OK &&
            too_old(spool, &row, spool->options.limits[i].max_age_ms, now_ns))
            return 1;
    return 0;
}
