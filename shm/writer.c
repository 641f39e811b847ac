/* writer.c: the public writer handle: one lane of a publish channel. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "handles_internal.h"
#include "platform.h"

struct shared_memory_writer {
    struct shared_memory *shm;
    struct mapping *mapping;
    uint32_t lane;  /* of the segment */
    uint32_t place; /* the same, of the channel: kept in a new segment if nobody was faster, as topics may hang on it */
    struct ring_writer ring;
    uint64_t looked_ns, looked_tail; /* when it was last looked whether somebody takes the messages, and how far they
                                        were */
    char channel[LAYOUT_NAME_SIZE];
};

/* Find the channel in `mapping` and take a lane of it. The handle is changed only on success. */
static int writer_enter(struct shared_memory_writer *writer, struct mapping *mapping)
{
    int channel = segment_find(&mapping->segment, writer->channel), lane;
    struct ring ring;

    if (channel < 0)
        return handle_fail_channel(writer->shm, mapping, writer->channel);
    if (mapping->segment.layout.channels[channel].direction != LAYOUT_PUBLISH)
        return handle_fail(-EBADF, "channel %s is a subscribe channel: only the gateway writes it", writer->channel);
    lane = attachment_take_lane(writer->shm, mapping, (uint32_t)channel, writer->place);
    if (lane < 0)
        return lane;
    ring = segment_ring(&mapping->segment, (uint32_t)lane);
    ring_writer_start(&writer->ring, &ring, mapping->segment.layout.channels[channel].overflow == LAYOUT_REJECT);
    writer->lane = (uint32_t)lane;
    writer->place = writer->lane - mapping->segment.layout.channels[channel].lane_first;
    writer->mapping = mapping;
    writer->looked_tail = UINT64_MAX;
    return 0;
}

static void writer_leave(struct shared_memory_writer *writer, struct mapping *mapping, uint32_t lane)
{
    attachment_give_lane(writer->shm, mapping, lane);
    attachment_release(writer->shm, mapping);
}

int shared_memory_writer_open(struct shared_memory *shm, const char *channel, struct shared_memory_writer **out)
{
    struct shared_memory_writer *writer;
    struct mapping *mapping;
    int rc;

    *out = NULL;
    if ((rc = handle_check_fork(shm)) < 0 || (rc = handle_check_writable(shm)) < 0)
        return rc;
    if (strlen(channel) >= LAYOUT_NAME_SIZE)
        return handle_fail(-ENOENT, "no channel %.63s...: names have at most %d characters", channel,
                           LAYOUT_NAME_SIZE - 1);
    writer = calloc(1, sizeof(*writer));
    if (!writer)
        return handle_fail_plain(-ENOMEM, "out of memory");
    writer->shm = shm;
    memcpy(writer->channel, channel, strlen(channel) + 1);
    if ((rc = attachment_live(shm, &mapping)) < 0) {
        free(writer);
        return rc;
    }
    if ((rc = writer_enter(writer, mapping)) < 0) {
        attachment_release(shm, mapping);
        free(writer);
        return rc;
    }
    attachment_hold(shm);
    *out = writer;
    return 0;
}

void shared_memory_writer_close(struct shared_memory_writer *writer)
{
    if (!writer)
        return;
    /* In a child the lane is the parent's: only the memory is given back. */
    if (handle_check_fork(writer->shm) == 0)
        writer_leave(writer, writer->mapping, writer->lane);
    attachment_drop(writer->shm);
    free(writer);
}

#define LOOK_NS UINT64_C(1000000000)

/* The gateway has replaced the segment: go on in the new one. Off the usual path, so it may call the system. */
static int writer_move(struct shared_memory_writer *writer)
{
    struct mapping *stale = writer->mapping, *fresh;
    uint32_t stale_lane = writer->lane;
    int rc = attachment_renew(writer->shm, stale, &fresh);

    if (rc < 0)
        return rc;
    if (fresh == stale) {
        attachment_release(writer->shm, fresh);
        return 0;
    }
    if ((rc = writer_enter(writer, fresh)) < 0) {
        attachment_release(writer->shm, fresh);
        return rc;
    }
    writer_leave(writer, stale, stale_lane);
    return 0;
}

/* Once a second: while nobody takes what is written, see whether the segment still has its name. Without it nobody ever
 * will, and the writer goes on in the one that has, or fails. */
static int writer_look(struct shared_memory_writer *writer, uint64_t now_ns)
{
    uint64_t tail = ring_tail(&writer->ring.ring);
    int taken = tail != writer->looked_tail || writer->ring.next <= tail;

    writer->looked_ns = now_ns;
    writer->looked_tail = tail;
    return taken || attachment_has_name(writer->shm, writer->mapping) ? 0 : writer_move(writer);
}

int shared_memory_writer_write(struct shared_memory_writer *writer, const void *payload, size_t size)
{
    struct ring_message message = {.payload = payload, .topic = ""};
    const struct segment *segment;
    uint32_t sleep;
    int rc;

    /* The slot's memory comes while the clock is looked at. */
    ring_writer_prepare(&writer->ring);
    message.time_ns = platform_time_ns();
    if ((rc = handle_check_fork(writer->shm)) < 0)
        return rc;
    if (mapping_retired(writer->mapping) && (rc = writer_move(writer)) < 0)
        return rc;
    if (message.time_ns - writer->looked_ns >= LOOK_NS && (rc = writer_look(writer, message.time_ns)) < 0)
        return rc;
    if (size > writer->ring.ring.max_payload)
        return handle_fail(
            -EMSGSIZE,
            "channel %s: payload of %zu bytes, max_payload is %u: shorten it or raise max_payload in gateway.ini",
            writer->channel, size, writer->ring.ring.max_payload);
    message.size = (uint32_t)size;
    if ((rc = ring_write(&writer->ring, &message)) < 0)
        return handle_fail_plain(
            rc, "the channel's ring is full (overflow = reject): try again when the gateway has published some");
    segment = &writer->mapping->segment;
    sleep = ring_notify(segment->header, segment->dirty, writer->lane);
    if (sleep != 0) {
        platform_doorbell_post(segment->doorbell);
        ring_posted(segment->header, sleep);
    }
    return 0;
}

size_t shared_memory_writer_max_payload(const struct shared_memory_writer *writer)
{
    return writer->ring.ring.max_payload;
}
