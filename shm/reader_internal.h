/* reader_internal.h: the reader handle as reader.c (its place in the channel), reader_wait.c (how it waits, and how a
 * wait is ended) and reader_watch.c (its descriptor) share it. Nobody else includes this. */
#ifndef SHMGATE_READER_INTERNAL_H
#define SHMGATE_READER_INTERNAL_H

#include "handles_internal.h"

/* One lane, as this reader follows it. */
struct cursor {
    struct ring ring;
    uint64_t next;
    uint32_t polls; /* looks that found nothing */
};

struct reader_watch;

struct shared_memory_reader {
    struct shared_memory *shm;
    struct mapping *mapping;
    uint32_t channel; /* index in the segment */
    uint32_t lanes;
    struct cursor *cursors;   /* one a lane */
    uint32_t turn;            /* lane to look at first, so that none waits for another for ever */
    uint64_t looked_ns;       /* when it was last looked whether the segment still has its name */
    uint32_t idle;            /* polls that found nothing */
    int in_burst;             /* the last wait was short */
    int peeked;               /* lane of the peek that waits for its advance, or -1 */
    uint64_t missed, expired; /* since the last message given out */
    char *topic;              /* of the last message, terminated */
    size_t channel_topic_size;
    char name[LAYOUT_NAME_SIZE];
    _Atomic uint32_t cancelled;           /* 1: the wait under way, or the next one, is to end */
    _Atomic uint32_t cancelling;          /* calls of shared_memory_reader_cancel that look at `waits_on` */
    _Atomic(_Atomic uint32_t *) waits_on; /* the word in the segment that the wait under way sleeps on; NULL: none */
    struct reader_watch *watch;           /* NULL: nobody has asked for a descriptor */
};

/* Until when the monotonic clock a sleep may last before the reader looks for itself. */
uint64_t reader_look_ns(const struct segment *segment);

/* Sleep until a message may be there (`word` has changed, as ring_reader_sleep gave it), until it is time to look, or
 * the deadline. 0; -ECANCELED; -EINTR. */
int reader_sleep(struct shared_memory_reader *reader, uint32_t word, uint64_t deadline_ns);

/* Whether no gateway has the segment and it has lost its name, so that nothing will ever come here; looks once a
 * second. */
int reader_is_left_behind(struct shared_memory_reader *reader);

/* Nobody who cancels has the reader's present segment in hand any more. */
void reader_await_cancels(struct shared_memory_reader *reader);

/* The reader has found nothing and will be told by its descriptor: from now on the descriptor becomes readable when the
 * word changes. Returns 1 when it was set down just now, so that one more look is due; 0: it was already. */
int reader_watch_arm(struct shared_memory_reader *reader);

/* The look that was due found something: the descriptor is readable again. */
void reader_watch_found(struct shared_memory_reader *reader);

/* Let the present segment go: the watch's thread leaves it, and the descriptor is readable. */
void reader_watch_leave(struct shared_memory_reader *reader);

/* End the thread and close the descriptor. */
void reader_watch_close(struct shared_memory_reader *reader);

#endif
