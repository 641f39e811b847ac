/* main.c: shmgate, the tool. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tool/tool.h"

int tool_fail(const struct tool_options *options, const char *format, ...)
{
    va_list arguments;

    fprintf(stderr, "shmgate: %s%s%s: ", options->command, options->channel ? " " : "",
            options->channel ? options->channel : "");
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    return TOOL_FAILED;
}

int tool_timeout_ms(double seconds)
{
    return seconds < 0 ? -1 : seconds > 2e6 ? 2000000000 : (int)(seconds * 1000 + 0.5);
}

/* Take the place of standard streams that the caller has closed. Else the segment would get their numbers, and what is
 * printed would go into it. Opened the wrong way round, so that their use is still an error. */
static int fill_streams(void)
{
    static const int modes[] = {O_WRONLY, O_RDONLY, O_RDONLY};

    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", modes[fd]) != fd)
            return -errno;
    return 0;
}

int main(int argc, char **argv)
{
    struct tool_options options;
    int rc;

    if (fill_streams() < 0)
        return TOOL_FAILED;
    rc = options_parse(&options, argc, argv);
    if (rc > 0)
        return rc - 1;
    /* A reader of our output that goes away is an error of a write, not the end by a signal. */
    signal(SIGPIPE, SIG_IGN);
    return options.run(&options);
}
