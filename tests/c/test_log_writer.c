/* test_log_writer.c: nobody waits for standard error, and what it does not take is counted. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "observe/log.h"
#include "observe/log_writer.h"

#define LINES 20000 /* many times what queue and pipe hold together */

static int ends[2]; /* of the pipe that is standard error */
static char *output;
static size_t output_size;

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Run `act` in a child whose standard error is the write end of `ends`. */
static pid_t start_child(void (*act)(void))
{
    pid_t child;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return -1;
    fflush(stdout);
    child = fork();
    if (child == 0) {
        unsetenv("JOURNAL_STREAM");
        signal(SIGPIPE, SIG_IGN);
        if (dup2(ends[1], STDERR_FILENO) < 0)
            _exit(2);
        close(ends[0]);
        close(ends[1]);
        if (log_start() < 0)
            _exit(3);
        act();
        log_stop();
        _exit(0);
    }
    close(ends[1]);
    return child;
}

/* Wait until the child stops itself. */
static int await_stop(pid_t child)
{
    int status;

    return waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status);
}

/* Read all that the child writes; then its exit status. */
static int read_all(pid_t child)
{
    size_t room = 8 << 20;
    ssize_t size;
    int status = -1;

    free(output);
    output = malloc(room);
    output_size = 0;
    while (output && output_size + 1 < room && (size = read(ends[0], output + output_size, room - 1 - output_size)) > 0)
        output_size += (size_t)size;
    if (output)
        output[output_size] = '\0';
    close(ends[0]);
    return waitpid(child, &status, 0) == child ? status : -1;
}

static void write_lines(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        log_write(LOG_LEVEL_INFO, "line number=%u", i);
}

/* Lines of write_lines in the output, and the counts of the lines that are said to be missing. */
static void count_lines(unsigned *there, unsigned *missing)
{
    *there = *missing = 0;
    for (char *line = strtok(output, "\n"); line; line = strtok(NULL, "\n")) {
        const char *count = strstr(line, "missing here, as nobody took them: count=");

        *there += strstr(line, "line number=") != NULL;
        *missing += count ? (unsigned)atoi(strrchr(count, '=') + 1) : 0;
    }
}

static void write_burst(void)
{
    write_lines(LINES);
}

/* A burst into a pipe that is read is whole, however large. */
static void test_burst_is_whole(void)
{
    unsigned there, missing;
    pid_t child = start_child(write_burst);

    CHECK_EQUAL(read_all(child), 0);
    count_lines(&there, &missing);
    CHECK_EQUAL(there, LINES);
    CHECK_EQUAL(missing, 0);
}

static void write_into_a_stuck_pipe(void)
{
    uint64_t begin_ms = now_ms();

    write_lines(LINES);
    /* Each line would wait for ever. 20 ms once, and the rest is work. */
    if (now_ms() - begin_ms > 2000)
        _exit(4);
    raise(SIGSTOP);
    while (!log_writer_is_idle())
        poll(NULL, 0, 1);
    log_write(LOG_LEVEL_INFO, "the end");
}

/* A pipe that nobody reads holds nobody up, and when it is read again the lines that are missing have been counted. */
static void test_stuck_pipe_loses_lines_and_says_so(void)
{
    unsigned there, missing;
    pid_t child = start_child(write_into_a_stuck_pipe);

    CHECK(await_stop(child));
    kill(child, SIGCONT);
    CHECK_EQUAL(read_all(child), 0);
    CHECK(strstr(output, "the end\n") && strstr(output, "warning: lines of the log are missing here"));
    CHECK(strstr(output, "the end\n") > strstr(output, "are missing here"));
    count_lines(&there, &missing);
    CHECK(there > 0 && missing > 0);
    CHECK_EQUAL(there + missing, LINES);
}

static void stop_with_a_stuck_pipe(void)
{
    uint64_t begin_ms;

    write_lines(LINES);
    begin_ms = now_ms();
    log_stop();
    write_lines(10);
    if (now_ms() - begin_ms > LOG_WRITER_STUCK_MS + 1000)
        _exit(4);
}

/* The end does not wait for a pipe that nobody reads, nor does a line after it. */
static void test_stop_does_not_wait_for_a_stuck_pipe(void)
{
    pid_t child = start_child(stop_with_a_stuck_pipe);
    int status = -1;

    CHECK(waitpid(child, &status, 0) == child);
    close(ends[0]);
    CHECK_EQUAL(status, 0);
}

static void lose_the_reader(void)
{
    raise(SIGSTOP);
    write_lines(100);
}

/* When the log's reader has gone, the program goes on. */
static void test_reader_that_has_gone_is_no_matter(void)
{
    pid_t child = start_child(lose_the_reader);
    int status = -1;

    CHECK(await_stop(child));
    close(ends[0]);
    kill(child, SIGCONT);
    CHECK(waitpid(child, &status, 0) == child);
    CHECK_EQUAL(status, 0);
}

static void end_at_once(void)
{
    write_lines(3);
}

/* The end waits for what has been written. */
static void test_stop_writes_what_is_there(void)
{
    unsigned there, missing;
    pid_t child = start_child(end_at_once);

    CHECK_EQUAL(read_all(child), 0);
    count_lines(&there, &missing);
    CHECK_EQUAL(there, 3);
}

static const struct check_test tests[] = {
    {"test_burst_is_whole", test_burst_is_whole},
    {"test_stuck_pipe_loses_lines_and_says_so", test_stuck_pipe_loses_lines_and_says_so},
    {"test_stop_does_not_wait_for_a_stuck_pipe", test_stop_does_not_wait_for_a_stuck_pipe},
    {"test_reader_that_has_gone_is_no_matter", test_reader_that_has_gone_is_no_matter},
    {"test_stop_writes_what_is_there", test_stop_writes_what_is_there},
};

CHECK_MAIN(tests)
