/* test_layout.c: the plan of a segment, its limits, and the check of a segment that somebody has damaged. */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"
#include "segment.h"

static struct reason reason;
static const struct layout_request good = {.name = "c",
                                           .topic = "t",
                                           .direction = LAYOUT_PUBLISH,
                                           .overflow = LAYOUT_REJECT,
                                           .max_payload = 20,
                                           .slots = 3,
                                           .writers = 2};
static const struct layout_request subscribed = {.name = "i",
                                                 .topic = "t/#",
                                                 .direction = LAYOUT_SUBSCRIBE,
                                                 .overflow = LAYOUT_DROP_OLDEST,
                                                 .max_payload = 33,
                                                 .slots = 2,
                                                 .topic_max = 9,
                                                 .writers = 1,
                                                 .qos = 2};
static char long_text[LAYOUT_TOPIC_MAX + 2];

/* Plan one channel; 1 when it is refused with a reason that has `part` in it. */
static int refused(const struct layout_request *request, const char *part)
{
    struct layout layout;

    reason.text[0] = '\0';
    if (layout_plan(&layout, request, 1, &reason) == 0) {
        layout_free(&layout);
        return 0;
    }
    return strstr(reason.text, part) != NULL;
}

static int accepted(const struct layout_request *request)
{
    struct layout layout;

    if (layout_plan(&layout, request, 1, &reason) < 0)
        return 0;
    layout_free(&layout);
    return 1;
}

/* One request with one member changed. */
#define WITH(member, value)               \
    struct layout_request request = good; \
    request.member = (value)
#define CHECK_REFUSED(member, value, part) \
    do {                                   \
        WITH(member, value);               \
        CHECK(refused(&request, part));    \
    } while (0)
#define CHECK_ACCEPTED(member, value) \
    do {                              \
        WITH(member, value);          \
        CHECK(accepted(&request));    \
    } while (0)

/* Each value at its limits is taken, and one beyond is refused by name. */
static void test_plan_checks_its_limits(void)
{
    memset(long_text, 'n', sizeof(long_text) - 1);
    CHECK_ACCEPTED(max_payload, 1);
    CHECK_ACCEPTED(max_payload, LAYOUT_PAYLOAD_MAX);
    CHECK_REFUSED(max_payload, 0, "max_payload");
    CHECK_REFUSED(max_payload, LAYOUT_PAYLOAD_MAX + 1, "max_payload");
    CHECK_ACCEPTED(slots, LAYOUT_SLOTS_MAX);
    CHECK_REFUSED(slots, LAYOUT_SLOTS_MIN - 1, "slots");
    CHECK_REFUSED(slots, LAYOUT_SLOTS_MAX + 1, "slots");
    CHECK_ACCEPTED(writers, LAYOUT_LANES_MAX);
    CHECK_REFUSED(writers, 0, "writers");
    CHECK_REFUSED(writers, LAYOUT_LANES_MAX + 1, "writers");
    CHECK_ACCEPTED(qos, 2);
    CHECK_REFUSED(qos, 3, "qos");
    CHECK_REFUSED(direction, 0, "direction");
    CHECK_REFUSED(direction, 3, "direction");
    CHECK_REFUSED(overflow, 0, "overflow");
    CHECK_REFUSED(topic, NULL, "topic");
    CHECK_REFUSED(topic, "", "topic");
    CHECK_REFUSED(topic, long_text, "topic");
    CHECK_ACCEPTED(topic, long_text + 1);
    CHECK_REFUSED(name, NULL, "name");
    CHECK_REFUSED(name, "", "name");
    CHECK_REFUSED(name, "a b", "name");
    CHECK_REFUSED(name, long_text + sizeof(long_text) - 65, "name");
    CHECK_ACCEPTED(name, long_text + sizeof(long_text) - 64);
}

/* A subscribe channel needs room for topics, within the limit. */
static void test_plan_checks_topic_max(void)
{
    struct layout_request request = subscribed;

    CHECK(accepted(&request));
    request.topic_max = 0;
    CHECK(refused(&request, "topic_max"));
    request.topic_max = LAYOUT_TOPIC_MAX + 1;
    CHECK(refused(&request, "topic_max"));
}

/* No channels, too many, a name twice, too many lanes or bytes in all are refused. */
static void test_plan_checks_the_whole(void)
{
    struct layout_request requests[] = {good, subscribed};
    struct layout layout;

    CHECK_EQUAL(layout_plan(&layout, requests, 0, &reason), -EINVAL);
    CHECK_EQUAL(layout_plan(&layout, requests, LAYOUT_CHANNELS_MAX + 1, &reason), -EINVAL);
    requests[1].name = "c";
    CHECK_EQUAL(layout_plan(&layout, requests, 2, &reason), -EINVAL);
    CHECK(strstr(reason.text, "twice"));
    requests[1].name = "i";
    requests[0].writers = LAYOUT_LANES_MAX;
    CHECK_EQUAL(layout_plan(&layout, requests, 2, &reason), -EINVAL);
    CHECK(strstr(reason.text, "writers"));
    requests[0].slots = LAYOUT_SLOTS_MAX;
    requests[0].max_payload = LAYOUT_PAYLOAD_MAX;
    CHECK_EQUAL(layout_plan(&layout, requests, 1, &reason), -EINVAL);
    CHECK(strstr(reason.text, "1 TiB"));
}

/* A planned segment in memory that ends where the segment does, before a page that nobody may touch. */
struct image {
    struct layout plan;
    unsigned char *memory, *pristine;
    size_t page;
};

static int image_make(struct image *image)
{
    const struct layout_request requests[] = {good, subscribed};
    const char *const topics[] = {"t", "t/#"};
    int rc = layout_plan(&image->plan, requests, 2, &reason);

    if (rc < 0)
        return rc;
    image->page = (size_t)sysconf(_SC_PAGESIZE);
    image->memory = mmap(NULL, image->plan.segment_size + image->page, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    image->pristine = malloc(image->plan.segment_size);
    if (image->memory == MAP_FAILED || !image->pristine ||
        mprotect(image->memory + image->plan.segment_size, image->page, PROT_NONE) < 0)
        return -ENOMEM;
    image->plan.generation = 7;
    image->plan.serial = 3;
    layout_store(&image->plan, topics, image->memory);
    ring_publish_magic((struct layout_header *)image->memory);
    memcpy(image->pristine, image->memory, image->plan.segment_size);
    return 0;
}

static void image_free(struct image *image)
{
    munmap(image->memory, image->plan.segment_size + image->page);
    free(image->pristine);
    layout_free(&image->plan);
}

static int image_load(const struct image *image, struct layout *layout)
{
    return layout_load(layout, image->memory, image->plan.segment_size, &reason);
}

/* What was stored is what is loaded. */
static void test_load_gives_what_was_stored(void)
{
    struct layout layout;
    struct image image;

    CHECK_EQUAL(image_make(&image), 0);
    CHECK_EQUAL(image_load(&image, &layout), 0);
    CHECK(layout_same(&layout, &image.plan));
    CHECK(layout.generation == 7 && layout.serial == 3);
    CHECK(layout.channels[0].slots == 4 && layout.channels[1].slots == 2 && layout.lane_count == 3);
    layout.channels[1].topic_max++;
    CHECK(!layout_same(&layout, &image.plan));
    layout_free(&layout);
    image_free(&image);
}

/* Without its magic a segment is not ready; another major version is refused, a minor one is not. */
static void test_load_checks_magic_and_format(void)
{
    struct layout layout;
    struct image image;
    struct layout_header *header;

    CHECK_EQUAL(image_make(&image), 0);
    header = (struct layout_header *)image.memory;
    header->format += 1 << 16;
    CHECK_EQUAL(image_load(&image, &layout), 0);
    layout_free(&layout);
    header->format += 1 << 24;
    CHECK_EQUAL(image_load(&image, &layout), -EPROTO);
    CHECK(strstr(reason.text, "a newer version"));
    header->format -= 2 << 24;
    CHECK_EQUAL(image_load(&image, &layout), -EPROTO);
    CHECK(strstr(reason.text, "an older version"));
    header->format += 1 << 24;
    header->doorbell++;
    CHECK_EQUAL(image_load(&image, &layout), -EPROTO);
    CHECK(strstr(reason.text, "doorbell"));
    header->magic = __builtin_bswap64(LAYOUT_MAGIC);
    CHECK_EQUAL(image_load(&image, &layout), -EPROTO);
    CHECK(strstr(reason.text, "byte order"));
    header->magic = 0;
    CHECK_EQUAL(image_load(&image, &layout), -EAGAIN);
    CHECK_EQUAL(layout_load(&layout, image.memory, sizeof(*header) - 1, &reason), -EAGAIN);
    image_free(&image);
}

/* Use every part of an accepted geometry to its end. */
static void use(const struct layout *layout, unsigned char *memory, char *topic)
{
    static unsigned char payload[1 << 10];
    struct segment segment = {.base = memory, .size = layout->segment_size, .layout = *layout};

    for (uint32_t i = 0; i < layout->dirty_words; i++)
        ((_Atomic uint64_t *)(memory + layout->dirty_offset))[i] ^= 1;
    for (uint32_t i = 0; i < layout->channel_count; i++) {
        segment_topic(&segment, i, topic);
        ring_wake_readers(segment_channel(&segment, i));
    }
    for (uint32_t lane = 0; lane < layout->lane_count; lane++) {
        struct ring ring = segment_ring(&segment, lane);
        struct ring_message message = {.payload = payload, .topic = (const char *)payload};
        struct ring_ledger ledger;
        struct ring_writer writer;

        ring_ledger_load(ring.lane, &ledger);
        ring_ledger_store(ring.lane, &ledger);
        message.size = ring.max_payload < sizeof(payload) ? ring.max_payload : sizeof(payload);
        message.topic_size = (uint16_t)(ring.topic_max < sizeof(payload) ? ring.topic_max : sizeof(payload));
        ring_writer_start(&writer, &ring, 0);
        writer.next = ring.mask;
        ring_write(&writer, &message);
        ring_write(&writer, &message);
        ring_read(&ring, ring.mask, &message, &(struct ring_space){payload, sizeof(payload), NULL});
    }
}

/* Every byte of the tables, one at a time, with several values: refused, or a geometry whose every part lies inside. */
static void test_load_survives_every_damaged_byte(void)
{
    const unsigned char masks[] = {0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xff, 0x7f, 0xfe};
    static char topic[LAYOUT_TOPIC_MAX + 1];
    unsigned accepted_count = 0, refused_count = 0;
    struct image image;
    size_t end;

    CHECK_EQUAL(image_make(&image), 0);
    end = image.plan.lane_offset + image.plan.lane_count * sizeof(struct layout_lane);
    for (size_t at = 0; at < end; at++)
        for (size_t i = 0; i < sizeof(masks); i++) {
            struct layout layout;
            int rc;

            memcpy(image.memory, image.pristine, image.plan.segment_size);
            image.memory[at] ^= masks[i];
            rc = image_load(&image, &layout);
            CHECK(rc == 0 || rc == -EPROTO || rc == -EAGAIN);
            if (rc == 0) {
                use(&layout, image.memory, topic);
                layout_free(&layout);
            }
            rc == 0 ? accepted_count++ : refused_count++;
        }
    image_free(&image);
    CHECK(accepted_count > 0 && refused_count > 1000);
}

/* Store a value into a member of the image's header, channel 1 or lane 2: refused. */
#define CHECK_DAMAGED(type, offset, member, value)                     \
    do {                                                               \
        memcpy(image.memory, image.pristine, image.plan.segment_size); \
        ((struct type *)(image.memory + (offset)))->member = (value);  \
        CHECK_EQUAL(image_load(&image, &layout), -EPROTO);             \
        CHECK(strstr(reason.text, "damaged"));                         \
    } while (0)

/* Counts, offsets and lengths that would lead outside, also by overflow of their products, are refused. */
static void test_load_refuses_what_leads_outside(void)
{
    struct layout layout;
    struct image image;
    uint64_t channel, lane;

    CHECK_EQUAL(image_make(&image), 0);
    channel = image.plan.channel_offset + sizeof(struct layout_channel);
    lane = image.plan.lane_offset + 2 * sizeof(struct layout_lane);
    CHECK_DAMAGED(layout_header, 0, segment_size, image.plan.segment_size + 1);
    CHECK_DAMAGED(layout_header, 0, channel_count, 0);
    CHECK_DAMAGED(layout_header, 0, channel_count, UINT32_MAX);
    CHECK_DAMAGED(layout_header, 0, lane_count, 4);
    CHECK_DAMAGED(layout_header, 0, lane_count, UINT32_MAX);
    CHECK_DAMAGED(layout_header, 0, dirty_words, 2);
    CHECK_DAMAGED(layout_header, 0, channel_offset, UINT64_MAX - 127);
    CHECK_DAMAGED(layout_header, 0, lane_offset, image.plan.segment_size);
    CHECK_DAMAGED(layout_header, 0, dirty_offset, image.plan.segment_size);
    CHECK_DAMAGED(layout_header, 0, dirty_offset, image.plan.dirty_offset + 4);
    CHECK_DAMAGED(layout_channel, channel, lane_first, 1);
    CHECK_DAMAGED(layout_channel, channel, lane_count, UINT32_MAX);
    CHECK_DAMAGED(layout_channel, image.plan.channel_offset, lane_count, 4);
    /* Here every lane of the table says that it is channel 0's, so that only the count stops the loop over them. */
    ((struct layout_lane *)(image.pristine + lane))->channel = 0;
    CHECK_DAMAGED(layout_channel, image.plan.channel_offset, lane_count, UINT32_MAX);
    ((struct layout_lane *)(image.pristine + lane))->channel = 1;
    CHECK_DAMAGED(layout_channel, channel, slots, 3);
    CHECK_DAMAGED(layout_channel, channel, slots, LAYOUT_SLOTS_MAX);
    CHECK_DAMAGED(layout_channel, channel, slot_stride, 64);
    CHECK_DAMAGED(layout_channel, channel, max_payload, LAYOUT_PAYLOAD_MAX);
    CHECK_DAMAGED(layout_channel, channel, topic_max, 0);
    CHECK_DAMAGED(layout_channel, channel, topic_offset, image.plan.segment_size);
    CHECK_DAMAGED(layout_channel, channel, topic_size, LAYOUT_TOPIC_MAX);
    CHECK_DAMAGED(layout_channel, channel, type_size, 1 + (uint32_t)image.plan.segment_size);
    CHECK_DAMAGED(layout_channel, channel, type_offset, image.plan.segment_size + 1);
    CHECK_DAMAGED(layout_channel, channel, properties_max, 64);
    CHECK_DAMAGED(layout_channel, channel, direction, LAYOUT_PUBLISH);
    CHECK_DAMAGED(layout_channel, channel, name[0], '/');
    CHECK_DAMAGED(layout_lane, lane, channel, 0);
    CHECK_DAMAGED(layout_lane, lane, slots_offset, image.plan.segment_size - LAYOUT_ALIGN);
    CHECK_DAMAGED(layout_lane, lane, slots_offset, image.plan.slots_offset[2] + 64);
    CHECK_DAMAGED(layout_lane, lane, slots_offset, UINT64_MAX - 127);
    image_free(&image);
}

/* A slot has room for what the reserved area for properties needs behind payload and topic. */
static void test_stride_has_room_for_properties(void)
{
    CHECK_EQUAL(layout_slot_stride(64, 0, 0), 128);
    CHECK_EQUAL(layout_slot_stride(33, 0, 0), 128);
    CHECK_EQUAL(layout_slot_stride(33, 20, 0), 128);
    CHECK_EQUAL(layout_slot_stride(33, 20, 28), 128);
    CHECK_EQUAL(layout_slot_stride(33, 20, 29), 192);
    CHECK_EQUAL(layout_slot_stride(20, 0, 4), 64);
    CHECK_EQUAL(layout_slot_stride(20, 0, 5), 128);
}

/* Every drop reason has a name, and no other number has. */
static void test_drop_reasons_have_names(void)
{
    for (unsigned i = 0; i < LAYOUT_DROP_REASONS; i++)
        CHECK(layout_drop_name(i) && layout_drop_name(i)[0]);
    CHECK(!layout_drop_name(LAYOUT_DROP_REASONS));
}

static const struct check_test tests[] = {
    {"test_plan_checks_its_limits", test_plan_checks_its_limits},
    {"test_plan_checks_topic_max", test_plan_checks_topic_max},
    {"test_plan_checks_the_whole", test_plan_checks_the_whole},
    {"test_load_gives_what_was_stored", test_load_gives_what_was_stored},
    {"test_load_checks_magic_and_format", test_load_checks_magic_and_format},
    {"test_load_survives_every_damaged_byte", test_load_survives_every_damaged_byte},
    {"test_load_refuses_what_leads_outside", test_load_refuses_what_leads_outside},
    {"test_stride_has_room_for_properties", test_stride_has_room_for_properties},
    {"test_drop_reasons_have_names", test_drop_reasons_have_names},
};

CHECK_MAIN(tests)
