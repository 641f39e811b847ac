/* options.c: the command line of shmgate. The letters, and the words where they are long, are those of mosquitto_pub
 * and mosquitto_sub where these have them. */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shm/nearest.h"
#include "shm/shared_memory.h"
#include "tool/tool.h"

#define INTERVAL_WANTED "expected seconds from 0.1 to 3600, not "

static const char version[] = "shmgate " SHMGATE_VERSION "\n";

/* Every long option there is. Those with a letter belong to the commands that have the letter; "json" and "watch" have
 * none of their own, and stand for themselves in tool_command.words. */
static const struct option words[] = {
    {"message", required_argument, NULL, 'm'},  {"null-message", no_argument, NULL, 'n'},
    {"file", required_argument, NULL, 'f'},     {"stdin-line", no_argument, NULL, 'l'},
    {"stdin-file", no_argument, NULL, 's'},     {"timeout", required_argument, NULL, 'W'},
    {"segment", required_argument, NULL, 'S'},  {"count", required_argument, NULL, 'C'},
    {"format", required_argument, NULL, 'F'},   {"new-only", no_argument, NULL, 'R'},
    {"interval", required_argument, NULL, 'd'}, {"json", no_argument, NULL, 'j'},
    {"watch", optional_argument, NULL, 'w'},    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'v'},
};
#define WORDS (sizeof(words) / sizeof(words[0]))

static int usage_error(const char *command, const char *what, const char *value)
{
    fprintf(stderr, "shmgate: %s%s\nTry: shmgate %s%s--help\n", what, value, command, command[0] ? " " : "");
    return TOOL_USAGE + 1;
}

/* For a value that is not what the option `letter` takes. */
static int value_error(const char *command, int letter, const char *wanted, const char *value)
{
    fprintf(stderr, "shmgate: -%c: %s%s\nTry: shmgate %s --help\n", letter, wanted, value, command);
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

/* No such command: what may have been meant. */
static int unknown_command(const char *name)
{
    const struct tool_command *command, *nearest = NULL;
    size_t best = SIZE_MAX;

    for (size_t i = 0; (command = usage_command(i)) != NULL; i++) {
        size_t distance = nearest_distance(name, command->name);

        if (distance < best) {
            best = distance;
            nearest = command;
        }
    }
    if (!nearest)
        return usage_error("", "unknown command: ", name);
    fprintf(stderr, "shmgate: unknown command: %s: did you mean %s?\nTry: shmgate --help\n", name, nearest->name);
    return TOOL_USAGE + 1;
}

/* A segment's name; its slash may be left out. */
static void take_segment(struct tool_options *options, const char *name)
{
    snprintf(options->segment, sizeof(options->segment), "%s%s", name[0] == '/' || name[0] == '\0' ? "" : "/", name);
    options->segment_named = 1;
}

/* Take an option that has no value. Returns 0 when it is none of those. */
static int take_switch(struct tool_options *options, int letter)
{
    switch (letter) {
    case 'n':
        return options->empty = 1;
    case 'l':
        return options->lines = 1;
    case 's':
        return options->whole = 1;
    case 'R':
        return options->new_only = 1;
    case 'j':
        return options->json = 1;
    default:
        return 0;
    }
}

/* Take one option. Returns 0, or an exit code plus 1. */
static int options_take(struct tool_options *options, const struct tool_command *command, int letter, const char *value)
{
    char wrong[] = "?";

    switch (letter) {
    case 'm':
        options->message = value;
        return 0;
    case 'f':
        options->file = value;
        return 0;
    case 'S':
        take_segment(options, value);
        return 0;
    case 'w':
        options->watch = 1;
        return !value || parse_interval(value, &options->interval_s)
                   ? 0
                   : usage_error(command->name, "--watch: " INTERVAL_WANTED, value);
    case 'd':
        return parse_interval(value, &options->interval_s) ? 0
                                                           : value_error(command->name, letter, INTERVAL_WANTED, value);
    case 'C':
        return parse_count(value, &options->count)
                   ? 0
                   : value_error(command->name, letter, "expected a number above 0, not ", value);
    case 'W':
        return parse_seconds(value, &options->seconds)
                   ? 0
                   : value_error(command->name, letter, "expected seconds, not ", value);
    case 'F':
        options->format = value;
        wrong[0] = format_check(value);
        return wrong[0] == '\0' ? 0 : value_error(command->name, letter, "what is meant by ", wrong);
    case 'h':
        return print(command->usage);
    case 'v':
        return print(version);
    default: /* getopt has said what is wrong, unless it is a switch */
        if (take_switch(options, letter))
            return 0;
        fprintf(stderr, "Try: shmgate %s --help\n", command->name);
        return TOOL_USAGE + 1;
    }
}

/* spool ACTION [CHANNEL]. Returns 0, or an exit code plus 1. */
static int take_action(struct tool_options *options, const char *name, int count, char **words_left)
{
    static const char *const actions[] = {"list", "show", "export", "check"};

    if (count == 0)
        return usage_error(name, "do what? Give one of list, show, export, check", "");
    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
        if (strcmp(words_left[0], actions[i]) == 0)
            options->action = actions[i];
    if (!options->action)
        return usage_error(name, "expected list, show, export or check, not ", words_left[0]);
    if (count > 1)
        options->channel = words_left[1];
    return count > 2 || (count > 1 && strcmp(options->action, "check") == 0)
               ? usage_error(name, "too many arguments", "")
               : 0;
}

/* help [COMMAND]. Returns an exit code plus 1. */
static int help(int count, char **words_left)
{
    const struct tool_command *command = count > 0 ? usage_find(words_left[0]) : NULL;

    if (count > 1)
        return usage_error("help", "too many arguments", "");
    if (count == 1 && !command)
        return unknown_command(words_left[0]);
    return print(command ? command->usage : usage_general);
}

/* What only all options together can get wrong. */
static int check(const struct tool_options *options, const struct tool_command *command, int rest)
{
    int sources = (options->message != NULL) + (options->file != NULL) + options->lines + options->whole +
                  options->empty;

    if (command->takes == TOOL_TAKES_CHANNEL && !options->channel)
        return usage_error(command->name, "which channel? shmgate list shows them", "");
    if (rest > 0)
        return usage_error(command->name, "too many arguments", "");
    if (command->run == write_run && sources != 1)
        return usage_error(
            command->name,
            sources == 0 ? "write what? Give one of -m, -n, -f, -l, -s" : "give only one of -m, -n, -f, -l, -s", "");
    return 0;
}

/* The long options of a command, with the empty one that ends them. */
static void select_words(const struct tool_command *command, struct option selected[WORDS + 1])
{
    size_t count = 0;

    for (size_t i = 0; i < WORDS; i++) {
        int letter = words[i].val;

        if (letter == 'h' || letter == 'v' || strchr(command->letters, letter) || strchr(command->words, letter))
            selected[count++] = words[i];
    }
    selected[count] = (struct option){0};
}

/* Understand what follows the command. */
static int parse_command(struct tool_options *options, const struct tool_command *command, int argc, char **argv)
{
    struct option selected[WORDS + 1];
    int letter, rc;

    select_words(command, selected);
    while ((letter = getopt_long(argc, argv, command->letters, selected, NULL)) != -1)
        if ((rc = options_take(options, command, letter, optarg)) != 0)
            return rc;
    if (command->takes == TOOL_TAKES_ACTION)
        return take_action(options, command->name, argc - optind, argv + optind);
    if (command->takes == TOOL_TAKES_COMMAND)
        return help(argc - optind, argv + optind);
    if (command->takes == TOOL_TAKES_CHANNEL && optind < argc)
        options->channel = argv[optind++];
    /* "--watch 2" is as good as "--watch=2". */
    if (options->watch && optind < argc && parse_interval(argv[optind], &options->interval_s))
        optind++;
    rc = check(options, command, argc - optind);
    return rc == 0 && !command->run ? print(version) : rc;
}

int options_parse(struct tool_options *options, int argc, char **argv)
{
    const struct tool_command *command;
    const char *segment = getenv("SHMGATE_SEGMENT");

    *options = (struct tool_options){.seconds = -1, .interval_s = 1};
    if (segment && segment[0])
        take_segment(options, segment);
    else
        snprintf(options->segment, sizeof(options->segment), "%s", SHARED_MEMORY_DEFAULT_SEGMENT);
    if (argc < 2)
        return usage_error("", "which command?", "");
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return print(usage_general);
    if (strcmp(argv[1], "--version") == 0)
        return print(version);
    command = usage_find(argv[1]);
    if (!command)
        return unknown_command(argv[1]);
    options->command = command->name;
    options->run = command->run;
    argv[1] = argv[0]; /* for the name in getopt's messages */
    return parse_command(options, command, argc - 1, argv + 1);
}
