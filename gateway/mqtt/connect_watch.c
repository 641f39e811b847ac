/* connect_watch.c: how far an attempt to connect has come, and what stopped it. See connect_watch.h. */
#include "mqtt/connect_watch.h"

#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/utf8.h"

static atomic_int watching; /* what every recv of the process looks at */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct connect_record present;

static void lock_record(void)
{
    pthread_mutex_lock(&lock);
}

static void unlock_record(void)
{
    pthread_mutex_unlock(&lock);
}

void connect_watch_begin(void)
{
    lock_record();
    present = (struct connect_record){.alert = -1, .first_byte = -1};
    atomic_store(&watching, 1);
    unlock_record();
}

void connect_watch_end(struct connect_record *record)
{
    lock_record();
    atomic_store(&watching, 0);
    *record = present;
    unlock_record();
}

static int is_watching(void)
{
    return atomic_load_explicit(&watching, memory_order_relaxed);
}

static void note_stage(enum connect_stage stage)
{
    lock_record();
    if (present.stage < stage)
        present.stage = stage;
    unlock_record();
}

static void note_connect(int error)
{
    lock_record();
    if (error != 0)
        present.error = error;
    else if (present.stage < CONNECT_REACHED)
        present.stage = CONNECT_REACHED;
    unlock_record();
}

/* ---- TCP. All must be seen by the dynamic linker, although the rest of the program is not. ---- */

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): reserved names, the system's. */
__attribute__((visibility("default"))) int getaddrinfo(const char *node, const char *service,
                                                       const struct addrinfo *hints, struct addrinfo **out)
{
    int (*next)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    void *address = dlsym(RTLD_NEXT, "getaddrinfo");
    int rc;

    /* POSIX lets an object pointer from dlsym hold a function's address (dlsym(3)); C has no cast for it. */
    memcpy(&next, &address, sizeof(next));
    rc = next(node, service, hints, out);
    if (is_watching()) {
        lock_record();
        present.lookup = rc;
        unlock_record();
        if (rc == 0)
            note_stage(CONNECT_RESOLVED);
    }
    return rc;
}

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): reserved names, the system's. */
__attribute__((visibility("default"))) int connect(int fd, const struct sockaddr *address, socklen_t size)
{
    int rc = (int)syscall(SYS_connect, fd, address, size);
    int error = rc < 0 ? errno : 0;

    if (is_watching() && (address->sa_family == AF_INET || address->sa_family == AF_INET6) && error != EINPROGRESS &&
        error != EINTR)
        note_connect(error);
    errno = error ? error : errno;
    return rc;
}

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): reserved names, the system's. */
__attribute__((visibility("default"))) int getsockopt(int fd, int level, int option, void *value, socklen_t *size)
{
    int rc = (int)syscall(SYS_getsockopt, fd, level, option, value, size);

    /* How a connection that takes its time has ended (connect(2), EINPROGRESS). */
    if (rc == 0 && is_watching() && level == SOL_SOCKET && option == SO_ERROR)
        note_connect(*(const int *)value);
    return rc;
}

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): reserved names, the system's. */
__attribute__((visibility("default"))) ssize_t recv(int fd, void *buffer, size_t size, int flags)
{
    ssize_t count = recvfrom(fd, buffer, size, flags, NULL, NULL);
    int saved = errno;

    /* Paho asks for no bytes when it closes. */
    if (size > 0 && is_watching()) {
        lock_record();
        if (count > 0 && present.first_byte < 0) {
            present.first_byte = *(const unsigned char *)buffer;
            present.stage = CONNECT_ANSWERED;
        }
        present.closed |= count == 0 || (count < 0 && saved == ECONNRESET);
        unlock_record();
    }
    errno = saved;
    return count;
}

/* ---- TLS ---- */

/* Add the names for which the certificate is good. */
static void note_names(X509 *certificate, struct connect_record *record)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    BIO *memory = BIO_new(BIO_s_mem());
    char all[CONNECT_NAMES_SIZE];
    int size;

    for (int i = 0; memory && i < sk_GENERAL_NAME_num(names); i++) {
        if (i > 0)
            BIO_puts(memory, ", ");
        GENERAL_NAME_print(memory, sk_GENERAL_NAME_value(names, i));
    }
    if (memory && sk_GENERAL_NAME_num(names) <= 0)
        X509_NAME_print_ex(memory, X509_get_subject_name(certificate), 0, XN_FLAG_ONELINE);
    size = memory ? BIO_read(memory, all, sizeof(all)) : 0;
    utf8_escape(record->names, sizeof(record->names), all, size > 0 ? (size_t)size : 0);
    BIO_free(memory);
    GENERAL_NAMES_free(names);
}

static void note_date(const ASN1_TIME *time, struct connect_record *record)
{
    struct tm parts;

    if (time && ASN1_TIME_to_tm(time, &parts) == 1)
        strftime(record->date, sizeof(record->date), "%Y-%m-%d %H:%M:%SZ", &parts);
}

/* OpenSSL's verdict on a certificate of the broker's, which stays as it is. */
static int on_verify(int good, X509_STORE_CTX *store)
{
    X509 *certificate = X509_STORE_CTX_get_current_cert(store);
    int error = X509_STORE_CTX_get_error(store);

    if (good || !is_watching())
        return good;
    lock_record();
    present.verify = error;
    if (certificate)
        note_date(error == X509_V_ERR_CERT_NOT_YET_VALID ? X509_get0_notBefore(certificate)
                                                         : X509_get0_notAfter(certificate),
                  &present);
    unlock_record();
    return good;
}

static void on_info(const SSL *ssl, int where, int value)
{
    (void)ssl;
    if (!is_watching() || (where & SSL_CB_READ_ALERT) != SSL_CB_READ_ALERT)
        return;
    lock_record();
    present.alert = value & 0xff;
    unlock_record();
}

static void note_handshake(SSL *ssl)
{
    X509 *certificate = SSL_get1_peer_certificate(ssl);

    lock_record();
    present.stage = CONNECT_SECURED;
    if (certificate)
        note_names(certificate, &present);
    unlock_record();
    X509_free(certificate);
}

__attribute__((visibility("default"))) int SSL_connect(SSL *ssl)
{
    void *address = dlsym(RTLD_NEXT, "SSL_connect");
    int (*next)(SSL *);
    int rc;

    memcpy(&next, &address, sizeof(next));
    if (!is_watching())
        return next(ssl);
    lock_record();
    present.tls = 1;
    unlock_record();
    SSL_set_verify(ssl, SSL_get_verify_mode(ssl), on_verify);
    SSL_set_info_callback(ssl, on_info);
    rc = next(ssl);
    if (rc == 1)
        note_handshake(ssl);
    return rc;
}
