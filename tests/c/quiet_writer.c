/* quiet_writer.c: a writer that the kernel kills at its first system call (a seccomp(2) filter).
 *
 *   quiet_writer SEGMENT CHANNEL COUNT [FIRST]
 *
 * Attaches and opens the channel, writes FIRST messages (default 0) while system calls are still allowed, prints
 * "ready", waits for a line of standard input, installs the filter, writes COUNT messages and says "done". The filter
 * lets write(2) and exit_group(2) through, for that last word; a library that makes any other system call ends it by
 * SIGSYS. Seccomp's strict mode will not do: it also forbids the time stamp counter, which reading the clock needs.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shared_memory.h"

#define ATTACH_MS 60000

static int forbid_system_calls(void)
{
    struct sock_filter steps[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {.len = sizeof(steps) / sizeof(steps[0]), .filter = steps};

    /* Without new privileges the filter needs no rights. */
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -1;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

/* No stdio: it may allocate. */
static _Noreturn void end(const char *text, int code)
{
    if (write(STDOUT_FILENO, text, strlen(text)) < 0)
        code = 1;
    _exit(code);
}

static int write_some(struct shared_memory_writer *writer, unsigned long count)
{
    char message[64] = "quiet";

    for (unsigned long i = 0; i < count; i++)
        if (shared_memory_writer_write(writer, message, sizeof(message)) < 0)
            return -1;
    return 0;
}

int main(int argc, char **argv)
{
    struct shared_memory *shm = NULL;
    struct shared_memory_writer *writer = NULL;
    unsigned long count, first;
    char line[8];

    if (argc < 4) {
        fputs("usage: quiet_writer SEGMENT CHANNEL COUNT [FIRST]\n", stderr);
        return 2;
    }
    count = strtoul(argv[3], NULL, 10);
    first = argc > 4 ? strtoul(argv[4], NULL, 10) : 0;
    if (shared_memory_attach(&shm, argv[1], ATTACH_MS) < 0 || shared_memory_writer_open(shm, argv[2], &writer) < 0 ||
        write_some(writer, first) < 0) {
        fprintf(stderr, "quiet_writer: %s\n", shared_memory_error());
        return 1;
    }
    puts("ready");
    if (fflush(stdout) != 0 || !fgets(line, sizeof(line), stdin))
        return 1;
    if (forbid_system_calls() < 0) {
        perror("quiet_writer: could not install the filter");
        return 1;
    }
    if (write_some(writer, count) < 0)
        end("failed\n", 1);
    end("done\n", 0);
}
