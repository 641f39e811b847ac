/* gateway.c: a gateway without a broker. See gateway.h; the accounting follows gateway/publish and gateway/subscribe.
 */
#include "gateway.h"

#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>

#include "message.h"
#include "platform.h"
#include "segment_internal.h"

#define INWARD_SIZE 61     /* bytes of a message inwards */
#define UNUSED_SERIAL 1000 /* above those of all that are used */

static struct layout plan;
static const char *const topics[CHANNELS] = {"sweep/newest", "sweep/strict", TOPIC};

uint32_t gateway_first_lane(enum sweep_channel channel)
{
    return (uint32_t)channel * WRITERS;
}

int gateway_reshape(unsigned slots)
{
    static const char *const names[CHANNELS] = CHANNEL_NAMES;
    struct layout_request requests[CHANNELS];

    for (int i = 0; i < CHANNELS; i++)
        requests[i] = (struct layout_request){
            .name = names[i],
            .topic = topics[i],
            .direction = i == INWARD ? LAYOUT_SUBSCRIBE : LAYOUT_PUBLISH,
            .overflow = i == STRICT ? LAYOUT_REJECT : LAYOUT_DROP_OLDEST,
            .qos = 1,
            .max_payload = PAYLOAD,
            .topic_max = i == INWARD ? 16 : 0,
            .slots = slots,
            .writers = WRITERS,
        };
    layout_free(&plan);
    return layout_plan(&plan, requests, CHANNELS, NULL);
}

int gateway_plan(void)
{
    return gateway_reshape(SLOTS);
}

static struct segment_options options_of(const char *name)
{
    return (struct segment_options){.name = name, .mode = 0660, .gid = -1, .plan = &plan, .topics = topics};
}

int gateway_serve(struct gateway *gateway, const char *name, struct reason *reason)
{
    struct segment_options options = options_of(name);

    return segment_serve(&gateway->segment, &gateway->olds, &options, reason);
}

int gateway_serve_anew(struct gateway *gateway, const char *name)
{
    struct segment_options options = options_of(name);
    int rc = segment_rescue(&gateway->segment, &options, NULL);

    segment_list_close(&gateway->olds);
    segment_close(&gateway->segment);
    return rc < 0 ? rc : gateway_serve(gateway, name, NULL);
}

int gateway_leave_unused(const char *name)
{
    struct segment_options options = options_of(name);
    struct segment segment;
    int rc = segment_make(&segment, &options, platform_random(), UNUSED_SERIAL, NULL);

    if (rc < 0)
        return rc;
    segment_beside_name(segment.name, name, SEGMENT_NEXT_SUFFIX);
    rc = platform_object_publish(segment.fd, segment.name);
    segment_close(&segment);
    return rc;
}

void gateway_begin(struct gateway *gateway, uint32_t writer)
{
    struct ring ring;

    gateway->serving = 1;
    gateway->asleep = 0;
    gateway->writer = writer;
    gateway->number = 0;
    for (uint32_t i = 0; i < LANES; i++) {
        struct gateway_lane *lane = &gateway->lanes[i];

        lane->ring = segment_ring(&gateway->segment, i);
        ring_ledger_load(lane->ring.lane, &lane->ledger);
        lane->next = lane->ledger.tail;
        /* As the real one does: it may have been killed between the two stores of this. */
        ring_ledger_store(lane->ring.lane, &lane->ledger);
    }
    ring = segment_ring(&gateway->segment, gateway_first_lane(INWARD));
    ring_writer_start(&gateway->inward, &ring, 0);
    ring_wake(gateway->segment.header);
    gateway_turn(gateway, 1);
}

void gateway_stop(struct gateway *gateway)
{
    if (gateway->serving) {
        ring_wake(gateway->segment.header);
        segment_list_close(&gateway->olds);
        segment_close(&gateway->segment);
    }
    gateway->serving = gateway->asleep = 0;
}

/* What lies between the ledger's tail and the message was overwritten before the gateway came to it. */
static void account(struct gateway_lane *lane, uint64_t sequence)
{
    lane->ledger.dropped[LAYOUT_DROP_OVERWRITTEN] += sequence - lane->ledger.tail;
    lane->ledger.tail = sequence;
}

void gateway_take(struct gateway *gateway, uint32_t number, unsigned limit)
{
    struct gateway_lane *lane = &gateway->lanes[number];
    unsigned char buffer[PAYLOAD];
    struct ring_message message;
    uint32_t writer, count;

    while (limit > 0) {
        int rc = ring_read(&lane->ring, lane->next, &message, &(struct ring_space){buffer, sizeof(buffer), NULL});

        if (rc == -EAGAIN) {
            if (ring_check_damage(&lane->ring, lane->next) != 0)
                violation("the gateway is stuck at message %llu of lane %u", (unsigned long long)lane->next, number);
            break;
        }
        if (rc == -ESTALE) {
            lane->next = ring_resync(&lane->ring, lane->next);
            continue;
        }
        if (rc < 0 || !message_whole(buffer, message.size, &writer, &count)) {
            violation("the gateway read a torn message %llu of lane %u (%d)", (unsigned long long)lane->next, number,
                      rc);
            break;
        }
        account(lane, lane->next);
        lane->ledger.delivered++;
        lane->ledger.tail = ++lane->next;
        limit--;
    }
    if (lane->next > lane->ledger.tail)
        account(lane, lane->next);
}

void gateway_turn(struct gateway *gateway, int all)
{
    uint64_t bits;

    if (!gateway->serving)
        return;
    bits = ring_take_dirty(gateway->segment.dirty, 0);
    if (all)
        bits = ~UINT64_C(0);
    for (uint32_t i = 0; i < gateway_first_lane(INWARD); i++) {
        if (!(bits >> i & 1))
            continue;
        segment_wake_readers(&gateway->segment, i / WRITERS);
        gateway_take(gateway, i, UINT32_MAX);
        ring_ledger_store(gateway->lanes[i].ring.lane, &gateway->lanes[i].ledger);
    }
}

static sem_t *doorbell(const struct gateway *gateway)
{
    return (sem_t *)gateway->segment.doorbell;
}

void gateway_sleep(struct gateway *gateway)
{
    gateway_turn(gateway, 0);
    while (sem_trywait(doorbell(gateway)) == 0)
        continue;
    ring_sleep(gateway->segment.header);
    if (ring_any_dirty(gateway->segment.dirty, 1)) {
        violation("a lane has news that the gateway has just looked at");
        return;
    }
    gateway->asleep = 1;
}

int gateway_woken(struct gateway *gateway)
{
    int woken = sem_trywait(doorbell(gateway)) == 0;

    ring_wake(gateway->segment.header);
    gateway->asleep = 0;
    return woken;
}

void gateway_write_inward(struct gateway *gateway)
{
    struct gateway_lane *lane = &gateway->lanes[gateway_first_lane(INWARD)];
    struct ring_message message = {.payload = gateway->payload,
                                   .size = INWARD_SIZE,
                                   .topic = TOPIC,
                                   .topic_size = sizeof(TOPIC) - 1,
                                   .time_ns = platform_time_ns()};

    if (ring_write(&gateway->inward, &message) < 0) {
        violation("the gateway could not write inwards");
        return;
    }
    lane->ledger.delivered++;
    lane->ledger.tail = gateway->inward.next;
    ring_ledger_store(lane->ring.lane, &lane->ledger);
    segment_wake_readers(&gateway->segment, INWARD);
    gateway->number++;
}

void gateway_prepare_inward(struct gateway *gateway)
{
    message_fill(gateway->payload, INWARD_SIZE, gateway->writer, gateway->number + 1);
}
