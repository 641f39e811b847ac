/* world.c: the others. See world.h. */
#include "world.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/statvfs.h>

#include "message.h"

int world_private;

static const char *const channel_names[CHANNELS] = CHANNEL_NAMES;

uint32_t world_identity(void)
{
    static uint32_t last = 1;

    return last += 2;
}

void world_footprint(uint64_t *bytes, unsigned *files)
{
    DIR *directory = opendir("/dev/shm");
    struct statvfs status;

    *bytes = 0;
    *files = 0;
    if (world_private && statvfs("/dev/shm", &status) == 0)
        *bytes = (status.f_blocks - status.f_bfree) * status.f_frsize;
    for (struct dirent *entry; directory && (entry = readdir(directory)) != NULL;)
        *files += world_private ? entry->d_name[0] != '.' : strstr(entry->d_name, "shmgate-sweep-") != NULL;
    if (directory)
        closedir(directory);
}

/* ---- Coming and going ---- */

int world_serve(struct world *world, int must)
{
    struct reason reason;
    int rc = gateway_serve(&world->gateway, world->name, &reason);

    if (rc >= 0)
        gateway_begin(&world->gateway, world_identity());
    else if (must)
        violation("a gateway could not start: %s", reason.text);
    return rc;
}

static void open_writer(struct world *world, enum sweep_channel channel, struct world_writer *writer)
{
    int rc = shared_memory_writer_open(world->shm, channel_names[channel], &writer->handle);

    writer->self = world_identity();
    writer->number = 0;
    if (rc < 0)
        violation("a writer could not open channel %s: %s", channel_names[channel], shared_memory_error());
}

void world_attach(struct world *world)
{
    int rc = shared_memory_attach(&world->shm, world->name, 0);

    memset(world->lanes, 0, sizeof(world->lanes));
    memset(world->rejected, 0, sizeof(world->rejected));
    if (rc < 0) {
        violation("a process could not attach: %s", shared_memory_error());
        world->shm = NULL;
        return;
    }
    for (int channel = 0; channel < CHANNELS; channel++) {
        struct shared_memory_counters counters;

        if (shared_memory_channel_counters(world->shm, channel, &counters) == 0)
            world->rejected[channel] = counters.rejected;
        if (shared_memory_reader_open(world->shm, channel_names[channel], SHARED_MEMORY_FROM_OLDEST,
                                      &world->close[channel]) < 0)
            violation("a reader could not open channel %s: %s", channel_names[channel], shared_memory_error());
    }
    for (int channel = NEWEST; channel <= STRICT; channel++)
        for (int i = 0; i < SECONDS; i++)
            open_writer(world, channel, &world->writers[channel][i]);
}

void world_detach(struct world *world)
{
    for (int channel = NEWEST; channel <= STRICT; channel++)
        for (int i = 0; i < SECONDS; i++) {
            shared_memory_writer_close(world->writers[channel][i].handle);
            world->writers[channel][i].handle = NULL;
        }
    for (int channel = 0; channel < CHANNELS; channel++) {
        shared_memory_reader_close(world->close[channel]);
        shared_memory_reader_close(world->slow[channel]);
        world->close[channel] = world->slow[channel] = NULL;
    }
    shared_memory_detach(world->shm);
    world->shm = NULL;
}

void world_end(struct world *world)
{
    uint64_t bytes;
    unsigned files;
    int rc;

    world_detach(world);
    gateway_stop(&world->gateway);
    rc = shared_memory_remove(world->name);
    if (rc < 0 && rc != -ENOENT)
        violation("the segment could not be removed: %s", shared_memory_error());
    world_footprint(&bytes, &files);
    if (bytes > 0 || files > 0)
        violation("left in /dev/shm: %llu bytes, %u names", (unsigned long long)bytes, files);
}

/* ---- Reading ---- */

static void note_message(struct world *world, uint32_t number, const struct shared_memory_message *message,
                         const void *payload)
{
    struct world_lane *lane = &world->lanes[number];
    uint32_t writer, count;

    if (!message_whole(payload, message->size, &writer, &count))
        violation("torn message %llu of lane %u", (unsigned long long)message->sequence, number);
    if (number == gateway_first_lane(INWARD) && strcmp(message->topic, TOPIC) != 0)
        violation("message %llu has topic %s", (unsigned long long)message->sequence, message->topic);
    if (lane->known && message->sequence != lane->next)
        violation("lane %u: message %llu after %llu", number, (unsigned long long)message->sequence,
                  (unsigned long long)lane->next - 1);
    if (writer == 0) { /* too short to tell: it is the present writer's next */
        writer = lane->writer;
        count = lane->number + 1;
    }
    if (lane->known && (writer == lane->writer ? count != lane->number + 1 : count != 1))
        violation("lane %u: number %u of writer %u after number %u of writer %u: lost, or there twice", number, count,
                  writer, lane->number, lane->writer);
    lane->known = 1;
    lane->next = message->sequence + 1;
    lane->writer = writer;
    lane->number = count;
    lane->record[message->sequence % (2 * SLOTS)].writer = writer;
    lane->record[message->sequence % (2 * SLOTS)].number = count;
}

void world_read(struct world *world)
{
    unsigned char payload[PAYLOAD];
    struct shared_memory_message message;

    for (int channel = 0; channel < CHANNELS && world->close[channel]; channel++) {
        int rc;

        while ((rc = shared_memory_reader_read(world->close[channel], payload, sizeof(payload), &message, 0)) == 0) {
            if (message.missed > 0 && world->lanes[gateway_first_lane(channel) + message.lane].known)
                violation("a reader missed %llu messages that nobody overwrote", (unsigned long long)message.missed);
            note_message(world, gateway_first_lane(channel) + message.lane, &message, payload);
        }
        if (rc != -EAGAIN)
            violation("a reader could not read: %s", shared_memory_error());
    }
}

static void read_channel_again(struct world *world, enum sweep_channel channel)
{
    struct shared_memory_reader *reader;
    struct shared_memory_message message;
    unsigned char payload[PAYLOAD];
    unsigned found[WRITERS] = {0};
    uint32_t writer, number;

    if (shared_memory_reader_open(world->shm, channel_names[channel], SHARED_MEMORY_FROM_OLDEST, &reader) < 0) {
        violation("a reader could not open channel %s: %s", channel_names[channel], shared_memory_error());
        return;
    }
    while (shared_memory_reader_read(reader, payload, sizeof(payload), &message, 0) == 0) {
        uint32_t at = gateway_first_lane(channel) + message.lane;
        const struct world_lane *lane = &world->lanes[at];

        found[message.lane]++;
        if (!message_whole(payload, message.size, &writer, &number))
            violation("torn message %llu of lane %u, read again", (unsigned long long)message.sequence, at);
        if (!lane->known || message.sequence >= lane->next)
            violation("lane %u has message %llu, which the reader before did not get", at,
                      (unsigned long long)message.sequence);
        else if (writer != 0 &&
                 (lane->record[message.sequence % (2 * SLOTS)].writer != writer ||
                  lane->record[message.sequence % (2 * SLOTS)].number != number) &&
                 lane->record[message.sequence % (2 * SLOTS)].writer != 0)
            violation("lane %u: message %llu is another one than before", at, (unsigned long long)message.sequence);
    }
    shared_memory_reader_close(reader);
    /* One slot may be in the hands of a stopped or dead writer. */
    for (uint32_t i = 0; i < (channel == INWARD ? 1u : WRITERS); i++) {
        const struct world_lane *lane = &world->lanes[gateway_first_lane(channel) + i];

        if (lane->known && found[i] + 1 < (lane->next < SLOTS ? lane->next : SLOTS))
            violation("lane %u holds only %u messages", gateway_first_lane(channel) + i, found[i]);
    }
}

void world_read_again(struct world *world)
{
    for (int channel = 0; channel < CHANNELS && world->shm; channel++)
        read_channel_again(world, channel);
}

/* Messages of the channel that the close reader has seen. */
static uint64_t channel_total(const struct world *world, enum sweep_channel channel)
{
    uint64_t total = 0;

    for (uint32_t i = 0; i < (channel == INWARD ? 1u : WRITERS); i++)
        total += world->lanes[gateway_first_lane(channel) + i].next;
    return total;
}

void world_slow_begin(struct world *world)
{
    world_read(world);
    for (int channel = 0; channel < CHANNELS; channel++) {
        world->slow_from[channel] = channel_total(world, channel);
        if (shared_memory_reader_open(world->shm, channel_names[channel], SHARED_MEMORY_FROM_NOW,
                                      &world->slow[channel]) < 0)
            violation("a reader could not open channel %s: %s", channel_names[channel], shared_memory_error());
    }
}

void world_slow_end(struct world *world)
{
    unsigned char payload[PAYLOAD];
    struct shared_memory_message message;
    uint32_t writer, number;

    world_read(world);
    for (int channel = 0; channel < CHANNELS && world->slow[channel]; channel++) {
        uint64_t got = 0, want = channel_total(world, channel) - world->slow_from[channel];

        while (shared_memory_reader_read(world->slow[channel], payload, sizeof(payload), &message, 0) == 0) {
            got += 1 + message.missed;
            if (!message_whole(payload, message.size, &writer, &number))
                violation("a slow reader got a torn message");
        }
        if (got != want)
            violation("a slow reader of %s got or missed %llu messages of %llu", channel_names[channel],
                      (unsigned long long)got, (unsigned long long)want);
        shared_memory_reader_close(world->slow[channel]);
        world->slow[channel] = NULL;
    }
}

/* ---- Writing ---- */

/* Returns what the write returned. */
static int write_one(struct world *world, enum sweep_channel channel, struct world_writer *writer)
{
    unsigned char payload[PAYLOAD];
    int rc;

    if (!writer->handle)
        return -ENOTCONN;
    message_fill(payload, 64, writer->self, writer->number + 1);
    rc = shared_memory_writer_write(writer->handle, payload, 64);
    writer->number += rc == 0;
    world->rejected[channel] += rc == -EAGAIN;
    if (rc < 0 && (rc != -EAGAIN || channel != STRICT))
        violation("a writer of %s could not write: %s", channel_names[channel], shared_memory_error());
    return rc;
}

static void newest_go_on(struct world *world)
{
    for (int i = 0; i < 2 * SLOTS + 1; i++) {
        for (int j = 0; j < SECONDS; j++)
            write_one(world, NEWEST, &world->writers[NEWEST][j]);
        if (i == 0 && world->gateway.asleep && !gateway_woken(&world->gateway))
            violation("the gateway sleeps although a write has returned");
        if (i % 2 == 0)
            world_read(world);
    }
}

/* Fill the ring and, while there is a gateway, have it emptied, until it has wrapped twice. */
static void strict_go_on(struct world *world)
{
    for (int round = 0; round < 3; round++) {
        for (int j = 0; j < SECONDS; j++) {
            int taken = 0;

            while (taken <= SLOTS && write_one(world, STRICT, &world->writers[STRICT][j]) == 0)
                taken++;
            if (taken > SLOTS || (world->gateway.serving && taken < SLOTS))
                violation("a ring of %d slots that the gateway had emptied took %d messages", SLOTS, taken);
        }
        world_read(world);
        if (world->gateway.serving)
            gateway_turn(&world->gateway, 0);
    }
}

void world_go_on(struct world *world)
{
    if (!world->shm)
        return;
    newest_go_on(world);
    if (world->gateway.serving) {
        gateway_turn(&world->gateway, 0);
        for (int i = 0; i < 2 * SLOTS + 1; i++) {
            gateway_prepare_inward(&world->gateway);
            gateway_write_inward(&world->gateway);
            if (i % 2 == 0)
                world_read(world);
        }
    }
    strict_go_on(world);
    world_read(world);
    world_read_again(world);
    for (int channel = NEWEST; channel <= STRICT; channel++)
        for (int i = 0; i < SECONDS; i++) {
            const struct world_writer *writer = &world->writers[channel][i];

            if (writer->handle && writer->number > 0)
                world_expect(world, gateway_first_lane(channel) + i, writer->self, writer->number);
        }
}

int world_succeed(struct world *world, enum sweep_channel channel)
{
    struct world_writer writer = {.self = world_identity()};
    uint32_t lane = gateway_first_lane(channel) + SECONDS;
    int rc;

    rc = shared_memory_writer_open(world->shm, channel_names[channel], &writer.handle);

    if (rc < 0)
        return rc;
    if (world->gateway.serving)
        gateway_turn(&world->gateway, 1);
    if ((rc = write_one(world, channel, &writer)) < 0 && (channel != STRICT || world->gateway.serving))
        violation("the next writer of the lane could not write: %d", rc);
    world_read(world);
    if (writer.number > 0)
        world_expect(world, lane, writer.self, writer.number);
    shared_memory_writer_close(writer.handle);
    return 0;
}

void world_expect(const struct world *world, uint32_t number, uint32_t writer, uint32_t count)
{
    const struct world_lane *lane = &world->lanes[number];

    if (count == 0 && lane->writer != writer)
        return;
    if (lane->writer != writer || lane->number < count || lane->number > count + 1)
        violation(
            "lane %u: the write of number %u of writer %u returned, but the last message is number %u of writer %u",
            number, count, writer, lane->number, lane->writer);
}

/* ---- Counters ---- */

void world_count(struct world *world, int uncounted, int exact)
{
    for (int channel = NEWEST; channel <= STRICT && world->shm; channel++) {
        struct shared_memory_counters counters;
        uint64_t sum, dropped = 0;

        if (shared_memory_channel_counters(world->shm, channel, &counters) < 0) {
            violation("the counters could not be read: %s", shared_memory_error());
            continue;
        }
        for (int i = 0; i < SHARED_MEMORY_DROP_REASONS; i++)
            dropped += counters.dropped[i];
        sum = counters.delivered + counters.queued + counters.spooled + dropped;
        if (counters.written != sum || dropped != counters.dropped[0])
            violation("%s: written %llu, but delivered, queued and dropped are %llu", channel_names[channel],
                      (unsigned long long)counters.written, (unsigned long long)sum);
        /* A writer between its commit and its head has one more message in the ring than it has counted. */
        if (counters.written + !exact < channel_total(world, channel) ||
            counters.written > channel_total(world, channel))
            violation("%s: written %llu, but %llu messages were seen", channel_names[channel],
                      (unsigned long long)counters.written, (unsigned long long)channel_total(world, channel));
        if (counters.rejected < world->rejected[channel] ||
            counters.rejected > world->rejected[channel] + (uint64_t)uncounted)
            violation("%s: %llu writes counted as rejected of %llu", channel_names[channel],
                      (unsigned long long)counters.rejected, (unsigned long long)world->rejected[channel]);
        if (exact)
            world->rejected[channel] = counters.rejected;
    }
}
