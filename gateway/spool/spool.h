/* spool.h: messages on disk until the broker has them: what is taken, what comes next, what is done with, and the count
 * of it all.
 *
 * A stream is one lane of one segment. Messages come into a stream in the order of their sequence numbers and are sent
 * in that order (backlog.h). What happens to them is gathered in a batch and becomes true, for the disk and for the
 * counts alike, with spool_commit:
 *   - a batch that took messages is on the disk when spool_commit returns (fsync); only then may their slots in the
 * ring be given back
 *   - a batch that only ticked off delivered messages is not waited for: after a power cut some of them may be sent
 * again
 *   - a batch that fails changes nothing: what was taken is still the ring's, what was done with is ticked off by a
 * later batch
 *
 * A file that cannot be used never stops anything else. Damaged, it is set aside under another name and a new one is
 * begun; otherwise (of a later version, disk full, no permission, read-only, locked) it is left alone and nothing is
 * taken until a try, every SPOOL_RETRY_MS, succeeds. Both are said once in the log.
 *
 * For the loop's thread only. All functions but those that only look may block on the disk.
 */
#ifndef SHMGATE_SPOOL_H
#define SHMGATE_SPOOL_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#define SPOOL_RETRY_MS 2000

/* Bytes a message needs beside its payload: columns, index entry, page overhead (measured: 64-byte payloads take 122
 * bytes of file each). */
#define SPOOL_MESSAGE_BYTES 58

/* Bytes that the file's journal takes in ordinary use, beside what the limits count. */
#define SPOOL_JOURNAL_BYTES (2 << 20)

enum spool_state {
    SPOOL_STATE_OFF, /* no channel asks for it */
    SPOOL_STATE_OK,
    SPOOL_STATE_FULL,  /* the disk is full, or the journal cannot be shortened */
    SPOOL_STATE_FAILED /* it cannot be used: the log says why */
};

/* Why a message that was taken will not be delivered. */
enum spool_drop { SPOOL_DROP_SIZE, SPOOL_DROP_AGE, SPOOL_DROP_REFUSED, SPOOL_DROP_LOST, SPOOL_DROP_REASONS };

/* What became of a stream's messages: taken = held + delivered + sum of dropped. */
struct spool_ledger {
    uint64_t taken, held, delivered;
    uint64_t dropped[SPOOL_DROP_REASONS];
    uint64_t bytes; /* payloads held, and SPOOL_MESSAGE_BYTES for each */
    uint64_t next;  /* sequence number behind the last one taken */
};

/* Where messages come from and how they are published. Strings are copied. */
struct spool_source {
    const char *channel, *topic, *boot;
    unsigned qos;
    int retain;
    int source;          /* 1: published with its origin as user properties */
    uint64_t generation; /* of the segment */
    uint32_t lane;       /* of the segment */
};

struct spool_stream {
    int64_t id;
    struct spool_source source; /* owned by the spool */
    /* When its boot began, as Unix time by the clock as it was last seen in that boot: spooled_ns of its messages is
     * boot time, which nobody sets. 0: it is Unix time, as written by shmgate before this, or of an unknown boot. */
    uint64_t epoch_ns;
    struct spool_ledger ledger; /* as committed */
    struct spool_ledger batch;  /* with the open batch */
    int touched;                /* 1: the next commit writes its row */
    int in_file;                /* 1: it has a row */
    void *replay;               /* for publish/replay.c */
};

/* Limits of a channel of its own. 0: none. */
struct spool_limit {
    const char *channel; /* borrowed */
    uint64_t max_bytes, max_age_ms;
};

struct spool_options {
    const char *path;    /* borrowed, as are the limits */
    uint64_t max_bytes;  /* of the file */
    uint64_t max_age_ms; /* 0: none */
    const struct spool_limit *limits;
    size_t limit_count;
};

struct spool_message {
    uint64_t sequence, time_ns;
    const void *payload;
    size_t size;
};

struct spool;

/* Tells the log, with a constant format and its arguments. `fault`: 1 something is wrong, 0 it is well again. */
typedef void (*spool_report)(void *context, int fault, const char *format, va_list arguments);

/* Begin with the file at options->path, which is made if need be. Fails only for lack of memory: whatever is wrong with
 * the file, there is a spool, perhaps in SPOOL_STATE_FAILED. On success *out must be given to spool_close. -ENOMEM. */
int spool_open(struct spool **out, const struct spool_options *options, spool_report report, void *context);

/* Commit what can be, and close. NULL is allowed. */
void spool_close(struct spool *spool);

enum spool_state spool_state(const struct spool *spool);
uint64_t spool_bytes(const struct spool *spool); /* of the file that are in use; 0 when it is not open */
uint64_t spool_held(const struct spool *spool);  /* messages */

/* All streams, in the order of their making; borrowed, and valid until the spool is closed. */
size_t spool_stream_count(const struct spool *spool);
struct spool_stream *spool_stream(const struct spool *spool, size_t index);

/* The stream of that generation and lane, or NULL. */
struct spool_stream *spool_find(const struct spool *spool, uint64_t generation, uint32_t lane);

/* The same; it is made when there is none, with its row written by the next commit that takes from it. NULL: out of
 * memory. */
struct spool_stream *spool_stream_for(struct spool *spool, const struct spool_source *source);

/* Forget everything but what is held: the segment whose counters these were is gone. */
void spool_begin_anew(struct spool *spool);

/* A stream that is new to the file, though the segment knows what became of its messages: take that over, with what was
 * held as lost. `next` is behind the last message that was taken. */
void spool_restore(struct spool *spool, struct spool_stream *stream, const struct spool_ledger *known, uint64_t next);

/* Messages that were once taken from this source are not here (the file was lost): count them. */
void spool_count_lost(struct spool *spool, struct spool_stream *stream, uint64_t count);

/* Take one message into the batch; its sequence number is not below batch.next. The payload is copied. `now_ns` is Unix
 * time, for a stream that has no epoch.
 * -EINVAL the sequence number is out of order; other errors: the batch is lost, nothing of it was taken. */
int spool_take(struct spool *spool, struct spool_stream *stream, const struct spool_message *message, uint64_t now_ns);

/* The first message at or above `sequence` that the file holds. Its payload is valid until the next call. Returns 0;
 * -ENOENT there is none; -errno. */
int spool_next(struct spool *spool, const struct spool_stream *stream, uint64_t sequence,
               struct spool_message *message);

/* `count` messages from `sequence` on were delivered (dropped < 0) or will not be (an enum spool_drop). What is not
 * held any more is not counted. Kept in memory until a batch succeeds; -ENOBUFS: there are SPOOL_DONE_MAX such answers
 * already. Whoever sends asks spool_can_drain before, which leaves room for SPOOL_DONE_RESERVE answers that are still
 * to come. */
#define SPOOL_DONE_MAX 4096
#define SPOOL_DONE_RESERVE 128
int spool_done(struct spool *spool, struct spool_stream *stream, uint64_t sequence, uint32_t count, int dropped);

/* Whether taking can be tried: it works, or it is time to see whether it does again. */
int spool_ready(const struct spool *spool);

/* Forget what the batch has taken. */
void spool_abandon(struct spool *spool);

/* Whether messages can be read and ticked off: 0 while the file is not open, or so much is to be ticked off that the
 * disk must take some first. */
int spool_can_drain(const struct spool *spool);

/* End the batch. Returns 0, also when there was none; -errno: all its changes are undone. */
int spool_commit(struct spool *spool);

/* Ages. What came in this boot is as old as CLOCK_BOOTTIME says, whatever becomes of the clock. What came in an earlier
 * one is as old as Unix time says, by the clock as it was at that boot's end, and no younger than this boot; a time
 * from before 2020, or to come, or more than ten years ago is that of a wrong clock, and tells nothing.
 *
 * Do what is due: end a batch that has waited long enough, try again after a failure, drop what is too old or too much.
 * Returns whether a ledger may have changed. */
int spool_step(struct spool *spool, uint64_t now_ms, uint64_t now_ns);

/* When spool_step wants to be called, on the clock of now_ms; UINT64_MAX: no need. */
uint64_t spool_deadline_ms(const struct spool *spool);

#endif
