/* test_write_guard.c: what this program's own writev() does to a socket; Paho's calls go the same way. */
#include "mqtt/write_guard.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "check.h"

static char text[] = "x";
static const struct iovec one = {text, 1};

/* A TCP connection to ourselves over the loopback; ends[0] is the client's. Returns 0 or -1. */
static int connect_pair(int ends[2])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    ends[0] = socket(AF_INET, SOCK_STREAM, 0);
    ends[1] = -1;
    if (listener >= 0 && ends[0] >= 0 && bind(listener, (struct sockaddr *)&address, size) == 0 &&
        listen(listener, 1) == 0 && getsockname(listener, (struct sockaddr *)&address, &size) == 0 &&
        connect(ends[0], (struct sockaddr *)&address, size) == 0)
        ends[1] = accept(listener, NULL, NULL);
    close(listener);
    return ends[1] < 0 ? -1 : 0;
}

static void close_pair(const int ends[2])
{
    close(ends[0]);
    close(ends[1]);
}

static int option(int fd, int name)
{
    int value = -1;
    socklen_t size = sizeof(value);

    getsockopt(fd, IPPROTO_TCP, name, &value, &size);
    return value;
}

/* The first write of a connection sets it up: no delay, and an end when nobody takes the bytes for the time given. */
static void test_first_write_prepares_the_socket(void)
{
    int ends[2];

    CHECK_EQUAL(connect_pair(ends), 0);
    write_guard_new_connection(5000);
    CHECK_EQUAL(writev(ends[0], &one, 1), 1);
    CHECK(option(ends[0], TCP_NODELAY) != 0);
    CHECK_EQUAL(option(ends[0], TCP_USER_TIMEOUT), 5000);
    close_pair(ends);
}

/* A new connection that gets the number of an old socket is set up as well. */
static void test_reused_descriptor_is_prepared_again(void)
{
    int first[2], second[2];

    CHECK_EQUAL(connect_pair(first), 0);
    write_guard_new_connection(5000);
    CHECK_EQUAL(writev(first[0], &one, 1), 1);
    close_pair(first);
    CHECK_EQUAL(connect_pair(second), 0);
    CHECK(second[0] == first[0] || second[0] == first[1]);
    write_guard_new_connection(7000);
    CHECK_EQUAL(writev(second[0], &one, 1), 1);
    CHECK_EQUAL(option(second[0], TCP_USER_TIMEOUT), 7000);
    close_pair(second);
}

/* A write to a connection that is gone is reported as done and noted; the socket reads as ended. */
static void test_failed_write_is_hidden_and_noted(void)
{
    char byte;
    int ends[2];

    signal(SIGPIPE, SIG_IGN);
    CHECK_EQUAL(connect_pair(ends), 0);
    CHECK_EQUAL(write_guard_take_failure(), 0);
    CHECK_EQUAL(shutdown(ends[0], SHUT_WR), 0);
    CHECK_EQUAL(writev(ends[0], &one, 1), 1);
    CHECK_EQUAL(write_guard_take_failure(), 1);
    CHECK_EQUAL(write_guard_take_failure(), 0);
    CHECK_EQUAL(read(ends[0], &byte, 1), 0);
    close_pair(ends);
}

/* A failed write to something else than a socket stays a failure. */
static void test_other_descriptors_are_left_alone(void)
{
    int ends[2];

    signal(SIGPIPE, SIG_IGN);
    CHECK_EQUAL(pipe(ends), 0);
    close(ends[0]);
    CHECK_EQUAL(writev(ends[1], &one, 1), -1);
    CHECK_EQUAL(errno, EPIPE);
    CHECK_EQUAL(write_guard_take_failure(), 0);
    close(ends[1]);
}

/* What OpenSSL noted of a failure that was hidden is gone: the next call's result is not judged by it. */
static void test_hidden_failure_leaves_no_error_behind(void)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *ssl = context ? SSL_new(context) : NULL;
    int ends[2];

    CHECK(ssl);
    CHECK_EQUAL(connect_pair(ends), 0);
    SSL_set_fd(ssl, ends[0]);
    /* Neither client nor server yet: SSL_write fails, and says so in the queue. */
    CHECK_EQUAL(SSL_write(ssl, text, 1), 1);
    CHECK_EQUAL(ERR_peek_error(), 0);
    CHECK_EQUAL(write_guard_take_failure(), 1);
    SSL_free(ssl);
    SSL_CTX_free(context);
    close_pair(ends);
}

static const struct check_test tests[] = {
    {"test_first_write_prepares_the_socket", test_first_write_prepares_the_socket},
    {"test_reused_descriptor_is_prepared_again", test_reused_descriptor_is_prepared_again},
    {"test_failed_write_is_hidden_and_noted", test_failed_write_is_hidden_and_noted},
    {"test_other_descriptors_are_left_alone", test_other_descriptors_are_left_alone},
    {"test_hidden_failure_leaves_no_error_behind", test_hidden_failure_leaves_no_error_behind},
};

CHECK_MAIN(tests)
