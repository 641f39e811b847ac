/* subscribe.h: from the broker into the rings of the subscribe channels.
 *
 * A message is written into shared memory in the MQTT client's callback, on its receive thread, before the callback
 * returns: the client acknowledges a QoS 1 message to the broker only afterwards, so that an acknowledged message is
 * one that readers have.
 */
#ifndef SHMGATE_SUBSCRIBE_H
#define SHMGATE_SUBSCRIBE_H

#include <stddef.h>
#include <stdint.h>

#include "base/frame.h"
#include "shm/segment.h"
#include "transport/message.h"

/* What a subscribe channel takes. The filter is borrowed and must outlive the struct subscribe. */
struct subscribe_channel {
    const char *filter;
    uint32_t max_rate;        /* messages a second; 0: no limit */
    uint64_t max_age_ms;      /* older messages are dropped, on arrival or, by the readers, in the ring; 0: no limit */
    enum frame_format unpack; /* what is taken apart: each sample is a message of the channel; one that is no such frame
                                 is dropped as corrupt */
    int ignore_retained; /* 1: what the broker had kept from before the subscription is passed over, uncounted: it is
                            not lost */
};

struct subscribe;

/* Make it, without a segment: arrivals wait until subscribe_serve. On success *out must be given to subscribe_destroy,
 * when no callback can come any more. 0 or -errno. */
int subscribe_create(struct subscribe **out);
void subscribe_destroy(struct subscribe *subscribe);

/* Take up the subscribe channels of `segment`, borrowed until subscribe_suspend. `channels` has one element a channel
 * of the segment; those of publish channels are not looked at. Arrivals go on, to nowhere when it fails. -ENOMEM. */
int subscribe_serve(struct subscribe *subscribe, struct segment *segment, const struct subscribe_channel *channels);

/* Let go of the segment: when this returns none of it is in use, and arrivals wait until the next subscribe_serve, some
 * milliseconds. For the loop's thread, as subscribe_serve. */
void subscribe_suspend(struct subscribe *subscribe);

/* After subscribe_suspend: arrivals wait no longer, and go nowhere, uncounted. Nothing otherwise. */
void subscribe_let_go(struct subscribe *subscribe);

/* Route one message to the channels it is meant for, and wake their readers: those whose filter takes its topic and,
 * when the broker says for which subscriptions it sends it, that are among these. (A broker may send a message once for
 * each subscription that matches; without this every channel would get every copy.) Called from one thread at a time;
 * never waits. `context` is the struct subscribe. */
void subscribe_arrival(void *context, const struct transport_arrival *from);

/* Drop reasons that grew since the last call, as a bit mask. Any thread. */
unsigned subscribe_dropped(struct subscribe *subscribe);

/* Messages that no channel's filter took, since the start. Any thread. */
uint64_t subscribe_unrouted(const struct subscribe *subscribe);

#endif
