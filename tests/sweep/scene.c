/* scene.c: one point of a sweep. See scene.h. */
#include "scene.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static enum stepped_role role_of(const struct scene *scene)
{
    return stepped_operations[scene->operation].role;
}

int scene_has(unsigned operation, enum scene_mode mode)
{
    enum stepped_role role = stepped_operations[operation].role;
    enum handover_kind kind = (enum handover_kind)stepped_operations[operation].handover;

    switch (mode) {
    case SCENE_RIVAL:
        /* Two of them have no room. */
        return role >= ROLE_OPENER && kind != HANDOVER_NO_ROOM;
    case SCENE_SWAP:
        return role == ROLE_REMOVER;
    case SCENE_AGAIN:
        return role == ROLE_HANDOVER && handover_can_repeat(kind);
    default:
        return 1;
    }
}

/* ---- Before ---- */

static void stand(struct scene *scene)
{
    if (scene->standing || role_of(scene) == ROLE_CREATOR)
        return;
    world_serve(&scene->world, 1);
    world_attach(&scene->world);
    world_go_on(&scene->world);
    scene->standing = 1;
}

static int begin_handover(struct scene *scene)
{
    enum handover_kind kind = (enum handover_kind)stepped_operations[scene->operation].handover;

    if (handover_begin(&scene->handover, scene->world.name, kind) < 0)
        return -1;
    return tracer_start(&scene->tracer, scene->operation, scene->world.name, world_identity());
}

int scene_begin(struct scene *scene, unsigned operation)
{
    struct world *world = &scene->world;
    enum stepped_role role;

    scene->operation = operation;
    role = role_of(scene);
    if (role == ROLE_HANDOVER)
        return begin_handover(scene);
    stand(scene);
    /* Without the others there is nothing to compare with; why they could not come has been reported. */
    if (role != ROLE_CREATOR && (!world->gateway.serving || !world->shm))
        return -1;
    if (role >= ROLE_GATEWAY)
        gateway_stop(&world->gateway);
    if (role == ROLE_REMOVER)
        world_detach(world);
    if (role == ROLE_FULL)
        gateway_turn(&world->gateway, 1);
    scene->stepped = world_identity();
    if (tracer_start(&scene->tracer, operation, world->name, scene->stepped) < 0)
        return -1;
    world->rejected[STRICT] += scene->tracer.report->rejected;
    if (role < ROLE_REMOVER && role != ROLE_CREATOR)
        world_slow_begin(world);
    /* The doorbell is part of a write: the gateway sleeps. But a full ring it would have emptied first. */
    if (role < ROLE_GATEWAY && role != ROLE_FULL)
        gateway_sleep(&world->gateway);
    return 0;
}

/* ---- After ---- */

/* The lane that the stepped process writes, if any. */
static uint32_t stepped_lane(const struct scene *scene)
{
    switch (role_of(scene)) {
    case ROLE_STRICT:
    case ROLE_FULL:
        return gateway_first_lane(STRICT) + SECONDS;
    case ROLE_GATEWAY:
    case ROLE_CREATOR:
        return gateway_first_lane(INWARD);
    default:
        return gateway_first_lane(NEWEST) + SECONDS;
    }
}

/* Every message whose write had returned must have been read. */
static void expect_returned(const struct scene *scene)
{
    const struct stepped_report *report = scene->tracer.report;
    const struct world_lane *lane = &scene->world.lanes[stepped_lane(scene)];

    /* A process that opens its lane again is another writer from then on. */
    if (report->returned > 0)
        world_expect(&scene->world, stepped_lane(scene),
                     lane->writer == scene->stepped + 1 ? lane->writer : scene->stepped, report->returned);
}

/* Let the stepped process go on to its end. */
static void finish(struct scene *scene)
{
    uint32_t rejected = scene->tracer.report->rejected;

    tracer_finish(&scene->tracer);
    scene->world.rejected[STRICT] += scene->tracer.report->rejected - rejected;
    if (scene->tracer.report->fault[0])
        violation("the stepped process: %s", scene->tracer.report->fault);
}

/* Whatever happened, all is well now: the lanes are free, everybody works, the counters add up. */
static void expect_health(struct scene *scene, int uncounted)
{
    struct world *world = &scene->world;
    static const enum sweep_channel channels[] = {NEWEST, STRICT};

    world_read(world);
    world_go_on(world);
    world_slow_end(world);
    for (int i = 0; i < 2; i++)
        if (world_succeed(world, channels[i]) < 0)
            violation("no lane of channel %u is free: %s", (unsigned)channels[i], shared_memory_error());
    gateway_turn(&world->gateway, 1);
    world_count(world, uncounted, 1);
}

/* ---- The stepped process uses a segment that the driver serves ---- */

static void client_stop(struct scene *scene, int rival)
{
    struct world *world = &scene->world;
    enum stepped_role role = role_of(scene);
    enum sweep_channel channel = role == ROLE_STRICT || role == ROLE_FULL ? STRICT : NEWEST;
    struct shared_memory_writer *other = NULL;
    uint32_t returned;
    int rc;

    world_read(world);
    world_read_again(world);
    world_go_on(world);
    rc = rival ? shared_memory_writer_open(world->shm, "newest", &other) : world_succeed(world, channel);
    if (rc < 0 && (rc != -EBUSY || role == ROLE_READER))
        violation("a writer could not open the channel: %s", shared_memory_error());
    if (rc == 0 && (role == ROLE_NEWEST || role == ROLE_STRICT || role == ROLE_FULL))
        violation("two writers have the same lane");
    gateway_sleep(&world->gateway);
    world_count(world, role == ROLE_FULL, 0);
    returned = scene->tracer.report->returned;
    finish(scene);
    if (role == ROLE_OPENER && other == NULL && scene->tracer.report->result < 0)
        violation("a free lane could not be taken: %d", scene->tracer.report->result);
    shared_memory_writer_close(other);
    world_read(world);
    expect_returned(scene);
    if (scene->tracer.report->returned > returned && world->gateway.asleep && !gateway_woken(&world->gateway))
        violation("the gateway sleeps although the stepped process's write has returned");
}

static void client_act(struct scene *scene, enum scene_mode mode)
{
    if (mode == SCENE_KILL) {
        tracer_kill(&scene->tracer);
        world_read(&scene->world);
        expect_returned(scene);
        world_read_again(&scene->world);
    } else {
        client_stop(scene, mode == SCENE_RIVAL);
    }
    expect_health(scene, role_of(scene) == ROLE_FULL);
}

/* ---- The stepped process is, or becomes, the gateway; or it removes the segment ---- */

/* Another gateway starts at this instruction. Returns 1 when it serves. */
static int rival_gateway(struct scene *scene)
{
    int rc = world_serve(&scene->world, 0);

    if (rc < 0 && rc != -EBUSY)
        violation("a rival gateway could not start: %s", strerror(-rc));
    return rc >= 0;
}

/* A process that comes now must be able to attach. */
static void expect_attach(struct scene *scene)
{
    struct shared_memory *shm;

    if (shared_memory_attach(&shm, scene->world.name, 0) < 0)
        violation("a process could not attach to the served segment: %s", shared_memory_error());
    else
        shared_memory_detach(shm);
}

/* Attach if there is something to attach to; that there is nothing yet is no fault. */
static int attach_early(struct scene *scene)
{
    struct shared_memory *shm;
    int rc = shared_memory_attach(&shm, scene->world.name, 0);

    if (rc == -ETIMEDOUT || rc == -ENOENT)
        return 0;
    if (rc < 0) {
        violation("a process could not attach to an unfinished segment: %s", shared_memory_error());
        return 0;
    }
    shared_memory_detach(shm);
    world_attach(&scene->world);
    return 1;
}

/* A stopped gateway, or one that is just starting: the writers and readers go on alone. */
static void gateway_alone(struct scene *scene, enum scene_mode mode)
{
    struct world *world = &scene->world;
    enum stepped_role role = role_of(scene);
    int rival;

    if (role == ROLE_GATEWAY || (role == ROLE_CREATOR && mode == SCENE_STOP && attach_early(scene)))
        world_go_on(world);
    if (mode == SCENE_SWAP)
        shared_memory_remove(world->name);
    rival = mode != SCENE_STOP && rival_gateway(scene);
    if (rival) {
        if (!world->shm)
            world_attach(world);
        world_go_on(world);
        gateway_sleep(&world->gateway);
    }
    if (role == ROLE_GATEWAY)
        world_count(world, 0, 0);
    finish(scene);
    if (rival && role != ROLE_REMOVER && scene->tracer.report->result != -EBUSY)
        violation("two gateways serve the segment: the stepped one's result is %d", scene->tracer.report->result);
    if (!rival && role != ROLE_REMOVER && scene->tracer.report->result < 0)
        violation("no gateway serves the segment: the stepped one's result is %d", scene->tracer.report->result);
    if (rival)
        expect_attach(scene);
}

static void gateway_act(struct scene *scene, enum scene_mode mode)
{
    struct world *world = &scene->world;
    enum stepped_role role = role_of(scene);
    int rc = 0;

    if (mode == SCENE_KILL)
        tracer_kill(&scene->tracer);
    else
        gateway_alone(scene, mode);
    if (!world->gateway.serving)
        rc = world_serve(world, 1);
    if (rc != SEGMENT_ADOPTED && role == ROLE_GATEWAY && !(mode == SCENE_RIVAL && rc == 0))
        violation("the next gateway did not adopt the segment: %d", rc);
    if (world->gateway.serving && !world->shm)
        world_attach(world);
    if (!world->gateway.serving || !world->shm)
        return;
    world_read(world);
    if (role == ROLE_GATEWAY)
        expect_returned(scene);
    expect_attach(scene);
    expect_health(scene, 0);
    if (role != ROLE_GATEWAY) {
        world_end(world);
        scene->standing = 0;
    }
}

static void handover_act(struct scene *scene, enum scene_mode mode)
{
    if (mode == SCENE_KILL || mode == SCENE_AGAIN)
        handover_kill(&scene->handover, &scene->tracer);
    else
        handover_stop(&scene->handover, &scene->tracer, mode == SCENE_RIVAL);
    handover_expect(&scene->handover);
}

void scene_act(struct scene *scene, enum scene_mode mode)
{
    if (role_of(scene) == ROLE_HANDOVER)
        handover_act(scene, mode);
    else if (role_of(scene) < ROLE_GATEWAY)
        client_act(scene, mode);
    else
        gateway_act(scene, mode);
}

/* ---- The end ---- */

void scene_end(struct scene *scene)
{
    world_end(&scene->world);
    scene->standing = 0;
}

void scene_clear(struct scene *scene)
{
    static const char *const prefixes[] = {"", "sem."};
    DIR *directory;

    tracer_kill(&scene->tracer);
    world_detach(&scene->world);
    gateway_stop(&scene->world.gateway);
    handover_clear(&scene->handover);
    shared_memory_remove(scene->world.name);
    scene->standing = 0;
    directory = opendir("/dev/shm");
    for (struct dirent *entry; directory && (entry = readdir(directory)) != NULL;)
        for (int i = 0; i < 2; i++) {
            char path[300];
            size_t skip = strlen(prefixes[i]);

            snprintf(path, sizeof(path), "/dev/shm/%s", entry->d_name);
            if (entry->d_name[0] != '.' && (world_private || (strncmp(entry->d_name, prefixes[i], skip) == 0 &&
                                                              strncmp(entry->d_name + skip, scene->world.name + 1,
                                                                      strlen(scene->world.name + 1)) == 0)))
                unlink(path);
        }
    if (directory)
        closedir(directory);
}
