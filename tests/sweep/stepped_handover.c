/* stepped_handover.c: the stepped operations of a gateway that finds something else than the segment it wants. */
#include <errno.h>

#include "handover.h"
#include "platform.h"
#include "stepped_parts.h"

static struct gateway gateway;

int stepped_prepare_handover(void)
{
    return gateway_reshape(handover_slots((enum handover_kind)stepped_handover));
}

int stepped_act_handover(void)
{
    return gateway_serve(&gateway, stepped_segment, NULL);
}

/* Serve, and account for everything that is in the replaced segment. */
int stepped_prepare_finish_old(void)
{
    int rc = stepped_prepare_handover();

    if (rc < 0 || (rc = stepped_act_handover()) < 0)
        return rc;
    for (uint32_t i = 0; i < gateway.olds.count; i++)
        for (uint32_t lane = 0; lane < gateway.olds.segments[i].layout.lane_count; lane++) {
            struct ring ring = segment_ring(&gateway.olds.segments[i], lane);
            struct ring_ledger ledger;

            ring_ledger_load(ring.lane, &ledger);
            ledger.delivered += ring_head(&ring) - ledger.tail;
            ledger.tail = ring_head(&ring);
            ring_ledger_store(ring.lane, &ledger);
        }
    return gateway.olds.count == 1 ? 0 : -ENOENT;
}

int stepped_act_finish_old(void)
{
    segment_finish_old(&gateway.olds.segments[0]);
    return 0;
}

int stepped_prepare_name_lost(void)
{
    int rc = stepped_prepare_handover();

    if (rc < 0 || (rc = stepped_act_handover()) < 0)
        return rc;
    return platform_object_remove(stepped_segment);
}

int stepped_prepare_bell_lost(void)
{
    int rc = stepped_prepare_handover();

    if (rc < 0 || (rc = stepped_act_handover()) < 0)
        return rc;
    return platform_doorbell_remove(stepped_segment);
}

int stepped_act_lost(void)
{
    return gateway_serve_anew(&gateway, stepped_segment);
}

void stepped_finish_handover(int rc)
{
    stepped_expect(rc >= 0 || rc == -EBUSY, "the stepped gateway", rc);
}
