/* main.c: shmgated: command line, configuration, signals, and the loop. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "config/config.h"
#include "loop/channel_table.h"
#include "loop/loop.h"
#include "observe/log.h"
#include "observe/metrics.h"
#include "observe/notify.h"

#define DEFAULT_CONFIG "/etc/shmgate/gateway.ini"

/* EXIT_CONFIG: the service begins with a configuration that has a fault, which no further try mends, so the units ask
 * for none; sysexits(3) has the number. */
enum exit_code { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_CONFIG = 78 };

static const char usage[] =
    "Usage: shmgated [--config FILE] [--check] [--version] [--help]\n"
    "\n"
    "Serve a shared-memory segment and pass its channels' messages to and from an MQTT broker.\n"
    "\n"
    "  -c, --config FILE  configuration to read (default " DEFAULT_CONFIG ")\n"
    "      --check        check the configuration, say what it amounts to, and exit\n"
    "      --version      print the version and exit\n"
    "      --help         print this text and exit\n"
    "\n"
    "Signals: SIGTERM and SIGINT stop in order, SIGHUP reads the configuration again.\n";

static void print_fault(void *context, const char *file, unsigned line, const char *message)
{
    (void)context;
    if (line > 0)
        printf("%s:%u: %s\n", file, line, message);
    else
        printf("%s: %s\n", file, message);
}

/* Read the file, and say what it amounts to or what is wrong with it. */
static int check(const char *path)
{
    struct config config;
    struct channel_table table;
    struct reason reason;
    size_t publish = 0;

    if (config_load(&config, path, print_fault, NULL) < 0)
        return EXIT_FAILED;
    if (channel_table_create(&table, &config, &reason) < 0) {
        printf("%s: %s\n", path, reason.text);
        config_free(&config);
        return EXIT_FAILED;
    }
    if (channel_table_check_space(&table, &reason) < 0) {
        printf("%s: %s\n", path, reason.text);
        channel_table_destroy(&table);
        config_free(&config);
        return EXIT_FAILED;
    }
    for (size_t i = 0; i < config.warning_count; i++)
        fprintf(stderr, "%s (warning)\n", config.warnings[i]);
    for (size_t i = 0; i < config.channel_count; i++)
        publish += config.channels[i].direction == LAYOUT_PUBLISH;
    printf("%s: ok: segment %s of %llu KiB, %zu publish and %zu subscribe channels, %zu broker%s", path, config.segment,
           (unsigned long long)(table.layout.segment_size / 1024), publish, config.channel_count - publish,
           config.uri_count, config.uri_count == 1 ? "" : "s");
    if (config.file_count > 1)
        printf(", with %zu file%s beside it", config.file_count - 1, config.file_count == 2 ? "" : "s");
    putchar('\n');
    channel_table_destroy(&table);
    config_free(&config);
    return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
}

static int install_signals(void)
{
    struct sigaction action = {.sa_handler = loop_signal};
    struct sigaction ignore = {.sa_handler = SIG_IGN};

    /* No SA_RESTART: the wait on the doorbell is to end. SIGPIPE, SIGXFSZ: a broker that goes away or a spool that may
     * not grow is an error code, not the end. */
    if (sigaction(SIGTERM, &action, NULL) < 0 || sigaction(SIGINT, &action, NULL) < 0 ||
        sigaction(SIGHUP, &action, NULL) < 0 || sigaction(SIGPIPE, &ignore, NULL) < 0 ||
        sigaction(SIGXFSZ, &ignore, NULL) < 0)
        return -errno;
    return 0;
}

/* The password lies in our memory as long as Paho may need it for the next connection, and so do messages: no core
 * dump, and no look into that memory for other processes of our user. */
static void keep_memory_private(void)
{
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        log_write(LOG_LEVEL_WARNING, "could not forbid core dumps: %s", strerror(errno));
}

/* The faults of the configuration with which the service begins. */
struct faults {
    char first[512];
    unsigned count;
};

static void take_fault(void *context, const char *file, unsigned line, const char *message)
{
    struct faults *faults = context;

    loop_report_fault(NULL, file, line, message);
    if (faults->count++ > 0)
        return;
    if (line > 0)
        snprintf(faults->first, sizeof(faults->first), "%s:%u: %s", file, line, message);
    else
        snprintf(faults->first, sizeof(faults->first), "%s: %s", file, message);
}

/* Read the configuration; what is wrong with it is logged, and shown by systemctl status. Returns an exit code. */
static int load_config(struct config *config, const char *path)
{
    struct faults faults = {.count = 0};
    char status[sizeof(faults.first) + 64];

    if (config_load(config, path, take_fault, &faults) == 0) {
        loop_log_warnings(config);
        return EXIT_DONE;
    }
    if (faults.count > 1)
        snprintf(status, sizeof(status), "faulty: %s (and %u more)", faults.first, faults.count - 1);
    else
        snprintf(status, sizeof(status), "faulty: %s", faults.first);
    notify_status(status);
    return EXIT_CONFIG;
}

/* Serve until the end. */
static int serve_config(const char *path)
{
    struct config config, next, former = {.path = NULL};
    struct metrics *metrics;
    enum loop_end end;
    int rc;

    keep_memory_private();
    /* Paho would send MQTT through a proxy meant for web browsers. */
    unsetenv("http_proxy");
    unsetenv("https_proxy");
    if ((rc = install_signals()) < 0) {
        log_write(LOG_LEVEL_ERROR, "could not install signal handlers: %s", strerror(-rc));
        return EXIT_FAILED;
    }
    if ((rc = load_config(&config, path)) != EXIT_DONE)
        return rc;
    if (metrics_create(&metrics) < 0) {
        log_write(LOG_LEVEL_ERROR, "could not start: out of memory");
        config_free(&config);
        return EXIT_FAILED;
    }
    for (;;) {
        end = loop_run(&config, &next, metrics);
        if (end == LOOP_RELOAD) {
            config_free(&former);
            former = config;
            config = next;
        } else if (end == LOOP_UNABLE && former.path) {
            /* The new configuration is in order but cannot be had (memory, permissions): better the one before than
             * none. */
            log_write(LOG_LEVEL_ERROR, "could not reload %s: going back to the former configuration", path);
            config_free(&config);
            config = former;
            memset(&former, 0, sizeof(former));
        } else if (end != LOOP_AGAIN) {
            break;
        }
    }
    metrics_destroy(metrics);
    config_free(&former);
    config_free(&config);
    return end == LOOP_STOPPED ? EXIT_DONE : EXIT_FAILED;
}

/* A log that nobody reads holds nobody up. */
static int serve(const char *path)
{
    int rc = log_start(), code;

    if (rc < 0)
        log_write(LOG_LEVEL_WARNING, "could not start the log's thread: %s; the log may hold up messages",
                  strerror(-rc));
    code = serve_config(path);
    log_stop();
    /* What exit(3) takes down is still in use there. */
    if (loop_is_left_behind())
        _exit(code);
    return code;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"check", no_argument, NULL, 'k'},
        {"version", no_argument, NULL, 'v'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    const char *path = DEFAULT_CONFIG;
    int option, check_only = 0;

    while ((option = getopt_long(argc, argv, "c:", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            path = optarg;
            break;
        case 'k':
            check_only = 1;
            break;
        case 'v':
            puts("shmgated " SHMGATE_VERSION);
            return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
        case 'h':
            fputs(usage, stdout);
            return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
        default:
            fputs("Try: shmgated --help\n", stderr);
            return EXIT_USAGE;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "shmgated: unexpected argument: %s\nTry: shmgated --help\n", argv[optind]);
        return EXIT_USAGE;
    }
    return check_only ? check(path) : serve(path);
}
