/* segment_rescue.c: a served segment whose name, or whose semaphore's, somebody has taken away.
 *
 * An object that has lost its last name cannot be given one again (linkat(2)). So what is in it is copied, and the copy
 * put beside the name like a segment that was replaced: whoever serves the name next drains it. One that has its name
 * still is put there itself. The programs that are attached are sent to the segment that has the name then. */
#include <errno.h>
#include <string.h>

#include "platform.h"
#include "segment_internal.h"

#define SETTLE_MS 20 /* a writer that has just looked whether the segment is retired finishes its message */

int segment_has_names(const struct segment *segment)
{
    return platform_object_is(segment->fd, segment->name) && platform_doorbell_exists(segment->name);
}

/* A copy of the segment, complete, under a name beside its own. */
static int copy_beside(const struct segment *lost, const struct segment_options *options)
{
    char beside[SEGMENT_NAME_SIZE];
    void *base;
    int fd, rc = platform_object_create(lost->size, options->mode, options->gid, &fd);

    if (rc < 0)
        return rc;
    if ((rc = platform_map(fd, lost->size, &base)) == 0) {
        memcpy(base, lost->base, lost->size);
        platform_unmap(base, lost->size);
        segment_beside_name(beside, options->name, SEGMENT_NEXT_SUFFIX);
        rc = platform_object_publish(fd, beside);
    }
    platform_close(fd);
    return rc;
}

int segment_rescue(struct segment *lost, const struct segment_options *options, struct reason *reason)
{
    char beside[SEGMENT_NAME_SIZE];
    int rc;

    /* Without its semaphore nobody new can attach: then it is replaced as well. It keeps a name at every instant, so
     * that a gateway that is killed here loses nothing. */
    if (platform_object_is(lost->fd, options->name)) {
        segment_beside_name(beside, options->name, SEGMENT_NEXT_SUFFIX);
        if (platform_object_rename(options->name, beside) == 0) {
            segment_retire(lost);
            return 0;
        }
        platform_object_remove(options->name);
    }
    segment_retire(lost);
    platform_sleep_ms(SETTLE_MS);
    rc = copy_beside(lost, options);
    return rc < 0 ? reason_set(reason, rc, "rescue what is in segment %s: %s", options->name, strerror(-rc)) : 0;
}
