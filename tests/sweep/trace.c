/* trace.c: looking an operation through, and getting to one of its instructions. See trace.h. */
#include "trace.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* The run script puts the library's code into a section of its own. */
extern const char __start_shmgate_text[] __attribute__((weak)), __stop_shmgate_text[] __attribute__((weak));

static void window_open(struct scene *scene)
{
    struct stat status;
    void *view;
    int fd = -1;

    scene->window = NULL;
    /* Whatever is mapped takes up room. */
    if (stepped_operations[scene->operation].handover != HANDOVER_NO_ROOM)
        fd = shm_open(scene->world.name, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return;
    if (fstat(fd, &status) == 0 &&
        (view = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_SHARED, fd, 0)) != MAP_FAILED) {
        scene->window = view;
        scene->window_size = (uint64_t)status.st_size;
    }
    close(fd);
}

static void mark_around(struct instruction *trace, unsigned long at)
{
    for (unsigned long i = at > 0 ? at - 1 : 0; i <= at + 1; i++)
        trace[i].marks |= i <= at ? MARK_CHANGE | MARK_CLOSE : MARK_CHANGE;
}

static int is_own(uint64_t place)
{
    return place >= (uintptr_t)__start_shmgate_text && place < (uintptr_t)__stop_shmgate_text;
}

/* Count the passes of every place: a table of places by open addressing, twice as large as it can get full. */
static void count_passes(struct instruction *trace, unsigned long count)
{
    size_t size = 1;
    struct instruction *table;

    while (size < 2 * count)
        size *= 2;
    table = calloc(size, sizeof(*table));
    for (unsigned long i = 0; table && i < count; i++) {
        size_t at = trace[i].place * UINT64_C(0x9e3779b97f4a7c15) >> 20 & (size - 1);

        while (table[at].place != 0 && table[at].place != trace[i].place)
            at = (at + 1) & (size - 1);
        table[at].place = trace[i].place;
        trace[i].pass = table[at].pass++;
    }
    free(table);
}

unsigned long trace_look_through(struct scene *scene, unsigned operation, struct instruction *trace)
{
    unsigned long count = 0;
    unsigned char *before = NULL;
    enum tracer_state state = TRACER_STEPPED;

    memset(trace, 0, INSTRUCTIONS_MAX * sizeof(*trace));
    if (scene_begin(scene, operation) < 0)
        return 0;
    window_open(scene);
    if (scene->window && (before = malloc(scene->window_size)) != NULL)
        memcpy(before, scene->window, scene->window_size);
    while (state == TRACER_STEPPED && count + 2 < INSTRUCTIONS_MAX) {
        uint64_t place = tracer_place(&scene->tracer);

        trace[count].place = place;
        trace[count].marks |= is_own(place) ? MARK_OWN : 0;
        if (tracer_at_system_call(&scene->tracer, place)) {
            trace[count > 0 ? count - 1 : 0].marks |= MARK_CHANGE;
            mark_around(trace, count + 1);
        }
        state = tracer_step(&scene->tracer, 1);
        count++;
        if (before && memcmp(before, scene->window, scene->window_size) != 0) {
            memcpy(before, scene->window, scene->window_size);
            mark_around(trace, count);
        }
    }
    free(before);
    count_passes(trace, count);
    if (scene->window)
        munmap(scene->window, scene->window_size);
    scene->window = NULL;
    if (state == TRACER_AT_END)
        scene_act(scene, SCENE_STOP);
    return state == TRACER_AT_END ? count : 0;
}

/* A trap at a place that it passes seldom is quicker than steps. */
enum tracer_state trace_reach(struct scene *scene, const struct instruction *trace, unsigned long at)
{
    unsigned long best = 0, least = at;

    for (unsigned long i = at; i > 0 && at - i < least; i--) {
        unsigned long cost = at - i + 1 + 2 * (unsigned long)trace[i].pass;

        if (trace[i].place != 0 && cost < least) {
            least = cost;
            best = i;
        }
    }
    if (best > 0) {
        enum tracer_state state = tracer_run(&scene->tracer, trace[best].place, trace[best].pass);

        if (state != TRACER_STEPPED)
            return state;
    }
    return tracer_step(&scene->tracer, at - best);
}
