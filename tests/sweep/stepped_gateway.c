/* stepped_gateway.c: the stepped operations of a gateway, and the removal of a segment. */
#include <errno.h>

#include "message.h"
#include "stepped_parts.h"

static struct gateway gateway;

int stepped_act_serve(void)
{
    return gateway_serve(&gateway, stepped_segment, NULL);
}

static void write_inward(void)
{
    gateway_prepare_inward(&gateway);
    gateway_write_inward(&gateway);
}

void stepped_finish_serve(int rc)
{
    if (rc == -EBUSY)
        return;
    stepped_expect(rc >= 0, "the stepped segment_serve", rc);
    if (rc < 0)
        return;
    gateway_begin(&gateway, stepped_writer);
    write_inward();
    gateway_turn(&gateway, 1);
    stepped_self->returned = gateway.number;
}

int stepped_prepare_gateway(void)
{
    struct shared_memory_writer *writer;
    unsigned char payload[64];
    int rc = stepped_act_serve();

    if (rc < 0)
        return rc;
    gateway_begin(&gateway, stepped_writer);
    write_inward();
    stepped_self->returned = gateway.number;
    /* A message whose place in the ledger has not been stored yet. */
    if ((rc = stepped_attach()) == 0 && (rc = shared_memory_writer_open(stepped_shm, "newest", &writer)) == 0) {
        message_fill(payload, sizeof(payload), stepped_writer, 1);
        rc = shared_memory_writer_write(writer, payload, sizeof(payload));
    }
    gateway_take(&gateway, WRITERS - 1, 1);
    gateway_prepare_inward(&gateway);
    return rc;
}

int stepped_act_ledger(void)
{
    ring_ledger_store(gateway.lanes[WRITERS - 1].ring.lane, &gateway.lanes[WRITERS - 1].ledger);
    return 0;
}

int stepped_act_inward(void)
{
    gateway_write_inward(&gateway);
    return 0;
}

void stepped_finish_gateway(int rc)
{
    (void)rc;
    write_inward();
    gateway_turn(&gateway, 1);
    stepped_self->returned = gateway.number;
}

int stepped_act_remove(void)
{
    return shared_memory_remove(stepped_segment);
}

void stepped_finish_remove(int rc)
{
    stepped_expect(rc == 0 || rc == -ENOENT || rc == -EBUSY, "the stepped remove", rc);
}
