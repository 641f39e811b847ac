/* metrics_http.c: one HTTP connection that asks for the metrics. See metrics_http.h. */
#include "observe/metrics_http.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DRAIN_MAX 65536 /* bytes that a client may send after its request before we close on it */

void metrics_http_begin(struct metrics_http *http, int fd, uint64_t now_ms)
{
    *http = (struct metrics_http){.state = METRICS_HTTP_READ, .fd = fd, .deadline_ms = now_ms + METRICS_HTTP_LIMIT_MS};
}

void metrics_http_end(struct metrics_http *http)
{
    if (http->state == METRICS_HTTP_FREE)
        return;
    close(http->fd);
    free(http->answer);
    http->answer = NULL;
    http->state = METRICS_HTTP_FREE;
}

short metrics_http_events(const struct metrics_http *http)
{
    return http->state == METRICS_HTTP_WRITE ? POLLOUT : POLLIN;
}

/* Whether recv or send only wants to be called again later. */
static int later(void)
{
    return errno == EAGAIN || errno == EINTR;
}

/* The word at *at, up to a space; *at is moved behind that. */
static size_t next_word(const char **at, const char *end, const char **word)
{
    const char *space = memchr(*at, ' ', (size_t)(end - *at));

    *word = *at;
    *at = space ? space + 1 : end;
    return (size_t)((space ? space : end) - *word);
}

static int is(const char *word, size_t size, const char *expected)
{
    return size == strlen(expected) && memcmp(word, expected, size) == 0;
}

/* The status to answer the first line with. */
static int judge(const char *line, size_t size, int *only_head)
{
    const char *at = line, *end = line + size, *method, *path, *version, *query;
    size_t method_size = next_word(&at, end, &method), path_size = next_word(&at, end, &path),
           version_size = next_word(&at, end, &version);

    *only_head = is(method, method_size, "HEAD");
    if (method_size == 0 || path_size == 0 || path[0] != '/' || version_size != strlen("HTTP/1.1") ||
        memcmp(version, "HTTP/1.", 7) != 0 || at != end)
        return 400;
    if (!*only_head && !is(method, method_size, "GET"))
        return 405;
    query = memchr(path, '?', path_size);
    return is(path, query ? (size_t)(query - path) : path_size, "/metrics") ? 200 : 404;
}

static const char *phrase_of(int status)
{
    switch (status) {
    case 200:
        return "200 OK";
    case 404:
        return "404 Not Found";
    case 405:
        return "405 Method Not Allowed";
    case 503:
        return "503 Service Unavailable";
    default:
        return "400 Bad Request";
    }
}

static void http_answer(struct metrics_http *http, int status, int only_head, metrics_http_body make_body,
                        void *context)
{
    int length;

    if (status == 200 && make_body(context, &http->answer, &http->size) < 0)
        status = 503;
    if (status != 200) {
        http->answer = NULL;
        http->size = 0;
    }
    length = snprintf(http->head, sizeof(http->head),
                      "HTTP/1.1 %s\r\n%s%sContent-Length: %zu\r\nConnection: close\r\n\r\n", phrase_of(status),
                      status == 200 ? "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n" : "",
                      status == 405 ? "Allow: GET, HEAD\r\n" : "", http->size);
    http->head_size = (size_t)length;
    if (only_head)
        http->size = 0;
    http->state = METRICS_HTTP_WRITE;
}

/* Whether the headers are complete, and where the first line ends. */
static int is_complete(const struct metrics_http *http, size_t *line)
{
    const char *end = memchr(http->request, '\n', http->used);

    *line = end ? (size_t)(end - http->request) : http->used;
    if (end && *line > 0 && end[-1] == '\r')
        (*line)--;
    return memmem(http->request, http->used, "\r\n\r\n", 4) || memmem(http->request, http->used, "\n\n", 2);
}

/* Each returns 1: go on at once; 0: wait for the socket; -1: the connection is over. */
static int step_read(struct metrics_http *http, metrics_http_body make_body, void *context)
{
    ssize_t count = recv(http->fd, http->request + http->used, sizeof(http->request) - http->used, 0);
    int only_head = 0, status;
    size_t line;

    if (count <= 0)
        return count < 0 && later() ? 0 : -1;
    http->used += (size_t)count;
    if (is_complete(http, &line)) {
        status = judge(http->request, line, &only_head);
        http_answer(http, status, only_head, make_body, context);
    } else if (http->used == sizeof(http->request)) {
        http_answer(http, 400, 0, make_body, context);
    }
    return 1;
}

static int step_write(struct metrics_http *http)
{
    int of_head = http->sent < http->head_size;
    const char *from = of_head ? http->head + http->sent : http->answer + (http->sent - http->head_size);
    size_t left = (of_head ? http->head_size : http->head_size + http->size) - http->sent;
    ssize_t count = left > 0 ? send(http->fd, from, left, MSG_NOSIGNAL) : 0;

    if (count < 0)
        return later() ? 0 : -1;
    http->sent += (size_t)count;
    if (http->sent < http->head_size + http->size)
        return 1;
    /* Closed with unread bytes the connection would be reset, and the client might lose the answer. */
    if (shutdown(http->fd, SHUT_WR) < 0)
        return -1;
    http->state = METRICS_HTTP_DRAIN;
    return 1;
}

static int step_drain(struct metrics_http *http)
{
    ssize_t count = recv(http->fd, http->request, sizeof(http->request), 0);

    if (count <= 0)
        return count < 0 && later() ? 0 : -1;
    http->drained += (size_t)count;
    return http->drained < DRAIN_MAX ? 1 : -1;
}

void metrics_http_step(struct metrics_http *http, uint64_t now_ms, metrics_http_body make_body, void *context)
{
    int rc = now_ms < http->deadline_ms ? 1 : -1;

    while (rc > 0)
        rc = http->state == METRICS_HTTP_READ    ? step_read(http, make_body, context)
             : http->state == METRICS_HTTP_WRITE ? step_write(http)
                                                 : step_drain(http);
    if (rc < 0)
        metrics_http_end(http);
}
