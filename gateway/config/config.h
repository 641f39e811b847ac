/* config.h: what gateway.ini and the files that drop in beside it say, checked.
 *
 * The reading has steps, a file each: config_files.c finds the files, config_lines.c cuts each into lines and hands
 * them to inih, config_reader.c puts sections and keys together, config_schema.c knows every key, config_fill.c fills
 * in placeholders, config_value.c understands the values, config_check.c looks at what only several keys together can
 * get wrong, config_faults.c gathers what was found. No global state; a config may be loaded in any thread.
 */
#ifndef SHMGATE_CONFIG_H
#define SHMGATE_CONFIG_H

#include <stddef.h>
#include <stdint.h>

#include "shm/layout.h"
#include "shm/reason.h"

/* Whether a channel's messages go to disk: never, when the ring is about to overwrite them, or each. */
enum config_spool { CONFIG_SPOOL_OFF, CONFIG_SPOOL_OVERFLOW, CONFIG_SPOOL_ALWAYS };

/* How several samples make one MQTT message. */
enum config_batch { CONFIG_BATCH_NONE, CONFIG_BATCH_FRAME, CONFIG_BATCH_LINES };

/* A [channel NAME] section. */
struct config_channel {
    char *name;
    char *topic; /* valid UTF-8; a filter in a subscribe channel; may have CONFIG_FILL_LANE in a publish channel */
    enum layout_direction direction;
    enum layout_overflow overflow; /* publish only */
    enum config_spool spool;       /* publish only */
    int live_first;                /* publish only: 1: new messages do not wait for spooled ones */
    int source;                    /* publish only: 1: messages tell where they come from */
    uint64_t spool_max_size;       /* bytes; 0 = no limit of its own */
    uint64_t spool_max_age_ms;     /* 0 = no limit of its own */
    unsigned qos;                  /* 0, 1 or 2 */
    int retain;                    /* 1 or 0; publish only */
    uint32_t max_payload;          /* bytes */
    uint32_t topic_max;            /* bytes; 0 in publish channels */
    uint32_t batch_max;            /* samples in one MQTT message at most; 1: each has its own; publish only */
    uint32_t batch_time_ms;        /* publish only */
    int batch_format;              /* enum config_batch; publish only */
    int unpack;                    /* enum config_batch; subscribe only */
    uint64_t max_age_ms;           /* 0 = no limit; subscribe only */
    int ignore_retained;           /* 1 or 0; subscribe only */
    uint32_t max_rate;             /* messages a second, 0 = no limit; subscribe only */
    uint32_t slots;                /* as written; layout_plan rounds up to a power of two */
    uint32_t writers;              /* lanes; 1 in subscribe channels: the gateway's own */
    unsigned line;                 /* where the section begins */
};

/* The whole. Strings are NULL when the key is not given and has no default. */
struct config {
    char **uris;      /* as written: mqtt://HOST[:PORT] or mqtts://..., in the order to try them */
    size_t uri_count; /* at least 1 */
    char *client_id;
    int mqtt_version; /* 4 = 3.1.1, 5 = 5, as in CONNECT */
    char *username, *password_file, *ca_file, *cert_file, *key_file;
    uint32_t keepalive_s, connect_timeout_ms;
    uint32_t session_expiry_s;  /* 0 = the session ends with the connection */
    uint32_t stats_interval_ms; /* 0 = no statistics on the broker */
    char *segment;
    char *group;   /* NULL = leave the process's group */
    unsigned mode; /* permissions of segment and semaphore */
    char *spool_path;
    uint64_t spool_max_size;   /* bytes */
    uint64_t spool_max_age_ms; /* 0 = no limit */
    uint32_t spool_interval_ms;
    char *metrics_listen; /* a listen_address; NULL = nowhere */
    struct config_channel *channels;
    size_t channel_count; /* at least 1 */
    char *path;           /* the file this was read from */
    size_t file_count;    /* it, and those that drop in beside it */
    char **warnings;      /* "FILE:LINE: ..." of what is allowed and probably not meant, such as quotes */
    size_t warning_count;
};

/* Takes one fault: the file as given to config_load, the line counted from 1 (0: the file as a whole), and one line
 * of text without control characters. Both strings are valid during the call. */
typedef void (*config_report)(void *context, const char *file, unsigned line, const char *message);

/* Read and check `path`. All faults are reported, in line order, before the function returns. It reads the disk and
 * the group database and may block on them.
 * Returns 0: *config must be given to config_free; -EINVAL: the file has faults; -ENOMEM, or -errno when the file
 * cannot be read: also reported, as line 0. On failure *config is empty. */
int config_load(struct config *config, const char *path, config_report report, void *context);

/* Free what config_load allocated and leave *config empty; an empty one may be given. */
void config_free(struct config *config);

/* Copy the first line of the file `path`, without its end of line, into `secret`. May block on the disk. The caller
 * wipes `secret` when done.
 * Returns 0; with the reason: -EINVAL the line is empty or holds a NUL byte; -EMSGSIZE it does not fit
 * `size`; -ENOTSUP it is not a regular file; or -errno of open(2) or read(2). On failure `secret` is wiped. */
int config_read_secret(const char *path, char *secret, size_t size, struct reason *reason);

#endif
