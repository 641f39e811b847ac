/* test_sender.c: which source is next, how much of the window it gets, and who waits for whom: with sources that are
 * arrays, and a transport that only notes what it gets. */
#include <errno.h>
#include <string.h>

#include "check.h"
#include "publish/sender.h"

#define SOURCES 4

/* A source of so many messages that all are there from the beginning. */
struct list {
    struct source source;
    uint64_t end;
    uint64_t delivered, refused; /* messages */
    int waits;
};

static struct list lists[SOURCES];
static struct publish_channel channels[SOURCES];
static struct source_group groups[SOURCES];
static struct sender *sender;
static char order[512]; /* of the sources whose messages were handed over, a letter each */
static uint64_t tokens[512];
static unsigned sent, limit;
static int refuse, down;

static struct list *list_of(const struct source *source)
{
    return (struct list *)source;
}

static uint64_t list_end(const struct source *source)
{
    return list_of(source)->end > source->next ? list_of(source)->end : source->next;
}

static int list_waits(const struct source *source)
{
    return list_of(source)->waits;
}

/* The payload is the source's letter. */
static int list_read(struct source *source, uint64_t sequence, void *to, size_t room, struct source_message *message)
{
    *message = (struct source_message){.sequence = sequence, .size = 1};
    if (room < 1)
        return -ENOBUFS;
    *(char *)to = (char)('a' + (list_of(source) - lists));
    return 0;
}

static int list_skip(struct source *source, int rc)
{
    (void)source;
    (void)rc;
    return 0;
}

static int list_refuse(struct source *source, uint64_t sequence)
{
    list_of(source)->refused++;
    source->next = sequence + 1;
    return 1;
}

static void list_answered(struct source *source, uint64_t sequence, uint32_t count, enum inflight_answer answer)
{
    (void)sequence;
    if (answer == INFLIGHT_DELIVERED)
        list_of(source)->delivered += count;
    else
        list_of(source)->refused += count;
}

static void list_rewind(struct source *source, uint64_t sequence)
{
    source->next = sequence;
}

static const struct source_type list_type = {.end = list_end,
                                             .waits = list_waits,
                                             .read = list_read,
                                             .skip = list_skip,
                                             .refuse = list_refuse,
                                             .answered = list_answered,
                                             .rewind = list_rewind};

static int is_up(const struct transport *transport)
{
    (void)transport;
    return !down;
}

static unsigned window(const struct transport *transport)
{
    (void)transport;
    return limit;
}

static int note(struct transport *transport, const struct transport_message *message, uint64_t token)
{
    (void)transport;
    if (refuse)
        return refuse;
    order[sent] = *(const char *)message->payload;
    tokens[sent++] = token;
    return 0;
}

static const struct transport_type noting = {.name = "test", .is_up = is_up, .window = window, .publish = note};
static struct transport transport = {.type = &noting};

/* Begin with a window of `size` messages, and no sources. */
static void begin(unsigned size)
{
    sender_destroy(sender);
    memset(lists, 0, sizeof(lists));
    memset(channels, 0, sizeof(channels));
    memset(groups, 0, sizeof(groups));
    memset(order, 0, sizeof(order));
    sent = 0;
    refuse = down = 0;
    limit = size;
    CHECK_EQUAL(sender_create(&sender), 0);
    sender_set_transport(sender, &transport);
}

/* Make source `number` of the group, with `count` messages; of a segment before the present one when `generation` is
 * below 9. */
static struct source *make(int number, int group, uint64_t generation, uint64_t count)
{
    struct source *source = &lists[number].source;

    channels[number] = (struct publish_channel){.name = "c", .qos = 1};
    *source = (struct source){.type = &list_type,
                              .channel = &channels[number],
                              .topic = "t",
                              .generation = generation,
                              .order = source_order_of_segment(generation, 1),
                              .goes_first = generation < 9,
                              .group = &groups[group]};
    lists[number].end = count;
    sender_add(sender, source);
    if (generation < 9)
        source_group_add_earlier(&groups[group], source);
    sender_ready(sender, source);
    return source;
}

static void answer_all(enum transport_answer with)
{
    for (unsigned i = 0; i < sent; i++)
        sender_answered(sender, tokens[i], with, 0);
}

/* Send and have answered until nothing more goes. */
static void run_dry(void)
{
    unsigned done = 0;

    while (sender_send_ready(sender, 0) > 0)
        for (; done < sent; done++)
            sender_answered(sender, tokens[done], TRANSPORT_DELIVERED, 0);
}

static unsigned count_of(char letter)
{
    unsigned count = 0;

    for (unsigned i = 0; i < sent; i++)
        count += order[i] == letter;
    return count;
}

/* A source without end does not keep the others from their turn: each has a burst, then the next one. */
static void test_endless_source_costs_others_nothing(void)
{
    begin(INFLIGHT_WINDOW);
    make(0, 0, 9, UINT64_MAX);
    make(1, 1, 9, 3);
    make(2, 2, 9, 3);
    sender_send_ready(sender, 0);
    CHECK_EQUAL(count_of('b'), 3);
    CHECK_EQUAL(count_of('c'), 3);
    CHECK_EQUAL(count_of('a'), 16);
}

/* One turn is bounded by a burst for each source that was ready, whatever a source says it has. */
static void test_turn_is_bounded(void)
{
    begin(INFLIGHT_WINDOW);
    make(0, 0, 9, UINT64_MAX);
    CHECK_EQUAL(sender_send_ready(sender, 0), 16);
    CHECK_EQUAL(sender_send_ready(sender, 0), 16);
}

/* In one channel, what is of an earlier segment goes first, however the sources became ready. */
static void test_earlier_segment_goes_first(void)
{
    begin(INFLIGHT_WINDOW);
    make(0, 0, 9, 2);
    make(1, 0, 2, 20);
    make(2, 0, 1, 20);
    run_dry();
    CHECK_EQUAL(sent, 42);
    CHECK(strncmp(order, "cccccccccccccccccccc", 20) == 0);
    CHECK(strncmp(order + 20, "bbbbbbbbbbbbbbbbbbbb", 20) == 0);
    CHECK(strcmp(order + 40, "aa") == 0);
}

/* What is of an earlier segment holds up its own channel only. */
static void test_other_channels_do_not_wait(void)
{
    begin(INFLIGHT_WINDOW);
    make(0, 0, 9, 2);
    make(1, 0, 1, UINT64_MAX);
    make(2, 1, 9, 2);
    sender_send_ready(sender, 0);
    CHECK_EQUAL(count_of('c'), 2);
    CHECK_EQUAL(count_of('a'), 0);
}

/* A source of an earlier segment that has nothing, as when its writer is idle, holds up nobody, and switches no
 * batching off. */
static void test_idle_earlier_source_holds_up_nobody(void)
{
    begin(INFLIGHT_WINDOW);
    make(0, 0, 9, 2)->batch_wanted = 4;
    channels[0].batch_max = 4;
    channels[0].batch_time_ms = 10;
    make(1, 0, 1, 0);
    CHECK_EQUAL(sender_send_ready(sender, 1000), 0);
    CHECK_EQUAL(sender_deadline_ms(sender, 1000), 1010);
    CHECK_EQUAL(sender_send_ready(sender, 1010), 1);
    CHECK_EQUAL(count_of('a'), 1);
}

/* When what comes before fails and is sent again, what follows waits for it, too. */
static void test_order_holds_over_a_failure(void)
{
    begin(INFLIGHT_WINDOW);
    make(0, 0, 9, 2);
    make(1, 0, 1, 2);
    sender_send_ready(sender, 0);
    CHECK(strcmp(order, "bb") == 0);
    answer_all(TRANSPORT_FAILED);
    run_dry();
    CHECK(strcmp(order, "bbbbaa") == 0);
}

/* What is replayed leaves a quarter of the window; behind new messages it has no more than a quarter. */
static void test_replay_leaves_a_quarter_of_the_window(void)
{
    begin(32);
    make(0, 0, 9, 100)->share = SOURCE_REPLAY;
    while (sender_send_ready(sender, 0) > 0)
        ;
    CHECK_EQUAL(count_of('a'), 24);
    CHECK(sender_replay_is_full(sender) && !sender_window_is_full(sender));
    make(1, 1, 9, 100);
    while (sender_send_ready(sender, 0) > 0)
        ;
    CHECK_EQUAL(count_of('b'), 8);
    CHECK(sender_window_is_full(sender));
    begin(32);
    make(0, 0, 9, 100)->share = SOURCE_REPLAY_LIVE_FIRST;
    while (sender_send_ready(sender, 0) > 0)
        ;
    CHECK_EQUAL(count_of('a'), 8);
}

/* A stream goes before its own lane, but not when the channel says live-first. */
static void test_live_first_does_not_wait_for_the_stream(void)
{
    for (int live_first = 0; live_first <= 1; live_first++) {
        struct source *lane, *stream;

        begin(INFLIGHT_WINDOW);
        lane = make(0, 0, 9, 1);
        stream = make(1, 0, 9, 1);
        stream->share = live_first ? SOURCE_REPLAY_LIVE_FIRST : SOURCE_REPLAY;
        stream->goes_first = 1;
        lane->before = stream;
        channels[0].live_first = live_first;
        run_dry();
        CHECK(strcmp(order, live_first ? "ab" : "ba") == 0);
    }
}

/* A transport that takes nothing now is asked again after a while, and nothing is lost. */
static void test_transport_that_takes_nothing_is_asked_again(void)
{
    begin(INFLIGHT_WINDOW);
    make(0, 0, 9, 2);
    refuse = -EAGAIN;
    CHECK_EQUAL(sender_send_ready(sender, 1000), 0);
    CHECK_EQUAL(sender_in_flight(sender), 0);
    refuse = 0;
    CHECK_EQUAL(sender_send_ready(sender, 1001), 0);
    CHECK_EQUAL(sender_send_ready(sender, sender_deadline_ms(sender, 1001)), 2);
    CHECK_EQUAL(lists[0].refused, 0);
}

/* While the transport is down nothing is read, and what is ready stays so. */
static void test_nothing_is_sent_while_the_transport_is_down(void)
{
    begin(INFLIGHT_WINDOW);
    make(0, 0, 9, 2);
    down = 1;
    CHECK_EQUAL(sender_send_ready(sender, 0), 0);
    CHECK(sender_deadline_ms(sender, 0) == UINT64_MAX);
    down = 0;
    CHECK_EQUAL(sender_send_ready(sender, 0), 2);
}

/* A source that has to wait for another reason is passed over until it is made ready again. */
static void test_source_that_waits_is_passed_over(void)
{
    begin(INFLIGHT_WINDOW);
    lists[0].waits = 1;
    make(0, 0, 9, 1);
    make(1, 1, 9, 1);
    lists[0].waits = 1;
    CHECK_EQUAL(sender_send_ready(sender, 0), 1);
    CHECK(strcmp(order, "b") == 0);
    lists[0].waits = 0;
    CHECK_EQUAL(sender_send_ready(sender, 0), 0);
    sender_ready(sender, &lists[0].source);
    CHECK_EQUAL(sender_send_ready(sender, 0), 1);
}

/* A source that is forgotten takes what is in flight of it along: the answers go nowhere, and the window has its room
 * back. */
static void test_forgotten_source_leaves_nothing(void)
{
    begin(INFLIGHT_WINDOW);
    make(0, 0, 1, 5);
    sender_send_ready(sender, 0);
    sender_forget(sender, &lists[0].source);
    CHECK_EQUAL(sender_in_flight(sender), 0);
    answer_all(TRANSPORT_DELIVERED);
    CHECK_EQUAL(lists[0].delivered, 0);
    CHECK(!groups[0].earlier);
}

/* The order of segments that are gone is below that of those that are there, and a stream's below its lane's, for any
 * number that a segment may hold. */
static void test_order_of_sources(void)
{
    CHECK(source_order_of_gone(0) < source_order_of_gone(1));
    CHECK(source_order_of_gone(SIZE_MAX) < source_order_of_segment(0, 0));
    CHECK(source_order_of_segment(1, 0) < source_order_of_segment(1, 1));
    CHECK(source_order_of_segment(1, 1) < source_order_of_segment(2, 0));
    CHECK(source_order_of_segment(2, 1) < source_order_of_segment(UINT64_MAX, 0));
}

static const struct check_test tests[] = {
    {"test_endless_source_costs_others_nothing", test_endless_source_costs_others_nothing},
    {"test_turn_is_bounded", test_turn_is_bounded},
    {"test_earlier_segment_goes_first", test_earlier_segment_goes_first},
    {"test_other_channels_do_not_wait", test_other_channels_do_not_wait},
    {"test_idle_earlier_source_holds_up_nobody", test_idle_earlier_source_holds_up_nobody},
    {"test_order_holds_over_a_failure", test_order_holds_over_a_failure},
    {"test_replay_leaves_a_quarter_of_the_window", test_replay_leaves_a_quarter_of_the_window},
    {"test_live_first_does_not_wait_for_the_stream", test_live_first_does_not_wait_for_the_stream},
    {"test_transport_that_takes_nothing_is_asked_again", test_transport_that_takes_nothing_is_asked_again},
    {"test_nothing_is_sent_while_the_transport_is_down", test_nothing_is_sent_while_the_transport_is_down},
    {"test_source_that_waits_is_passed_over", test_source_that_waits_is_passed_over},
    {"test_forgotten_source_leaves_nothing", test_forgotten_source_leaves_nothing},
    {"test_order_of_sources", test_order_of_sources},
};

CHECK_MAIN(tests)
