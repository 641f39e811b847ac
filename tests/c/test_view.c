/* test_view.c: looking on: a read-only attachment, and what it tells. */
#include <pthread.h>

#include "fixture.h"

/* Mappings of the segment in this process with those permissions. */
static int count_mappings(const char *permissions)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512];
    int count = 0;

    while (maps && fgets(line, sizeof(line), maps))
        count += strstr(line, fixture_name) && strstr(line, permissions);
    if (maps)
        fclose(maps);
    return maps ? count : -1;
}

static int attach_view(struct shared_memory **shm)
{
    return shared_memory_attach_view(shm, fixture_name, 0);
}

/* A view has the segment mapped without the permission to write, and what would need it is refused. */
static void test_view_cannot_write(void)
{
    struct shared_memory_writer *writer;
    struct shared_memory_reader *reader;
    struct shared_memory *shm;

    fixture_begin();
    CHECK_EQUAL(attach_view(&shm), -ETIMEDOUT);
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
    CHECK_EQUAL(attach_view(&shm), 0);
    CHECK_EQUAL(count_mappings(" rw-s "), 0); /* the gateway's own was made before the segment had its name */
    CHECK_EQUAL(count_mappings(" r--s "), 1);
    CHECK_EQUAL(shared_memory_writer_open(shm, "out", &writer), -EROFS);
    CHECK(strstr(shared_memory_error(), "looking only"));
    CHECK_EQUAL(shared_memory_reader_open(shm, "out", SHARED_MEMORY_FROM_OLDEST, &reader), -EROFS);
    shared_memory_detach(shm);
    CHECK_EQUAL(count_mappings(" r--s "), 0);
}

/* Read permission is enough, and no semaphore is needed. */
static int look_as_nobody(void)
{
    struct shared_memory_status status;
    struct shared_memory *shm;

    if (geteuid() == 0 && (setgid(65534) < 0 || setuid(65534) < 0))
        return 2;
    return attach_view(&shm) == 0 && shared_memory_read_status(shm, &status) == 0 && status.channels == FIXTURE_USUAL
               ? 0
               : 1;
}

static void test_view_needs_to_read_only(void)
{
    struct fixture_child child;

    fixture_begin();
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
    CHECK_EQUAL(platform_object_permit(fixture_segment.fd, 0444, -1), 0);
    CHECK_EQUAL(platform_doorbell_remove(fixture_name), 0);
    CHECK_EQUAL(fixture_fork(&child, look_as_nobody), 0);
    CHECK_EQUAL(fixture_join(&child), 0);
}

/* Whether a gateway serves is what its lock says; link, spool and times are what it has noted. */
static void test_status_is_the_gateways(void)
{
    struct shared_memory_status status;
    struct shared_memory *shm;

    fixture_begin();
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
    ring_set_link(fixture_segment.header, LAYOUT_LINK_UP, 77);
    ring_set_spool(fixture_segment.header, LAYOUT_SPOOL_FULL, 4096);
    CHECK_EQUAL(attach_view(&shm), 0);
    CHECK_EQUAL(shared_memory_read_status(shm, &status), 0);
    CHECK_EQUAL(status.gateway_alive, 1);
    CHECK_EQUAL(status.gateway_pid, getpid());
    CHECK_EQUAL(status.channels, FIXTURE_USUAL);
    CHECK_EQUAL(status.link_up, 1);
    CHECK_EQUAL(status.link_change_ns, 77);
    CHECK_EQUAL(status.spool_bytes, 4096);
    CHECK(strcmp(status.spool_state, "full") == 0 && status.gateway_start_ns > 0);
    fixture_stop();
    CHECK_EQUAL(shared_memory_read_status(shm, &status), 0);
    CHECK_EQUAL(status.gateway_alive, 0);
    shared_memory_detach(shm);
}

/* Gauges tell how a channel is made and its latencies; a lane's counters are its own, and say whether it has a writer.
 */
static void test_gauges_and_lanes(void)
{
    uint32_t latency[LAYOUT_LATENCIES] = {1, 2, 3, 4, 5, 6, 7, 8};
    struct shared_memory_counters counters;
    struct shared_memory_gauges gauges;
    struct shared_memory *shm;
    int has_writer;

    fixture_begin();
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
    ring_set_latency(segment_channel(&fixture_segment, CHANNEL_OUT), latency);
    CHECK_EQUAL(shared_memory_init(fixture_name, 0), 0);
    CHECK_EQUAL(shared_memory_write("out", "abc", 3), 0);
    CHECK_EQUAL(attach_view(&shm), 0);
    CHECK_EQUAL(shared_memory_channel_gauges(shm, CHANNEL_OUT, &gauges), 0);
    CHECK(gauges.lanes == 2 && gauges.slots == 8 && gauges.max_payload == 64);
    CHECK(gauges.write_to_send_us[0] == 1 && gauges.write_to_send_us[3] == 4 && gauges.send_to_ack_us[0] == 5 &&
          gauges.send_to_ack_us[3] == 8);
    CHECK_EQUAL(shared_memory_channel_gauges(shm, FIXTURE_USUAL, &gauges), -ENOENT);
    CHECK_EQUAL(shared_memory_lane_counters(shm, CHANNEL_OUT, 0, &counters, &has_writer), 0);
    CHECK(counters.written == 1 && counters.queued == 1 && has_writer == 1);
    CHECK_EQUAL(shared_memory_lane_counters(shm, CHANNEL_OUT, 1, &counters, &has_writer), 0);
    CHECK(counters.written == 0 && has_writer == 0);
    CHECK_EQUAL(shared_memory_lane_counters(shm, CHANNEL_OUT, 2, &counters, &has_writer), -ENOENT);
    shared_memory_detach(shm);
}

/* The newest message is copied as far as it fits, with its topic; one that is too old is not given out. */
static void test_newest_message(void)
{
    struct shared_memory_message message;
    struct shared_memory *shm;
    char buffer[4];

    fixture_begin();
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
    CHECK_EQUAL(attach_view(&shm), 0);
    CHECK_EQUAL(shared_memory_channel_newest(shm, CHANNEL_OUT, buffer, sizeof(buffer), &message), -EAGAIN);
    CHECK_EQUAL(shared_memory_channel_newest(shm, FIXTURE_USUAL, buffer, sizeof(buffer), &message), -ENOENT);
    CHECK_EQUAL(shared_memory_init(fixture_name, 0), 0);
    /* Round the ring, so that a wrong place would hold another message. */
    for (int i = 0; i < 20; i++)
        CHECK_EQUAL(shared_memory_write("out", i < 19 ? "older" : "newest", 6 - (i < 19)), 0);
    CHECK_EQUAL(shared_memory_channel_newest(shm, CHANNEL_OUT, buffer, sizeof(buffer), &message), 0);
    CHECK(message.size == 6 && memcmp(buffer, "newe", 4) == 0 && message.sequence == 19 && message.time_ns > 0);
    CHECK(strcmp(message.topic, "t/out") == 0 && message.topic_size == 5);
    CHECK_EQUAL(shared_memory_channel_newest(shm, CHANNEL_OUT, NULL, 0, &message), 0);
    CHECK(message.size == 6);
    CHECK_EQUAL(fixture_arrive(&fixture_segment, "go"), 0);
    CHECK_EQUAL(shared_memory_channel_newest(shm, CHANNEL_IN, buffer, sizeof(buffer), &message), 0);
    CHECK(message.size == 2 && memcmp(buffer, "go", 2) == 0 && strcmp(message.topic, "t/a") == 0);
    CHECK_EQUAL(fixture_arrive_until(&fixture_segment, "late", 1), 0);
    CHECK_EQUAL(shared_memory_channel_newest(shm, CHANNEL_IN, buffer, sizeof(buffer), &message), -EAGAIN);
    shared_memory_detach(shm);
}

/* Ask for counters and newest messages again and again, as one of several threads on an attachment; NULL when each
 * answer was right. */
static void *ask(void *argument)
{
    struct shared_memory *shm = argument;

    for (int i = 0; i < 20000; i++) {
        struct shared_memory_message message;
        struct shared_memory_counters counters;
        char buffer[8];
        int index = i % FIXTURE_USUAL;

        if (shared_memory_channel_counters(shm, index, &counters) < 0 ||
            strcmp(counters.topic, fixture_usual[index].topic) != 0)
            return "counters";
        if (shared_memory_channel_newest(shm, CHANNEL_IN, buffer, sizeof(buffer), &message) < 0 ||
            strcmp(message.topic, "t/a") != 0)
            return "newest message";
    }
    return NULL;
}

/* Threads that share an attachment each get the topics they asked for. */
static void test_threads_share_an_attachment(void)
{
    pthread_t threads[2];
    struct shared_memory *shm;

    fixture_begin();
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
    CHECK_EQUAL(fixture_arrive(&fixture_segment, "go"), 0);
    CHECK_EQUAL(attach_view(&shm), 0);
    for (int i = 0; i < 2; i++)
        CHECK_EQUAL(pthread_create(&threads[i], NULL, ask, shm), 0);
    for (int i = 0; i < 2; i++) {
        void *wrong;

        CHECK_EQUAL(pthread_join(threads[i], &wrong), 0);
        CHECK(wrong == NULL);
    }
    shared_memory_detach(shm);
}

static const struct check_test tests[] = {
    {"test_view_cannot_write", test_view_cannot_write},
    {"test_view_needs_to_read_only", test_view_needs_to_read_only},
    {"test_status_is_the_gateways", test_status_is_the_gateways},
    {"test_gauges_and_lanes", test_gauges_and_lanes},
    {"test_newest_message", test_newest_message},
    {"test_threads_share_an_attachment", test_threads_share_an_attachment},
};
FIXTURE_MAIN(tests)
