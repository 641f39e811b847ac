/* metrics.c: the counters for Prometheus: the listening socket, and the thread that answers. See metrics.h. */
#include "observe/metrics.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/listen_address.h"
#include "base/thread.h"
#include "observe/metrics_http.h"
#include "observe/metrics_text.h"
#include "shm/platform.h"
#include "shm/segment.h"

#define SOCKET_MODE 0660
#define STACK_SIZE (256 * 1024) /* bytes; the deepest call, into stdio, needs a tenth of it */
#define PAUSE_MS 1000           /* without accepting, after it has failed for want of descriptors or memory */

/* One listening socket and its thread. */
struct server {
    char *text, *segment; /* the address as written; the segment's name */
    struct listen_address address;
    struct stat file; /* the Unix socket's, to tell it from another's */
    int fd, stop;     /* the socket; an eventfd that ends the thread */
    int running;
    pthread_t thread;
    const struct metrics *metrics; /* whose it is */
    uint64_t pause_ms;             /* until when nothing is accepted */
    struct metrics_http clients[METRICS_CLIENTS];
};

struct metrics {
    struct server *server; /* NULL: nothing listens */
    uint64_t start_ns;
    atomic_uint set_aside; /* segments */
};

/* ---- The thread ---- */

static uint64_t now_ms(void)
{
    return platform_monotonic_ns() / 1000000;
}

/* The counters as they are now; on the thread. */
static int make_body(void *context, char **body, size_t *size)
{
    const struct server *server = context;
    const struct metrics_facts facts = {.segment = server->segment,
                                        .version = SHMGATE_VERSION,
                                        .start_ns = server->metrics->start_ns,
                                        .set_aside = atomic_load(&server->metrics->set_aside)};
    struct segment segment;
    int rc = segment_attach(&segment, server->segment, NULL);

    if (rc < 0)
        return rc;
    rc = metrics_text_make(&segment, &facts, body, size);
    segment_close(&segment);
    return rc;
}

static void accept_client(struct server *server, struct metrics_http *place)
{
    int fd = accept4(server->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd >= 0)
        metrics_http_begin(place, fd, now_ms());
    else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
        server->pause_ms = now_ms() + PAUSE_MS;
}

/* What to wait for: the end, a client while there is a place for one, and each client's socket. Returns the timeout for
 * poll, in milliseconds. */
static int prepare(struct server *server, struct pollfd *polls)
{
    uint64_t now = now_ms(), deadline = UINT64_MAX;
    int place = 0;

    polls[0] = (struct pollfd){.fd = server->stop, .events = POLLIN};
    for (int i = 0; i < METRICS_CLIENTS; i++) {
        const struct metrics_http *client = &server->clients[i];

        polls[2 + i] = (struct pollfd){.fd = -1};
        if (client->state == METRICS_HTTP_FREE) {
            place = 1;
            continue;
        }
        polls[2 + i] = (struct pollfd){.fd = client->fd, .events = metrics_http_events(client)};
        if (client->deadline_ms < deadline)
            deadline = client->deadline_ms;
    }
    if (now < server->pause_ms && server->pause_ms < deadline)
        deadline = server->pause_ms;
    polls[1] = (struct pollfd){.fd = place && now >= server->pause_ms ? server->fd : -1, .events = POLLIN};
    return deadline == UINT64_MAX ? -1 : deadline > now ? (int)(deadline - now) : 0;
}

static void *run(void *context)
{
    struct server *server = context;
    struct pollfd polls[2 + METRICS_CLIENTS];

    for (;;) {
        int timeout_ms = prepare(server, polls), accepted = 0;

        if (poll(polls, 2 + METRICS_CLIENTS, timeout_ms) < 0 && errno != EINTR)
            break;
        if (polls[0].revents)
            break;
        for (int i = 0; i < METRICS_CLIENTS; i++) {
            struct metrics_http *client = &server->clients[i];

            if (client->state != METRICS_HTTP_FREE && (polls[2 + i].revents || now_ms() >= client->deadline_ms))
                metrics_http_step(client, now_ms(), make_body, server);
            else if (client->state == METRICS_HTTP_FREE && polls[1].revents && !accepted++)
                accept_client(server, client);
        }
    }
    for (int i = 0; i < METRICS_CLIENTS; i++)
        metrics_http_end(&server->clients[i]);
    return NULL;
}

/* ---- The socket ---- */

/* Whether the path is the socket of a process that is gone. */
static int is_stale(const struct listen_address *address)
{
    struct stat file;
    int fd, rc;

    if (lstat(listen_address_path(address), &file) < 0 || !S_ISSOCK(file.st_mode))
        return 0;
    /* Non-blocking: a listener whose queue is full answers EAGAIN, and is alive. */
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return 0;
    rc = connect(fd, (const struct sockaddr *)&address->storage, address->size) < 0 ? errno : 0;
    close(fd);
    return rc == ECONNREFUSED;
}

static int bind_socket(const struct server *server)
{
    const struct sockaddr *address = (const struct sockaddr *)&server->address.storage;
    const char *path = listen_address_path(&server->address);
    int on = 1;

    if (!path) {
        /* Connections of before that are still being closed shall not keep the port from us. */
        if (setsockopt(server->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
            return -errno;
        return bind(server->fd, address, server->address.size) < 0 ? -errno : 0;
    }
    /* The file gets the descriptor's mode, less the umask: never more than it is to have. */
    if (fchmod(server->fd, SOCKET_MODE) < 0)
        return -errno;
    if (bind(server->fd, address, server->address.size) < 0) {
        if (errno != EADDRINUSE)
            return -errno;
        if (!is_stale(&server->address))
            return -EADDRINUSE;
        if (unlink(path) < 0 || bind(server->fd, address, server->address.size) < 0)
            return -errno;
    }
    return 0;
}

static int open_socket(struct server *server)
{
    const char *path = listen_address_path(&server->address);
    int rc;

    server->fd = socket(server->address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (server->fd < 0)
        return -errno;
    if ((rc = bind_socket(server)) < 0)
        return rc;
    if (path && (lstat(path, &server->file) < 0 || chmod(path, SOCKET_MODE) < 0))
        return -errno;
    return listen(server->fd, METRICS_CLIENTS) < 0 ? -errno : 0;
}

/* Whether a Unix socket's file is still the one that we made. */
static int is_there(const struct server *server)
{
    const char *path = listen_address_path(&server->address);
    struct stat file;

    return !path ||
           (lstat(path, &file) == 0 && file.st_dev == server->file.st_dev && file.st_ino == server->file.st_ino);
}

/* ---- The whole ---- */

static int start_thread(struct server *server)
{
    const struct thread_options options = {.run = run, .context = server, .stack_bytes = STACK_SIZE, .name = "metrics"};
    int rc = thread_start(&server->thread, &options);

    server->running = rc == 0;
    return rc;
}

static void stop_thread(struct server *server)
{
    if (!server->running)
        return;
    /* A count of 1 always fits: nobody else writes it. */
    if (eventfd_write(server->stop, 1) == 0)
        pthread_join(server->thread, NULL);
    server->running = 0;
}

static void server_close(struct server *server)
{
    if (!server)
        return;
    stop_thread(server);
    if (server->file.st_ino != 0 && is_there(server))
        unlink(listen_address_path(&server->address));
    if (server->fd >= 0)
        close(server->fd);
    if (server->stop >= 0)
        close(server->stop);
    free(server->text);
    free(server->segment);
    free(server);
}

static int server_open(struct server **out, const struct metrics *metrics, const char *address, const char *segment,
                       struct reason *reason)
{
    struct server *server = calloc(1, sizeof(*server));
    int rc = -ENOMEM;

    if (!server)
        goto cleanup;
    server->fd = -1;
    server->metrics = metrics;
    server->text = strdup(address);
    server->segment = strdup(segment);
    if ((server->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0) {
        rc = -errno;
        goto cleanup;
    }
    if (!server->text || !server->segment)
        goto cleanup;
    if ((rc = listen_address_parse(&server->address, address, reason)) < 0)
        goto cleanup;
    if ((rc = open_socket(server)) == 0 && (rc = start_thread(server)) == 0) {
        *out = server;
        return 0;
    }
cleanup:
    reason_set(reason, rc, "%s",
               rc == -EADDRINUSE ? "somebody else listens there, or the file is no socket" : strerror(-rc));
    server_close(server);
    return rc;
}

int metrics_create(struct metrics **out)
{
    *out = calloc(1, sizeof(**out));
    if (!*out)
        return -ENOMEM;
    (*out)->start_ns = platform_time_ns();
    return 0;
}

/* Another segment on the same socket. */
static int change_segment(struct server *server, const char *segment, struct reason *reason)
{
    char *name = strdup(segment);
    eventfd_t count;
    int rc = -ENOMEM;

    if (name) {
        stop_thread(server);
        free(server->segment);
        server->segment = name;
        /* EAGAIN: the thread was not running. */
        rc = eventfd_read(server->stop, &count) < 0 && errno != EAGAIN ? -errno : start_thread(server);
    }
    return rc < 0 ? reason_set(reason, rc, "%s", strerror(-rc)) : rc;
}

int metrics_serve(struct metrics *metrics, const char *address, const char *segment, struct reason *reason)
{
    struct server *before = metrics->server, *server = NULL;
    int rc;

    if (before && address && strcmp(before->text, address) == 0 && is_there(before))
        return strcmp(before->segment, segment) == 0 ? 0 : change_segment(before, segment, reason);
    if (address && (rc = server_open(&server, metrics, address, segment, reason)) < 0)
        return rc;
    metrics->server = server;
    server_close(before);
    return 0;
}

void metrics_count_set_aside(struct metrics *metrics, unsigned count)
{
    atomic_fetch_add(&metrics->set_aside, count);
}

void metrics_destroy(struct metrics *metrics)
{
    if (!metrics)
        return;
    server_close(metrics->server);
    free(metrics);
}
