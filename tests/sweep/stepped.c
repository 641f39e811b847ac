/* stepped.c: the operations that are stepped, with what comes before and after each; those of a writer are here. */
#include "stepped.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "handover.h"
#include "message.h"
#include "stepped_parts.h"

struct stepped_report *stepped_self;
const char *stepped_segment;
uint32_t stepped_writer;
struct shared_memory *stepped_shm;
int stepped_handover;

static uint32_t number; /* of this process's last message */
static struct shared_memory_writer *writer;
static unsigned char payload[PAYLOAD];

void stepped_expect(int holds, const char *what, int rc)
{
    if (!holds)
        violation("%s: %d (%s)", what, rc, shared_memory_error());
}

/* ---- Writing ---- */

static int write_one(size_t size)
{
    int rc;

    message_fill(payload, size, stepped_writer, number + 1);
    rc = shared_memory_writer_write(writer, payload, size);
    if (rc == 0) {
        number++;
        stepped_self->returned++;
    } else if (rc == -EAGAIN) {
        stepped_self->rejected++;
    }
    return rc;
}

int stepped_attach(void)
{
    return shared_memory_attach(&stepped_shm, stepped_segment, 0);
}

/* Attach, take a lane, write one message and have the stepped one, of `size` bytes, at hand. */
static int prepare_writer(const char *channel, size_t size)
{
    int rc = stepped_attach();

    if (rc == 0 && (rc = shared_memory_writer_open(stepped_shm, channel, &writer)) == 0)
        rc = write_one(64);
    message_fill(payload, size, stepped_writer, number + 1);
    return rc;
}

static int prepare_newest(void)
{
    return prepare_writer("newest", 64);
}

static int prepare_newest_odd(void)
{
    return prepare_writer("newest", 61);
}

static int prepare_strict(void)
{
    return prepare_writer("strict", 64);
}

/* The ring is full: nobody takes its messages while this process prepares. */
static int prepare_full(void)
{
    int rc = prepare_writer("strict", 64);

    while (rc == 0)
        rc = write_one(64);
    message_fill(payload, 64, stepped_writer, number + 1);
    return rc == -EAGAIN ? 0 : rc;
}

static int act_write_64(void)
{
    return shared_memory_writer_write(writer, payload, 64);
}

static int act_write_0(void)
{
    return shared_memory_writer_write(writer, payload, 0);
}

static int act_write_odd(void)
{
    return shared_memory_writer_write(writer, payload, 61);
}

/* The stepped write is message `number + 1`; one more shows that the writer goes on. */
static void finish_write(int rc)
{
    stepped_expect(rc == 0, "the stepped write", rc);
    number++;
    stepped_self->returned++;
    rc = write_one(64);
    stepped_expect(rc == 0, "the write after it", rc);
}

static void finish_full(int rc)
{
    stepped_expect(rc == 0 || rc == -EAGAIN, "the stepped write into a full ring", rc);
    if (rc == 0) {
        number++;
        stepped_self->returned++;
    } else {
        stepped_self->rejected++;
    }
    rc = write_one(64);
    stepped_expect(rc == 0 || rc == -EAGAIN, "the write after it", rc);
}

/* ---- Coming and going ---- */

static int act_open(void)
{
    return shared_memory_writer_open(stepped_shm, "newest", &writer);
}

static void finish_open(int rc)
{
    stepped_expect(rc == 0 || rc == -EBUSY, "the stepped writer_open", rc);
    if (rc == 0)
        stepped_expect(write_one(64) == 0, "write into the lane", rc);
}

static int act_close(void)
{
    shared_memory_writer_close(writer);
    return 0;
}

/* The handle may be opened again, as another writer. */
static void finish_close(int rc)
{
    stepped_writer++;
    number = stepped_self->returned = 0;
    if ((rc = act_open()) == 0)
        rc = write_one(64);
    stepped_self->result = rc;
    stepped_expect(rc == 0 || rc == -EBUSY, "write after opening the lane again", rc);
}

static void finish_attach(int rc)
{
    stepped_expect(rc == 0, "the stepped attach", rc);
    if ((rc = act_open()) == 0)
        rc = write_one(64);
    stepped_expect(rc == 0, "write after the attach", rc);
    stepped_finish_read_empty((rc = stepped_prepare_reader_empty()) == 0 ? -EAGAIN : rc);
}

static int act_detach(void)
{
    shared_memory_detach(stepped_shm);
    return 0;
}

static void finish_detach(int rc)
{
    (void)rc;
    finish_attach(stepped_attach());
}

static int prepare_nothing(void)
{
    return 0;
}

const struct stepped_operation stepped_operations[] = {
    {"write 64 bytes, drop-oldest", ROLE_NEWEST, prepare_newest, act_write_64, finish_write, 0},
    {"write 0 bytes, drop-oldest", ROLE_NEWEST, prepare_newest, act_write_0, finish_write, 0},
    {"write 61 bytes, drop-oldest", ROLE_NEWEST, prepare_newest_odd, act_write_odd, finish_write, 0},
    {"write 64 bytes, reject", ROLE_STRICT, prepare_strict, act_write_64, finish_write, 0},
    {"write 64 bytes, reject, full", ROLE_FULL, prepare_full, act_write_64, finish_full, 0},
    {"read", ROLE_READER, stepped_prepare_reader_newest, stepped_act_read, stepped_finish_read, 0},
    {"read, nothing there", ROLE_READER, stepped_prepare_reader_empty, stepped_act_read, stepped_finish_read_empty, 0},
    {"read from a subscribe channel", ROLE_READER, stepped_prepare_reader_inward, stepped_act_read,
     stepped_finish_read_inward, 0},
    {"peek and advance", ROLE_READER, stepped_prepare_reader_newest, stepped_act_peek, stepped_finish_peek, 0},
    {"latest", ROLE_READER, stepped_prepare_reader_newest, stepped_act_latest, stepped_finish_latest, 0},
    {"writer_open", ROLE_OPENER, stepped_attach, act_open, finish_open, 0},
    {"writer_close", ROLE_OPENER, prepare_newest, act_close, finish_close, 0},
    {"attach", ROLE_READER, prepare_nothing, stepped_attach, finish_attach, 0},
    {"detach", ROLE_READER, stepped_attach, act_detach, finish_detach, 0},
    {"ledger_store", ROLE_GATEWAY, stepped_prepare_gateway, stepped_act_ledger, stepped_finish_gateway, 0},
    {"write inwards", ROLE_GATEWAY, stepped_prepare_gateway, stepped_act_inward, stepped_finish_gateway, 0},
    {"segment_serve, adopt", ROLE_GATEWAY, prepare_nothing, stepped_act_serve, stepped_finish_serve, 0},
    {"segment_serve, create", ROLE_CREATOR, prepare_nothing, stepped_act_serve, stepped_finish_serve, 0},
    {"remove", ROLE_REMOVER, prepare_nothing, stepped_act_remove, stepped_finish_remove, 0},
    {"handover, replace", ROLE_HANDOVER, stepped_prepare_handover, stepped_act_handover, stepped_finish_handover,
     HANDOVER_REPLACE},
    {"handover, replace, leftovers", ROLE_HANDOVER, stepped_prepare_handover, stepped_act_handover,
     stepped_finish_handover, HANDOVER_REPLACE_LEFT},
    {"handover, adopt, leftovers", ROLE_HANDOVER, stepped_prepare_handover, stepped_act_handover,
     stepped_finish_handover, HANDOVER_ADOPT_LEFT},
    {"handover, create, leftovers", ROLE_HANDOVER, stepped_prepare_handover, stepped_act_handover,
     stepped_finish_handover, HANDOVER_CREATE_LEFT},
    {"handover, set aside", ROLE_HANDOVER, stepped_prepare_handover, stepped_act_handover, stepped_finish_handover,
     HANDOVER_DAMAGED},
    {"handover, set aside, no room", ROLE_HANDOVER, stepped_prepare_handover, stepped_act_handover,
     stepped_finish_handover, HANDOVER_NO_ROOM},
    {"handover, set a leftover aside", ROLE_HANDOVER, stepped_prepare_handover, stepped_act_handover,
     stepped_finish_handover, HANDOVER_DAMAGED_LEFT},
    {"handover, upgrade", ROLE_HANDOVER, stepped_prepare_handover, stepped_act_handover, stepped_finish_handover,
     HANDOVER_OLD},
    {"handover, upgrade a leftover", ROLE_HANDOVER, stepped_prepare_handover, stepped_act_handover,
     stepped_finish_handover, HANDOVER_OLD_LEFT},
    {"handover, finish_old", ROLE_HANDOVER, stepped_prepare_finish_old, stepped_act_finish_old, stepped_finish_handover,
     HANDOVER_FINISH},
    {"handover, rescue, name removed", ROLE_HANDOVER, stepped_prepare_name_lost, stepped_act_lost,
     stepped_finish_handover, HANDOVER_NAME_LOST},
    {"handover, rescue, semaphore removed", ROLE_HANDOVER, stepped_prepare_bell_lost, stepped_act_lost,
     stepped_finish_handover, HANDOVER_BELL_LOST},
};
const unsigned stepped_operation_count = sizeof(stepped_operations) / sizeof(stepped_operations[0]);

int stepped_main(unsigned operation, const char *segment, uint32_t writer_id, struct stepped_report *report)
{
    const struct stepped_operation *chosen = &stepped_operations[operation];
    int rc;

    stepped_self = report;
    stepped_segment = segment;
    stepped_writer = writer_id;
    stepped_handover = chosen->handover;
    if (gateway_plan() < 0 || (rc = chosen->prepare()) < 0) {
        violation("the stepped process could not prepare: %s", shared_memory_error());
        return 1;
    }
    raise(STEPPED_BEGIN);
    rc = chosen->act();
    raise(STEPPED_END);
    report->result = rc;
    chosen->finish(rc);
    return report->fault[0] != '\0';
}
