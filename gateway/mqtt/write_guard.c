/* write_guard.c: keeps Paho from using freed memory when a write to the broker fails. See write_guard.h. */
#include "mqtt/write_guard.h"

#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* OpenSSL's interface, as far as it is needed here (SSL_write(3), SSL_get_error(3), SSL_get_wfd(3)). It is bound at run
 * time, through the library that Paho brings along, so that OpenSSL's headers are not needed to build. */
struct ssl_st;
int SSL_write(struct ssl_st *ssl, const void *buffer, int size);
#define SSL_ERROR_WANT_READ 2
#define SSL_ERROR_WANT_WRITE 3

struct openssl {
    int (*write)(struct ssl_st *ssl, const void *buffer, int size);
    int (*get_error)(const struct ssl_st *ssl, int result);
    int (*get_wfd)(const struct ssl_st *ssl);
    void (*clear_error)(void);
};

static struct openssl openssl;
static pthread_once_t openssl_once = PTHREAD_ONCE_INIT;
static _Thread_local int failed;
static atomic_int prepared_fd = -1;
static atomic_uint user_timeout_ms;

int write_guard_take_failure(void)
{
    int was = failed;

    failed = 0;
    return was;
}

void write_guard_new_connection(unsigned silence_ms)
{
    atomic_store(&user_timeout_ms, silence_ms);
    atomic_store(&prepared_fd, -1);
}

int write_guard_active(void)
{
    /* What a library's call is bound to is what the default search finds first. */
    return dlsym(RTLD_DEFAULT, "writev") == (void *)(uintptr_t)writev &&
           dlsym(RTLD_DEFAULT, "SSL_write") == (void *)(uintptr_t)SSL_write;
}

static int is_socket(int fd)
{
    int type;
    socklen_t size = sizeof(type);

    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0;
}

/* Once a connection; an error means that it is no TCP socket, which then needs nothing. */
static void guard_prepare(int fd)
{
    unsigned silence_ms = atomic_load(&user_timeout_ms);
    int on = 1;

    if (atomic_exchange(&prepared_fd, fd) == fd)
        return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &silence_ms, sizeof(silence_ms));
}

static void cut(int fd)
{
    failed = 1;
    shutdown(fd, SHUT_RDWR);
}

/* Both must be seen by the dynamic linker, although the rest of the program is not. */
__attribute__((visibility("default"))) ssize_t writev(int fd, const struct iovec *iovec, int count)
{
    ssize_t written, all = 0;
    int saved;

    guard_prepare(fd);
    written = syscall(SYS_writev, fd, iovec, count);
    if (written >= 0 || errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
        return written;
    saved = errno;
    if (!is_socket(fd)) {
        errno = saved;
        return written;
    }
    cut(fd);
    for (int i = 0; i < count; i++)
        all += (ssize_t)iovec[i].iov_len;
    return all;
}

/* POSIX lets an object pointer from dlsym hold a function's address (dlsym(3)); C has no cast for it. */
static void resolve(void *function, size_t size, const char *name)
{
    void *address = dlsym(RTLD_NEXT, name);

    memcpy(function, &address, size);
}

static void resolve_all(void)
{
    resolve(&openssl.write, sizeof(openssl.write), "SSL_write");
    resolve(&openssl.get_error, sizeof(openssl.get_error), "SSL_get_error");
    resolve(&openssl.get_wfd, sizeof(openssl.get_wfd), "SSL_get_wfd");
    resolve(&openssl.clear_error, sizeof(openssl.clear_error), "ERR_clear_error");
}

__attribute__((visibility("default"))) int SSL_write(struct ssl_st *ssl, const void *buffer, int size)
{
    int written, error;

    /* Whoever calls SSL_write has OpenSSL loaded, so the four addresses are there. */
    pthread_once(&openssl_once, resolve_all);
    guard_prepare(openssl.get_wfd(ssl));
    written = openssl.write(ssl, buffer, size);
    if (written > 0)
        return written;
    error = openssl.get_error(ssl, written);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
        return written;
    cut(openssl.get_wfd(ssl));
    /* The failure that is hidden here must not be found by whoever asks next: SSL_get_error looks into the thread's
     * queue, and takes what is left in it for its own call's error (SSL_get_error(3)). */
    openssl.clear_error();
    return size;
}
