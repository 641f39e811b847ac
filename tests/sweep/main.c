/* main.c: the sweep: every operation of the library, killed or stopped at every instruction.
 *
 *   sweep [--sample | --full] [--seed N] [--operation TEXT] [--mode kill|stop|rival|swap|again] [--point N]
 *
 * Each operation is first looked through once, to learn how many instructions it has, which of them are the library's
 * own, and after which of them the segment has changed or the system was called. A full sweep then acts at every
 * instruction. A sample acts around every change and every call, at every 7th other instruction of the library and
 * every 23rd of libc, beginning at a place that follows from the seed. Each point is a process of its own.
 *
 * A gateway that changes segments ("handover") has a long way: a full sweep acts at every instruction of the library,
 * around every change and call, and at every 23rd of libc; a sample right before and right after each of those, and at
 * every 499th other instruction.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <time.h>
#include <unistd.h>

#include "trace.h"

#define AGAIN_STEP 7919   /* spreads the places where the second process is killed */
#define VIOLATIONS_MAX 10 /* of one sweep: then it is ended */

static const char *const mode_names[SCENE_MODES] = {"kill", "stop", "rival", "swap", "again"};
static struct scene scene;
static struct {
    int full, mode;
    long point;
    unsigned long seed;
    const char *operation;
} options = {.mode = -1, .point = -1};
static struct {
    unsigned violations; /* of the present point */
    char first[400];
} present;

void violation(const char *format, ...)
{
    char text[400];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (stepped_self) {
        if (!stepped_self->fault[0])
            snprintf(stepped_self->fault, sizeof(stepped_self->fault), "%.250s", text);
        return;
    }
    if (present.violations++ == 0)
        memcpy(present.first, text, sizeof(text));
}

static double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* ---- Sweeping ---- */

/* Whether to act at an instruction of a gateway that changes segments, a long way on which the library's instructions
 * are few and what others see are changes and calls. Of libc's, a full sweep has a part. */
static int wanted_handover(const struct instruction *trace, unsigned long at, enum scene_mode mode)
{
    if (mode == SCENE_AGAIN)
        return trace[at].marks & MARK_CLOSE && (options.full || (at + options.seed) % 5 == 0);
    if (trace[at].marks & (options.full ? MARK_OWN | MARK_CHANGE : MARK_CLOSE))
        return 1;
    /* In the middle of a repeated string instruction it is the same everywhere. */
    if (at > 0 && trace[at].place == trace[at - 1].place && trace[at].place == trace[at + 1].place)
        return 0;
    return (at + options.seed) % (options.full ? 23 : 499) == 0;
}

static int wanted(const struct instruction *trace, unsigned long at, unsigned operation, enum scene_mode mode)
{
    if (options.point >= 0)
        return at == (unsigned long)options.point;
    if (stepped_operations[operation].role == ROLE_HANDOVER)
        return wanted_handover(trace, at, mode);
    if (options.full || trace[at].marks & MARK_CHANGE)
        return 1;
    return (at + options.seed) % (trace[at].marks & MARK_OWN ? 7 : 23) == 0;
}

static void report_violation(const char *what, unsigned long at, uint64_t place)
{
    char command[100];

    printf("  violation: %s, after %lu instructions, at %#llx: %s\n", what, at, (unsigned long long)place,
           present.first);
    fflush(stdout);
    snprintf(command, sizeof(command), "addr2line -f -s -e /proc/%d/exe %#llx | sed 's/^/    /'", (int)getpid(),
             (unsigned long long)place);
    if (system(command) != 0)
        printf("    (addr2line is not there to name the place)\n");
}

/* Kill the stepped process, and bring another one that does the same some way. */
static enum tracer_state start_again(unsigned operation, const struct instruction *trace, unsigned long at)
{
    tracer_kill(&scene.tracer);
    if (tracer_start(&scene.tracer, operation, scene.world.name, world_identity()) < 0)
        return TRACER_EXITED;
    return trace_reach(&scene, trace, at);
}

/* One point. */
static int try_point(unsigned operation, enum scene_mode mode, const struct instruction *trace, unsigned long count,
                     unsigned long at, uint64_t *place)
{
    enum tracer_state state;

    *place = 0;
    if (scene_begin(&scene, operation) < 0)
        return 0;
    state = trace_reach(&scene, trace, at);
    /* It took another way than when it was looked through (a clock that ticked, say) and came to the operation's end.
     */
    if (state == TRACER_AT_END && at < count) {
        scene_act(&scene, SCENE_KILL);
        if (scene_begin(&scene, operation) < 0)
            return 0;
        state = tracer_step(&scene.tracer, at);
    }
    if (mode == SCENE_AGAIN && state != TRACER_EXITED)
        state = start_again(operation, trace, at * AGAIN_STEP % count);
    if (state == TRACER_EXITED)
        return 0;
    *place = tracer_place(&scene.tracer);
    scene_act(&scene, mode);
    return 1;
}

/* Returns 1 when the sweep found nothing. */
static int sweep(unsigned operation, enum scene_mode mode, const struct instruction *trace, unsigned long count)
{
    unsigned long tried = 0, violations = 0;
    double start = seconds();
    char what[100];
    uint64_t place = 0;

    snprintf(what, sizeof(what), "%s, %s", stepped_operations[operation].name, mode_names[mode]);
    for (unsigned long at = 0; at <= count && violations < VIOLATIONS_MAX; at++) {
        if (!wanted(trace, at, operation, mode))
            continue;
        present.violations = 0;
        tried += (unsigned)try_point(operation, mode, trace, count, at, &place);
        if (present.violations > 0) {
            violations++;
            report_violation(what, at, place);
            scene_clear(&scene);
        }
    }
    present.violations = 0;
    scene_end(&scene);
    if (present.violations > 0) {
        violations++;
        report_violation(what, count, 0);
        scene_clear(&scene);
    }
    printf("%-40s %6lu points, %lu violations%s  (%.1f s)\n", what, tried, violations,
           violations >= VIOLATIONS_MAX ? ", ended early" : "", seconds() - start);
    fflush(stdout);
    return violations == 0 && tried > 0;
}

static void sweep_operation(unsigned operation, struct instruction *trace, int *passed, int *failed)
{
    unsigned long count, own = 0, changes = 0;

    present.violations = 0;
    count = trace_look_through(&scene, operation, trace);
    if (count == 0 || present.violations > 0) {
        printf("  violation: %s, untouched: %s\n", stepped_operations[operation].name, present.first);
        scene_clear(&scene);
        ++*failed;
        return;
    }
    scene_end(&scene);
    for (unsigned long i = 0; i <= count; i++) {
        own += trace[i].marks & MARK_OWN ? 1 : 0;
        changes += trace[i].marks & MARK_CHANGE ? 1 : 0;
    }
    printf("%-40s %6lu instructions, %lu of them the library's own, %lu around changes and system calls\n",
           stepped_operations[operation].name, count, own, changes);
    for (int mode = 0; mode < SCENE_MODES; mode++)
        if (scene_has(operation, mode) && (options.mode < 0 || options.mode == mode))
            sweep(operation, mode, trace, count) ? ++*passed : ++*failed;
}

/* ---- The start ---- */

static int write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC), rc;

    if (fd < 0)
        return -1;
    rc = write(fd, text, strlen(text)) < 0 ? -1 : 0;
    close(fd);
    return rc;
}

/* A /dev/shm of our own: what is left in it is ours, and it ends with the sweep. */
static void make_private(void)
{
    unsigned uid = geteuid(), gid = getegid();
    char map[64];

    if (unshare(CLONE_NEWNS) < 0) {
        if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
            return;
        snprintf(map, sizeof(map), "%u %u 1", uid, uid);
        if (write_file("/proc/self/uid_map", map) < 0 || write_file("/proc/self/setgroups", "deny") < 0)
            return;
        snprintf(map, sizeof(map), "%u %u 1", gid, gid);
        if (write_file("/proc/self/gid_map", map) < 0)
            return;
    }
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
        mount("sweep", "/dev/shm", "tmpfs", 0, "size=4m,mode=1777") == 0)
        world_private = 1;
}

static int usage(void)
{
    fprintf(stderr, "usage: sweep [--sample | --full] [--seed N] [--operation TEXT] [--mode "
                    "kill|stop|rival|swap|again] [--point N]\n");
    return 2;
}

static int read_options(int argc, char **argv)
{
    options.seed = (unsigned long)time(NULL) % 1000;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;

        if (strcmp(argv[i], "--full") == 0 || strcmp(argv[i], "--sample") == 0) {
            options.full = argv[i][2] == 'f';
            continue;
        }
        if (!value)
            return -1;
        if (strcmp(argv[i], "--seed") == 0)
            options.seed = strtoul(value, NULL, 10);
        else if (strcmp(argv[i], "--point") == 0)
            options.point = strtol(value, NULL, 10);
        else if (strcmp(argv[i], "--operation") == 0)
            options.operation = value;
        else if (strcmp(argv[i], "--mode") == 0)
            for (int mode = 0; mode < SCENE_MODES; mode++)
                options.mode = strcmp(value, mode_names[mode]) == 0 ? mode : options.mode;
        else
            return -1;
        i++;
    }
    return 0;
}

/* The arguments that tracer.c gives. */
static int be_stepped(char **argv)
{
    struct stepped_report *report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED, atoi(argv[5]), 0);

    if (report == MAP_FAILED)
        return 126;
    alarm((unsigned)atoi(argv[6]));
    return stepped_main((unsigned)atoi(argv[2]), argv[3], (uint32_t)atoi(argv[4]), report);
}

int main(int argc, char **argv)
{
    static char name[64];
    struct instruction *trace = malloc(TRACE_SIZE);
    int passed = 0, failed = 0;
    cpu_set_t one;

    if (argc == 7 && strcmp(argv[1], "--stepped") == 0)
        return be_stepped(argv);
    if (read_options(argc, argv) < 0)
        return usage();
    make_private();
    /* The same addresses each time; and both processes on one processor, where they take turns fastest. */
    personality(ADDR_NO_RANDOMIZE);
    CPU_ZERO(&one);
    CPU_SET((unsigned)sched_getcpu(), &one);
    sched_setaffinity(0, sizeof(one), &one);
    snprintf(name, sizeof(name), "/shmgate-sweep-%d", (int)getpid());
    scene.world.name = name;
    if (!trace || gateway_plan() < 0 || tracer_init(&scene.tracer) < 0) {
        fprintf(stderr, "could not start the sweep: %s\n", strerror(errno));
        return 1;
    }
    printf("seed %lu; /dev/shm is %s\n", options.seed,
           world_private ? "the sweep's own" : "shared with others: only names are compared");
    for (unsigned i = 0; i < stepped_operation_count; i++)
        if (!options.operation || strstr(stepped_operations[i].name, options.operation))
            sweep_operation(i, trace, &passed, &failed);
    free(trace);
    printf("%d passed, %d failed\n", passed, failed);
    return failed > 0 || passed == 0;
}
