/* topic_alias.c: which topics a broker knows by a number. See topic_alias.h. */
#include "mqtt/topic_alias.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* An open-addressed hash table, at most half full, so that a search ends at an empty entry soon. */
struct topic_alias {
    unsigned capacity, used;
    size_t mask; /* number of entries - 1 */
    struct {
        char *topic; /* NULL: empty */
        unsigned alias;
    } entries[];
};

int topic_alias_create(struct topic_alias **out, unsigned capacity)
{
    size_t size = 2;

    while (size < 2 * (size_t)capacity)
        size *= 2;
    *out = calloc(1, sizeof(**out) + size * sizeof((*out)->entries[0]));
    if (!*out)
        return -ENOMEM;
    (*out)->capacity = capacity;
    (*out)->mask = size - 1;
    return 0;
}

void topic_alias_destroy(struct topic_alias *table)
{
    if (!table)
        return;
    topic_alias_reset(table);
    free(table);
}

void topic_alias_reset(struct topic_alias *table)
{
    for (size_t i = 0; i <= table->mask; i++) {
        free(table->entries[i].topic);
        table->entries[i].topic = NULL;
    }
    table->used = 0;
}

/* Where the topic is, or the empty entry where it would be. */
static size_t place_of(const struct topic_alias *table, const char *topic)
{
    /* FNV-1a (Fowler, Noll, Vo; RFC 9923). */
    uint32_t hash = 2166136261u;
    size_t at;

    for (const char *byte = topic; *byte; byte++)
        hash = (hash ^ (unsigned char)*byte) * 16777619u;
    for (at = hash & table->mask; table->entries[at].topic && strcmp(table->entries[at].topic, topic) != 0;
         at = (at + 1) & table->mask)
        ;
    return at;
}

unsigned topic_alias_find(const struct topic_alias *table, const char *topic, unsigned most, int *known)
{
    size_t at;

    *known = 0;
    if (most == 0 || strlen(topic) <= TOPIC_ALIAS_SIZE)
        return 0;
    at = place_of(table, topic);
    *known = table->entries[at].topic != NULL;
    if (*known)
        return table->entries[at].alias;
    return table->used < table->capacity && table->used < most ? table->used + 1 : 0;
}

void topic_alias_keep(struct topic_alias *table, const char *topic)
{
    size_t at = place_of(table, topic);

    assert(!table->entries[at].topic && table->used < table->capacity);
    table->entries[at].topic = strdup(topic);
    if (table->entries[at].topic)
        table->entries[at].alias = ++table->used;
}
