/* test_resources.c: every operation that needs something of the system survives that the system refuses it.
 *
 * The linker puts the functions __wrap_* in front of the system's (ld(1), --wrap); they let the Nth call fail. Each
 * operation is tried with its first call failing, then its second, and so on until it succeeds: an error each time,
 * with its reason, and nothing left: no descriptor, no mapping, no memory (address sanitizer), no name in /dev/shm.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/mman.h>

#include "fixture.h"
#include "mqtt/event_queue.h"
#include "observe/loss_report.h"
#include "publish/publish.h"
#include "subscribe/subscribe.h"

#define CALLS_MAX 10000 /* more than any operation makes: then the faults are not injected */

static long countdown; /* calls until the one that fails; 0: none */
static int injected;   /* whether it has failed */

static int refused(int code)
{
    if (countdown == 0 || --countdown > 0)
        return 0;
    injected = 1;
    errno = code;
    return 1;
}

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
    return refused(ENOMEM) ? NULL : __real_malloc(size);
}

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size)
{
    return refused(ENOMEM) ? NULL : __real_calloc(count, size);
}

void *__real_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size)
{
    return refused(ENOMEM) ? NULL : __real_realloc(memory, size);
}

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
    va_list arguments;
    int mode;

    va_start(arguments, flags);
    mode = va_arg(arguments, int);
    va_end(arguments);
    return refused(EMFILE) ? -1 : __real_open(path, flags, mode);
}

int __real_shm_open(const char *name, int flags, mode_t mode);
int __wrap_shm_open(const char *name, int flags, mode_t mode);
int __wrap_shm_open(const char *name, int flags, mode_t mode)
{
    return refused(EMFILE) ? -1 : __real_shm_open(name, flags, mode);
}

int __real_posix_fallocate(int fd, off_t offset, off_t size);
int __wrap_posix_fallocate(int fd, off_t offset, off_t size);
int __wrap_posix_fallocate(int fd, off_t offset, off_t size)
{
    return refused(ENOSPC) ? ENOSPC : __real_posix_fallocate(fd, offset, size);
}

void *__real_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
    return refused(ENOMEM) ? MAP_FAILED : __real_mmap(address, size, protection, flags, fd, offset);
}

int __real_fcntl(int fd, int command, void *argument);
int __wrap_fcntl(int fd, int command, void *argument);
int __wrap_fcntl(int fd, int command, void *argument)
{
    return refused(ENOLCK) ? -1 : __real_fcntl(fd, command, argument);
}

int __real_linkat(int from_folder, const char *from, int to_folder, const char *to, int flags);
int __wrap_linkat(int from_folder, const char *from, int to_folder, const char *to, int flags);
int __wrap_linkat(int from_folder, const char *from, int to_folder, const char *to, int flags)
{
    return refused(EACCES) ? -1 : __real_linkat(from_folder, from, to_folder, to, flags);
}

int __real_platform_object_exchange(const char *a, const char *b);
int __wrap_platform_object_exchange(const char *a, const char *b);
int __wrap_platform_object_exchange(const char *a, const char *b)
{
    return refused(EINVAL) ? -EINVAL : __real_platform_object_exchange(a, b);
}

/* ---- What may not grow ---- */

static long entries_in(const char *path, const char *part)
{
    DIR *folder = opendir(path);
    long count = 0;

    if (!folder)
        return -1;
    for (struct dirent *entry; (entry = readdir(folder));)
        count += strstr(entry->d_name, part) != NULL;
    closedir(folder);
    return count;
}

static long mappings(void)
{
    FILE *file = fopen("/proc/self/maps", "r");
    char line[512];
    long count = 0;

    while (file && fgets(line, sizeof(line), file))
        count += strstr(line, "/dev/shm/") != NULL;
    if (file)
        fclose(file);
    return count;
}

struct usage {
    long descriptors, names, mapped;
};

static struct usage usage_now(void)
{
    return (struct usage){entries_in("/proc/self/fd", ""), entries_in("/dev/shm", fixture_name + 1), mappings()};
}

/* Try `operation` with each of its calls refused in turn. It returns 0 or -errno, and undoes what it did when it
 * succeeded. Returns the number of refusals, or -1 with the complaint printed. */
static long refuse_each(int (*operation)(void), const char *(*reason)(void))
{
    struct usage before = usage_now(), after;

    for (long n = 1; n < CALLS_MAX; n++) {
        int rc;

        countdown = n;
        injected = 0;
        rc = operation();
        countdown = 0;
        after = usage_now();
        if (after.descriptors != before.descriptors || after.names != before.names || after.mapped != before.mapped) {
            printf("  refusal %ld (rc %d): descriptors %ld -> %ld, names %ld -> %ld, mappings %ld -> %ld\n", n, rc,
                   before.descriptors, after.descriptors, before.names, after.names, before.mapped, after.mapped);
            return -1;
        }
        if (!injected)
            return rc == 0 ? n - 1 : -1;
        if (rc < 0 && reason && strlen(reason()) < 10) {
            printf("  refusal %ld (rc %d): no reason given: %s\n", n, rc, reason());
            return -1;
        }
    }
    return -1;
}

static const char *last_error(void)
{
    return fixture_reason.text;
}

/* ---- The operations ---- */

static int serve_and_remove(void)
{
    int rc = fixture_serve_usual();

    countdown = 0;
    fixture_stop();
    if (rc >= 0)
        fixture_remove_names();
    return rc < 0 ? rc : 0;
}

/* Making a segment: whatever is refused, there is an error with a reason and nothing is left. */
static void test_refused_create_leaves_nothing(void)
{
    fixture_begin();
    CHECK(refuse_each(serve_and_remove, last_error) >= 10);
}

static int adopt(void)
{
    int rc = fixture_serve_usual();

    countdown = 0;
    fixture_stop();
    return rc < 0 ? rc : rc == SEGMENT_ADOPTED ? 0 : -EPROTO;
}

/* Taking over a former gateway's segment: after each refusal the next try finds it as it was. */
static void test_refused_adoption_can_be_repeated(void)
{
    fixture_begin();
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
    fixture_stop();
    CHECK(refuse_each(adopt, last_error) >= 5);
}

static int attach_and_use(void)
{
    struct shared_memory *shm = NULL;
    struct shared_memory_writer *writer = NULL;
    struct shared_memory_reader *reader = NULL;
    struct shared_memory_counters counters;
    int rc = shared_memory_attach(&shm, fixture_name, 0);

    if (rc == 0)
        rc = shared_memory_writer_open(shm, "out", &writer);
    if (rc == 0)
        rc = shared_memory_reader_open(shm, "in", SHARED_MEMORY_FROM_OLDEST, &reader);
    if (rc == 0)
        rc = shared_memory_channel_counters(shm, 0, &counters);
    if (rc == 0)
        rc = shared_memory_gateway_alive(shm) == 1 ? 0 : -EPROTO;
    shared_memory_reader_close(reader);
    shared_memory_writer_close(writer);
    shared_memory_detach(shm);
    return rc;
}

/* Attaching and opening handles: the same for a client; no lane stays taken. */
static void test_refused_handles_leave_nothing(void)
{
    fixture_begin();
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
    CHECK(refuse_each(attach_and_use, shared_memory_error) >= 8);
    CHECK_EQUAL(segment_lane_locked(&fixture_segment, LANE_OUT), 0);
    CHECK_EQUAL(attach_and_use(), 0);
}

static int use_four_calls(void)
{
    char buffer[64];
    int rc = shared_memory_init(fixture_name, 0);

    if (rc == 0)
        rc = shared_memory_write("out", "x", 1);
    if (rc == 0)
        rc = shared_memory_read("out", buffer, sizeof(buffer), 0) >= 0 ? 0 : -EIO;
    countdown = 0;
    shared_memory_release();
    return rc;
}

/* The four everyday calls: the same. */
static void test_refused_four_calls_leave_nothing(void)
{
    fixture_begin();
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
    CHECK(refuse_each(use_four_calls, shared_memory_error) >= 6);
}

static int replace_and_return(void)
{
    int rc = fixture_serve_other(32), again;

    countdown = 0;
    segment_finish_old(&fixture_old);
    fixture_stop();
    /* However far it came, the next gateway gets there, and the one after it back. */
    again = fixture_serve_other(32);
    segment_finish_old(&fixture_old);
    fixture_stop();
    if (again < 0 || fixture_serve_usual() != SEGMENT_REPLACED)
        return -EPROTO;
    segment_finish_old(&fixture_old);
    fixture_stop();
    return rc < 0 ? rc : 0;
}

/* Replacing a segment: a refusal leaves the old one or the new one in the name's place, and the next try gets there. */
static void test_refused_replacement_can_be_repeated(void)
{
    fixture_begin();
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
    fixture_stop();
    CHECK(refuse_each(replace_and_return, NULL) >= 10);
}

static void ring_nothing(void *unused)
{
    (void)unused;
}

static int make_modules(void)
{
    static const struct subscribe_channel subscribed[FIXTURE_USUAL] = {[CHANNEL_IN] = {.filter = "t/#"}};
    static const struct publish_channel channels[FIXTURE_USUAL] = {
        {.name = "out", .topic = "t/{lane}"}, {.name = "strict", .topic = "t/s"}, {.name = "in"}};
    struct segment_list olds = {.segments = &fixture_segment, .count = 1};
    struct publish_options options = {.segment = &fixture_segment, .olds = &olds, .channels = channels};
    struct event_queue *queue = NULL;
    struct publish *publish = NULL;
    struct subscribe *subscribe = NULL;
    struct loss_report *losses = NULL;
    int rc = event_queue_create(&queue, 10, ring_nothing, NULL);

    if (rc == 0)
        rc = sender_create(&options.sender);
    if (rc == 0)
        rc = publish_create(&publish, &options);
    if (rc == 0)
        rc = subscribe_create(&subscribe);
    if (rc == 0)
        rc = subscribe_serve(subscribe, &fixture_segment, subscribed);
    if (rc == 0)
        rc = loss_report_create(&losses, &fixture_segment);
    loss_report_destroy(losses);
    subscribe_destroy(subscribe);
    publish_destroy(publish);
    sender_destroy(options.sender);
    event_queue_destroy(queue);
    return rc;
}

/* The gateway's modules: no memory at any point is an error, and what was made before is freed (address sanitizer). */
static void test_refused_modules_leave_nothing(void)
{
    fixture_begin();
    CHECK_EQUAL(fixture_serve_usual(), SEGMENT_CREATED);
    CHECK(refuse_each(make_modules, NULL) >= 15);
}

static const struct check_test tests[] = {
    {"test_refused_create_leaves_nothing", test_refused_create_leaves_nothing},
    {"test_refused_adoption_can_be_repeated", test_refused_adoption_can_be_repeated},
    {"test_refused_handles_leave_nothing", test_refused_handles_leave_nothing},
    {"test_refused_four_calls_leave_nothing", test_refused_four_calls_leave_nothing},
    {"test_refused_replacement_can_be_repeated", test_refused_replacement_can_be_repeated},
    {"test_refused_modules_leave_nothing", test_refused_modules_leave_nothing},
};

FIXTURE_MAIN(tests)
