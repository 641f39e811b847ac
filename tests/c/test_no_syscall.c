/* test_no_syscall.c: a writer calls the system only to ring the doorbell of a gateway that sleeps, and then once.
 *
 * A child attaches, writes once, and then has the kernel trap every system call but the two it reports with
 * (seccomp(2)).
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <semaphore.h>
#include <stddef.h>
#include <sys/syscall.h>

#include "fixture.h"

#define MESSAGES 100000

/* Whatever the kernel would not run ends the child with a line that says what it was. */
static void report_call(int signal_number, siginfo_t *info, void *context)
{
    char text[] = "  system call number 0000 (clock_gettime is one where the kernel's clock source has no vdso(7))\n";

    (void)signal_number;
    (void)context;
    for (int i = 0, number = info->si_syscall; i < 4; i++, number /= 10)
        text[24 - i] = (char)('0' + number % 10);
    syscall(SYS_write, STDOUT_FILENO, text, sizeof(text) - 1);
    syscall(SYS_exit_group, 9);
}

/* From here on only write and exit_group are possible in this process. */
static int forbid_calls(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof(filter) / sizeof(filter[0]), .filter = filter};
    struct sigaction action = {.sa_sigaction = report_call, .sa_flags = SA_SIGINFO};

    if (sigaction(SIGSYS, &action, NULL) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0) {
        printf("  cannot forbid system calls: %s\n", strerror(errno));
        fflush(stdout);
        return -1;
    }
    return 0;
}

static int write_without_calls(void)
{
    struct shared_memory_writer *writer;
    struct shared_memory *shm;
    char payload[65];
    int right = 0;

    memset(payload, 'p', sizeof(payload));
    if (shared_memory_attach(&shm, fixture_name, 0) < 0 || shared_memory_writer_open(shm, "out", &writer) < 0 ||
        shared_memory_writer_write(writer, payload, 64) < 0 || shared_memory_write("out", "", 0) != -ENOTCONN ||
        forbid_calls() < 0)
        syscall(SYS_exit_group, 1);
    for (int i = 0; i < MESSAGES; i++)
        right += shared_memory_writer_write(writer, payload, (size_t)i % 65) == 0;
    right += shared_memory_writer_write(writer, payload, 65) == -EMSGSIZE;
    syscall(SYS_exit_group, right == MESSAGES + 1 ? 0 : 2);
    return 3;
}

static int be_rejected_without_calls(void)
{
    struct shared_memory_writer *writer;
    struct shared_memory *shm;
    int rejected = 0;

    if (shared_memory_attach(&shm, fixture_name, 0) < 0 || shared_memory_writer_open(shm, "strict", &writer) < 0 ||
        shared_memory_writer_write(writer, "w", 1) < 0 || forbid_calls() < 0)
        syscall(SYS_exit_group, 1);
    for (int i = 0; i < MESSAGES; i++)
        rejected += shared_memory_writer_write(writer, "r", 1) == -EAGAIN;
    syscall(SYS_exit_group, rejected == MESSAGES - 3 ? 0 : 2);
    return 3;
}

static int post_without_calls(void)
{
    struct segment client;

    if (segment_attach(&client, fixture_name, &fixture_reason) < 0 || forbid_calls() < 0)
        syscall(SYS_exit_group, 1);
    platform_doorbell_post(client.doorbell);
    syscall(SYS_exit_group, 0);
    return 3;
}

static int wait_at_the_doorbell(void)
{
    struct segment client;

    if (segment_attach(&client, fixture_name, &fixture_reason) < 0 || fixture_tell('w') != 0)
        return 1;
    for (;;)
        platform_doorbell_wait(client.doorbell, UINT64_MAX);
}

/* The served segment's semaphore. */
static sem_t *bell(void)
{
    return (sem_t *)fixture_segment.doorbell;
}

/* Start a child and wait until it sleeps in the semaphore: it shows in the semaphore's bytes. */
static int start_waiter(struct fixture_child *waiter)
{
    sem_t quiet;

    memcpy(&quiet, bell(), sizeof(quiet));
    if (fixture_fork(waiter, wait_at_the_doorbell) < 0 || fixture_hear(waiter) != 'w')
        return -1;
    while (memcmp(&quiet, bell(), sizeof(quiet)) == 0)
        platform_sleep_ms(1);
    return 0;
}

/* While the gateway is awake 100,000 writes of all sizes, and one that is too large, make no system call. */
static void test_awake_gateway_costs_no_call(void)
{
    fixture_begin();
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
    CHECK_EQUAL(fixture_run(write_without_calls), 0);
    CHECK_EQUAL(segment_ring(&fixture_segment, LANE_OUT).lane->head, MESSAGES + 1);
}

/* A refused write makes none either. */
static void test_rejected_write_costs_no_call(void)
{
    fixture_begin();
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
    CHECK_EQUAL(fixture_run(be_rejected_without_calls), 0);
    CHECK_EQUAL(segment_ring(&fixture_segment, LANE_STRICT).lane->rejected, MESSAGES - 3);
}

/* A gateway that sleeps, and is stopped so that it cannot wake up, is rung once for any number of writes. */
static void test_sleeping_gateway_is_rung_once(void)
{
    struct fixture_child waiter;
    int value = -1, status;

    fixture_begin();
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
    CHECK_EQUAL(shared_memory_init(fixture_name, 0), 0);
    CHECK_EQUAL(start_waiter(&waiter), 0);
    kill(waiter.pid, SIGSTOP);
    waitpid(waiter.pid, &status, WUNTRACED);
    ring_sleep(fixture_segment.header);
    for (int i = 0; i < 1000; i++)
        shared_memory_write("out", "x", 1);
    segment_wake_gateway(&fixture_segment);
    sem_getvalue(bell(), &value);
    fixture_kill(&waiter);
    CHECK_EQUAL(value, 1);
    CHECK_EQUAL(fixture_segment.header->gateway_sleeps, 0);
}

/* A waiter killed inside the semaphore makes every post a system call, until a gateway serves the segment again. */
static void test_serving_again_resets_the_doorbell(void)
{
    struct fixture_child waiter;
    int value = -1;

    fixture_begin();
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
    CHECK_EQUAL(fixture_run(post_without_calls), 0);
    sem_getvalue(bell(), &value);
    CHECK_EQUAL(value, 1);
    CHECK_EQUAL(sem_trywait(bell()), 0);
    CHECK_EQUAL(start_waiter(&waiter), 0);
    CHECK_EQUAL(fixture_kill(&waiter), -SIGKILL);
    platform_doorbell_post(fixture_segment.doorbell);
    fixture_stop();
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_ADOPTED);
    sem_getvalue(bell(), &value);
    CHECK_EQUAL(value, 0);
    CHECK_EQUAL(fixture_run(post_without_calls), 0);
}

static const struct check_test tests[] = {
    {"test_awake_gateway_costs_no_call", test_awake_gateway_costs_no_call},
    {"test_rejected_write_costs_no_call", test_rejected_write_costs_no_call},
    {"test_sleeping_gateway_is_rung_once", test_sleeping_gateway_is_rung_once},
    {"test_serving_again_resets_the_doorbell", test_serving_again_resets_the_doorbell},
};

FIXTURE_MAIN(tests)
