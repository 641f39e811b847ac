/* trace.c: shows an execution, one line an operation. */
#include <stdio.h>

#include "engine.h"

static const char *const orders[] = {"relaxed", "acquire", "release", "acq_rel", "seq_cst"};

static void name_print(const struct location *location)
{
    if (location->name)
        printf("%s", location->name);
    else
        printf("%p", location->address);
}

static void source_print(const struct explore_case *test, uint16_t message)
{
    int event = execution.messages[message].event;

    if (event < 0)
        printf(" (initial value)");
    else
        printf(" (of %s %u)", test->threads[execution.events[event].thread].name, execution.events[event].number);
}

void trace_print(const struct explore_case *test)
{
    static const char *const kinds[] = {"load", "store", "update", "fence"};

    for (int i = 0; i < execution.event_count; i++) {
        const struct event *event = &execution.events[i];
        int last = event->thread == execution.thread_count - 1;

        printf("    %-12s %3u  %-6s %-8s", last ? "end" : test->threads[event->thread].name, event->number,
               kinds[event->kind], orders[event->order]);
        if (event->location >= 0)
            name_print(&locations[event->location]);
        if (event->source) {
            printf(" = %llu", (unsigned long long)execution.messages[event->source].value);
            source_print(test, event->source);
        }
        if (event->target)
            printf(" <- %llu, place %u", (unsigned long long)execution.messages[event->target].value,
                   execution.messages[event->target].position);
        printf("\n");
    }
    for (int i = 0; i < execution.thread_count - 1; i++)
        if (execution.threads[i].state == THREAD_PARKED)
            printf("    %-12s waits for ever\n", test->threads[i].name);
}
