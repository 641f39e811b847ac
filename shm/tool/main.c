/* main.c: shmgate, the tool: write, read, stats, release. */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tool.h"

int tool_fail(const struct tool_options *options, const char *format, ...)
{
    va_list arguments;

    fprintf(stderr, "shmgate: %s%s%s: ", options->command, options->channel ? " " : "", options->channel ? options->channel : "");
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

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(const struct tool_options *options);
    } commands[] = {{"write", write_run}, {"read", read_run}, {"stats", stats_run}, {"release", release_run}};
    struct tool_options options;
    int rc = options_parse(&options, argc, argv);

    if (rc > 0)
        return rc - 1;
    /* A reader of our output that goes away is an error of a write, not the end by a signal. */
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(options.command, commands[i].name) == 0)
            return commands[i].run(&options);
    return TOOL_USAGE;
}
