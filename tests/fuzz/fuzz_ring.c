/* fuzz_ring.c: any bytes as the content of a lane and its slots: readers and the next writer stay inside and come to an
 * end. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ring.h"

#define SLOTS 4
#define STRIDE 128
#define MAX_PAYLOAD 40
#define TOPIC_MAX 20

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    static const size_t need = sizeof(struct layout_lane) + SLOTS * STRIDE;
    struct ring ring = {.mask = SLOTS - 1, .stride = STRIDE, .max_payload = MAX_PAYLOAD, .topic_max = TOPIC_MAX};
    unsigned char *slots = aligned_alloc(128, SLOTS * STRIDE), buffer[MAX_PAYLOAD];
    struct layout_lane *lane = aligned_alloc(128, sizeof(*lane));
    struct ring_message message;
    struct ring_writer writer;
    char topic[TOPIC_MAX];
    struct ring_ledger ledger;
    uint64_t next, sum, steps = 0;
    int rc;

    if (slots && lane) {
        memset(lane, 0, sizeof(*lane));
        memset(slots, 0, SLOTS * STRIDE);
        memcpy(lane, data, size < sizeof(*lane) ? size : sizeof(*lane));
        if (size > sizeof(*lane))
            memcpy(slots, data + sizeof(*lane), (size < need ? size : need) - sizeof(*lane));
        ring.lane = lane;
        ring.slots = slots;
        next = ring_oldest(&ring);
        while (steps++ < 64 &&
               (rc = ring_read(&ring, next, &message, &(struct ring_space){buffer, sizeof(buffer), topic})) != -EAGAIN)
            next = rc == 0 ? next + 1 : ring_resync(&ring, next);
        /* What is made of head and ledger adds up, and leads nobody far. */
        ring_ledger_load_checked(&ring, &ledger);
        sum = ledger.delivered + ledger.spooled + ledger.filtered;
        for (int reason = 0; reason < LAYOUT_DROP_SPACE; reason++)
            sum += ledger.dropped[reason];
        if (sum != ledger.tail || ledger.taken > sum || ring_head_checked(&ring, 7) - 7 >= UINT64_C(1) << 48)
            abort();
        ring_writer_start(&writer, &ring, 0);
        /* An honest writer sets right what it meets: after a whole ring of messages the last one can be read. */
        for (int i = 0; i < 2 * SLOTS; i++) {
            message = (struct ring_message){.payload = "0123456", .size = 7, .topic = "t", .topic_size = 1};
            if (ring_write(&writer, &message) < 0)
                abort();
        }
        /* Numbers near the end of their range wrap, which only a hostile head brings about. */
        if (writer.next < UINT64_C(1) << 62 &&
            (ring_read(&ring, writer.next - 1, &message, &(struct ring_space){buffer, sizeof(buffer), topic}) != 0 ||
             memcmp(buffer, "0123456", 7) != 0))
            abort();
    }
    free(slots);
    free(lane);
    return 0;
}
