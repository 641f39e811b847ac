/* origin.h: where a message comes from, as properties, for channels with source = yes:
 *
 *      shmgate-boot    the boot of the machine it was written in (random(4), boot_id)
 *      shmgate-stream  GENERATION-LANE in hex: one lane of one segment, whose messages are numbered in the order they
 * were written shmgate-seq     its number in that stream, from 0 shmgate-time    Unix time of the write into shared
 * memory, in seconds with nine decimals
 *
 * A message that arrives twice has the same stream and number both times; sorted by number, a stream's messages are in
 * the order of their writing, whatever the clock did.
 */
#ifndef SHMGATE_ORIGIN_H
#define SHMGATE_ORIGIN_H

#include "publish/source.h"
#include "transport/message.h"

#define ORIGIN_PROPERTIES 4

struct origin {
    struct transport_property properties[ORIGIN_PROPERTIES]; /* point into the texts below */
    char stream[32], sequence[24], time[40];
};

/* Describe `message` of `source`; `boot` is the present one, for a source that has none of its own. Valid as long as
 * these and `origin`. */
void origin_describe(struct origin *origin, const struct source *source, const struct source_message *message,
                     const char *boot);

#endif
