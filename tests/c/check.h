/* check.h: what the C tests share: CHECK, a table of tests, and a closing line with the counts. */
#ifndef SHMGATE_TESTS_CHECK_H
#define SHMGATE_TESTS_CHECK_H

#include <stdio.h>
#include <string.h>

struct check_test {
    const char *name;
    void (*run)(void);
};

static int check_failures;

/* Report a failed condition and leave the test function; the other tests still run. */
#define CHECK(condition)                                                     \
    do {                                                                     \
        if (!(condition)) {                                                  \
            printf("  %s:%d: failed: %s\n", __FILE__, __LINE__, #condition); \
            check_failures++;                                                \
            return;                                                          \
        }                                                                    \
    } while (0)

/* The same for two integers, with their values. */
#define CHECK_EQUAL(actual, expected)                                                                      \
    do {                                                                                                   \
        long long check_a = (long long)(actual), check_e = (long long)(expected);                          \
        if (check_a != check_e) {                                                                          \
            printf("  %s:%d: %s is %lld, expected %lld\n", __FILE__, __LINE__, #actual, check_a, check_e); \
            check_failures++;                                                                              \
            return;                                                                                        \
        }                                                                                                  \
    } while (0)

/* Run every test of `tests`, or only those named on the command line. Returns the exit code. */
static inline int check_main(const struct check_test *tests, size_t count, int argc, char **argv)
{
    int passed = 0, failed = 0;

    for (size_t i = 0; i < count; i++) {
        int wanted = argc < 2;
        for (int j = 1; j < argc; j++)
            wanted |= strcmp(argv[j], tests[i].name) == 0;
        if (!wanted)
            continue;
        check_failures = 0;
        tests[i].run();
        printf("%s %s\n", check_failures ? "FAIL" : "ok  ", tests[i].name);
        fflush(stdout);
        check_failures ? failed++ : passed++;
    }
    printf("%d passed, %d failed\n", passed, failed);
    return failed > 0 || passed == 0;
}

#define CHECK_MAIN(tests)                                                         \
    int main(int argc, char **argv)                                               \
    {                                                                             \
        return check_main(tests, sizeof(tests) / sizeof((tests)[0]), argc, argv); \
    }

#endif
