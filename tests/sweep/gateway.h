/* gateway.h: a gateway without a broker: it serves the segment, takes the lanes' messages and keeps the ledger as
 * shmgated does. */
#ifndef SHMGATE_TESTS_SWEEP_GATEWAY_H
#define SHMGATE_TESTS_SWEEP_GATEWAY_H

#include "segment.h"

/* The segment of all sweeps: two publish channels and a subscribe channel, with rings so small that wrapping them is
 * quick. */
enum sweep_channel { NEWEST, STRICT, INWARD, CHANNELS };
#define CHANNEL_NAMES {"newest", "strict", "inward"}
#define WRITERS 3 /* lanes of a publish channel: two for the driver, one for the stepped process */
#define SLOTS 4
#define PAYLOAD 96 /* bytes, the largest */
#define LANES (2 * WRITERS + 1)
#define TOPIC "sweep/in"

/* One lane as the gateway follows it. */
struct gateway_lane {
    struct ring ring;
    uint64_t next;
    struct ring_ledger ledger;
};

struct gateway {
    struct segment segment;
    struct segment_list olds;
    int serving; /* 1: this process is the segment's gateway */
    int asleep;  /* 1: it has said so and not been woken yet */
    struct gateway_lane lanes[LANES];
    struct ring_writer inward;
    uint32_t writer, number;        /* who it is, and how many messages it has written, in the subscribe channel */
    unsigned char payload[PAYLOAD]; /* of the next one */
};

/* What a fault is reported with; each program of the sweep has its own. */
__attribute__((format(printf, 1, 2))) void violation(const char *format, ...);

/* The first lane of a channel. */
uint32_t gateway_first_lane(enum sweep_channel channel);

/* Make the plan that all gateways of the sweep share. Returns 0 or -errno. */
int gateway_plan(void);

/* The same with another number of slots a ring, at any time. */
int gateway_reshape(unsigned slots);

/* Become the gateway of the segment. The sweep calls segment_serve nowhere else. Returns an enum segment_origin
 * or -errno; the reason is in `reason`. */
int gateway_serve(struct gateway *gateway, const char *name, struct reason *reason);

/* The served segment has lost a name: rescue it and become the gateway of the next one. As gateway_serve; no lane is
 * taken up. */
int gateway_serve_anew(struct gateway *gateway, const char *name);

/* Leave a segment beside the name as a gateway does that is killed before it exchanges the names. */
int gateway_leave_unused(const char *name);

/* The rest of becoming it: take up every lane at its ledger. `writer` names it in the subscribe channel. */
void gateway_begin(struct gateway *gateway, uint32_t writer);

/* Let the segment go as a process that ends does. */
void gateway_stop(struct gateway *gateway);

/* Take the messages of the lanes that have news (of all of them: `all`), and account for them. */
void gateway_turn(struct gateway *gateway, int all);

/* Read the lane up to `limit` messages without storing its ledger. */
void gateway_take(struct gateway *gateway, uint32_t lane, unsigned limit);

/* Do everything there is to do and say that the gateway sleeps. */
void gateway_sleep(struct gateway *gateway);

/* Whether somebody has posted since; it is awake afterwards. */
int gateway_woken(struct gateway *gateway);

/* Write one message into the subscribe channel; it must have been prepared. */
void gateway_prepare_inward(struct gateway *gateway);
void gateway_write_inward(struct gateway *gateway);

#endif
