/* origin.c: where a message comes from, as properties. See origin.h. */
#include "publish/origin.h"

#include <stdio.h>

void origin_describe(struct origin *origin, const struct source *source, const struct source_message *message,
                     const char *boot)
{
    snprintf(origin->stream, sizeof(origin->stream), "%016llx-%x", (unsigned long long)source->generation,
             source->lane);
    snprintf(origin->sequence, sizeof(origin->sequence), "%llu", (unsigned long long)message->sequence);
    snprintf(origin->time, sizeof(origin->time), "%llu.%09llu", (unsigned long long)(message->time_ns / 1000000000),
             (unsigned long long)(message->time_ns % 1000000000));
    origin->properties[0] = (struct transport_property){"shmgate-boot", source->boot ? source->boot : boot};
    origin->properties[1] = (struct transport_property){"shmgate-stream", origin->stream};
    origin->properties[2] = (struct transport_property){"shmgate-seq", origin->sequence};
    origin->properties[3] = (struct transport_property){"shmgate-time", origin->time};
}
