/* tls_files.c: whether the certificate and key files of a TLS connection can be used. */
#include "base/tls_files.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* OpenSSL reads the disk with errors of its own; the system's say more. And it would wait for a FIFO's writer. */
static int readable(const char *setting, const char *path, struct reason *reason)
{
    struct stat status;
    int rc;

    if (!path)
        return 0;
    if (access(path, R_OK) == 0 && stat(path, &status) == 0)
        return S_ISREG(status.st_mode) ? 0
                                       : reason_set(reason, -EINVAL, "%s %s: it is not a regular file", setting, path);
    rc = -errno;
    return reason_set(reason, rc, "%s %s: %s", setting, path, strerror(-rc));
}

static int unusable(const char *setting, const char *path, const char *what, struct reason *reason)
{
    const char *why = ERR_reason_error_string(ERR_peek_last_error());

    return reason_set(reason, -EINVAL, "%s %s: %s%s%s", setting, path, what, why ? ": " : "", why ? why : "");
}

static int load_files(SSL_CTX *context, const struct tls_files *files, const char **setting, struct reason *reason)
{
    *setting = "ca_file";
    if (files->ca_file && SSL_CTX_load_verify_locations(context, files->ca_file, NULL) != 1)
        return unusable(*setting, files->ca_file, "holds no certificate (PEM)", reason);
    *setting = "cert_file";
    if (files->cert_file && SSL_CTX_use_certificate_chain_file(context, files->cert_file) != 1)
        return unusable(*setting, files->cert_file, "holds no certificate (PEM)", reason);
    *setting = "key_file";
    if (files->key_file && SSL_CTX_use_PrivateKey_file(context, files->key_file, SSL_FILETYPE_PEM) != 1)
        return unusable(*setting, files->key_file, "holds no private key (PEM) that belongs to cert_file", reason);
    return 0;
}

/* An encrypted key is an error, not a prompt on the terminal. */
/* NOLINTNEXTLINE(readability-non-const-parameter): the type is OpenSSL's. */
static int no_passphrase(char *buffer, int size, int writing, void *context)
{
    (void)buffer;
    (void)size;
    (void)writing;
    (void)context;
    return 0;
}

int tls_files_check(const struct tls_files *files, const char **setting, struct reason *reason)
{
    SSL_CTX *context;
    int rc;

    if ((rc = readable(*setting = "ca_file", files->ca_file, reason)) < 0 ||
        (rc = readable(*setting = "cert_file", files->cert_file, reason)) < 0 ||
        (rc = readable(*setting = "key_file", files->key_file, reason)) < 0)
        return rc;
    *setting = NULL;
    ERR_clear_error();
    context = SSL_CTX_new(TLS_client_method());
    if (!context)
        return reason_set(reason, -ENOMEM, "out of memory");
    SSL_CTX_set_default_passwd_cb(context, no_passphrase);
    rc = load_files(context, files, setting, reason);
    SSL_CTX_free(context);
    ERR_clear_error();
    return rc;
}
