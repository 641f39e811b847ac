/* options.c: the command line of shmgate. The letters are those of mosquitto_pub and mosquitto_sub where these have
 * them. */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool/tool.h"

static const char general_usage[] =
    "Usage: shmgate COMMAND [OPTIONS]\n"
    "\n"
    "  write CHANNEL    write messages into a publish channel\n"
    "  read CHANNEL     print the messages of a channel\n"
    "  stats            print what became of the messages of all channels\n"
    "  top              watch all channels on a full screen\n"
    "  release          remove the segment of a gateway that is gone\n"
    "  spool ACTION     look at the messages that are on disk: list, show, export or check\n"
    "\n"
    "shmgate COMMAND --help tells more; shmgate --version prints the version.\n"
    "Exit status: 0 done, 1 failed, 2 wrong usage, 27 time ran out (read -W).\n";

static const char write_usage[] =
    "Usage: shmgate write CHANNEL (-m TEXT | -n | -f FILE | -l | -s) [-W SECONDS] [-S SEGMENT]\n"
    "\n"
    "  -m TEXT     write TEXT as one message\n"
    "  -n          write one empty message\n"
    "  -f FILE     write the content of FILE as one message\n"
    "  -l          write each line of standard input as a message, without its newline\n"
    "  -s          write all of standard input as one message\n"
    "  -W SECONDS  how long to wait for the segment, and for room in a full ring (default 10)\n"
    "  -S SEGMENT  the segment's name (default /shmgate)\n";

static const char read_usage[] =
    "Usage: shmgate read CHANNEL [-C COUNT] [-W SECONDS] [-F FORMAT] [-R] [-S SEGMENT]\n"
    "\n"
    "Prints the messages that the channel's ring still holds, the oldest first, and then each new one.\n"
    "\n"
    "  -C COUNT    stop after COUNT messages\n"
    "  -W SECONDS  stop after that time, with exit status 27\n"
    "  -F FORMAT   print each message so: %p payload, %x payload in hex, %t topic, %n sequence number,\n"
    "              %l lane, %m messages missed before it, %e messages too old before it, %r 1 if retained,\n"
    "              %U Unix time of the write,\n"
    "              %% a percent sign, \\n \\t \\r \\0 \\\\ as in C; a newline follows. Default: %p\n"
    "  -R          only what is written from now on\n"
    "  -S SEGMENT  the segment's name (default /shmgate)\n";

static const char stats_usage[] = "Usage: shmgate stats [--json] [--watch[=SECONDS]] [-S SEGMENT]\n"
                                  "\n"
                                  "For each channel: written = delivered + queued + spooled + filtered + dropped.\n"
                                  "\n"
                                  "  --json      one JSON object\n"
                                  "  --watch     again and again, each SECONDS (default 1), with rates, until Ctrl-C; "
                                  "with --json one object a line,\n"
                                  "              with its Unix time\n"
                                  "  -S SEGMENT  the segment's name (default /shmgate)\n";

static const char top_usage[] = "Usage: shmgate top [-d SECONDS] [-S SEGMENT]\n"
                                "\n"
                                "Shows gateway, link, spool and channels on the whole screen of a terminal; press ? "
                                "there for the keys. It only looks: the\n"
                                "segment is mapped read-only.\n"
                                "\n"
                                "  -d SECONDS  between two looks (default 1; 0.1 to 3600)\n"
                                "  -S SEGMENT  the segment's name (default /shmgate)\n";

static const char release_usage[] =
    "Usage: shmgate release [-S SEGMENT]\n"
    "\n"
    "Removes the segment and the semaphore of a gateway that is gone, with the messages that are still in them.\n"
    "Refused while a gateway serves the segment.\n"
    "\n"
    "  -S SEGMENT  the segment's name (default /shmgate)\n";

static const char spool_usage[] =
    "Usage: shmgate spool (list | show | export) [CHANNEL] [-C COUNT] [-F FORMAT] [-f FILE]\n"
    "       shmgate spool check [-f FILE]\n"
    "\n"
    "Looks at the spool without changing it; the gateway may be at work.\n"
    "\n"
    "  list        how many messages of which channel and lane wait, and since when\n"
    "  show        print the messages, the oldest first, as read does\n"
    "  export      print each message as a line of JSON, the payload in hex; also what can be read of a damaged file\n"
    "  check       look at every page and every count: exit status 1 and a line for every fault\n"
    "  -C COUNT    stop after COUNT messages\n"
    "  -F FORMAT   for show; see shmgate read --help\n"
    "  -f FILE     the spool (default " TOOL_SPOOL_PATH ")\n";

#define INTERVAL_WANTED "expected seconds from 0.1 to 3600, not "

static const char version[] = "shmgate " SHMGATE_VERSION "\n";

struct command {
    const char *name, *usage, *letters;
    int has_channel;
};

static const struct command commands[] = {
    {"write", write_usage, "m:nf:lsW:S:", 1}, {"read", read_usage, "C:W:F:RS:", 1},
    {"stats", stats_usage, "S:", 0},          {"top", top_usage, "d:S:", 0},
    {"release", release_usage, "S:", 0},      {"spool", spool_usage, "C:F:f:", 0},
};

static int usage_error(const char *command, const char *what, const char *value)
{
    fprintf(stderr, "shmgate: %s%s\nTry: shmgate %s%s--help\n", what, value, command, command[0] ? " " : "");
    return TOOL_USAGE + 1;
}

static int print(const char *text)
{
    fputs(text, stdout);
    if (fflush(stdout) == 0)
        return TOOL_DONE + 1;
    fprintf(stderr, "shmgate: write standard output: %s\n", strerror(errno));
    return TOOL_FAILED + 1;
}

static int parse_count(const char *text, long *count)
{
    char *end;

    errno = 0;
    *count = strtol(text, &end, 10);
    return errno == 0 && end != text && *end == '\0' && *count > 0;
}

static int parse_seconds(const char *text, double *seconds)
{
    char *end;

    *seconds = strtod(text, &end);
    return end != text && *end == '\0' && isfinite(*seconds) && *seconds >= 0;
}

/* Between two looks of top or stats --watch. */
static int parse_interval(const char *text, double *seconds)
{
    return parse_seconds(text, seconds) && *seconds >= TOOL_INTERVAL_MIN_S && *seconds <= TOOL_INTERVAL_MAX_S;
}

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(name, commands[i].name) == 0)
            return &commands[i];
    return NULL;
}

/* Take one option. Returns 0, or an exit code plus 1. */
static int options_take(struct tool_options *options, const struct command *command, int letter, const char *value)
{
    char wrong[] = "?";

    switch (letter) {
    case 'm':
        options->message = value;
        return 0;
    case 'n':
        options->empty = 1;
        return 0;
    case 'f':
        options->file = value;
        return 0;
    case 'l':
        options->lines = 1;
        return 0;
    case 's':
        options->whole = 1;
        return 0;
    case 'R':
        options->new_only = 1;
        return 0;
    case 'j':
        options->json = 1;
        return strcmp(command->name, "stats") == 0 ? 0 : usage_error(command->name, "--json is for stats", "");
    case 'w':
        options->watch = 1;
        if (strcmp(command->name, "stats") != 0)
            return usage_error(command->name, "--watch is for stats", "");
        return !value || parse_interval(value, &options->interval_s)
                   ? 0
                   : usage_error(command->name, "--watch: " INTERVAL_WANTED, value);
    case 'd':
        return parse_interval(value, &options->interval_s) ? 0
                                                           : usage_error(command->name, "-d: " INTERVAL_WANTED, value);
    case 'S':
        options->segment = value;
        return 0;
    case 'C':
        return parse_count(value, &options->count)
                   ? 0
                   : usage_error(command->name, "-C: expected a number above 0, not ", value);
    case 'W':
        return parse_seconds(value, &options->seconds)
                   ? 0
                   : usage_error(command->name, "-W: expected seconds, not ", value);
    case 'F':
        options->format = value;
        wrong[0] = format_check(value);
        return wrong[0] == '\0' ? 0 : usage_error(command->name, "-F: what is meant by ", wrong);
    case 'h':
        return print(command->usage);
    case 'v':
        return print(version);
    default: /* getopt has said what is wrong */
        fprintf(stderr, "Try: shmgate %s --help\n", command->name);
        return TOOL_USAGE + 1;
    }
}

/* spool ACTION [CHANNEL]. Returns 0, or an exit code plus 1. */
static int take_action(struct tool_options *options, const char *name, int count, char **words)
{
    static const char *const actions[] = {"list", "show", "export", "check"};

    if (count == 0)
        return usage_error(name, "do what? Give one of list, show, export, check", "");
    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
        if (strcmp(words[0], actions[i]) == 0)
            options->action = actions[i];
    if (!options->action)
        return usage_error(name, "expected list, show, export or check, not ", words[0]);
    if (count > 1)
        options->channel = words[1];
    return count > 2 || (count > 1 && strcmp(options->action, "check") == 0)
               ? usage_error(name, "too many arguments", "")
               : 0;
}

/* What only all options together can get wrong. */
static int check(const struct tool_options *options, const struct command *command, int rest)
{
    int sources = (options->message != NULL) + (options->file != NULL) + options->lines + options->whole +
                  options->empty;

    if (command->has_channel && !options->channel)
        return usage_error(command->name, "which channel?", "");
    if (rest > 0)
        return usage_error(command->name, "too many arguments", "");
    if (strcmp(command->name, "write") == 0 && sources != 1)
        return usage_error(
            command->name,
            sources == 0 ? "write what? Give one of -m, -n, -f, -l, -s" : "give only one of -m, -n, -f, -l, -s", "");
    return 0;
}

int options_parse(struct tool_options *options, int argc, char **argv)
{
    static const struct option words[] = {{"json", no_argument, NULL, 'j'},
                                          {"help", no_argument, NULL, 'h'},
                                          {"watch", optional_argument, NULL, 'w'},
                                          {"version", no_argument, NULL, 'v'},
                                          {NULL, 0, NULL, 0}};
    const struct command *command;
    int letter, rc;

    *options = (struct tool_options){.seconds = -1, .interval_s = 1};
    if (argc < 2)
        return usage_error("", "which command?", "");
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return print(general_usage);
    if (strcmp(argv[1], "--version") == 0)
        return print(version);
    command = find_command(argv[1]);
    if (!command)
        return usage_error("", "unknown command: ", argv[1]);
    options->command = command->name;
    argv[1] = argv[0]; /* for the name in getopt's messages */
    while ((letter = getopt_long(argc - 1, argv + 1, command->letters, words, NULL)) != -1)
        if ((rc = options_take(options, command, letter, optarg)) != 0)
            return rc;
    optind++; /* counted without the command */
    if (strcmp(command->name, "spool") == 0)
        return take_action(options, command->name, argc - optind, argv + optind);
    if (command->has_channel && optind < argc)
        options->channel = argv[optind++];
    /* "--watch 2" is as good as "--watch=2". */
    if (options->watch && optind < argc && parse_interval(argv[optind], &options->interval_s))
        optind++;
    return check(options, command, argc - optind);
}
