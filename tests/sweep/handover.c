/* handover.c: what a gateway finds, and what must be there after it. See handover.h. */
#include "handover.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "platform.h"
#include "segment_internal.h"
#include "world.h"

#ifndef DATA
#error DATA is the folder of segment_layout_1
#endif

/* Those of segment_layout_1 that are not accounted for, a bit each: numbers 4 and 5 of lane 0, 0 and 1 of lane 1, 0 to
 * 3 of lane 2. */
#define OLD_MESSAGES UINT64_C(0x0f0330)
#define PATH_SIZE 300
#define LAST_WRITES 2             /* of each writer when the new gateway serves */
#define FILLER "/dev/shm/.filler" /* where nobody else has it: in a /dev/shm of our own */
#define ROOM 32768                /* bytes that are left beside it: less than a segment has */

unsigned handover_slots(enum handover_kind kind)
{
    switch (kind) {
    case HANDOVER_NAME_LOST:
    case HANDOVER_BELL_LOST:
        return HANDOVER_SLOTS;
    case HANDOVER_REPLACE_LEFT:
        return 4 * HANDOVER_SLOTS;
    default:
        return 2 * HANDOVER_SLOTS;
    }
}

/* ---- Setting up ---- */

int handover_can_repeat(enum handover_kind kind)
{
    return kind != HANDOVER_FINISH && kind != HANDOVER_NAME_LOST && kind != HANDOVER_BELL_LOST;
}

/* Returns what segment_serve does. */
static int serve(struct handover *handover, unsigned slots, int must)
{
    struct reason reason = {.text = "out of memory"};
    int rc = gateway_reshape(slots);

    if (rc == 0)
        rc = gateway_serve(&handover->gateway, handover->name, &reason);
    handover->gateway.serving = rc >= 0;
    if (rc < 0 && must)
        violation("a gateway could not start: %s", reason.text);
    return rc;
}

/* Attach and write a few messages, of which the gateway takes the first one. */
static void write_some(struct handover *handover)
{
    struct gateway *gateway = &handover->gateway;

    if (!gateway->serving)
        return;
    handover_attach(handover);
    gateway_begin(gateway, world_identity());
    for (int i = 0; i < 3; i++)
        handover_write(handover, 1);
    gateway_take(gateway, gateway_first_lane(NEWEST), 1);
    ring_ledger_store(gateway->lanes[0].ring.lane, &gateway->lanes[0].ledger);
    handover->writers[0].found = 1;
}

static void detach(struct handover *handover)
{
    for (int i = 0; i < HANDOVER_WRITERS; i++) {
        shared_memory_writer_close(handover->writers[i].handle);
        handover->writers[i].handle = NULL;
    }
    shared_memory_reader_close(handover->reader);
    handover->reader = NULL;
    shared_memory_detach(handover->shm);
    handover->shm = NULL;
}

/* Two gateways one after the other: the first one's segment, with messages of writers that have gone, stands beside the
 * second one's, which serves. */
static void leave(struct handover *handover)
{
    serve(handover, HANDOVER_SLOTS, 1);
    write_some(handover);
    detach(handover);
    memcpy(&handover->writers[2], &handover->writers[0], 2 * sizeof(handover->writers[0]));
    memset(&handover->writers[0], 0, 2 * sizeof(handover->writers[0]));
    gateway_stop(&handover->gateway);
    serve(handover, 2 * HANDOVER_SLOTS, 1);
}

/* A new segment whose gateway was killed before it could use it. */
static void leave_unused(const struct handover *handover)
{
    if (gateway_leave_unused(handover->name) < 0)
        violation("nothing could be left");
}

/* The first name beside the segment's, without its slash. */
static int find_beside(const struct handover *handover, const char *suffix, char *path)
{
    DIR *directory = opendir("/dev/shm");
    char name[NAME_MAX + 2];
    int found = 0;

    for (struct dirent *entry; directory && !found && (entry = readdir(directory)) != NULL;) {
        snprintf(name, sizeof(name), "/%s", entry->d_name);
        found = segment_is_beside(name, handover->name, suffix);
        if (found)
            snprintf(path, PATH_SIZE, "/dev/shm%s", name);
    }
    if (directory)
        closedir(directory);
    return found;
}

/* Where its lanes are is overwritten. */
static void damage(const char *path)
{
    static const uint64_t wrong = UINT64_MAX;
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0 ||
        pwrite(fd, &wrong, sizeof(wrong), offsetof(struct layout_header, lane_offset)) != (ssize_t)sizeof(wrong))
        violation("%s could not be damaged", path);
    if (fd >= 0)
        close(fd);
}

static void damage_name(struct handover *handover, const char *suffix)
{
    char path[PATH_SIZE];

    snprintf(path, sizeof(path), "/dev/shm%s", handover->name);
    if (!suffix[0] || find_beside(handover, suffix, path))
        damage(path);
    else
        violation("nothing is left that could be damaged");
}

/* Put the segment of layout version 1 under the name and what follows it. */
static void put_old(const struct handover *handover, const char *suffix)
{
    static unsigned char image[1 << 16];
    static ssize_t size;
    char path[PATH_SIZE];
    int fd = size ? -1 : open(DATA "/segment_layout_1", O_RDONLY | O_CLOEXEC);

    if (fd >= 0) {
        size = read(fd, image, sizeof(image));
        close(fd);
    }
    snprintf(path, sizeof(path), "/dev/shm%s%s", handover->name, suffix);
    fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0660);
    if (fd < 0 || size <= 0 || write(fd, image, (size_t)size) != size)
        violation("%s could not be made", path);
    if (fd >= 0)
        close(fd);
}

/* Leave so little room that a segment fits in only when another one goes. */
static void fill_up(void)
{
    struct statvfs status;
    int fd;

    if (!world_private || statvfs("/dev/shm", &status) < 0)
        return;
    fd = open(FILLER, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0 || posix_fallocate(fd, 0, (off_t)(status.f_bfree * status.f_frsize) - ROOM) != 0)
        violation("/dev/shm could not be filled");
    if (fd >= 0)
        close(fd);
}

static void begin_present(struct handover *handover)
{
    serve(handover, handover->kind == HANDOVER_OLD_LEFT ? 2 * HANDOVER_SLOTS : HANDOVER_SLOTS, 1);
    write_some(handover);
    gateway_stop(&handover->gateway);
    if (handover->kind == HANDOVER_OLD_LEFT)
        put_old(handover, SEGMENT_NEXT_SUFFIX "-0123456789abcdef");
    /* The stepped gateway takes all of it before it begins. */
    for (int i = 0; handover->kind == HANDOVER_FINISH && i < 2; i++)
        handover->writers[i].found = handover->writers[i].number;
}

static void begin_left(struct handover *handover)
{
    leave(handover);
    if (handover->kind != HANDOVER_CREATE_LEFT)
        write_some(handover);
    gateway_stop(&handover->gateway);
    switch (handover->kind) {
    case HANDOVER_CREATE_LEFT:
        platform_object_remove(handover->name);
        break;
    case HANDOVER_DAMAGED:
        put_old(handover, SEGMENT_ASIDE_SUFFIX "-0123456789abcdef");
        damage_name(handover, "");
        handover->writers[0].lost = handover->writers[0].number;
        handover->writers[1].lost = handover->writers[1].number;
        break;
    case HANDOVER_NO_ROOM:
        damage_name(handover, "");
        detach(handover);
        memset(&handover->writers[0], 0, 2 * sizeof(handover->writers[0]));
        fill_up();
        break;
    case HANDOVER_DAMAGED_LEFT:
        damage_name(handover, SEGMENT_NEXT_SUFFIX);
        memset(&handover->writers[2], 0, 2 * sizeof(handover->writers[0]));
        break;
    default:
        leave_unused(handover);
        break;
    }
}

int handover_begin(struct handover *handover, const char *name, enum handover_kind kind)
{
    memset(handover, 0, sizeof(*handover));
    handover->name = name;
    handover->kind = kind;
    switch (kind) {
    case HANDOVER_OLD:
        put_old(handover, "");
        break;
    case HANDOVER_REPLACE_LEFT:
    case HANDOVER_ADOPT_LEFT:
    case HANDOVER_CREATE_LEFT:
    case HANDOVER_DAMAGED:
    case HANDOVER_DAMAGED_LEFT:
    case HANDOVER_NO_ROOM:
        begin_left(handover);
        return handover->shm || kind == HANDOVER_CREATE_LEFT || kind == HANDOVER_NO_ROOM ? 0 : -1;
    default:
        begin_present(handover);
        return handover->shm ? 0 : -1;
    }
    return 0;
}

/* ---- The stepped gateway's deed ---- */

/* What is written now may be lost. */
static void allow_loss(struct handover *handover)
{
    for (int i = 0; i < 2; i++)
        handover->writers[i].lost = handover->writers[i].number;
}

void handover_kill(struct handover *handover, struct tracer *tracer)
{
    char path[PATH_SIZE];

    tracer_kill(tracer);
    /* Without a name there is only what the gateway had in its hands. */
    handover->nameless = handover->kind == HANDOVER_NAME_LOST && !find_beside(handover, SEGMENT_NEXT_SUFFIX, path);
}

static int has_rival(struct handover *handover)
{
    int rc = serve(handover, handover_slots(handover->kind), 0);

    if (rc < 0 && rc != -EBUSY)
        violation("a rival gateway could not start: %s", strerror(-rc));
    return rc >= 0;
}

void handover_stop(struct handover *handover, struct tracer *tracer, int rival)
{
    int may_fail = handover->kind == HANDOVER_NAME_LOST || handover->kind == HANDOVER_BELL_LOST, result;

    handover_write(handover, !may_fail);
    handover_read(handover);
    if (handover->kind == HANDOVER_DAMAGED)
        allow_loss(handover);
    rival = rival && has_rival(handover);
    if (rival) {
        handover_write(handover, 1);
        handover_read(handover);
        if (handover->kind == HANDOVER_DAMAGED)
            allow_loss(handover);
    }
    tracer_finish(tracer);
    result = tracer->report->result;
    if (tracer->report->fault[0])
        violation("the stepped process: %s", tracer->report->fault);
    else if (rival ? result != -EBUSY : result < 0)
        violation("%s: the stepped one's result is %d", rival ? "two gateways serve" : "no gateway serves", result);
    gateway_stop(&handover->gateway);
}

/* ---- Afterwards ---- */

static int count_beside(void *context, const char *name)
{
    unsigned *counts = context;

    counts[strstr(name, SEGMENT_ASIDE_SUFFIX "-") != NULL]++;
    return 0;
}

/* Beside the name there may be what was set aside, if something was damaged. */
static void expect_no_leftover(const struct handover *handover)
{
    unsigned counts[2] = {0}; /* others, and those that were set aside */
    int damaged = handover->kind >= HANDOVER_DAMAGED && handover->kind <= HANDOVER_DAMAGED_LEFT;
    char prefix[SEGMENT_NAME_SIZE];

    snprintf(prefix, sizeof(prefix), "%s.", handover->name);
    platform_object_each(prefix, count_beside, counts);
    if (counts[0] > 0 || counts[1] > (unsigned)damaged)
        violation("beside the segment are %u objects, and %u that were set aside", counts[0], counts[1]);
}

static void expect_messages(struct handover *handover)
{
    struct gateway *gateway = &handover->gateway;
    int old = handover->kind == HANDOVER_OLD || handover->kind == HANDOVER_OLD_LEFT;

    for (uint32_t i = 0; i < gateway->olds.count; i++)
        handover_gather(handover, &gateway->olds.segments[i]);
    /* Who writes was sent on: what was written since the gateway serves is not in any of these. */
    for (int i = 0; i < 2; i++)
        if (handover->writers[i].handle && handover->writers[i].found + LAST_WRITES > handover->writers[i].number)
            violation("writer %u still writes into a segment that was replaced", handover->writers[i].self);
    handover_gather(handover, &gateway->segment);
    for (int i = 0; i < HANDOVER_WRITERS; i++)
        if (handover->writers[i].found != handover->writers[i].number)
            violation("writer %u: number %u of %u is the last that the next gateway has", handover->writers[i].self,
                      handover->writers[i].found, handover->writers[i].number);
    if (handover->passed != (old ? OLD_MESSAGES : 0))
        violation("messages of layout version 1 are %#llx", (unsigned long long)handover->passed);
    for (uint32_t i = 0; i < gateway->olds.count; i++)
        segment_finish_old(&gateway->olds.segments[i]);
}

/* A writer whose segment nobody has and nobody can find any more sees so when it looks, once a second, for the second
 * time. */
static void find_out(struct handover *handover)
{
    for (int i = 0; i < 2; i++) {
        handover_pass_seconds(2);
        handover_write(handover, 1);
        if (i == 0)
            allow_loss(handover);
    }
}

void handover_clear(struct handover *handover)
{
    detach(handover);
    gateway_stop(&handover->gateway);
    if (world_private)
        unlink(FILLER);
}

static void end(struct handover *handover)
{
    uint64_t bytes;
    unsigned files;
    int rc;

    handover_clear(handover);
    if ((rc = shared_memory_remove(handover->name)) < 0)
        violation("the segment could not be removed: %s", shared_memory_error());
    world_footprint(&bytes, &files);
    if (bytes > 0 || files > 0)
        violation("left in /dev/shm: %llu bytes, %u names", (unsigned long long)bytes, files);
}

void handover_expect(struct handover *handover)
{
    if (serve(handover, handover_slots(handover->kind), 1) < 0)
        return;
    if (handover->nameless)
        find_out(handover);
    if (!handover->shm)
        handover_attach(handover);
    for (int i = 0; i < LAST_WRITES; i++)
        handover_write(handover, 1);
    handover_read(handover);
    expect_messages(handover);
    expect_no_leftover(handover);
    end(handover);
}
