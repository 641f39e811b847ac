/* test_top_terminal.c: the full screen hears of signals however late it is. */
#include <curses.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "tool/top_terminal.h"

#define LATE 0 /* a deadline that has passed, as where drawing takes longer than the interval */

/* Run `act` on a terminal of its own. Returns its exit code. */
static int run_on_terminal(int (*act)(void))
{
    struct winsize size = {.ws_row = 24, .ws_col = 80};
    char shown[4096];
    int master, status = -1;
    pid_t child;

    fflush(stdout);
    child = forkpty(&master, NULL, NULL, &size);
    if (child == 0) {
        struct reason reason;
        int code;

        setenv("TERM", "xterm", 1);
        if (top_terminal_begin(&reason) < 0)
            _exit(100);
        code = act();
        top_terminal_end();
        _exit(code);
    }
    if (child < 0)
        return -1;
    while (read(master, shown, sizeof(shown)) > 0)
        ;
    close(master);
    return waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int end_late(void)
{
    raise(SIGTERM);
    return top_terminal_key(LATE) == TOP_TERMINAL_END ? 0 : 1;
}

/* The end is heard though there has been no time to wait. */
static void test_end_is_heard_when_late(void)
{
    CHECK_EQUAL(run_on_terminal(end_late), 0);
}

static int resize_late(void)
{
    struct winsize size = {.ws_row = 40, .ws_col = 130};

    if (ioctl(STDIN_FILENO, TIOCSWINSZ, &size) < 0)
        return 2;
    for (int tries = 0; tries < 3; tries++)
        if (top_terminal_key(LATE) == KEY_RESIZE)
            return LINES == 40 && COLS == 130 ? 0 : 3;
    return 1;
}

/* So is a new size. */
static void test_new_size_is_seen_when_late(void)
{
    CHECK_EQUAL(run_on_terminal(resize_late), 0);
}

static int time_out(void)
{
    return top_terminal_key(LATE) == TOP_TERMINAL_TIMEOUT ? 0 : 1;
}

/* With nothing to hear, being late is being late. */
static void test_nothing_is_heard_at_once(void)
{
    CHECK_EQUAL(run_on_terminal(time_out), 0);
}

static const struct check_test tests[] = {
    {"test_end_is_heard_when_late", test_end_is_heard_when_late},
    {"test_new_size_is_seen_when_late", test_new_size_is_seen_when_late},
    {"test_nothing_is_heard_at_once", test_nothing_is_heard_at_once},
};

CHECK_MAIN(tests)
