/* fuzz_route.c: any bytes as filter and topic (a NUL between them): no read outside, and what every topic must obey. */
#include <stdlib.h>
#include <string.h>

#include "base/route.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    const unsigned char *middle = size ? memchr(data, '\0', size) : NULL;
    size_t filter_size = middle ? (size_t)(middle - data) : size, topic_size = middle ? size - filter_size - 1 : 0;
    /* Copies of just their size, so that the sanitizer sees a byte too much. */
    char *filter = malloc(filter_size ? filter_size : 1), *topic = malloc(topic_size ? topic_size : 1);

    if (filter && topic) {
        if (filter_size)
            memcpy(filter, data, filter_size);
        if (topic_size)
            memcpy(topic, middle + 1, topic_size);
        int filter_valid = route_filter_valid(filter, filter_size, NULL) == 0;
        int topic_valid = route_topic_valid(topic, topic_size, NULL) == 0;
        int match = route_match(filter, filter_size, topic, topic_size);

        if (filter_valid && topic_valid && !route_filter_has_wildcard(filter, filter_size) &&
            route_filter_prefix(filter, filter_size) == 0 &&
            match != (filter_size == topic_size && memcmp(filter, topic, topic_size) == 0))
            abort();
        if (topic_valid && topic[0] != '$' && !route_match("#", 1, topic, topic_size))
            abort();
    }
    free(filter);
    free(topic);
    return 0;
}
