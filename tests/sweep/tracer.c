/* tracer.c: single steps. See tracer.h. */
#include "tracer.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway.h"

#if defined(__x86_64__)
#define COUNTER rip
#define TRAP UINT64_C(0xcc) /* int3; the counter stands behind it when it has trapped */
#define TRAP_MASK UINT64_C(0xff)
#define TRAP_SIZE 1
#else
#define COUNTER pc
#define TRAP UINT64_C(0xd4200000) /* brk #0; the counter stands on it */
#define TRAP_MASK UINT64_C(0xffffffff)
#define TRAP_SIZE 0
#endif
#define HUNG_SECONDS "60" /* far above what any operation takes */

int tracer_init(struct tracer *tracer)
{
    void *page;

    tracer->pid = 0;
    tracer->report_fd = memfd_create("sweep-report", 0);
    if (tracer->report_fd < 0 || ftruncate(tracer->report_fd, sizeof(struct stepped_report)) < 0)
        return -errno;
    page = mmap(NULL, sizeof(struct stepped_report), PROT_READ | PROT_WRITE, MAP_SHARED, tracer->report_fd, 0);
    if (page == MAP_FAILED)
        return -errno;
    tracer->report = page;
    return 0;
}

/* In the child: become the stepped process. A fresh program rather than a fork, which would share its parent's locks.
 */
static void become(struct tracer *tracer, unsigned operation, const char *segment, uint32_t writer)
{
    char number[16], who[16], fd[16];

    snprintf(number, sizeof(number), "%u", operation);
    snprintf(who, sizeof(who), "%u", writer);
    snprintf(fd, sizeof(fd), "%d", tracer->report_fd);
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0)
        execl("/proc/self/exe", "sweep", "--stepped", number, segment, who, fd, HUNG_SECONDS, (char *)NULL);
    _exit(127);
}

/* Wait for the next stop. Returns the signal it stopped with; 0 when the process has ended, with *status. */
static int await(struct tracer *tracer, int *status)
{
    while (waitpid(tracer->pid, status, 0) < 0)
        if (errno != EINTR)
            return 0;
    if (WIFSTOPPED(*status))
        return WSTOPSIG(*status);
    tracer->pid = 0;
    return 0;
}

static void ended_early(struct tracer *tracer, int status)
{
    violation("the stepped process ended: status %#x, %s", (unsigned)status,
              tracer->report->fault[0] ? tracer->report->fault : "no reason given");
}

int tracer_start(struct tracer *tracer, unsigned operation, const char *segment, uint32_t writer)
{
    int status = 0, stopped;

    memset(tracer->report, 0, sizeof(*tracer->report));
    tracer->pid = fork();
    if (tracer->pid == 0)
        become(tracer, operation, segment, writer);
    if (tracer->pid < 0) {
        tracer->pid = 0;
        violation("fork: %s", strerror(errno));
        return -1;
    }
    /* The first stop is the exec's. */
    stopped = await(tracer, &status);
    if (stopped == SIGTRAP && ptrace(PTRACE_SETOPTIONS, tracer->pid, NULL, PTRACE_O_EXITKILL) == 0 &&
        ptrace(PTRACE_CONT, tracer->pid, NULL, NULL) == 0)
        stopped = await(tracer, &status);
    if (stopped == STEPPED_BEGIN)
        return 0;
    if (stopped)
        tracer_kill(tracer);
    ended_early(tracer, status);
    return -1;
}

enum tracer_state tracer_step(struct tracer *tracer, unsigned long count)
{
    for (; count > 0; count--) {
        int status = 0, stopped;

        if (ptrace(PTRACE_SINGLESTEP, tracer->pid, NULL, NULL) < 0)
            return TRACER_EXITED;
        stopped = await(tracer, &status);
        if (stopped == STEPPED_END)
            return TRACER_AT_END;
        if (stopped == SIGTRAP)
            continue;
        if (stopped)
            tracer_kill(tracer);
        ended_early(tracer, status);
        return TRACER_EXITED;
    }
    return TRACER_STEPPED;
}

uint64_t tracer_place(const struct tracer *tracer)
{
    struct user_regs_struct registers;
    struct iovec area = {&registers, sizeof(registers)};

    return ptrace(PTRACE_GETREGSET, tracer->pid, (void *)NT_PRSTATUS, &area) < 0 ? 0 : registers.COUNTER;
}

static int set_place(const struct tracer *tracer, uint64_t place)
{
    struct user_regs_struct registers;
    struct iovec area = {&registers, sizeof(registers)};

    if (ptrace(PTRACE_GETREGSET, tracer->pid, (void *)NT_PRSTATUS, &area) < 0)
        return -1;
    registers.COUNTER = place;
    return (int)ptrace(PTRACE_SETREGSET, tracer->pid, (void *)NT_PRSTATUS, &area);
}

/* Go on to the trap at `place` and take the trap away. */
static enum tracer_state run_once(struct tracer *tracer, uint64_t place)
{
    unsigned long word = (unsigned long)ptrace(PTRACE_PEEKTEXT, tracer->pid, (void *)place, NULL);
    int status = 0, stopped;

    if (ptrace(PTRACE_POKETEXT, tracer->pid, (void *)place, (void *)((word & ~TRAP_MASK) | TRAP)) < 0 ||
        ptrace(PTRACE_CONT, tracer->pid, NULL, NULL) < 0)
        return TRACER_EXITED;
    stopped = await(tracer, &status);
    if (stopped && ptrace(PTRACE_POKETEXT, tracer->pid, (void *)place, (void *)word) == 0) {
        if (stopped == STEPPED_END)
            return TRACER_AT_END;
        if (stopped == SIGTRAP && tracer_place(tracer) == place + TRAP_SIZE && set_place(tracer, place) == 0)
            return TRACER_STEPPED;
    }
    if (stopped)
        tracer_kill(tracer);
    ended_early(tracer, status);
    return TRACER_EXITED;
}

enum tracer_state tracer_run(struct tracer *tracer, uint64_t place, unsigned long pass)
{
    for (unsigned long i = 0;; i++) {
        enum tracer_state state = run_once(tracer, place);

        if (state != TRACER_STEPPED || i == pass)
            return state;
        if ((state = tracer_step(tracer, 1)) != TRACER_STEPPED)
            return state;
    }
}

int tracer_at_system_call(const struct tracer *tracer, uint64_t place)
{
    unsigned long word = (unsigned long)ptrace(PTRACE_PEEKTEXT, tracer->pid, (void *)place, NULL);

#if defined(__x86_64__)
    return (word & 0xffff) == 0x050f;
#else
    return (word & 0xffffffff) == 0xd4000001;
#endif
}

void tracer_kill(struct tracer *tracer)
{
    int status;

    if (tracer->pid == 0)
        return;
    kill(tracer->pid, SIGKILL);
    while (await(tracer, &status) != 0)
        continue;
    tracer->pid = 0;
}

void tracer_finish(struct tracer *tracer)
{
    int status = 0;

    if (tracer->pid == 0)
        return;
    ptrace(PTRACE_CONT, tracer->pid, NULL, NULL);
    for (int stopped = await(tracer, &status); stopped; stopped = await(tracer, &status)) {
        if (stopped != STEPPED_END) {
            tracer_kill(tracer);
            violation("the stepped process got signal %d (%s)", stopped,
                      stopped == SIGALRM ? "it hung" : strsignal(stopped));
            return;
        }
        ptrace(PTRACE_CONT, tracer->pid, NULL, NULL);
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        ended_early(tracer, status);
}
