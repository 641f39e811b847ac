/* fixture.h: a served segment of this test process, forked helpers, and their removal whatever happens. */
#ifndef SHMGATE_TESTS_FIXTURE_H
#define SHMGATE_TESTS_FIXTURE_H

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "platform.h"
#include "segment.h"
#include "shared_memory.h"

#define LIMIT_MS 60000 /* ends a test that waits in vain; none waits for a time to pass */

static char fixture_name[64];          /* of the segment */
static struct segment fixture_segment; /* as its gateway has it, and those that are to be drained */
static struct segment_list fixture_olds;
static struct reason fixture_reason;

static struct segment fixture_none = {.fd = -1};
#define fixture_old (*fixture_old_at(0))

/* The segment of that number in the list; an empty one past its end. */
static inline struct segment *fixture_old_at(uint32_t number)
{
    return number < fixture_olds.count ? &fixture_olds.segments[number] : &fixture_none;
}

/* Channels that most tests do with. */
static const struct layout_request fixture_usual[] = {
    {.name = "out",
     .topic = "t/out",
     .direction = LAYOUT_PUBLISH,
     .overflow = LAYOUT_DROP_OLDEST,
     .max_payload = 64,
     .slots = 8,
     .writers = 2},
    {.name = "strict",
     .topic = "t/s",
     .direction = LAYOUT_PUBLISH,
     .overflow = LAYOUT_REJECT,
     .max_payload = 9,
     .slots = 4,
     .writers = 1},
    {.name = "in",
     .topic = "t/#",
     .direction = LAYOUT_SUBSCRIBE,
     .overflow = LAYOUT_DROP_OLDEST,
     .max_payload = 64,
     .topic_max = 20,
     .slots = 8,
     .writers = 1},
};
#define FIXTURE_USUAL 3
enum { LANE_OUT = 0, LANE_STRICT = 2, LANE_IN = 3, CHANNEL_OUT = 0, CHANNEL_STRICT = 1, CHANNEL_IN = 2 };

/* Stop serving; the names stay. */
static inline void fixture_stop(void)
{
    if (fixture_segment.base)
        segment_close(&fixture_segment);
    segment_list_close(&fixture_olds);
}

static inline int fixture_remove_name(void *context, const char *name)
{
    (void)context;
    platform_object_remove(name);
    return 0;
}

static inline void fixture_remove_names(void)
{
    char beside[80];

    snprintf(beside, sizeof(beside), "%s.", fixture_name);
    platform_object_each(beside, fixture_remove_name, NULL);
    platform_object_remove(fixture_name);
    platform_doorbell_remove(fixture_name);
}

static inline void fixture_end(void)
{
    shared_memory_release();
    fixture_stop();
    fixture_remove_names();
}

/* A process that outlives this one and takes the names away, however this one ends. */
static inline void fixture_janitor(void)
{
    int ends[2];
    char byte;

    if (pipe(ends) < 0)
        exit(2);
    if (fork() != 0) {
        close(ends[0]);
        return;
    }
    setsid();
    close(ends[1]);
    close(STDOUT_FILENO);
    close(STDERR_FILENO);
    while (read(ends[0], &byte, 1) < 0 && errno == EINTR)
        ;
    fixture_remove_names();
    _exit(0);
}

/* Begin a test: with nothing under the name, whatever the test before it left. */
static inline void fixture_begin(void)
{
    if (!fixture_name[0]) {
        snprintf(fixture_name, sizeof(fixture_name), "/shmgate-test-%ld", (long)getpid());
        fixture_janitor();
    }
    fixture_end();
}

static char fixture_reported[1024]; /* the last that was reported */
static int fixture_reports;         /* how often */

static inline void fixture_report(void *context, const char *text)
{
    (void)context;
    snprintf(fixture_reported, sizeof(fixture_reported), "%s", text);
    fixture_reports++;
}

/* Serve the segment with these channels. Returns an enum segment_origin, or -errno with the reason in fixture_reason.
 */
static inline int fixture_serve(const struct layout_request *requests, uint32_t count)
{
    struct segment_options options = {.name = fixture_name, .mode = 0660, .gid = -1, .report = fixture_report};
    const char *topics[16];
    struct layout plan;
    int rc;

    for (uint32_t i = 0; i < count && i < 16; i++)
        topics[i] = requests[i].topic;
    if ((rc = layout_plan(&plan, requests, count, &fixture_reason)) < 0)
        return rc;
    options.plan = &plan;
    options.topics = topics;
    rc = segment_serve(&fixture_segment, &fixture_olds, &options, &fixture_reason);
    layout_free(&plan);
    return rc;
}

static inline int fixture_serve_usual(void)
{
    return fixture_serve(fixture_usual, FIXTURE_USUAL);
}

/* The usual channels, but for the number of slots in "out": another geometry. */
static inline int fixture_serve_other(uint32_t slots)
{
    struct layout_request requests[FIXTURE_USUAL];

    memcpy(requests, fixture_usual, sizeof(requests));
    requests[0].slots = slots;
    return fixture_serve(requests, FIXTURE_USUAL);
}

/* Write a text into channel "in" of `segment` as the gateway does, too old from the boot time expires_ns on (0: never),
 * and wake its readers. */
static inline int fixture_arrive_until(const struct segment *segment, const char *text, uint64_t expires_ns)
{
    struct ring_message message = {.payload = text,
                                   .size = (uint32_t)strlen(text),
                                   .topic = "t/a",
                                   .topic_size = 3,
                                   .time_ns = 5,
                                   .expires_ns = expires_ns};
    struct ring ring = segment_ring(segment, LANE_IN);
    struct ring_writer writer;
    int rc;

    ring_writer_start(&writer, &ring, 0);
    rc = ring_write(&writer, &message);
    segment_wake_readers(segment, CHANNEL_IN);
    return rc;
}

static inline int fixture_arrive(const struct segment *segment, const char *text)
{
    return fixture_arrive_until(segment, text, 0);
}

/* A forked helper, that ends with this process at the latest. */
struct fixture_child {
    pid_t pid;
    int from; /* what it tells */
};

static int fixture_to; /* in the child: to its parent */

/* Run `function` in a child, which does not serve; what it returns is its exit code. Returns 0 or -EAGAIN. */
static inline int fixture_fork(struct fixture_child *child, int (*function)(void))
{
    int ends[2];

    fflush(stdout);
    if (pipe(ends) < 0)
        return -EAGAIN;
    child->pid = fork();
    if (child->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(ends[0]);
        fixture_to = ends[1];
        fixture_stop(); /* a lock lasts until the last descriptor is closed */
        _exit(function());
    }
    close(ends[1]);
    child->from = ends[0];
    return child->pid < 0 ? -EAGAIN : 0;
}

/* In the child: say one letter. */
static inline int fixture_tell(char letter)
{
    return write(fixture_to, &letter, 1) == 1 ? 0 : 1;
}

/* Wait for the child's next letter; 0 when it ended without one. */
static inline int fixture_hear(const struct fixture_child *child)
{
    char letter;
    ssize_t count;

    while ((count = read(child->from, &letter, 1)) < 0 && errno == EINTR)
        ;
    return count == 1 ? letter : 0;
}

/* Wait for the child's end: its exit code, or minus the signal that ended it. */
static inline int fixture_join(struct fixture_child *child)
{
    int status = 0;

    while (waitpid(child->pid, &status, 0) < 0 && errno == EINTR)
        ;
    close(child->from);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* Kill it without a warning. */
static inline int fixture_kill(struct fixture_child *child)
{
    kill(child->pid, SIGKILL);
    return fixture_join(child);
}

/* Run `function` in a child to its end: its exit code. */
static inline int fixture_run(int (*function)(void))
{
    struct fixture_child child;

    return fixture_fork(&child, function) < 0 ? -1 : fixture_join(&child);
}

#define FIXTURE_MAIN(tests)                                                       \
    int main(int argc, char **argv)                                               \
    {                                                                             \
        int code;                                                                 \
        fixture_begin();                                                          \
        code = check_main(tests, sizeof(tests) / sizeof((tests)[0]), argc, argv); \
        fixture_end();                                                            \
        return code;                                                              \
    }

#endif
