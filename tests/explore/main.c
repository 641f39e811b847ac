/* main.c: explores the cases.
 *
 *      explore [--full] [--brief] [--patient] [NAME...]
 *
 * NAME: only cases whose name begins with it; larger ones only by their whole name. --full: larger cases too, and every
 * member of a slot. --brief: end at the first case that fails.
 * --patient: loads wait for stores of any thread, known to write or not: the same executions, slower; to check the
 * explorer. The last line is "N passed, N failed". */
#include <stdio.h>
#include <string.h>

#include "cases.h"
#include "lanes.h"

static int is_wanted(const struct explore_case *test, int count, char **names)
{
    int named = 0, begins = 0, is = 0;

    for (int i = 1; i < count; i++) {
        if (names[i][0] == '-')
            continue;
        named = 1;
        begins |= strncmp(test->name, names[i], strlen(names[i])) == 0;
        is |= strcmp(test->name, names[i]) == 0;
    }
    return is || ((begins || !named) && (!test->full || lanes_full));
}

int main(int argc, char **argv)
{
    const struct explore_case *const lists[] = {cases_model, cases_ring, cases_lane, cases_wake};
    int passed = 0, failed = 0, brief = 0;

    for (int i = 1; i < argc; i++) {
        lanes_full |= strcmp(argv[i], "--full") == 0;
        brief |= strcmp(argv[i], "--brief") == 0;
        explore_patient |= strcmp(argv[i], "--patient") == 0;
    }
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
        for (const struct explore_case *test = lists[i]; test->name && !(brief && failed); test++) {
            if (!is_wanted(test, argc, argv))
                continue;
            if (explore_run(test))
                passed++;
            else
                failed++;
        }
    printf("%llu executions explored\n", explore_total);
    printf("%d passed, %d failed\n", passed, failed);
    return failed > 0 || passed == 0;
}
