/* lanes.c: a small segment for the cases. See lanes.h. */
#include "lanes.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define WAKE (UINT64_C(1) << 32) /* lanes_futex: number of wakes above, number of sleepers' looks below */

struct layout_header lanes_header;
struct layout_channel lanes_channel;
uint64_t lanes_dirty, lanes_doorbell, lanes_futex;
int lanes_full;

static struct layout_lane lanes[LANES];
static unsigned char slots[LANES][SLOTS * STRIDE] __attribute__((aligned(64)));

static void slot_begin(int lane, int slot)
{
    static char names[LANES][SLOTS][9][24];
    static const char *const members[] = {"state",      "time_ns", "size",      "topic_size", "flags",
                                          "expires_ns", "payload", "payload+8", "topic"};
    unsigned char *base = slots[lane] + slot * STRIDE;
    const void *addresses[] = {base,      base + 8,  base + 16, base + 20, base + 22,
                               base + 24, base + 32, base + 40, base + 48};

    for (int i = 0; i < 9; i++) {
        snprintf(names[lane][slot][i], sizeof(names[lane][slot][i]), "lane%d.slot%d.%s", lane, slot, members[i]);
        explore_name(addresses[i], names[lane][slot][i]);
    }
}

void lanes_narrow(void)
{
    for (int lane = 0; lane < LANES; lane++)
        for (int slot = 0; slot < SLOTS; slot++) {
            const struct layout_slot *narrow = (const void *)(slots[lane] + slot * STRIDE);

            explore_narrow(&narrow->time_ns);
            explore_narrow(&narrow->expires_ns);
            explore_narrow(&narrow->topic_size);
            explore_narrow(&narrow->flags);
        }
}

void lanes_begin(void)
{
    for (int lane = 0; lane < LANES; lane++) {
        explore_name(&lanes[lane].head, lane ? "lane1.head" : "lane0.head");
        explore_name(&lanes[lane].tail, lane ? "lane1.tail" : "lane0.tail");
        explore_name(&lanes[lane].rejected, lane ? "lane1.rejected" : "lane0.rejected");
        for (int slot = 0; slot < SLOTS; slot++)
            slot_begin(lane, slot);
    }
    if (!lanes_full)
        lanes_narrow();
    explore_name(&lanes_dirty, "dirty");
    explore_name(&lanes_doorbell, "doorbell");
    explore_name(&lanes_futex, "futex queue");
    explore_name(&lanes_header.gateway_sleeps, "gateway_sleeps");
    explore_name(&lanes_header.sleep_count, "sleep_count");
    explore_name(&lanes_channel.wake_word, "wake_word");
    explore_name(&lanes_channel.reader_sleeps, "reader_sleeps");
}

struct ring lanes_ring(int number, int with_topic)
{
    return (struct ring){.lane = &lanes[number],
                         .slots = slots[number],
                         .mask = SLOTS - 1,
                         .stride = STRIDE,
                         .max_payload = PAYLOAD,
                         .topic_max = with_topic ? 8 : 0};
}

/* Sizes alternate between a word and a half and two words, so that the rest of a copy is explored too. */
static uint32_t size_of(uint64_t mark)
{
    return mark % 2 ? PAYLOAD : PAYLOAD - 4;
}

int lanes_write(struct ring_writer *writer, uint64_t mark, int with_topic)
{
    uint64_t words[2] = {mark * 1000 + 1, mark * 1000 + 2}, topic = mark * 1000 + 3;
    struct ring_message message = {.payload = words,
                                   .topic = (const char *)&topic,
                                   .size = size_of(mark),
                                   .topic_size = with_topic ? 8 : 0,
                                   .flags = (uint16_t)mark,
                                   .time_ns = mark,
                                   .expires_ns = mark};

    return ring_write(writer, &message);
}

uint64_t lanes_check(const struct ring_message *message, const uint64_t *words, const char *topic)
{
    uint64_t mark = words[0] / 1000, name = 0;

    EXPECT(mark > 0 && words[0] == mark * 1000 + 1);
    EXPECT((uint32_t)words[1] == (uint32_t)(mark * 1000 + 2)); /* of a size of 12, only half is read */
    EXPECT(message->size == size_of(mark));
    if (topic) {
        memcpy(&name, topic, sizeof(name));
        EXPECT(message->topic_size == 8 && name == mark * 1000 + 3);
    }
    if (lanes_full)
        EXPECT(message->time_ns == mark && message->expires_ns == mark && message->flags == mark &&
               message->topic_size == (topic ? 8 : 0));
    return mark;
}

int lanes_read(struct lanes_reader *reader)
{
    const struct layout_slot *slot = (const void *)(reader->ring.slots + (reader->next & reader->ring.mask) * STRIDE);
    /* A look without order: whoever has seen an overwrite must not be told that there is nothing. */
    uint64_t state = atomic_load_explicit(&slot->state, memory_order_relaxed), words[2] = {0}, from;
    struct ring_message message;
    char topic[8];
    int rc = ring_read(&reader->ring, reader->next, &message,
                       &(struct ring_space){words, sizeof(words), reader->with_topic ? topic : NULL});

    EXPECT(rc == 0 || rc == -EAGAIN || rc == -ESTALE);
    if (rc == 0) {
        EXPECT(reader->marks[reader->next] == 0);
        reader->marks[reader->next++] = lanes_check(&message, words, reader->with_topic ? topic : NULL);
        return 1;
    }
    if (rc == -EAGAIN) {
        EXPECT(state < 2 * reader->next + 2);
        EXPECT(ring_check_damage(&reader->ring, reader->next) == 0);
        return 0;
    }
    from = reader->next;
    reader->next = ring_resync(&reader->ring, from);
    EXPECT(reader->next > from);
    reader->missed += reader->next - from;
    return -1;
}

void lanes_post(void)
{
    atomic_fetch_add_explicit(&lanes_doorbell, 1, memory_order_release);
}

void lanes_wait(void)
{
    explore_take(&lanes_doorbell, 0, (uint64_t)-1);
}

void lanes_sleep(uint32_t expected)
{
    uint64_t look = atomic_fetch_add_explicit(&lanes_futex, 1, memory_order_acq_rel);

    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&lanes_channel.wake_word, memory_order_relaxed) == expected)
        explore_wait(&lanes_futex, look / WAKE * WAKE + WAKE - 1);
}

void lanes_wake(void)
{
    atomic_thread_fence(memory_order_seq_cst);
    atomic_fetch_add_explicit(&lanes_futex, WAKE, memory_order_acq_rel);
}
