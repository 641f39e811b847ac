/* usage.c: what shmgate tells about itself: the texts of --help, and the letters and words that each command knows.
 *
 * The completion of bash (shmgate.bash) reads these texts, so their form counts: two spaces, the option or options,
 * what stands for the value in capitals, two spaces, the explanation. */
#include <string.h>

#include "tool/tool.h"

#define SEGMENT_LINE "  -S, --segment SEGMENT  the segment's name (default $SHMGATE_SEGMENT, else /shmgate)\n"

const char usage_general[] = "Usage: shmgate COMMAND [OPTIONS]\n"
                             "\n"
                             "  write CHANNEL    write messages into a publish channel\n"
                             "  read CHANNEL     print the messages of a channel\n"
                             "  list             print the channels, or the segments when there are several\n"
                             "  stats            print what became of the messages of all channels\n"
                             "  top              watch all channels on a full screen\n"
                             "  release          remove the segment of a gateway that is gone\n"
                             "  spool ACTION     look at the messages that are on disk: list, show, export or check\n"
                             "  help [COMMAND]   print this text, or that of a command\n"
                             "  version          print the version\n"
                             "\n"
                             "shmgate COMMAND --help tells more.\n"
                             "Exit status: 0 done, 1 failed, 2 wrong usage, 27 time ran out (read -W).\n";

static const char write_usage[] =
    "Usage: shmgate write CHANNEL (-m TEXT | -n | -f FILE | -l | -s) [-W SECONDS] [-S SEGMENT]\n"
    "\n"
    "  -m, --message TEXT     write TEXT as one message\n"
    "  -n, --null-message     write one empty message\n"
    "  -f, --file FILE        write the content of FILE as one message\n"
    "  -l, --stdin-line       write each line of standard input as a message, without its newline\n"
    "  -s, --stdin-file       write all of standard input as one message\n"
    "  -W, --timeout SECONDS  how long to wait for the segment, and for room in a full ring (default "
    "10)\n" SEGMENT_LINE;

static const char read_usage[] =
    "Usage: shmgate read CHANNEL [-C COUNT] [-W SECONDS] [-F FORMAT] [-R] [-S SEGMENT]\n"
    "\n"
    "Prints the messages that the channel's ring still holds, the oldest first, and then each new one.\n"
    "\n"
    "  -C, --count COUNT      stop after COUNT messages\n"
    "  -W, --timeout SECONDS  stop after that time, with exit status 27\n"
    "  -F, --format FORMAT    print each message so: %p payload, %x payload in hex, %t topic, %n sequence number,\n"
    "                         %l lane, %m messages missed before it, %e messages too old before it, %r 1 if retained,\n"
    "                         %U Unix time of the write,\n"
    "                         %% a percent sign, \\n \\t \\r \\0 \\\\ as in C; a newline follows. Default: %p\n"
    "  -R, --new-only         only what is written from now on\n" SEGMENT_LINE;

static const char list_usage[] =
    "Usage: shmgate list [--json] [-S SEGMENT]\n"
    "\n"
    "Prints the channels of a segment, with direction and topic. Without a segment's name and with several segments "
    "on\n"
    "this machine: the segments, and how many channels each has.\n"
    "\n"
    "      --json             one JSON object\n"
    "  -S, --segment SEGMENT  the segment's name (default $SHMGATE_SEGMENT, else the only one there is)\n";

static const char stats_usage[] =
    "Usage: shmgate stats [--json] [--watch[=SECONDS]] [-S SEGMENT]\n"
    "\n"
    "For each channel: written = delivered + queued + spooled + filtered + dropped.\n"
    "\n"
    "      --json             one JSON object\n"
    "      --watch            again and again, each SECONDS (default 1), with rates, until Ctrl-C; with --json one\n"
    "                         object a line, with its Unix time\n" SEGMENT_LINE;

static const char top_usage[] =
    "Usage: shmgate top [-d SECONDS] [-S SEGMENT]\n"
    "\n"
    "Shows gateway, link, spool and channels on the whole screen of a terminal; press ? there for the keys. It only "
    "looks:\n"
    "the segment is mapped read-only.\n"
    "\n"
    "  -d, --interval SECONDS  between two looks (default 1; 0.1 to 3600)\n"
    "  -S, --segment SEGMENT   the segment's name (default $SHMGATE_SEGMENT, else /shmgate)\n";

static const char release_usage[] =
    "Usage: shmgate release [-S SEGMENT]\n"
    "\n"
    "Removes the segment and the semaphore of a gateway that is gone, with the messages that are still in them.\n"
    "Refused while a gateway serves the segment.\n"
    "\n" SEGMENT_LINE;

static const char spool_usage[] =
    "Usage: shmgate spool (list | show | export) [CHANNEL] [-C COUNT] [-F FORMAT] [-f FILE]\n"
    "       shmgate spool check [-f FILE]\n"
    "\n"
    "Looks at the spool without changing it; the gateway may be at work.\n"
    "\n"
    "  list                 how many messages of which channel and lane wait, and since when\n"
    "  show                 print the messages, the oldest first, as read does\n"
    "  export               print each message as a line of JSON, the payload in hex; also what can be read of a\n"
    "                       damaged file\n"
    "  check                look at every page and every count: exit status 1 and a line for every fault\n"
    "  -C, --count COUNT    stop after COUNT messages\n"
    "  -F, --format FORMAT  for show; see shmgate read --help\n"
    "  -f, --file FILE      the spool (default " TOOL_SPOOL_PATH ")\n";

static const char help_usage[] = "Usage: shmgate help [COMMAND]\n";
static const char version_usage[] = "Usage: shmgate version\n";

static const struct tool_command commands[] = {
    {"write", write_usage, "m:nf:lsW:S:", "", TOOL_TAKES_CHANNEL, write_run},
    {"read", read_usage, "C:W:F:RS:", "", TOOL_TAKES_CHANNEL, read_run},
    {"list", list_usage, "S:", "j", TOOL_TAKES_NOTHING, list_run},
    {"stats", stats_usage, "S:", "jw", TOOL_TAKES_NOTHING, stats_run},
    {"top", top_usage, "d:S:", "", TOOL_TAKES_NOTHING, top_run},
    {"release", release_usage, "S:", "", TOOL_TAKES_NOTHING, release_run},
    {"spool", spool_usage, "C:F:f:", "", TOOL_TAKES_ACTION, spool_run},
    {"help", help_usage, "", "", TOOL_TAKES_COMMAND, NULL},
    {"version", version_usage, "", "", TOOL_TAKES_NOTHING, NULL},
};

const struct tool_command *usage_command(size_t index)
{
    return index < sizeof(commands) / sizeof(commands[0]) ? &commands[index] : NULL;
}

const struct tool_command *usage_find(const char *name)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(name, commands[i].name) == 0)
            return &commands[i];
    return NULL;
}
