/* bench.c: what the programs of the comparison share. See bench.h. */
#include "bench.h"

#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define STAMP_DIGITS 20 /* of 2^64 - 1 */
#define NUMBER_DIGITS 10

void bench_die(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

uint64_t bench_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void bench_sleep_until(uint64_t at_ns)
{
    struct timespec at = {.tv_sec = (time_t)(at_ns / 1000000000), .tv_nsec = (long)(at_ns % 1000000000)};

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
        ;
}

void bench_pin(unsigned core)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(core % (unsigned)(cores > 0 ? cores : 1), &set);
    if (sched_setaffinity(0, sizeof(set), &set) < 0)
        fprintf(stderr, "could not stay on core %u: %s\n", core, strerror(errno));
}

uint64_t bench_argument(int argc, char **argv, int index, const char *usage)
{
    char *end;
    uint64_t number;

    if (index >= argc)
        bench_die("usage: %s", usage);
    number = strtoull(argv[index], &end, 10);
    if (*end != '\0' || end == argv[index])
        bench_die("%s: expected a number; usage: %s", argv[index], usage);
    return number;
}

void *bench_shared(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        bench_die("map %zu bytes: %s", size, strerror(errno));
    return memory;
}

void bench_ready(void)
{
    puts("ready");
    fflush(stdout);
}

static void put_digits(char *to, int digits, uint64_t number)
{
    for (int i = digits - 1; i >= 0; i--, number /= 10)
        to[i] = (char)('0' + number % 10);
}

void bench_message_fill(char *message, uint64_t number)
{
    memset(message, '.', BENCH_MESSAGE);
    put_digits(message, STAMP_DIGITS, bench_now_ns());
    put_digits(message + STAMP_DIGITS + 1, NUMBER_DIGITS, number);
}

uint64_t bench_message_time(const char *message, size_t size)
{
    uint64_t time_ns = 0;

    if (size < STAMP_DIGITS)
        return 0;
    for (int i = 0; i < STAMP_DIGITS; i++) {
        if (message[i] < '0' || message[i] > '9')
            return 0;
        time_ns = time_ns * 10 + (uint64_t)(message[i] - '0');
    }
    return time_ns;
}

void bench_arrivals_init(struct bench_arrivals *arrivals, size_t capacity)
{
    *arrivals = (struct bench_arrivals){.capacity = capacity};
    arrivals->latency_ns = calloc(capacity ? capacity : 1, sizeof(arrivals->latency_ns[0]));
    if (!arrivals->latency_ns)
        bench_die("out of memory");
}

void bench_arrivals_add(struct bench_arrivals *arrivals, uint64_t sent_ns, uint64_t now_ns)
{
    if (arrivals->count == arrivals->capacity)
        return;
    if (arrivals->count == 0)
        arrivals->first_ns = now_ns;
    arrivals->last_ns = now_ns;
    arrivals->latency_ns[arrivals->count++] = now_ns > sent_ns ? now_ns - sent_ns : 0;
}

static int compare(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

    return left < right ? -1 : left > right;
}

static uint64_t quantile(const struct bench_arrivals *arrivals, double part)
{
    size_t index = (size_t)(part * (double)arrivals->count);

    if (arrivals->count == 0)
        return 0;
    return arrivals->latency_ns[index < arrivals->count ? index : arrivals->count - 1];
}

void bench_arrivals_print(struct bench_arrivals *arrivals)
{
    static const double tail[] = {0.993, 0.995, 0.997, 0.998, 0.999, 0.9995, 0.9999, 1};
    double seconds = (double)(arrivals->last_ns - arrivals->first_ns) / 1e9;

    qsort(arrivals->latency_ns, arrivals->count, sizeof(arrivals->latency_ns[0]), compare);
    printf("{\"count\": %zu, \"rate\": %.0f, \"p50\": %llu, \"p99\": %llu, \"p999\": %llu, \"max\": %llu, "
           "\"quantiles\": [",
           arrivals->count, arrivals->count > 1 && seconds > 0 ? (double)(arrivals->count - 1) / seconds : 0,
           (unsigned long long)quantile(arrivals, 0.5), (unsigned long long)quantile(arrivals, 0.99),
           (unsigned long long)quantile(arrivals, 0.999), (unsigned long long)quantile(arrivals, 1));
    for (int percent = 0; percent < 100; percent++)
        printf("[%.2f, %llu], ", percent / 100.0, (unsigned long long)quantile(arrivals, percent / 100.0));
    for (size_t i = 0; i < sizeof(tail) / sizeof(tail[0]); i++)
        printf("%s[%.4f, %llu]", i ? ", " : "", tail[i], (unsigned long long)quantile(arrivals, tail[i]));
    printf("]}\n");
    fflush(stdout);
    free(arrivals->latency_ns);
}
