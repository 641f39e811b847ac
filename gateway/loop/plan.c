/* plan.c: what a configuration asks of the segment, the outward and the inward side. */
#include "loop/plan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shm/platform.h"

static const enum outward_spool spools[] = {[CONFIG_SPOOL_OFF] = OUTWARD_SPOOL_OFF,
                                            [CONFIG_SPOOL_OVERFLOW] = OUTWARD_SPOOL_OVERFLOW,
                                            [CONFIG_SPOOL_ALWAYS] = OUTWARD_SPOOL_ALWAYS};

static const enum frame_format formats[] = {
    [CONFIG_BATCH_NONE] = FRAME_NONE, [CONFIG_BATCH_FRAME] = FRAME_BINARY, [CONFIG_BATCH_LINES] = FRAME_LINES};

int plan_create(struct plan *plan, const struct config *config, char *error, size_t error_size)
{
    size_t count = config->channel_count;
    struct layout_request *requests = calloc(count, sizeof(requests[0]));
    int rc = -ENOMEM;

    memset(plan, 0, sizeof(*plan));
    plan->topics = calloc(count, sizeof(plan->topics[0]));
    plan->channels = calloc(count, sizeof(plan->channels[0]));
    plan->limits = calloc(count, sizeof(plan->limits[0]));
    plan->inward = calloc(count, sizeof(plan->inward[0]));
    if (!requests || !plan->topics || !plan->channels || !plan->limits || !plan->inward) {
        snprintf(error, error_size, "out of memory");
        goto cleanup;
    }
    for (size_t i = 0; i < count; i++) {
        const struct config_channel *channel = &config->channels[i];

        plan->topics[i] = channel->topic;
        plan->channels[i] = (struct outward_channel){
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
        plan->spools |= channel->spool != CONFIG_SPOOL_OFF;
        plan->limits[i] = (struct spool_limit){
            .channel = channel->name, .max_bytes = channel->spool_max_size, .max_age_ms = channel->spool_max_age_ms};
        plan->inward[i] = (struct inward_channel){.filter = channel->topic,
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
    rc = layout_plan(&plan->layout, requests, (uint32_t)count, error, error_size);
cleanup:
    free(requests);
    if (rc < 0)
        plan_destroy(plan);
    return rc;
}

int plan_check_space(const struct plan *plan, char *error, size_t error_size)
{
    const struct layout *layout = &plan->layout;
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
    snprintf(error, error_size,
             "the segment needs %llu MiB, and /dev/shm has %llu: [channel %s] takes %llu: lower its slots, max_payload "
             "or writers, or enlarge /dev/shm",
             (unsigned long long)(layout->segment_size >> 20), (unsigned long long)(space >> 20), name,
             (unsigned long long)(most >> 20));
    return -ENOSPC;
}

void plan_destroy(struct plan *plan)
{
    layout_free(&plan->layout);
    free(plan->topics);
    free(plan->channels);
    free(plan->limits);
    free(plan->inward);
    memset(plan, 0, sizeof(*plan));
}
