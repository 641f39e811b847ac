/* metrics_http.h: one HTTP connection that asks for the metrics: a request, an answer, the end.
 *
 * As much of HTTP/1.1 (RFC 9112) as a scraper needs: GET and HEAD of /metrics are answered with 200, another path with
 * 404, another method with 405, what is none with 400, and each answer ends the connection. Nothing here waits. A
 * client costs the memory of one struct and one answer, and no more than METRICS_HTTP_LIMIT_MS, whatever it sends or
 * does not.
 */
#ifndef SHMGATE_METRICS_HTTP_H
#define SHMGATE_METRICS_HTTP_H

#include <stddef.h>
#include <stdint.h>

#define METRICS_HTTP_LIMIT_MS 2000 /* from the accept to the close; both ends are on this machine */
#define METRICS_HTTP_REQUEST 4096  /* bytes of a request with its headers; Prometheus sends some 300 */

/* Make the body: on success *body is from malloc and handed over. -errno: the answer is 503. */
typedef int (*metrics_http_body)(void *context, char **body, size_t *size);

enum metrics_http_state { METRICS_HTTP_FREE, METRICS_HTTP_READ, METRICS_HTTP_WRITE, METRICS_HTTP_DRAIN };

struct metrics_http {
    enum metrics_http_state state;
    int fd;
    uint64_t deadline_ms; /* of the monotonic clock */
    char request[METRICS_HTTP_REQUEST];
    size_t used, drained;
    char *answer, head[256];
    size_t head_size, size, sent; /* of head and answer together: sent */
};

/* Take a non-blocking socket, which is closed when the connection ends. */
void metrics_http_begin(struct metrics_http *http, int fd, uint64_t now_ms);

/* What poll(2) is to wait for. */
short metrics_http_events(const struct metrics_http *http);

/* Go on, as far as the socket allows; the state is METRICS_HTTP_FREE when it is over, which is at the deadline at the
 * latest. */
void metrics_http_step(struct metrics_http *http, uint64_t now_ms, metrics_http_body make_body, void *context);

/* End it at once, whatever its state. */
void metrics_http_end(struct metrics_http *http);

#endif
