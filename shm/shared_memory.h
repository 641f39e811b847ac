/* shared_memory.h: the public interface of libshmgate.
 *
 * A gateway (shmgated) owns a shared-memory segment with named channels. Messages that are written into a
 * publish channel appear on the MQTT topic that gateway.ini gives it; messages that arrive on the topic of a subscribe
 * channel can be read from it. Every channel can be read by any number of processes at once, each at its own place.
 *
 * Two ways to use it:
 *   - four calls for a program that wants no handles: shared_memory_init, _write, _read, _release;
 *   - handles, for several segments, per-thread writers, latest values, waiting, zero-copy and counters:
 *     shared_memory_attach and all that follows it below.
 *
 * RETURN VALUES: 0 or a count on success, -errno on failure; shared_memory_error() has the reason in words.
 *
 * THREADS: the four calls may be called from any thread, and none waits for another: a read with a timeout of 0 beside
 * a read of the same channel answers -EAGAIN. An attachment may be shared between threads. A writer or a reader handle
 * belongs to one thread at a time.
 *
 * FORK: a child must not use handles it inherited: it attaches for itself, also with shared_memory_init. The library
 * notices and answers -EPERM. Before fork returns in it, the child has let go of the segments: of its parent's lanes it
 * keeps none, and what a peek showed is gone. (Only of more than 256 segments attached at one time a child keeps some
 * until it ends.)
 *
 * RESTARTS: when the gateway stops, crashes or is upgraded, writers and readers go on; what was written meanwhile is
 * published afterwards. When it changes the segment's geometry the handles move over by themselves at their next call.
 * Only a channel that the new configuration no longer has answers -ENOENT. (A local reader of a publish channel can
 * miss a message that a writer was writing into the old segment just as the reader left it.) When somebody removes a
 * segment without a gateway, a writer notices within seconds, once nobody takes what it writes, and answers -ENOENT
 * until there is another.
 *
 * AGE: a message of a subscribe channel can have an end: its expiry interval, or the channel's max_age. No call gives
 * it out from then on; a message that ends while a peek shows it is still the caller's. The end is a Unix time and is
 * compared with this machine's clock: when that is set forward, waiting messages end early; when it is set back, they
 * wait longer.
 *
 * WAITING: nothing here blocks but the calls that take timeout_ms. A timeout of 0 never waits, a negative one waits for
 * ever.
 */
#ifndef SHMGATE_SHARED_MEMORY_H
#define SHMGATE_SHARED_MEMORY_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define SHARED_MEMORY_API __attribute__((visibility("default")))
#else
#define SHARED_MEMORY_API
#endif

#define SHARED_MEMORY_DEFAULT_SEGMENT "/shmgate"

/* ---- The everyday interface: four calls, one segment a process ---- */

/* Attach this process to `segment` (NULL: "/shmgate"), waiting up to timeout_ms for a gateway to make it.
 * Calling it again while attached is 0 when the segment is the same. Other threads' calls do not wait for it.
 * Errors: -ETIMEDOUT no gateway made the segment in time: start shmgated; -EACCES not in the segment's group;
 * -EPROTO made by an incompatible version; -EBUSY attached to another segment: release it first; -EINTR a signal
 * arrived; -ENOMEM. */
SHARED_MEMORY_API int shared_memory_init(const char *segment, int timeout_ms);

/* Write one message of `size` bytes (0 is allowed) into a publish channel. Never waits: bounded steps, no lock of
 * another process, no system call while the gateway is awake. The first write to a channel takes a free lane of it.
 * `payload` is copied and can be reused after this function returns.
 * Errors: -ENOTCONN call shared_memory_init first; -ENOENT no such channel; -EBADF it is a subscribe channel; -EMSGSIZE
 * above the channel's max_payload; -EAGAIN the ring is full and the channel has overflow = reject: try again later;
 * -EBUSY all of the channel's lanes have a living writer: raise `writers`. */
SHARED_MEMORY_API int shared_memory_write(const char *channel, const void *payload, size_t size);

/* Read the next message of a channel into `buffer`, waiting up to timeout_ms for one. The first read of a channel
 * starts at the oldest message its ring still holds. Returns the payload's size in bytes. Errors: -ENOTCONN, -ENOENT as
 * above; -ETIMEDOUT no message in time (-EAGAIN when timeout_ms is 0); -EMSGSIZE `size` is too small: the message stays
 * and the next read returns it; -EINTR a signal arrived. */
SHARED_MEMORY_API ssize_t shared_memory_read(const char *channel, void *buffer, size_t size, int timeout_ms);

/* Give the lanes back and detach. Returns 0; -ENOTCONN when not attached. Messages already written stay in the segment
 * and are published. A read that waits in another thread ends with -ECANCELED. */
SHARED_MEMORY_API int shared_memory_release(void);

/* The reason of this thread's last failure, as one line of text; valid until its next call into the library. Never
 * NULL. */
SHARED_MEMORY_API const char *shared_memory_error(void);

/* ---- Handles ---- */

struct shared_memory;        /* one attachment to a segment */
struct shared_memory_writer; /* one lane of a publish channel */
struct shared_memory_reader; /* one place in a channel */

/* Attach to `segment` (NULL: "/shmgate"), waiting up to timeout_ms for a gateway to make it. On success *shm must be
 * given to shared_memory_detach. Errors as for shared_memory_init. */
SHARED_MEMORY_API int shared_memory_attach(struct shared_memory **shm, const char *segment, int timeout_ms);

/* Detach; NULL is allowed. The memory stays mapped until the last writer and reader opened from it is closed as well.
 */
SHARED_MEMORY_API void shared_memory_detach(struct shared_memory *shm);

/* Open the publish channel `channel` for writing: takes one of its lanes, at the place the lane's last writer left it.
 * On success *writer must be given to shared_memory_writer_close.
 * Errors: -ENOENT, -EBADF, -EBUSY as for shared_memory_write; -ENOMEM. */
SHARED_MEMORY_API int shared_memory_writer_open(struct shared_memory *shm, const char *channel,
                                                struct shared_memory_writer **writer);

/* Give the lane back; NULL is allowed. */
SHARED_MEMORY_API void shared_memory_writer_close(struct shared_memory_writer *writer);

/* Write one message. Contract and errors as for shared_memory_write. */
SHARED_MEMORY_API int shared_memory_writer_write(struct shared_memory_writer *writer, const void *payload, size_t size);

/* Bytes that the largest payload of this channel may have. */
SHARED_MEMORY_API size_t shared_memory_writer_max_payload(const struct shared_memory_writer *writer);

/* Where a reader starts. */
enum shared_memory_start {
    SHARED_MEMORY_FROM_OLDEST = 0, /* the oldest message the ring still holds */
    SHARED_MEMORY_FROM_NOW = 1     /* the first message written after the call */
};

/* A message as a reader gets it. */
struct shared_memory_message {
    const void *payload; /* where it lies: in the caller's buffer after a read, in the segment after a peek */
    size_t size;         /* bytes of payload */
    const char *topic;   /* its topic, NUL-terminated; valid until the next call on this reader */
    size_t topic_size;   /* bytes of topic without the NUL */
    uint64_t sequence;   /* counts the messages of its lane from 0 */
    uint64_t time_ns;    /* Unix time of the write, in nanoseconds */
    uint64_t missed;   /* messages of the channel that were overwritten before this reader came to them, since the last
                          message it was given */
    uint32_t lane;     /* lane of the channel it came through; 0 in subscribe channels */
    uint32_t retained; /* 1: the broker had kept it from before the subscription */
    uint64_t expired;  /* messages that became too old before this reader came to them, since the last message it was
                          given */
    uint64_t reserved[4];
};

/* Open `channel` (of either direction) for reading. On success *reader must be given to shared_memory_reader_close.
 * Errors: -ENOENT no such channel; -EINVAL unknown start; -ENOMEM. */
SHARED_MEMORY_API int shared_memory_reader_open(struct shared_memory *shm, const char *channel,
                                                enum shared_memory_start start, struct shared_memory_reader **reader);

/* Close a reader; NULL is allowed. */
SHARED_MEMORY_API void shared_memory_reader_close(struct shared_memory_reader *reader);

/* Copy the next message into `buffer` of `size` bytes, waiting up to timeout_ms. Returns 0 with *message filled.
 * Messages of one lane come in order, none twice, none torn. -EMSGSIZE leaves message->size at the size needed and the
 * reader at its place. Other errors: -EAGAIN, -ETIMEDOUT, -EINTR, -ENOENT as for shared_memory_read; -ECANCELED by
 * shared_memory_reader_cancel. */
SHARED_MEMORY_API int shared_memory_reader_read(struct shared_memory_reader *reader, void *buffer, size_t size,
                                                struct shared_memory_message *message, int timeout_ms);

/* Copy the newest message of the channel, or -EAGAIN when it never had one, or that is too old by now; leaves the
 * reader's place as it is. Among several lanes the one with the latest time stamp wins. Never waits. -EMSGSIZE as
 * above. */
SHARED_MEMORY_API int shared_memory_reader_latest(struct shared_memory_reader *reader, void *buffer, size_t size,
                                                  struct shared_memory_message *message);

/* Look at the next message where it lies, without a copy, waiting up to timeout_ms. message->payload points into the
 * segment until shared_memory_reader_advance; it is aligned to 8 bytes. Its bytes may change under the caller when the
 * channel overwrites (drop-oldest, and every subscribe channel): only what shared_memory_reader_advance answers with 0
 * was right. Errors as for shared_memory_reader_read. */
SHARED_MEMORY_API int shared_memory_reader_peek(struct shared_memory_reader *reader,
                                                struct shared_memory_message *message, int timeout_ms);

/* Step over the message of the last peek. Returns 0: the bytes seen were the message; -ESTALE: it was overwritten
 * meanwhile, discard what was seen (it counts as missed); -EINVAL: there was no peek. */
SHARED_MEMORY_API int shared_memory_reader_advance(struct shared_memory_reader *reader);

/* End the wait of this reader that is under way in another thread, or its next one if none is: that call returns
 * -ECANCELED, and the reader stays at its place. Calls with a timeout of 0 neither end nor use it up. Any thread, also
 * in a signal handler; not beside or after shared_memory_reader_close. */
SHARED_MEMORY_API void shared_memory_reader_cancel(struct shared_memory_reader *reader);

/* A descriptor for poll(2) and event loops that is readable whenever there may be a message: then read or peek with a
 * timeout of 0 until -EAGAIN, which sets it down. It may also be readable when there is nothing. It belongs to the
 * reader and is closed with it; only poll it. The first call makes it, and a thread that sleeps for it, with all
 * signals blocked. Returns it, the same each time. Errors: -EMFILE, -EAGAIN no thread to be had, -ENOMEM. */
SHARED_MEMORY_API int shared_memory_reader_fd(struct shared_memory_reader *reader);

/* Bytes that the largest payload of this channel may have. */
SHARED_MEMORY_API size_t shared_memory_reader_max_payload(const struct shared_memory_reader *reader);

/* ---- Counters ---- */

#define SHARED_MEMORY_DROP_REASONS 10
#define SHARED_MEMORY_DROP_SPACE 16 /* room, so that a reason can be added */

/* The ledger of a channel: written = delivered + queued + spooled + filtered + sum of dropped, at any instant of a
 * quiet system. */
struct shared_memory_counters {
    char name[64];
    const char *topic;  /* NUL-terminated; valid until this thread's next call of shared_memory_channel_counters or
                           shared_memory_channel_newest */
    int is_subscribe;   /* 0: publish */
    uint32_t lanes;     /* writers the channel has room for */
    uint64_t written;   /* publish: writes that returned 0; subscribe: messages that arrived for the channel */
    uint64_t delivered; /* publish: acknowledged by the broker (QoS 0: handed to the socket); subscribe: put into the
                           ring */
    uint64_t queued;    /* in the ring, not yet delivered */
    uint64_t spooled;   /* on disk, not yet delivered */
    uint64_t rejected;  /* writes answered with -EAGAIN; not part of written */
    uint64_t dropped[SHARED_MEMORY_DROP_SPACE]; /* by shared_memory_drop_name */
    uint64_t filtered;     /* held back on purpose: the channel publishes changes or windows only */
    uint64_t reserved[16]; /* 0 */
};

/* Number of channels of the segment. */
SHARED_MEMORY_API int shared_memory_channel_count(struct shared_memory *shm);

/* The counters of channel `index` (0 to count - 1). Returns 0; -ENOENT past the last one. */
SHARED_MEMORY_API int shared_memory_channel_counters(struct shared_memory *shm, int index,
                                                     struct shared_memory_counters *counters);

/* Write the ledger of all channels into `buffer` as one JSON object with a NUL, the same that the gateway publishes on
 * its stats topic:
 * {"segment": ..., "gateway": true|false, "link": "up"|"down", "spool": {"state": "off"|"ok"|"full"|"failed", "bytes":
 * n}, "channels": [{"name", "direction", "topic", "lanes", "written", "delivered", "queued", "spooled", "filtered",
 * "rejected", "dropped": {REASON: n, ...}, "latency_us", "by_lane"}, ...]}; "dropped" has the reasons that occurred. Of
 * publish channels, "by_lane" has the same counts for each lane of this segment that was ever written to, and
 * "latency_us", when messages have flown in the last minute or so,
 * {"write_to_send": {"p50", "p99", "p99.9", "max"}, "send_to_ack": likewise}, in microseconds.
 * Returns the length without the NUL; when that is not below `size` the text was cut: call again with a larger buffer.
 */
SHARED_MEMORY_API ssize_t shared_memory_stats_json(struct shared_memory *shm, char *buffer, size_t size);

/* Name of a drop reason, such as "overwritten"; NULL from SHARED_MEMORY_DROP_REASONS on. */
SHARED_MEMORY_API const char *shared_memory_drop_name(unsigned reason);

/* Whether a gateway serves the segment now (1), or the segment waits for the next one (0). */
SHARED_MEMORY_API int shared_memory_gateway_alive(struct shared_memory *shm);

/* Remove the segment and the semaphore of a gateway that is gone. Errors: -ENOENT there is none; -EBUSY a gateway runs
 * on it; -EACCES. */
SHARED_MEMORY_API int shared_memory_remove(const char *segment);

/* ---- Looking on ---- */

/* Attach to look only: the segment is mapped without the permission to write, so that nothing done with this attachment
 * can disturb anybody, and read permission on the segment is enough. All of "Counters" and of this part works with it;
 * readers and writers cannot be opened (-EROFS). Everything else as for shared_memory_attach. */
SHARED_MEMORY_API int shared_memory_attach_view(struct shared_memory **shm, const char *segment, int timeout_ms);

/* How the gateway does. Times are Unix times in nanoseconds; 0: never. */
struct shared_memory_status {
    uint64_t generation; /* tells this segment from those before and after it: an index of a channel is good for one
                            generation */
    int channels;
    int gateway_alive;    /* as shared_memory_gateway_alive */
    uint32_t gateway_pid; /* of the last gateway; for people */
    uint64_t gateway_start_ns;
    int link_up;             /* 1: connected to the broker */
    uint64_t link_change_ns; /* when that was last different */
    const char *spool_state; /* "off", "ok", "full" or "failed"; static */
    uint64_t spool_bytes;
    uint64_t reserved[8]; /* 0 */
};
SHARED_MEMORY_API int shared_memory_read_status(struct shared_memory *shm, struct shared_memory_status *status);

/* How a channel is made, and how fast its messages are. The latencies are those of the last minute or so, in
 * microseconds; all 0: no message. */
struct shared_memory_gauges {
    uint32_t qos, retain, lanes;
    uint32_t slots;               /* a lane */
    uint32_t max_payload;         /* bytes */
    uint32_t write_to_send_us[4]; /* p50, p99, p99.9, max */
    uint32_t send_to_ack_us[4];   /* the same; QoS 0: 0 */
    uint32_t reserved[16];        /* 0 */
};

/* Of channel `index`. Returns 0; -ENOENT past the last one. */
SHARED_MEMORY_API int shared_memory_channel_gauges(struct shared_memory *shm, int index,
                                                   struct shared_memory_gauges *gauges);

/* The ledger of one lane of channel `index` since the segment was made, without name and topic, and whether a living
 * writer has the lane (1 or 0). Returns 0; -ENOENT past the last lane or channel. */
SHARED_MEMORY_API int shared_memory_lane_counters(struct shared_memory *shm, int index, uint32_t lane,
                                                  struct shared_memory_counters *counters, int *has_writer);

/* The newest message of channel `index`: as much of the payload as fits is copied into `buffer`; message->size is what
 * it has. message->topic is valid until this thread's next call of this function or of
 * shared_memory_channel_counters. Returns 0; -EAGAIN: it never had one, or that
 * is too old by now, or was overwritten again and again while it was read; -ENOENT past the last channel; -ENOMEM.
 * Never waits. */
SHARED_MEMORY_API int shared_memory_channel_newest(struct shared_memory *shm, int index, void *buffer, size_t size,
                                                   struct shared_memory_message *message);

/* Call `visit` with the name of each segment on this machine that this process may read, in no order, until it returns
 * other than 0. `name` is valid during the call. Returns what the last call returned, 0 without any; -errno when the
 * system does not tell. */
SHARED_MEMORY_API int shared_memory_each_segment(int (*visit)(void *context, const char *name), void *context);

#ifdef __cplusplus
}
#endif
#endif
