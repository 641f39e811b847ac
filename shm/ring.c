/* ring.c: the lanes' rings, the doorbell's flags and the ledger cells. See ring.h for the protocol. */
#include "ring.h"

#include <errno.h>
#include <string.h>

#define RELAXED memory_order_relaxed
#define ACQUIRE memory_order_acquire
#define RELEASE memory_order_release
#define SEQ_CST memory_order_seq_cst

#define CACHE_LINE 64
#define CLAIM_BYTES (2 * CACHE_LINE) /* the head of a slot with 64 bytes of payload behind it */
#define CLAIM_AHEAD \
    2 /* slots: one is what a spinning reader looks at; with 4 the writer of bench/ours_flow got half as far */

#define NUMBER_MAX (UINT64_C(1) << 62) /* of a message: its states, twice as large, still fit */
#define JUMP_MAX (UINT64_C(1) << 48)   /* messages: nine years of a million a second */
#define WALK_MAX 4096                  /* slots looked at for one call: a reader is back sooner than it has read them */

static struct layout_slot *slot_at(const struct ring *ring, uint64_t sequence)
{
    return (struct layout_slot *)(ring->slots + (sequence & ring->mask) * ring->stride);
}

static uint64_t announced(uint64_t sequence)
{
    return 2 * sequence + 1;
}

static uint64_t committed(uint64_t sequence)
{
    return 2 * sequence + 2;
}

static _Atomic uint64_t *payload_of(struct layout_slot *slot)
{
    return (_Atomic uint64_t *)(slot + 1);
}

static _Atomic uint64_t *topic_of(const struct ring *ring, struct layout_slot *slot)
{
    return (_Atomic uint64_t *)((unsigned char *)slot + layout_topic_offset(ring->max_payload));
}

/* Copy into the segment by relaxed words: a reader may be reading them, which for plain stores would be undefined
 * (C11 5.1.2.4). The last word is padded with zeros; slots are sized for it. */
static void copy_in(_Atomic uint64_t *to, const void *from, size_t size)
{
    const unsigned char *bytes = from;
    uint64_t word;

    for (; size >= sizeof(word); size -= sizeof(word), bytes += sizeof(word)) {
        memcpy(&word, bytes, sizeof(word));
        atomic_store_explicit(to++, word, RELAXED);
    }
    if (size > 0) {
        word = 0;
        memcpy(&word, bytes, size);
        atomic_store_explicit(to, word, RELAXED);
    }
}

static void copy_out(void *to, _Atomic uint64_t *from, size_t size)
{
    unsigned char *bytes = to;
    uint64_t word;

    for (; size >= sizeof(word); size -= sizeof(word), bytes += sizeof(word)) {
        word = atomic_load_explicit(from++, RELAXED);
        memcpy(bytes, &word, sizeof(word));
    }
    if (size > 0) {
        word = atomic_load_explicit(from, RELAXED);
        memcpy(bytes, &word, size);
    }
}

/* Call for the first lines of a slot, to be written to. A reader on another core has them, and without this each store
 * would wait its turn for them. */
static void claim_slot(const struct ring *ring, uint64_t sequence)
{
    const char *slot = (const char *)slot_at(ring, sequence);

    for (size_t offset = 0; offset < CLAIM_BYTES && offset < ring->stride; offset += CACHE_LINE)
        __builtin_prefetch(slot + offset, 1);
}

/* The state of the slot of message `sequence`. Acquire: pairs with the release stores of state in ring_write. */
static uint64_t state_of(const struct ring *ring, uint64_t sequence)
{
    return atomic_load_explicit(&slot_at(ring, sequence)->state, ACQUIRE);
}

/* Whether the slots on both sides of a head say the same as it does. A writer that overtakes the look by a whole ring
 * can make it 0, too. */
static int head_borne_out(const struct ring *ring, uint64_t head)
{
    return head <= NUMBER_MAX && (head == 0 || state_of(ring, head - 1) >= committed(head - 1)) &&
           state_of(ring, head) <= committed(head);
}

/* The first message from `from` on, of `most`, whose slot does not hold it or a later one. */
static uint64_t walk_committed(const struct ring *ring, uint64_t from, uint64_t most)
{
    uint64_t at = from;

    if (from > NUMBER_MAX)
        return from;
    while (at - from < most && state_of(ring, at) >= committed(at))
        at++;
    return at;
}

/* The head as nothing but the slots tell it: the number in the first one is the lap's. */
static uint64_t head_by_slots(const struct ring *ring)
{
    uint64_t state = state_of(ring, 0), first = state ? (state - 1) / 2 : 0;

    return walk_committed(ring, first > NUMBER_MAX || (first & ring->mask) != 0 ? 0 : first, ring->mask + 1);
}

uint64_t ring_head_found(const struct ring *ring)
{
    uint64_t head = ring_head(ring);

    return head_borne_out(ring, head) ? head : head_by_slots(ring);
}

uint64_t ring_head_checked(const struct ring *ring, uint64_t from)
{
    uint64_t head = ring_head(ring), slots = ring->mask + 1;

    if (head - from <= slots)
        return head;
    if (head > from && head - from < JUMP_MAX && state_of(ring, head - 1) >= committed(head - 1))
        return head;
    return walk_committed(ring, from, slots < WALK_MAX ? slots : WALK_MAX);
}

void ring_writer_start(struct ring_writer *writer, const struct ring *ring, int reject)
{
    /* Acquire: pairs with the release of head in ring_write. The lane's lock has already ordered us behind a writer
     * that closed. */
    uint64_t head = atomic_load_explicit(&ring->lane->head, ACQUIRE);

    /* A damaged one is set right, so that it costs the lane no more than it has. The lane is ours: only one message can
     * be beyond a head that is right. */
    if (!head_borne_out(ring, head) || state_of(ring, head + 1) >= committed(head + 1)) {
        head = head_by_slots(ring);
        atomic_store_explicit(&ring->lane->head, head, RELAXED);
    }
    /* The last writer may have been killed between the commit and the head. */
    if (atomic_load_explicit(&slot_at(ring, head)->state, ACQUIRE) == committed(head)) {
        head++;
        atomic_store_explicit(&ring->lane->head, head, RELEASE);
    }
    writer->ring = *ring;
    writer->next = head;
    writer->tail_seen = atomic_load_explicit(&ring->lane->tail, ACQUIRE);
    writer->reject = reject;
}

/* Whether the slot of the next message is still needed by the gateway. */
static int ring_full(struct ring_writer *writer)
{
    uint64_t slots = writer->ring.mask + 1;

    if (writer->next - writer->tail_seen < slots)
        return 0;
    /* Acquire: pairs with the release of tail in ring_ledger_store; the gateway has done with the slot before we write
     * into it. */
    writer->tail_seen = atomic_load_explicit(&writer->ring.lane->tail, ACQUIRE);
    return writer->next - writer->tail_seen >= slots;
}

void ring_writer_prepare(const struct ring_writer *writer)
{
    claim_slot(&writer->ring, writer->next);
}

int ring_write(struct ring_writer *writer, const struct ring_message *message)
{
    const struct ring *ring = &writer->ring;
    uint64_t sequence = writer->next;
    struct layout_slot *slot = slot_at(ring, sequence);

    if (message->size > ring->max_payload || message->topic_size > ring->topic_max)
        return -EMSGSIZE;
    if (writer->reject && ring_full(writer)) {
        uint64_t rejected = atomic_load_explicit(&ring->lane->rejected, RELAXED);
        atomic_store_explicit(&ring->lane->rejected, rejected + 1, RELAXED);
        return -EAGAIN;
    }
    /* Release: whoever sees the announcement also sees the head it implies (pairs with the acquire of state in
     * ring_peek). The fence keeps the stores below behind it: a reader that sees one of them sees the announcement when
     * it looks again (pairs with the fence in ring_validate). */
    atomic_store_explicit(&slot->state, announced(sequence), RELEASE);
    atomic_thread_fence(RELEASE);
    atomic_store_explicit(&slot->time_ns, message->time_ns, RELAXED);
    atomic_store_explicit(&slot->expires_ns, message->expires_ns, RELAXED);
    atomic_store_explicit(&slot->size, message->size, RELAXED);
    atomic_store_explicit(&slot->topic_size, message->topic_size, RELAXED);
    atomic_store_explicit(&slot->flags, message->flags, RELAXED);
    copy_in(payload_of(slot), message->payload, message->size);
    if (message->topic_size > 0)
        copy_in(topic_of(ring, slot), message->topic, message->topic_size);
    /* Release: the commit. All of the message is visible to whoever sees it (pairs with the acquire in ring_peek). */
    atomic_store_explicit(&slot->state, committed(sequence), RELEASE);
    /* Release: a successor that reads this head sees the commit too (pairs with ring_writer_start). */
    atomic_store_explicit(&ring->lane->head, sequence + 1, RELEASE);
    claim_slot(ring, sequence + CLAIM_AHEAD);
    writer->next = sequence + 1;
    return 0;
}

int ring_peek(const struct ring *ring, uint64_t sequence, struct ring_message *message)
{
    struct layout_slot *slot = slot_at(ring, sequence);
    /* Acquire: pairs with the release stores of state in ring_write. */
    uint64_t state = atomic_load_explicit(&slot->state, ACQUIRE);

    if (state < committed(sequence))
        return -EAGAIN;
    if (state > committed(sequence))
        return ring_head(ring) > sequence ? -ESTALE : -EAGAIN;
    message->size = atomic_load_explicit(&slot->size, RELAXED);
    message->topic_size = atomic_load_explicit(&slot->topic_size, RELAXED);
    message->flags = atomic_load_explicit(&slot->flags, RELAXED);
    message->time_ns = atomic_load_explicit(&slot->time_ns, RELAXED);
    message->expires_ns = atomic_load_explicit(&slot->expires_ns, RELAXED);
    message->payload = slot + 1;
    message->topic = ring->topic_max ? (const char *)slot + layout_topic_offset(ring->max_payload) : "";
    if (message->size > ring->max_payload || message->topic_size > ring->topic_max)
        return ring_validate(ring, sequence) ? -EBADMSG : -ESTALE;
    return 0;
}

int ring_validate(const struct ring *ring, uint64_t sequence)
{
    /* The fence keeps the loads before it in front of the load below: if one of them saw a later message's bytes, this
     * one sees that message's announcement (pairs with the fence in ring_write). */
    atomic_thread_fence(ACQUIRE);
    return atomic_load_explicit(&slot_at(ring, sequence)->state, RELAXED) == committed(sequence);
}

int ring_read(const struct ring *ring, uint64_t sequence, struct ring_message *message, const struct ring_space *space)
{
    struct layout_slot *slot = slot_at(ring, sequence);
    int rc = ring_peek(ring, sequence, message);

    if (rc < 0)
        return rc;
    if (message->size > space->size)
        return ring_validate(ring, sequence) ? -EMSGSIZE : -ESTALE;
    copy_out(space->payload, payload_of(slot), message->size);
    if (space->topic && message->topic_size > 0)
        copy_out(space->topic, topic_of(ring, slot), message->topic_size);
    message->payload = space->payload;
    message->topic = space->topic;
    return ring_validate(ring, sequence) ? 0 : -ESTALE;
}

void ring_prefetch(const struct ring *ring, uint64_t sequence)
{
    const char *slot = (const char *)slot_at(ring, sequence);

    /* The first line is the one that is looked at. */
    if (ring->stride > CACHE_LINE)
        __builtin_prefetch(slot + CACHE_LINE);
}

uint64_t ring_resync(const struct ring *ring, uint64_t sequence)
{
    uint64_t head = ring_head(ring);
    uint64_t slots = ring->mask + 1;

    /* A head is believed for a jump only when the slot before it agrees; a damaged one costs one step at a time. */
    if (head > sequence + slots && head - sequence < JUMP_MAX &&
        atomic_load_explicit(&slot_at(ring, head - 1)->state, ACQUIRE) >= committed(head - 1))
        return head - slots;
    return sequence + 1;
}

int ring_check_damage(const struct ring *ring, uint64_t sequence)
{
    uint64_t head = ring_head(ring);

    /* One beyond is the writer killed, or not yet come, between commit and head. */
    if (sequence > head + 1)
        return -ESTALE;
    if (head <= sequence)
        return 0;
    /* The head was read first, so the commit it stands for is visible now. */
    return atomic_load_explicit(&slot_at(ring, sequence)->state, ACQUIRE) < committed(sequence) ? -EBADMSG : 0;
}

uint64_t ring_head(const struct ring *ring)
{
    /* Acquire: pairs with the release of head in ring_write. */
    return atomic_load_explicit(&ring->lane->head, ACQUIRE);
}

uint64_t ring_oldest(const struct ring *ring)
{
    uint64_t head = ring_head_found(ring);

    return head > ring->mask + 1 ? head - (ring->mask + 1) : 0;
}

uint64_t ring_tail(const struct ring *ring)
{
    return atomic_load_explicit(&ring->lane->tail, RELAXED);
}

uint64_t ring_rejected(const struct ring *ring)
{
    return atomic_load_explicit(&ring->lane->rejected, RELAXED);
}

void ring_ledger_load(const struct layout_lane *lane, struct ring_ledger *ledger)
{
    uint64_t turn = 0;

    /* Two tries in a row are spoiled only if the gateway stored twice within each; the bound is for a hostile turn. */
    for (int i = 0; i < 1000; i++) {
        const struct layout_ledger *cell;

        /* Acquire: pairs with the release of ledger_turn below; the cell is complete behind it. */
        turn = atomic_load_explicit(&lane->ledger_turn, ACQUIRE);
        cell = &lane->ledger[turn % 2];
        ledger->tail = atomic_load_explicit(&cell->tail, RELAXED);
        ledger->delivered = atomic_load_explicit(&cell->delivered, RELAXED);
        ledger->spooled = atomic_load_explicit(&cell->spooled, RELAXED);
        ledger->taken = atomic_load_explicit(&cell->taken, RELAXED);
        ledger->spool_delivered = atomic_load_explicit(&cell->spool_delivered, RELAXED);
        ledger->spool_refused = atomic_load_explicit(&cell->spool_refused, RELAXED);
        ledger->filtered = atomic_load_explicit(&cell->filtered, RELAXED);
        for (int reason = 0; reason < LAYOUT_DROP_SPACE; reason++)
            ledger->dropped[reason] = atomic_load_explicit(&cell->dropped[reason], RELAXED);
        /* The fence keeps the loads above in front of the second look (pairs with the fence below). */
        atomic_thread_fence(ACQUIRE);
        if (atomic_load_explicit(&lane->ledger_turn, RELAXED) == turn)
            return;
    }
}

/* At most what is left of `room`, and that much less of it. */
static uint64_t within(uint64_t count, uint64_t *room)
{
    uint64_t kept = count < *room ? count : *room;

    *room -= kept;
    return kept;
}

void ring_ledger_clip(struct ring_ledger *ledger, uint64_t head)
{
    uint64_t room;

    if (ledger->tail > head && ledger->tail - head > 1)
        ledger->tail = head;
    room = ledger->tail;
    ledger->delivered = within(ledger->delivered, &room);
    ledger->spooled = within(ledger->spooled, &room);
    ledger->filtered = within(ledger->filtered, &room);
    for (int reason = 0; reason < LAYOUT_DROP_SPACE; reason++)
        ledger->dropped[reason] = within(ledger->dropped[reason], &room);
    ledger->dropped[LAYOUT_DROP_CORRUPT] += room;
    if (ledger->spool_delivered > ledger->delivered)
        ledger->spool_delivered = ledger->delivered;
    if (ledger->spool_refused > ledger->dropped[LAYOUT_DROP_REFUSED])
        ledger->spool_refused = ledger->dropped[LAYOUT_DROP_REFUSED];
    ledger->taken = ledger->spooled + ledger->spool_delivered + ledger->spool_refused +
                    ledger->dropped[LAYOUT_DROP_SPOOL_SIZE] + ledger->dropped[LAYOUT_DROP_SPOOL_AGE] +
                    ledger->dropped[LAYOUT_DROP_SPOOL_FAILED];
}

void ring_ledger_load_checked(const struct ring *ring, struct ring_ledger *ledger)
{
    uint64_t tail, head = ring_head(ring);

    ring_ledger_load(ring->lane, ledger);
    tail = ledger->tail;
    if (!head_borne_out(ring, head))
        head = tail > 0 && tail <= NUMBER_MAX && state_of(ring, tail - 1) >= committed(tail - 1)
                   ? ring_head_checked(ring, tail)
                   : ring_head_found(ring);
    ring_ledger_clip(ledger, head);
}

void ring_ledger_store(struct layout_lane *lane, const struct ring_ledger *ledger)
{
    uint64_t turn = atomic_load_explicit(&lane->ledger_turn, RELAXED) + 1;
    struct layout_ledger *cell = &lane->ledger[turn % 2];

    /* The fence keeps the stores to this cell behind the turn that made it the idle one: a reader that sees one of them
     * also sees that turn when it looks again (pairs with the fence in ring_ledger_load). */
    atomic_thread_fence(RELEASE);
    atomic_store_explicit(&cell->tail, ledger->tail, RELAXED);
    atomic_store_explicit(&cell->delivered, ledger->delivered, RELAXED);
    atomic_store_explicit(&cell->spooled, ledger->spooled, RELAXED);
    atomic_store_explicit(&cell->taken, ledger->taken, RELAXED);
    atomic_store_explicit(&cell->spool_delivered, ledger->spool_delivered, RELAXED);
    atomic_store_explicit(&cell->spool_refused, ledger->spool_refused, RELAXED);
    atomic_store_explicit(&cell->filtered, ledger->filtered, RELAXED);
    for (int reason = 0; reason < LAYOUT_DROP_SPACE; reason++)
        atomic_store_explicit(&cell->dropped[reason], ledger->dropped[reason], RELAXED);
    /* Release: the record becomes current as a whole (pairs with the acquire in ring_ledger_load). */
    atomic_store_explicit(&lane->ledger_turn, turn, RELEASE);
    /* Release: the gateway's reads of the slots below tail are done before the writer may use them (pairs with
     * ring_full). */
    atomic_store_explicit(&lane->tail, ledger->tail, RELEASE);
}

void ring_carried_load(const struct layout_channel *channel, struct ring_carried *carried)
{
    carried->written = atomic_load_explicit(&channel->carried_written, RELAXED);
    carried->delivered = atomic_load_explicit(&channel->carried_delivered, RELAXED);
    carried->rejected = atomic_load_explicit(&channel->carried_rejected, RELAXED);
    carried->taken = atomic_load_explicit(&channel->carried_taken, RELAXED);
    carried->filtered = atomic_load_explicit(&channel->carried_filtered, RELAXED);
    for (int reason = 0; reason < LAYOUT_DROP_SPACE; reason++)
        carried->dropped[reason] = atomic_load_explicit(&channel->carried_dropped[reason], RELAXED);
}

void ring_carried_store(struct layout_channel *channel, const struct ring_carried *carried)
{
    atomic_store_explicit(&channel->carried_written, carried->written, RELAXED);
    atomic_store_explicit(&channel->carried_delivered, carried->delivered, RELAXED);
    atomic_store_explicit(&channel->carried_rejected, carried->rejected, RELAXED);
    atomic_store_explicit(&channel->carried_taken, carried->taken, RELAXED);
    atomic_store_explicit(&channel->carried_filtered, carried->filtered, RELAXED);
    for (int reason = 0; reason < LAYOUT_DROP_SPACE; reason++)
        atomic_store_explicit(&channel->carried_dropped[reason], carried->dropped[reason], RELAXED);
}

void ring_spooled_load(const struct layout_channel *channel, struct ring_spooled *spooled)
{
    spooled->held = atomic_load_explicit(&channel->spool_held, RELAXED);
    spooled->delivered = atomic_load_explicit(&channel->spool_delivered, RELAXED);
    for (int i = 0; i < LAYOUT_SPOOL_DROPS; i++)
        spooled->dropped[i] = atomic_load_explicit(&channel->spool_dropped[i], RELAXED);
}

void ring_spooled_store(struct layout_channel *channel, const struct ring_spooled *spooled)
{
    atomic_store_explicit(&channel->spool_held, spooled->held, RELAXED);
    atomic_store_explicit(&channel->spool_delivered, spooled->delivered, RELAXED);
    for (int i = 0; i < LAYOUT_SPOOL_DROPS; i++)
        atomic_store_explicit(&channel->spool_dropped[i], spooled->dropped[i], RELAXED);
}

uint32_t ring_notify(struct layout_header *header, _Atomic uint64_t *dirty, uint32_t lane)
{
    _Atomic uint64_t *word = &dirty[lane / 64];
    uint64_t bit = UINT64_C(1) << (lane % 64);

    /* The fence orders the commit before the look at the word; with the fence in ring_take_dirty, either the gateway's
     * scan sees the commit or we see the bit it has taken away and set it again. */
    atomic_thread_fence(SEQ_CST);
    if (!(atomic_load_explicit(word, SEQ_CST) & bit))
        atomic_fetch_or_explicit(word, bit, SEQ_CST);
    /* Sequentially consistent with the store in ring_sleep and the loads in ring_any_dirty: either the gateway sees the
     * news before it waits, or we see that it sleeps. */
    return atomic_load_explicit(&header->gateway_sleeps, SEQ_CST);
}

uint32_t ring_notify_event(struct layout_header *header)
{
    /* The fence orders whatever the caller has left for the loop before the look at the flag (pairs with the fence in
     * ring_sleep). */
    atomic_thread_fence(SEQ_CST);
    return atomic_load_explicit(&header->gateway_sleeps, SEQ_CST);
}

void ring_posted(struct layout_header *header, uint32_t sleep)
{
    /* The number keeps a caller who was stopped since its post from clearing a later sleep. */
    atomic_compare_exchange_strong_explicit(&header->gateway_sleeps, &sleep, 0, SEQ_CST, SEQ_CST);
}

uint64_t ring_take_dirty(_Atomic uint64_t *dirty, uint32_t word)
{
    uint64_t bits;

    if (atomic_load_explicit(&dirty[word], RELAXED) == 0)
        return 0;
    bits = atomic_exchange_explicit(&dirty[word], 0, SEQ_CST);
    atomic_thread_fence(SEQ_CST); /* pairs with the fence in ring_notify */
    return bits;
}

void ring_sleep(struct layout_header *header)
{
    uint32_t sleep = atomic_load_explicit(&header->sleep_count, RELAXED) + 1;

    sleep = sleep ? sleep : 1;
    atomic_store_explicit(&header->sleep_count, sleep, RELAXED);
    atomic_store_explicit(&header->gateway_sleeps, sleep, SEQ_CST);
    atomic_thread_fence(SEQ_CST);
}

int ring_any_dirty(const _Atomic uint64_t *dirty, uint32_t words)
{
    for (uint32_t word = 0; word < words; word++)
        if (atomic_load_explicit(&dirty[word], SEQ_CST) != 0)
            return 1;
    return 0;
}

void ring_wake(struct layout_header *header)
{
    atomic_store_explicit(&header->gateway_sleeps, 0, SEQ_CST);
}

uint32_t ring_reader_sleep(struct layout_channel *channel)
{
    /* The word is read before the flag is raised: a wake-up that misses the flag has already changed the word, or comes
     * after a message that the reader's second look finds. */
    uint32_t word = atomic_load_explicit(&channel->wake_word, SEQ_CST);

    atomic_store_explicit(&channel->reader_sleeps, 1, SEQ_CST);
    atomic_thread_fence(SEQ_CST);
    return word;
}

int ring_wake_readers(struct layout_channel *channel)
{
    /* The fence orders the message before the look at the flag (pairs with the fence in ring_reader_sleep). */
    atomic_thread_fence(SEQ_CST);
    if (atomic_load_explicit(&channel->reader_sleeps, SEQ_CST) == 0)
        return 0;
    atomic_store_explicit(&channel->reader_sleeps, 0, SEQ_CST);
    atomic_fetch_add_explicit(&channel->wake_word, 1, SEQ_CST);
    return 1;
}

void ring_bump_word(_Atomic uint32_t *word)
{
    atomic_fetch_add_explicit(word, 1, SEQ_CST);
}

int ring_retired(const struct layout_header *header)
{
    /* Acquire: pairs with ring_retire; the new segment is in place behind it. */
    return atomic_load_explicit(&header->state, ACQUIRE) == LAYOUT_RETIRED;
}

void ring_retire(struct layout_header *header)
{
    atomic_store_explicit(&header->state, LAYOUT_RETIRED, RELEASE);
}

void ring_revive(struct layout_header *header)
{
    if (atomic_load_explicit(&header->state, RELAXED) != LAYOUT_LIVE)
        atomic_store_explicit(&header->state, LAYOUT_LIVE, RELAXED);
}

void ring_publish_magic(struct layout_header *header)
{
    atomic_store_explicit(&header->state, LAYOUT_LIVE, RELAXED);
    /* Release: everything written so far is visible to whoever sees the magic (pairs with layout_load). */
    atomic_store_explicit(&header->magic, LAYOUT_MAGIC, RELEASE);
}

void ring_set_gateway(struct layout_header *header, uint32_t pid, uint64_t start_ns)
{
    atomic_store_explicit(&header->gateway_pid, pid, RELAXED);
    atomic_store_explicit(&header->gateway_start_ns, start_ns, RELAXED);
}

uint32_t ring_gateway_pid(const struct layout_header *header)
{
    return atomic_load_explicit(&header->gateway_pid, RELAXED);
}

void ring_times(const struct layout_header *header, uint64_t *gateway_start_ns, uint64_t *link_change_ns)
{
    *gateway_start_ns = atomic_load_explicit(&header->gateway_start_ns, RELAXED);
    *link_change_ns = atomic_load_explicit(&header->link_change_ns, RELAXED);
}

void ring_set_link(struct layout_header *header, enum layout_link link, uint64_t now_ns)
{
    atomic_store_explicit(&header->link, link, RELAXED);
    atomic_store_explicit(&header->link_change_ns, now_ns, RELAXED);
}

int ring_link(const struct layout_header *header)
{
    return atomic_load_explicit(&header->link, RELAXED) == LAYOUT_LINK_UP;
}

void ring_set_spool(struct layout_header *header, enum layout_spool state, uint64_t bytes)
{
    atomic_store_explicit(&header->spool_state, (uint32_t)state, RELAXED);
    atomic_store_explicit(&header->spool_bytes, bytes, RELAXED);
}

enum layout_spool ring_spool(const struct layout_header *header, uint64_t *bytes)
{
    uint32_t state = atomic_load_explicit(&header->spool_state, RELAXED);

    *bytes = atomic_load_explicit(&header->spool_bytes, RELAXED);
    return state <= LAYOUT_SPOOL_FAILED ? (enum layout_spool)state : LAYOUT_SPOOL_FAILED;
}

void ring_set_latency(struct layout_channel *channel, const uint32_t *latency_us)
{
    for (int i = 0; i < LAYOUT_LATENCIES; i++)
        atomic_store_explicit(&channel->latency_us[i], latency_us[i], RELAXED);
}

void ring_latency(const struct layout_channel *channel, uint32_t *latency_us)
{
    for (int i = 0; i < LAYOUT_LATENCIES; i++)
        latency_us[i] = atomic_load_explicit(&channel->latency_us[i], RELAXED);
}
