/* takeover.c: whether another client seems to have our client_id. See takeover.h. */
#include "mqtt/takeover.h"

#define ENOUGH 3        /* one may be a process of ours that was killed, whose end the broker has not noticed */
#define QUICK_MS 10000  /* a connection that ended sooner was hardly one */
#define QUIET_MS 600000 /* with nothing for so long it is another time of trouble */

enum takeover_news takeover_lost(struct takeover *takeover, int reason, uint64_t held_ms, uint64_t now_ms)
{
    int certain = reason == TAKEOVER_REASON;

    if (takeover->count > 0 && now_ms - takeover->last_ms > QUIET_MS)
        *takeover = (struct takeover){0};
    if (!certain && (reason != 0 || held_ms >= QUICK_MS))
        return TAKEOVER_NO;
    takeover->last_ms = now_ms;
    takeover->count++;
    if (takeover->count < ENOUGH || takeover->told)
        return TAKEOVER_NO;
    takeover->told = 1;
    return certain ? TAKEOVER_CERTAIN : TAKEOVER_LIKELY;
}
