/* replay_internal.h: the streams of the spool as replay.c (which there are, and what is counted) and replay_stream.c (a
 * stream as a source) share them. */
#ifndef SHMGATE_REPLAY_INTERNAL_H
#define SHMGATE_REPLAY_INTERNAL_H

#include "publish/publish_internal.h"
#include "publish/replay.h"
#include "shm/platform.h"

struct replay_stream {
    struct source source;
    struct replay *replay;
    struct spool_stream *stream;
    struct publish_channel channel; /* as it was when the messages were written */
    int is_earlier;                 /* 1: among those of its group that are of earlier segments */
    uint64_t bad_sequence;          /* a message that could not be one of ours when it was read; UINT64_MAX: none */
};

struct replay {
    struct publish *publish;
    struct spool *spool;
    const struct segment_list *olds; /* those that are being drained, finished ones with base NULL; NULL: none */
    int created;                     /* 1: the present segment was made by this gateway */
    int reconciled;                  /* 1: the segments' counters have been brought into agreement with the file */
    struct replay_stream **streams;  /* one a stream of the spool, in its order */
    size_t count;
    char boot[PLATFORM_BOOT_ID_SIZE];
};

extern const struct source_type replay_stream_type;

#endif
