/* layout.h: every byte of the segment, its limits, and the check of a header that somebody else wrote.
 *
 * All numbers are little-endian; every field is naturally aligned. Offsets count from the start of the
 * segment. What stands before the first "changes" remark of a structure is written once, before the magic,
 * and never again; whoever attaches copies it and checks the copy (layout_load), and from then on uses the
 * copy only: the segment can be written by every member of its group, so nothing in it is trusted twice.
 *
 *      0  layout_header
 *         layout_channel x channel_count   at channel_offset, channel_stride apart
 *         layout_lane    x lane_count      at lane_offset,    lane_stride apart
 *         dirty words    u64 x dirty_words at dirty_offset    bit L%64 of word L/64: lane L has news
 *         topics         bytes             at each channel's topic_offset, not terminated
 *         slots                            at each lane's slots_offset, slot_stride apart
 *
 * Fields that change while processes are attached are touched through ring.c only, with C11 atomics.
 */
#ifndef SHMGATE_LAYOUT_H
#define SHMGATE_LAYOUT_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "reason.h"

/* "SHMGATE1" as it lies in memory; stored last when a segment is made, so that it means "ready". */
#define LAYOUT_MAGIC UINT64_C(0x31455441474d4853)

/* Format word: what two builds must agree on before one reads what the other wrote. Byte 3 is the major
 * version of this file (a mismatch is refused), byte 2 the minor one (fields may have been added in reserved
 * space), byte 1 the alignment of counters as a power of two, byte 0 the width of a counter in bytes. Nothing in
 * the segment depends on the word size or the C library of who maps it: all fields are of fixed width at fixed
 * places, and what is slept on are words of the kernel's (futex(2)). The byte order is the machine's; a magic that
 * stands there backwards is refused. What of the doorbell is shared has a number of its own: LAYOUT_DOORBELL_*. */
#define LAYOUT_MAJOR 2
#define LAYOUT_MINOR 0
#define LAYOUT_FORMAT ((uint32_t)LAYOUT_MAJOR << 24 | LAYOUT_MINOR << 16 | 7 << 8 | 8)

/* Unit of separation between fields that different processes write: two 64-byte cache lines, because the
 * adjacent-line prefetcher of x86 moves them in pairs. */
#define LAYOUT_ALIGN 128

/* The doorbell is a file of its own beside the segment: /dev/shm/sem.NAME, 32 bytes, as a 64-bit glibc from 2.21 on has
 * a named semaphore of that name:
 *      0  u64  bits 0-31: posts that nobody has taken yet; bits 32-63: how many wait
 *      8  u32  128: shared between processes
 *     12       unused
 * To ring: add 1 to the u64; when somebody waited, wake one sleeper on its first four bytes (futex(2), FUTEX_WAKE). So
 * the library does it itself, with any C library and word size, and sem_post(3) of such a glibc does the same. */
#define LAYOUT_DOORBELL_SEMAPHORE 1

/* Limits. They bound what a hostile or mistaken header can make a process map, loop over or allocate. */
#define LAYOUT_NAME_SIZE 64      /* channel name with its NUL: 63 characters */
#define LAYOUT_CHANNELS_MAX 4096 /* channels of one segment */
#define LAYOUT_LANES_MAX 4096    /* lanes of one segment */
#define LAYOUT_SLOTS_MIN 2       /* an overwrite needs a slot beside the one being read */
#define LAYOUT_SLOTS_MAX (UINT32_C(1) << 24)
#define LAYOUT_PAYLOAD_MAX (UINT32_C(16) << 20) /* bytes of one payload; MQTT itself stops at 256 MiB */
#define LAYOUT_TOPIC_MAX 65535 /* bytes of one topic: MQTT strings carry a 16-bit length (3.1.1, 1.5.3) */
#define LAYOUT_SEGMENT_MAX (UINT64_C(1) << 40)
#define LAYOUT_PROPERTIES_MAX 65536         /* bytes of properties that a slot can have room for */
#define LAYOUT_TYPE_MAX (UINT32_C(1) << 20) /* bytes of a type's text */

/* Bytes of the segment's file that a process holds with an open-file-description lock to show it is alive.
 * The kernel lets a lock go when its holder dies and keeps it while the holder is stopped. */
#define LAYOUT_LOCK_GATEWAY 0 /* held by the gateway that serves the segment */
#define LAYOUT_LOCK_LANE 1    /* + lane number: held by the lane's writer */

enum layout_direction { LAYOUT_PUBLISH = 1, LAYOUT_SUBSCRIBE = 2 };
enum layout_overflow { LAYOUT_DROP_OLDEST = 1, LAYOUT_REJECT = 2 };
enum layout_state { LAYOUT_LIVE = 1, LAYOUT_RETIRED = 2 };
enum layout_link { LAYOUT_LINK_DOWN = 0, LAYOUT_LINK_UP = 1 };
enum layout_spool { LAYOUT_SPOOL_OFF = 0, LAYOUT_SPOOL_OK = 1, LAYOUT_SPOOL_FULL = 2, LAYOUT_SPOOL_FAILED = 3 };

/* Why a message was not delivered; the index into layout_ledger.dropped. */
enum layout_drop {
    LAYOUT_DROP_OVERWRITTEN = 0,    /* the ring was full and its oldest message made way */
    LAYOUT_DROP_TOO_LARGE = 1,      /* inwards: payload above the channel's max_payload */
    LAYOUT_DROP_TOPIC_TOO_LONG = 2, /* inwards: topic above the channel's topic_max */
    LAYOUT_DROP_REFUSED = 3,        /* the broker refused the publish with a reason code */
    LAYOUT_DROP_CORRUPT = 4,        /* the slot failed its checks */
    LAYOUT_DROP_SPOOL_SIZE = 5,     /* spool above its max_size */
    LAYOUT_DROP_SPOOL_AGE = 6,      /* spooled longer than max_age */
    LAYOUT_DROP_SPOOL_FAILED = 7,   /* it was in a spool that is damaged or gone */
    LAYOUT_DROP_EXPIRED = 8,        /* inwards: older than the channel's max_age */
    LAYOUT_DROP_RATE = 9,           /* inwards: above the channel's rate limit */
    LAYOUT_DROP_REASONS = 10,
    LAYOUT_DROP_SPACE = 16 /* room in the segment, so that a reason can be added */
};
#define LAYOUT_SPOOL_DROPS 4 /* those of them that happen to spooled messages */

/* Offset 0. */
struct layout_header {
    _Atomic uint64_t magic;  /*   0 */
    uint32_t format;         /*   8 */
    uint32_t header_size;    /*  12 sizeof(struct layout_header) */
    uint64_t segment_size;   /*  16 bytes of the whole segment */
    uint64_t generation;     /*  24 random; tells this segment from the one before it */
    uint32_t channel_count;  /*  32 */
    uint32_t channel_stride; /*  36 */
    uint64_t channel_offset; /*  40 */
    uint32_t lane_count;     /*  48 */
    uint32_t lane_stride;    /*  52 */
    uint64_t lane_offset;    /*  56 */
    uint64_t dirty_offset;   /*  64 */
    uint32_t dirty_words;    /*  72 */
    uint32_t doorbell;       /*  76 LAYOUT_DOORBELL_SEMAPHORE */
    uint64_t serial;         /*  80 one more than that of the segment it replaced; from 1 */
    uint32_t reserved4[10];  /*  88 */
    _Atomic uint32_t state;  /* 128 changes: enum layout_state */
    uint32_t reserved1[31];
    /* 256 changes: not 0 while the gateway waits on the doorbell: the sleep's number. Whoever leaves word for it posts
     * first, and then clears the number if it still stands here. */
    _Atomic uint32_t gateway_sleeps;
    _Atomic uint32_t sleep_count; /* 260 changes, by the gateway: its last sleep's number */
    _Atomic uint32_t bell_word;   /* 264 reserved for a doorbell in the segment itself, beside the semaphore; 0 */
    uint32_t reserved2[29];
    _Atomic uint32_t gateway_pid;      /* 384 changes: for people only; liveness is the lock */
    _Atomic uint32_t link;             /* 388 changes: enum layout_link */
    _Atomic uint64_t gateway_start_ns; /* 392 changes: Unix time of the gateway's start */
    _Atomic uint64_t link_change_ns;   /* 400 changes: Unix time of the link's last change */
    _Atomic uint32_t spool_state;      /* 408 changes: enum layout_spool */
    uint32_t reserved5;                /* 412 */
    _Atomic uint64_t spool_bytes;      /* 416 changes: of the spool's file that are in use */
    uint32_t reserved3[22];            /* 424 */
};

#define LAYOUT_LATENCIES 8
#define LAYOUT_SPARES 16 /* counters */

/* At channel_offset + n * channel_stride. */
struct layout_channel {
    char name[LAYOUT_NAME_SIZE];    /*   0 padded with NUL */
    uint32_t direction;             /*  64 enum layout_direction */
    uint32_t overflow;              /*  68 enum layout_overflow */
    uint32_t lane_first;            /*  72 index of its first lane */
    uint32_t lane_count;            /*  76 publish: writers; subscribe: 1, written by the gateway */
    uint32_t slots;                 /*  80 a lane; a power of two */
    uint32_t slot_stride;           /*  84 bytes; a multiple of 64 */
    uint32_t max_payload;           /*  88 bytes */
    uint32_t topic_max;             /*  92 bytes of topic a slot can hold; 0 in publish channels */
    uint64_t topic_offset;          /*  96 of topic_size bytes: the topic, or the filter */
    uint32_t topic_size;            /* 104 */
    uint32_t qos;                   /* 108 0, 1 or 2 */
    uint32_t retain;                /* 112 publish: 1 when published as retained messages */
    uint32_t properties_max;        /* 116 bytes of properties a slot has room for; 0: none */
    uint64_t type_offset;           /* 120 of type_size bytes: the text of the type of its messages, not terminated */
    uint32_t type_size;             /* 128 0: they have none */
    uint32_t reserved0[31];         /* 132 */
    _Atomic uint32_t wake_word;     /* 256 changes: grows at each wake-up; sleeping readers wait on it */
    _Atomic uint32_t reader_sleeps; /* 260 changes: 1 when a reader has asked to be woken */
    uint32_t reserved1[30];
    /* 384 changes, by the gateway: what happened to the channel's messages in the segments before this one. */
    _Atomic uint64_t carried_written;                    /* 384 */
    _Atomic uint64_t carried_delivered;                  /* 392 */
    _Atomic uint64_t carried_rejected;                   /* 400 */
    _Atomic uint64_t carried_taken;                      /* 408 moved to the spool */
    _Atomic uint64_t carried_dropped[LAYOUT_DROP_SPACE]; /* 416 by enum layout_drop */
    /* What is in the spool of the segments before this one, and what became of it. */
    _Atomic uint64_t spool_held;                        /* 544 */
    _Atomic uint64_t spool_delivered;                   /* 552 */
    _Atomic uint64_t spool_dropped[LAYOUT_SPOOL_DROPS]; /* 560 size, age, refused, failed */
    /* 592 write to send: p50, p99, p99.9, max; send to acknowledgement: the same */
    _Atomic uint32_t latency_us[LAYOUT_LATENCIES];
    _Atomic uint64_t carried_filtered;             /* 624 */
    _Atomic uint64_t carried_spare[LAYOUT_SPARES]; /* 632 room for counters to come; 0 */
    uint64_t reserved3[17];                        /* 760 */
};

/* What has become of a lane's messages, as one record: written whole, then made current by ledger_turn. */
struct layout_ledger {
    _Atomic uint64_t tail;                       /*   0 all messages below this sequence number are accounted for */
    _Atomic uint64_t delivered;                  /*   8 acknowledged by the broker, or handed to the socket (QoS 0) */
    _Atomic uint64_t spooled;                    /*  16 in the spool now */
    _Atomic uint64_t taken;                      /*  24 moved to the spool, ever */
    _Atomic uint64_t dropped[LAYOUT_DROP_SPACE]; /*  32 by enum layout_drop */
    _Atomic uint64_t spool_delivered;            /* 160 of delivered: from the spool */
    _Atomic uint64_t spool_refused;              /* 168 of dropped: refused when sent from the spool */
    _Atomic uint64_t filtered;                   /* 176 held back, as the channel asks for changes or windows only */
    _Atomic uint64_t spare[LAYOUT_SPARES];       /* 184 room for counters to come; 0 */
    uint64_t padding[9];                         /* 312 */
};

/* At lane_offset + n * lane_stride. */
struct layout_lane {
    uint32_t channel;      /*   0 index of its channel */
    uint32_t reserved0;    /*   4 */
    uint64_t slots_offset; /*   8 */
    uint64_t reserved1[14];
    _Atomic uint64_t head;     /* 128 changes, by the writer: sequence number of the next message */
    _Atomic uint64_t rejected; /* 136 changes, by the writer: writes refused because the ring was full */
    uint64_t reserved2[14];
    _Atomic uint64_t tail;        /* 256 changes, by the gateway: slots below it may be written again */
    _Atomic uint64_t ledger_turn; /* 264 changes, by the gateway: ledger[turn % 2] is current */
    uint64_t reserved3[14];
    /* 384 changes, by the gateway: a sequence number: it wants no word of messages below it. 0: of each. Apart from the
     * tail, which changes all the time, as the writer looks at it with each message. Reserved: no build sets it yet. */
    _Atomic uint64_t hold;
    uint64_t reserved4[15];         /* 392 */
    struct layout_ledger ledger[2]; /* 512 */
};

/* At slots_offset + (sequence % slots) * slot_stride. The payload follows at +32; in subscribe channels the
 * topic follows at +32 + max_payload rounded up to 8. Where properties_max is not 0, an area for properties follows
 * behind both, at the next multiple of 8: a u32 with the size of what is in it, and then that. Reserved: no build
 * writes any yet. slot_stride is the end of it all, rounded up to 64. */
struct layout_slot {
    _Atomic uint64_t state;      /*   0 changes: 2 * (sequence + 1) committed, one less while it is written */
    _Atomic uint64_t time_ns;    /*   8 changes: Unix time of the write */
    _Atomic uint32_t size;       /*  16 changes: bytes of payload */
    _Atomic uint16_t topic_size; /*  20 changes: bytes of topic */
    _Atomic uint16_t flags;      /*  22 changes: LAYOUT_FLAG_* */
    /*  24 changes: time since the machine's start (CLOCK_BOOTTIME) from which no reader takes it any more; 0: never.
     * Not Unix time, as that may be set while the message lies here; the segment does not outlive the boot. */
    _Atomic uint64_t expires_ns;
};
#define LAYOUT_FLAG_RETAINED 1 /* inwards: the broker sent it as a retained message */

_Static_assert(sizeof(struct layout_header) == 512, "header");
_Static_assert(offsetof(struct layout_header, state) == 128, "header state");
_Static_assert(offsetof(struct layout_header, gateway_sleeps) == 256, "header doorbell");
_Static_assert(offsetof(struct layout_header, gateway_pid) == 384, "header gateway");
_Static_assert(sizeof(struct layout_channel) == 896, "channel");
_Static_assert(offsetof(struct layout_channel, type_offset) == 120, "channel type");
_Static_assert(offsetof(struct layout_channel, carried_written) == 384, "channel carried");
_Static_assert(offsetof(struct layout_channel, carried_filtered) == 624, "channel carried, what came later");
_Static_assert(offsetof(struct layout_header, serial) == 80, "header serial");
_Static_assert(offsetof(struct layout_channel, wake_word) == 256, "channel wake word");
_Static_assert(sizeof(struct layout_ledger) == 384, "ledger");
_Static_assert(offsetof(struct layout_ledger, filtered) == 176, "ledger, what came later");
_Static_assert(sizeof(struct layout_lane) == 1280, "lane");
_Static_assert(offsetof(struct layout_lane, hold) == 384, "lane hold");
_Static_assert(offsetof(struct layout_lane, head) == 128, "lane writer");
_Static_assert(offsetof(struct layout_lane, tail) == 256, "lane gateway");
_Static_assert(offsetof(struct layout_lane, ledger) == 512, "lane ledger");
_Static_assert(sizeof(struct layout_slot) == 32, "slot");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2 && ATOMIC_SHORT_LOCK_FREE == 2,
               "a lock of the C library would not be shared between processes");
_Static_assert(sizeof(_Atomic uint64_t) == 8 && sizeof(_Atomic uint32_t) == 4 && sizeof(_Atomic uint16_t) == 2,
               "atomics are as large as what they hold");
_Static_assert(sizeof(size_t) >= 4, "a slot's offset fits");

/* Version 1, as far as it differs: the same fields at other places. Only segment_upgrade.c reads it. */
#define LAYOUT_OLD_MAJOR 1
#define LAYOUT_OLD_CHANNEL 512 /* bytes from channel to channel; the fixed fields as today, to retain */
#define LAYOUT_OLD_CARRIED 256 /* in a channel: 240 bytes that are today those from carried_written to latency_us */
#define LAYOUT_OLD_LANE 896    /* bytes from lane to lane; all as today, but for hold and the ledger's cells */
#define LAYOUT_OLD_LEDGER \
    384 /* in a lane: two cells, 256 bytes apart, as today but for what came after spool_refused */
#define LAYOUT_OLD_CELL 256

/* One channel as the configuration asks for it. Strings are borrowed. */
struct layout_request {
    const char *name;  /* 1 to 63 characters of A-Z a-z 0-9 _ - . */
    const char *topic; /* topic or filter, 1 to 65535 bytes */
    enum layout_direction direction;
    enum layout_overflow overflow;
    uint32_t qos;
    int retain;           /* publish only: 1 or 0 */
    uint32_t max_payload; /* bytes */
    uint32_t topic_max;   /* bytes of topic a subscribe channel keeps with each message */
    uint32_t slots;       /* at least; rounded up to a power of two */
    uint32_t writers;     /* lanes */
};

/* A checked, private copy of a channel's geometry. */
struct layout_channel_info {
    char name[LAYOUT_NAME_SIZE];
    uint32_t direction, overflow, lane_first, lane_count;
    uint32_t slots, slot_stride, max_payload, topic_max;
    uint64_t topic_offset, type_offset;
    uint32_t topic_size, type_size, qos, retain, properties_max;
    uint32_t padding; /* 0: layout_same compares bytes */
};

/* A checked, private copy of a segment's geometry. */
struct layout {
    uint64_t segment_size, generation, serial;
    uint32_t channel_count, lane_count, dirty_words;
    uint64_t channel_offset, lane_offset, dirty_offset;
    struct layout_channel_info *channels; /* channel_count of them, owned */
    uint64_t *slots_offset;               /* lane_count of them, owned */
    uint32_t *lane_channel;               /* lane_count of them, owned */
};

/* Plan the geometry for `count` channels. On success `out` must be freed with layout_free.
 * Returns 0; -EINVAL with the reason in `reason` when a value is out of range or a name stands twice; -ENOMEM. */
int layout_plan(struct layout *out, const struct layout_request *requests, uint32_t count, struct reason *reason);

/* Write the planned geometry into zeroed memory of `out->segment_size` bytes; the magic is left to the caller
 * (segment_create stores it last). `topics[n]` is channel n's topic of channels[n].topic_size bytes. */
void layout_store(const struct layout *plan, const char *const *topics, void *memory);

/* Copy the geometry out of `memory` (of `size` bytes, which other processes may be changing) and check every
 * offset, length and count of the copy. On success `out` must be freed with layout_free.
 * Returns 0; with the reason: -EAGAIN when the segment is not ready yet (no magic); -EPROTO when it is of another
 * format or damaged; -ENOMEM. */
int layout_load(struct layout *out, const void *memory, uint64_t size, struct reason *reason);

/* The major version of what lies in `memory`; 0: it is no segment, or not ready. */
uint32_t layout_major(const void *memory, uint64_t size);

/* layout_load for a segment of version 1. */
int layout_load_old(struct layout *out, const void *memory, uint64_t size, struct reason *reason);

/* Plan the same channels as `from` has, laid out as this version does. As layout_plan. */
int layout_plan_again(struct layout *out, const struct layout *from, struct reason *reason);

/* Whether two geometries are the same but for their generation, so that a new gateway can go on with the segment
 * as it is. Topics are compared by the caller: they lie in the segment. */
int layout_same(const struct layout *a, const struct layout *b);

/* Free what layout_plan or layout_load allocated; `layout`, which stays the caller's, is empty from then on. */
void layout_free(struct layout *layout);

/* Where a subscribe slot's topic starts, in bytes from the slot's start. */
uint32_t layout_topic_offset(uint32_t max_payload);

/* Bytes from slot to slot. */
uint32_t layout_slot_stride(uint32_t max_payload, uint32_t topic_max, uint32_t properties_max);

/* "overwritten", "too_large", ...: the name of a drop reason in stats; NULL when out of range. */
const char *layout_drop_name(unsigned reason);

#endif
