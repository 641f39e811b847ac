/* top_terminal.c: take the terminal over, and give it back. See top_terminal.h.
 *
 * Signals that end the program are blocked but while it waits, so that none is missed between a look at the flag and
 * the wait. A segment's file that somebody truncates kills those who look at it with SIGBUS: then the terminal is given
 * back by what a signal handler may do.
 */
#include "tool/top_terminal.h"

#include <curses.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <term.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define ESCAPE_MS 50 /* a key's escape sequence comes in one piece; over a bad line within this time */

static volatile sig_atomic_t ended;
static sigset_t outside; /* signals that were blocked before us: the mask while we wait */
static struct termios cooked;
static char leave[256]; /* what the terminal is sent at the end */
static SCREEN *screen;

static void on_end(int number)
{
    (void)number;
    ended = 1;
}

static void on_fault(int number)
{
    static const char gone[] = "shmgate: top: the segment's memory has gone: somebody has truncated its file\n";
    static const char fault[] = "shmgate: top: memory fault\n";
    ssize_t written = write(STDOUT_FILENO, leave, strlen(leave));

    tcsetattr(STDIN_FILENO, TCSANOW, &cooked);
    written |= number == SIGBUS ? write(STDERR_FILENO, gone, sizeof(gone) - 1)
                                : write(STDERR_FILENO, fault, sizeof(fault) - 1);
    (void)written;
    if (number == SIGBUS)
        _exit(1);
    /* SA_RESETHAND: it comes again, and ends us as it would have. */
}

static int catch_signals(void)
{
    struct sigaction end = {.sa_handler = on_end}, fault = {.sa_handler = on_fault, .sa_flags = SA_RESETHAND};
    sigset_t blocked;

    sigemptyset(&blocked);
    sigaddset(&blocked, SIGINT);
    sigaddset(&blocked, SIGTERM);
    sigaddset(&blocked, SIGHUP);
    sigaddset(&blocked, SIGWINCH);
    if (sigaction(SIGINT, &end, NULL) < 0 || sigaction(SIGTERM, &end, NULL) < 0 || sigaction(SIGHUP, &end, NULL) < 0 ||
        sigaction(SIGBUS, &fault, NULL) < 0 || sigaction(SIGSEGV, &fault, NULL) < 0 ||
        sigprocmask(SIG_BLOCK, &blocked, &outside) < 0)
        return -errno;
    sigdelset(&outside, SIGINT);
    sigdelset(&outside, SIGTERM);
    sigdelset(&outside, SIGHUP);
    sigdelset(&outside, SIGWINCH);
    return 0;
}

/* Remember how to leave the full screen without ncurses. */
static void note_leave(void)
{
    static const char *const names[] = {"sgr0", "rmkx", "cnorm", "rmcup"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const char *text = tigetstr(names[i]);

        if (text && text != (char *)-1 && strlen(leave) + strlen(text) < sizeof(leave))
            strcat(leave, text);
    }
}

int top_terminal_begin(struct reason *reason)
{
    int rc;

    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) || tcgetattr(STDIN_FILENO, &cooked) < 0)
        return reason_set(reason, -ENOTTY,
                          "standard input and output are not a terminal: shmgate stats --watch does without");
    if ((rc = catch_signals()) < 0)
        return reason_set(reason, rc, "install signal handlers: %s", strerror(-rc));
    screen = newterm(NULL, stdout, stdin);
    if (!screen)
        return reason_set(reason, -ENOTTY, "cannot draw on this terminal: check TERM, or use shmgate stats --watch");
    note_leave();
    cbreak();
    noecho();
    nonl();
    intrflush(stdscr, FALSE);
    keypad(stdscr, TRUE);
    nodelay(stdscr, TRUE);
    set_escdelay(ESCAPE_MS);
    curs_set(0);
    return 0;
}

void top_terminal_end(void)
{
    if (!screen)
        return;
    endwin();
    delscreen(screen);
    screen = NULL;
}

static unsigned long long now_ns(void)
{
    struct timespec now = {0};

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (unsigned long long)now.tv_sec * 1000000000 + (unsigned long long)now.tv_nsec;
}

int top_terminal_key(unsigned long long deadline_ns)
{
    /* Signals come in during ppoll only: there is one also when it is late already, or where drawing takes as long as
     * the interval (a slow line, a busy machine) neither a new size nor the end would ever be seen. */
    for (int looked = 0;; looked = 1) {
        struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
        unsigned long long now = now_ns(), left = deadline_ns > now ? deadline_ns - now : 0;
        struct timespec wait = {.tv_sec = (time_t)(left / 1000000000), .tv_nsec = (long)(left % 1000000000)};
        int key = getch(), rc;

        if (ended)
            return TOP_TERMINAL_END;
        if (key != ERR)
            return key;
        if (left == 0 && looked)
            return TOP_TERMINAL_TIMEOUT;
        rc = ppoll(&input, 1, &wait, &outside);
        if (rc < 0 && errno != EINTR)
            return TOP_TERMINAL_END;
        if (rc > 0 && !(input.revents & POLLIN))
            return TOP_TERMINAL_END;
        /* Nothing to read though there is something: that is the end of a terminal that has gone. */
        if (rc > 0) {
            key = getch();
            if (key == ERR && (input.revents & (POLLHUP | POLLERR)))
                return TOP_TERMINAL_END;
            if (key != ERR)
                return key;
        }
    }
}
