/* channel_table.c: what a configuration asks of the segment, the publisher's and the subscriber's side. */
#include "loop/channel_table.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shm/platform.h"

static const enum publish_spool spools[] = {[CONFIG_SPOOL_OFF] = PUBLISH_SPOOL_OFF,
                                            [CONFIG_SPOOL_OVERFLOW] = PUBLISH_SPOOL_OVERFLOW,
                                            [CONFIG_SPOOL_ALWAYS] = PUBLISH_SPOOL_ALWAYS};

static const enum frame_format formats[] = {
    [CONFIG_BATCH_NONE] = FRAME_NONE, [CONFIG_BATCH_FRAME] = FRAME_BINARY, [CONFIG_BATCH_LINES] = FRAME_LINES};

int channel_table_create(struct channel_table *table, const struct config *config, struct reason *reason)
{
    size_t count = config->channel_count;
    struct layout_request *requests = calloc(count, sizeof(requests[0]));
    int rc = -ENOMEM;

    memset(table, 0, sizeof(*table));
    table->topics = calloc(count, sizeof(table->topics[0]));
    table->channels = calloc(count, sizeof(table->channels[0]));
    table->limits = calloc(count, sizeof(table->limits[0]));
    table->subscribe = calloc(count, sizeof(table->subscribe[0]));
    if (!requests || !table->topics || !table->channels || !table->limits || !table->subscribe) {
        reason_set(reason, rc, "out of memory");
        goto cleanup;
    }
    for (size_t i = 0; i < count; i++) {
        const struct config_channel *channel = &config->channels[i];

        table->topics[i] = channel->topic;
        table->channels[i] = (struct publish_channel){
            .name = channel->name,
            .topic = channel->topic,
            .qos = channel->qos,
            .retain = channel->retain,
            .spool = spools[channel->spool],
            .live_first = channel->live_first,
            .source = channel->source,
            .batch_max = channel->batch_max,
            .batch_time_ms = channel->batch_time_ms,
            .batch_format = formats[channel->batch_format],
        };
        table->spools |= channel->spool != CONFIG_SPOOL_OFF;
        table->limits[i] = (struct spool_limit){
            .channel = channel->name, .max_bytes = channel->spool_max_size, .max_age_ms = channel->spool_max_age_ms};
        table->subscribe[i] = (struct subscribe_channel){.filter = channel->topic,
                                                         .max_rate = channel->max_rate,
                                                         .ignore_retained = channel->ignore_retained,
                                                         .max_age_ms = channel->max_age_ms,
                                                         .unpack = formats[channel->unpack]};
        requests[i] = (struct layout_request){
            .name = channel->name,
            .topic = channel->topic,
            .direction = channel->direction,
            .overflow = channel->direction == LAYOUT_SUBSCRIBE ? LAYOUT_DROP_OLDEST : channel->overflow,
            .qos = channel->qos,
            .retain = channel->retain,
            .max_payload = channel->max_payload,
            .topic_max = channel->topic_max,
            .slots = channel->slots,
            .writers = channel->direction == LAYOUT_SUBSCRIBE ? 1 : channel->writers,
        };
    }
    rc = layout_plan(&table->layout, requests, (uint32_t)count, reason);
    assert(rc < 0 || table->layout.channel_count == count);
cleanup:
    free(requests);
    if (rc < 0)
        channel_table_destroy(table);
    return rc;
}

int channel_table_check_space(const struct channel_table *table, struct reason *reason)
{
    const struct layout *layout = &table->layout;
    uint64_t space = platform_object_space(), most = 0;
    const char *name = "";

    if (layout->segment_size <= space)
        return 0;
    for (uint32_t i = 0; i < layout->channel_count; i++) {
        const struct layout_channel_info *channel = &layout->channels[i];
        uint64_t size = (uint64_t)channel->lane_count * channel->slots * channel->slot_stride;

        if (size > most) {
            most = size;
            name = channel->name;
        }
    }
    return reason_set(
        reason, -ENOSPC,
        "the segment needs %llu MiB, and /dev/shm has %llu: [channel %s] takes %llu: lower its slots, max_payload "
        "or writers, or enlarge /dev/shm",
        (unsigned long long)(layout->segment_size >> 20), (unsigned long long)(space >> 20), name,
        (unsigned long long)(most >> 20));
}

void channel_table_destroy(struct channel_table *table)
{
    layout_free(&table->layout);
    free(table->topics);
    free(table->channels);
    free(table->limits);
    free(table->subscribe);
    memset(table, 0, sizeof(*table));
}
