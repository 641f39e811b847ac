/* config_reader.h: the lines of the files that make up a configuration become a struct config.
 *
 * A later file adds to the sections of an earlier one, and replaces keys; within one file nothing may stand twice. What
 * a channel does not say is taken from [defaults], wherever that stands, and otherwise from the table
 * (config_schema.h).
 */
#ifndef SHMGATE_CONFIG_READER_H
#define SHMGATE_CONFIG_READER_H

#include "config/config_check.h"
#include "config/config_faults.h"
#include "config/config_schema.h"

/* Where the reading stands. */
struct config_reader {
    struct config *config; /* the caller's */
    struct config_origins origins;
    struct config_faults faults;
    size_t channel_capacity;
    enum config_section section;
    struct config_origin *origin; /* of the current section; NULL: the section was a fault, its keys are passed over */
    void *fields;                 /* struct config or struct config_channel, by the current section */
    struct config_channel spare;  /* has the keys of a channel that cannot be kept, so that they are checked too */
    struct config_origin spare_origin;
    struct config_channel defaults;       /* has the keys of [defaults], so that they are checked at their place */
    char *default_texts[CONFIG_KEYS_MAX]; /* and their texts, by the key's index; NULL: none, or a fault */
    int before_sections;
    int error; /* -ENOMEM */
};

/* Begin, with all that the table says. Whatever the result, *reader must be given to config_reader_end. 0 or -ENOMEM.
 */
int config_reader_begin(struct config_reader *reader, struct config *config);

/* Read one file more; what is wrong with it is added to reader->faults. May block on the disk. 0; -ENOMEM; -EFBIG;
 * -errno when it cannot be read. */
int config_reader_file(struct config_reader *reader, const char *path);

/* After the last file. 0 or -ENOMEM. */
int config_reader_finish(struct config_reader *reader);

void config_reader_end(struct config_reader *reader);

/* Free what a channel holds. */
void config_free_channel(struct config_channel *channel);

#endif
