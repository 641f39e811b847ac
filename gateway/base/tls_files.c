/* tls_files.c: whether the certificate and key files of a TLS connection can be used. */
#include "base/tls_files.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* OpenSSL reads the disk with errors of its own; the system's say more. */
static int readable(const char *setting, const char *path, char *error, size_t error_size)
{
    int rc;

    if (!path || access(path, R_OK) == 0)
        return 0;
    rc = -errno;
    snprintf(error, error_size, "%s %s: %s", setting, path, strerror(-rc));
    return rc;
}

static int unusable(const char *setting, const char *path, const char *what, char *error, size_t error_size)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());

    snprintf(error, error_size, "%s %s: %s%s%s", setting, path, what, reason ? ": " : "", reason ? reason : "");
    return -EINVAL;
}

static int load(SSL_CTX *context, const char *ca_file, const char *cert_file, const char *key_file,
                const char **setting, char *error, size_t error_size)
{
    *setting = "ca_file";
    if (ca_file && SSL_CTX_load_verify_locations(context, ca_file, NULL) != 1)
        return unusable(*setting, ca_file, "holds no certificate (PEM)", error, error_size);
    *setting = "cert_file";
    if (cert_file && SSL_CTX_use_certificate_chain_file(context, cert_file) != 1)
        return unusable(*setting, cert_file, "holds no certificate (PEM)", error, error_size);
    *setting = "key_file";
    if (key_file && SSL_CTX_use_PrivateKey_file(context, key_file, SSL_FILETYPE_PEM) != 1)
        return unusable(*setting, key_file, "holds no private key (PEM) that belongs to cert_file", error, error_size);
    return 0;
}

/* An encrypted key is an error, not a prompt on the terminal. */
static int no_passphrase(char *buffer, int size, int writing, void *context)
{
    (void)buffer;
    (void)size;
    (void)writing;
    (void)context;
    return 0;
}

int tls_files_check(const char *ca_file, const char *cert_file, const char *key_file, const char **setting, char *error,
                    size_t error_size)
{
    SSL_CTX *context;
    int rc;

    if ((rc = readable(*setting = "ca_file", ca_file, error, error_size)) < 0 ||
        (rc = readable(*setting = "cert_file", cert_file, error, error_size)) < 0 ||
        (rc = readable(*setting = "key_file", key_file, error, error_size)) < 0)
        return rc;
    *setting = NULL;
    ERR_clear_error();
    context = SSL_CTX_new(TLS_client_method());
    if (!context) {
        snprintf(error, error_size, "out of memory");
        return -ENOMEM;
    }
    SSL_CTX_set_default_passwd_cb(context, no_passphrase);
    rc = load(context, ca_file, cert_file, key_file, setting, error, error_size);
    SSL_CTX_free(context);
    ERR_clear_error();
    return rc;
}
