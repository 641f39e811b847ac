/* spool_fixture.h: a spool in a folder of its own, that goes with the test, and what the log was told. */
#ifndef SHMGATE_TESTS_SPOOL_FIXTURE_H
#define SHMGATE_TESTS_SPOOL_FIXTURE_H

#include <dirent.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "platform.h"
#include "spool/spool.h"

static char folder[40], spool_path[80], told[8192];
static struct spool_options options;
static struct spool *spool;

static inline void remember(void *context, int fault, const char *format, va_list arguments)
{
    char line[640];

    (void)context;
    vsnprintf(line, sizeof(line), format, arguments);
    snprintf(told + strlen(told), sizeof(told) - strlen(told), "%s%s\n", fault ? "! " : "", line);
}

static inline void empty_folder(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    char name[PATH_MAX];

    while (dir && (entry = readdir(dir))) {
        snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            remove(name);
    }
    if (dir)
        closedir(dir);
}

/* How many files of the folder have `part` in their names; journals apart. */
static inline int count_files(const char *part)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;
    int count = 0;

    while (dir && (entry = readdir(dir)))
        count += strstr(entry->d_name, part) != NULL && !strstr(entry->d_name, "-wal");
    if (dir)
        closedir(dir);
    return count;
}

static inline void remove_folder(void)
{
    empty_folder(folder);
    rmdir(folder);
}

/* A new, empty folder; nothing is open. */
static inline int begin(void)
{
    if (!folder[0]) {
        snprintf(folder, sizeof(folder), "/tmp/shmgate-spool-XXXXXX");
        if (!mkdtemp(folder))
            return -1;
        atexit(remove_folder);
    }
    spool_close(spool);
    spool = NULL;
    empty_folder(folder);
    snprintf(spool_path, sizeof(spool_path), "%s/spool.db", folder);
    told[0] = '\0';
    options = (struct spool_options){.path = spool_path, .max_bytes = 64 << 20};
    return 0;
}

static inline int open_spool(void)
{
    return spool_open(&spool, &options, remember, NULL);
}

static inline int reopen(void)
{
    spool_close(spool);
    spool = NULL;
    return open_spool();
}

static inline struct spool_stream *lane(unsigned number)
{
    struct spool_source source = {
        .channel = number < 10 ? "a" : "b", .topic = "t/a", .boot = "boot", .qos = 1, .generation = 7, .lane = number};

    return spool_stream_for(spool, &source);
}

/* Take messages `first` up to, not including, `end`; each payload is its number as text, padded to `size`. Not
 * committed. */
static inline int take(struct spool_stream *stream, uint64_t first, uint64_t end, size_t size)
{
    char payload[4096] = "";
    int rc = 0;

    for (uint64_t i = first; rc == 0 && i < end; i++) {
        struct spool_message message = {.sequence = i, .time_ns = 1000 + i, .payload = payload, .size = size};

        snprintf(payload, sizeof(payload), "%llu", (unsigned long long)i);
        rc = spool_take(spool, stream, &message, platform_time_ns());
    }
    return rc;
}

/* Sequence number of the first message at or above `sequence` with the right payload; UINT64_MAX none; UINT64_MAX - 1 a
 * wrong one. */
static inline uint64_t next(const struct spool_stream *stream, uint64_t sequence)
{
    struct spool_message message;
    char expected[32];

    if (spool_next(spool, stream, sequence, &message) < 0)
        return UINT64_MAX;
    snprintf(expected, sizeof(expected), "%llu", (unsigned long long)message.sequence);
    return message.time_ns == 1000 + message.sequence && strncmp(message.payload, expected, message.size) == 0
               ? message.sequence
               : UINT64_MAX - 1;
}

static inline int adds_up(const struct spool_stream *stream)
{
    const struct spool_ledger *ledger = &stream->ledger;

    return ledger->taken == ledger->held + ledger->delivered + ledger->dropped[0] + ledger->dropped[1] +
                                ledger->dropped[2] + ledger->dropped[3];
}

#endif
