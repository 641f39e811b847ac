/* lane.c: a lane of a ring as a source. See lane.h, and source.h for what a source must do.
 *
 * The happy path of a message: its writer commits it and marks the lane dirty; lane_ready makes the source ready; the
 * sender reads it (lane_read), and its answer (lane_answered) moves the tail; lane_flush_ledger writes the ledger: the
 * slots below its tail are the writer's again. What can go wrong:
 *   - overwritten before it was read: counted when the messages sent before it are accounted for (account_skipped)
 *   - taken by the spool at any time (publish_spill.c): from then on its stream sends it (replay.h), and its answer, if
 * it flew already, goes there
 *   - failed: sending begins again at that message
 *   - damaged: only what can be damage of this lane is stepped over, a slot at a time, and counted
 *   - the gateway is killed anywhere: the next one begins at the ledger's tail
 */
#include "publish/lane.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config_fill.h"
#include "publish/lane_internal.h"
#include "publish/publish_internal.h"

static struct lane *lane_of(const struct source *source)
{
    return (struct lane *)source;
}

uint64_t lane_head(const struct lane *lane)
{
    uint64_t next = lane->source.next, head = ring_head_checked(&lane->ring, next);

    /* Its writer may have been killed, or not have come, between commit and head. */
    return head == next && ring_validate(&lane->ring, next) ? next + 1 : head;
}

/* ---- What is accounted for ---- */

/* Move the lane's tail over `count` messages from `sequence` on. What lies before them was overwritten before it could
 * be sent. */
static void account_sent(struct lane *lane, uint64_t sequence, uint32_t count)
{
    assert(sequence >= lane->ledger.tail);
    lane_count_dropped(lane, LAYOUT_DROP_OVERWRITTEN, sequence - lane->ledger.tail);
    lane->ledger.tail = sequence + count;
    lane_mark_dirty(lane);
}

/* When nothing is in flight, what was skipped so far is accounted for now. */
static void account_skipped(struct lane *lane)
{
    if (lane->source.chain.first >= 0 || lane->source.next <= lane->ledger.tail)
        return;
    lane_count_dropped(lane, LAYOUT_DROP_OVERWRITTEN, lane->source.next - lane->ledger.tail);
    lane->ledger.tail = lane->source.next;
    lane_mark_dirty(lane);
}

/* The next message cannot be sent, for another reason than an overwrite: only when all before it are accounted for.
 * Returns whether it is stepped over. */
static int drop_next(struct lane *lane, enum layout_drop reason)
{
    account_skipped(lane);
    if (lane->source.chain.first >= 0)
        return 0;
    lane_count_dropped(lane, reason, 1);
    lane->ledger.tail = ++lane->source.next;
    lane_mark_dirty(lane);
    return 1;
}

/* Our place is beyond the head: that was damaged, was believed as far as the ring is large, and its writer has set it
 * right. What was counted as damaged there is yet to come. Returns whether the place has moved. */
static int go_back(struct lane *lane)
{
    uint64_t head = ring_head_found(&lane->ring), *corrupt = &lane->ledger.dropped[LAYOUT_DROP_CORRUPT], back;

    if (lane->source.chain.first >= 0 || head + 1 >= lane->source.next)
        return 0;
    back = lane->ledger.tail > head ? lane->ledger.tail - head : 0;
    if (back > *corrupt)
        back = *corrupt;
    *corrupt -= back;
    lane->ledger.tail -= back;
    lane->source.next = lane->ledger.tail;
    lane_mark_dirty(lane);
    return back > 0;
}

/* ---- The source ---- */

static uint64_t lane_end_of(const struct source *source)
{
    const struct lane *lane = lane_of(source);
    uint64_t head = lane_head(lane);

    /* Worth a look though nothing can be read: see go_back. */
    if (head == source->next && head > ring_head(&lane->ring) + 1 && head > ring_head_found(&lane->ring) + 1 &&
        source->chain.first < 0 && lane->ledger.dropped[LAYOUT_DROP_CORRUPT] > 0)
        return head + 1;
    return head;
}

/* Each message of the channel goes by way of the disk. */
static int lane_waits(const struct source *source)
{
    const struct publish *publish = lane_of(source)->publish;

    return source->channel->spool == PUBLISH_SPOOL_ALWAYS && source->topic && publish->spool &&
           spool_state(publish->spool) == SPOOL_STATE_OK;
}

static int lane_read(struct source *source, uint64_t sequence, void *to, size_t room, struct source_message *message)
{
    struct ring_message from;
    int rc = ring_read(&lane_of(source)->ring, sequence, &from, &(struct ring_space){to, room, NULL});

    if (rc < 0 && rc != -EMSGSIZE)
        return rc;
    *message = (struct source_message){.sequence = sequence, .time_ns = from.time_ns, .size = from.size};
    return rc < 0 ? -ENOBUFS : 0;
}

static int lane_skip(struct source *source, int rc)
{
    struct lane *lane = lane_of(source);

    if (rc == -ENOMEM)
        return 0;
    if (rc == -ESTALE) {
        source->next = ring_resync(&lane->ring, source->next);
        account_skipped(lane);
        return 1;
    }
    if (rc == -EAGAIN && (rc = ring_check_damage(&lane->ring, source->next)) == -ESTALE)
        return go_back(lane);
    return rc < 0 && drop_next(lane, LAYOUT_DROP_CORRUPT);
}

static int lane_refuse(struct source *source, uint64_t sequence)
{
    (void)sequence;
    return drop_next(lane_of(source), LAYOUT_DROP_REFUSED);
}

/* What is below the tail has gone to the spool while it flew: the spool is told. Returns how many of the messages these
 * are. */
static uint32_t answer_taken(struct lane *lane, uint64_t sequence, uint32_t count, enum inflight_answer answer)
{
    uint32_t taken = 0;

    if (sequence < lane->ledger.tail)
        taken = lane->ledger.tail - sequence < count ? (uint32_t)(lane->ledger.tail - sequence) : count;
    if (taken > 0 && lane->stream)
        replay_answer(lane->publish->replay, lane->stream, sequence, taken, answer);
    return taken;
}

static void lane_answered(struct source *source, uint64_t sequence, uint32_t count, enum inflight_answer answer)
{
    struct lane *lane = lane_of(source);
    uint32_t taken = answer_taken(lane, sequence, count, answer);

    if (taken == count)
        return;
    account_sent(lane, sequence + taken, count - taken);
    if (answer == INFLIGHT_DELIVERED)
        lane->ledger.delivered += count - taken;
    else
        lane_count_dropped(lane, LAYOUT_DROP_REFUSED, count - taken);
}

static void lane_rewind(struct source *source, uint64_t sequence)
{
    struct lane *lane = lane_of(source);

    /* All behind it failed with it: how many there were does not matter to the spool. */
    answer_taken(lane, sequence, UINT32_MAX, INFLIGHT_FAILED);
    source->next = sequence > lane->ledger.tail ? sequence : lane->ledger.tail;
}

static void lane_answers_taken(struct source *source)
{
    account_skipped(lane_of(source));
}

static const struct source_type lane_type = {
    .end = lane_end_of,
    .waits = lane_waits,
    .read = lane_read,
    .skip = lane_skip,
    .refuse = lane_refuse,
    .answered = lane_answered,
    .rewind = lane_rewind,
    .answers_taken = lane_answers_taken,
};

/* ---- Its life ---- */

/* Put the lane's number, from 0 in its channel, into a topic that asks for it. 0 or -ENOMEM. */
static int make_own_topic(struct lane *lane)
{
    const char *topic = lane->source.channel->topic, *at = topic ? strstr(topic, CONFIG_FILL_LANE) : NULL,
               *from = topic;
    const struct layout *layout = &lane->segment->layout;
    uint32_t number = lane->source.lane - layout->channels[layout->lane_channel[lane->source.lane]].lane_first;
    char *own, *to;
    size_t places = 0;

    if (!at)
        return 0;
    for (; at; at = strstr(at + 1, CONFIG_FILL_LANE))
        places++;
    /* A number has at most 10 digits, the place that it takes 6 characters. */
    own = to = malloc(strlen(topic) + 4 * places + 1);
    if (!own)
        return -ENOMEM;
    for (at = strstr(topic, CONFIG_FILL_LANE); at; at = strstr(from, CONFIG_FILL_LANE)) {
        memcpy(to, from, (size_t)(at - from));
        to += at - from;
        to += sprintf(to, "%u", number);
        from = at + strlen(CONFIG_FILL_LANE);
    }
    strcpy(to, from);
    lane->own_topic = own;
    return 0;
}

/* How many samples make a batch. More than half a ring never wait: the other half is for what is written while they are
 * on their way. What a replaced segment has waits for nothing. */
static uint32_t batch_wanted(const struct lane *lane, int is_retired)
{
    uint64_t half = (lane->ring.mask + 1) / 2;

    if (is_retired)
        return 1;
    return lane->source.channel->batch_max < half ? lane->source.channel->batch_max : (uint32_t)half;
}

int lane_start(struct lane *lane, const struct lane_options *options)
{
    struct source *source = &lane->source;

    lane->publish = options->publish;
    lane->segment = options->segment;
    lane->ring = segment_ring(options->segment, options->number);
    lane_load_ledger(lane);
    *source = (struct source){.channel = options->channel,
                              .generation = options->segment->layout.generation,
                              .order = source_order_of_segment(options->segment->layout.serial, 1),
                              .lane = options->number,
                              .share = SOURCE_LIVE,
                              .group = options->group,
                              .latency = options->latency,
                              .goes_first = options->is_retired,
                              .next = lane->ledger.tail};
    source->batch_wanted = batch_wanted(lane, options->is_retired);
    if (make_own_topic(lane) < 0)
        return -ENOMEM;
    source->topic = lane->own_topic ? lane->own_topic : options->channel->topic;
    source->type = &lane_type;
    sender_add(options->publish->sender, source);
    if (options->is_retired)
        source_group_add_earlier(options->group, source);
    lane_reconcile_spool(lane);
    /* A gateway killed between the ledger and the tail leaves slots taken that are accounted for: with overflow =
     * reject and a full ring nothing would ever change again. */
    lane_flush_ledger(lane);
    return 0;
}

void lane_end(struct lane *lane)
{
    if (lane->source.type)
        sender_forget(lane->publish->sender, &lane->source);
    free(lane->own_topic);
    lane->own_topic = NULL;
}

void lane_ready(struct lane *lane)
{
    publish_spill_pending(lane);
    sender_ready(lane->publish->sender, &lane->source);
}

int lane_is_drained(const struct lane *lane)
{
    return lane->source.chain.first < 0 && lane->source.next == lane->ledger.tail &&
           lane_head(lane) == lane->source.next;
}
