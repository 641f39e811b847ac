/* tls_files.c: whether the certificate and key files of a TLS connection can be used. */
#include "base/tls_files.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static _Thread_local int asked_passphrase; /* 1: a key that is being read is encrypted */

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

/* Why OpenSSL has not taken the private key. */
static int explain_key(const char *path, struct reason *reason)
{
    unsigned long error = ERR_peek_last_error();

    for (unsigned long each; (each = ERR_get_error()) != 0;) {
        int code = ERR_GET_REASON(each);

        if (ERR_GET_LIB(each) == ERR_LIB_X509 && code == X509_R_KEY_VALUES_MISMATCH)
            return reason_set(reason, -EINVAL,
                              "key_file %s: it does not match cert_file: it is another certificate's key", path);
        if (ERR_GET_LIB(each) == ERR_LIB_X509 && code == X509_R_KEY_TYPE_MISMATCH)
            return reason_set(reason, -EINVAL, "key_file %s: it does not match cert_file: it is a key of another kind",
                              path);
        if ((ERR_GET_LIB(each) == ERR_LIB_PEM && code == PEM_R_BAD_PASSWORD_READ) ||
            (ERR_GET_LIB(each) == ERR_LIB_PEM && code == PEM_R_PROBLEMS_GETTING_PASSWORD) || asked_passphrase)
            return reason_set(
                reason, -EINVAL,
                "key_file %s: it has a passphrase, which nobody types in for a service: make one without, "
                "openssl pkey -in OLD -out NEW, mode 0640",
                path);
    }
    ERR_clear_error();
    return reason_set(reason, -EINVAL, "key_file %s: holds no private key (PEM) that belongs to cert_file%s%s", path,
                      error ? ": " : "", error ? ERR_reason_error_string(error) : "");
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
        return explain_key(files->key_file, reason);
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
    asked_passphrase = 1;
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
    asked_passphrase = 0;
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

/* ---- Dates ---- */

static void show_date(char *out, size_t size, const ASN1_TIME *time)
{
    struct tm parts;

    if (ASN1_TIME_to_tm(time, &parts) != 1 || strftime(out, size, "%Y-%m-%d %H:%M:%SZ", &parts) == 0)
        snprintf(out, size, "?");
}

static int check_date(const char *setting, const char *path, const X509 *certificate, struct reason *reason)
{
    const ASN1_TIME *from = X509_get0_notBefore(certificate), *until = X509_get0_notAfter(certificate);
    char date[32];

    if (X509_cmp_current_time(from) > 0) {
        show_date(date, sizeof(date), from);
        return reason_set(reason, -EINVAL, "%s %s: it is not yet valid, but from %s on: is the clock right?", setting,
                          path, date);
    }
    if (X509_cmp_current_time(until) < 0) {
        show_date(date, sizeof(date), until);
        return reason_set(reason, -EINVAL, "%s %s: it has expired: it was valid until %s", setting, path, date);
    }
    return 0;
}

/* Check the file's first certificate, or, with `any`, whether one of all is valid. */
static int check_file_dates(const char *setting, const char *path, int any, struct reason *reason)
{
    FILE *file = path ? fopen(path, "re") : NULL;
    X509 *certificate;
    int rc = 0;

    while (file && (certificate = PEM_read_X509(file, NULL, NULL, NULL)) != NULL) {
        rc = check_date(setting, path, certificate, reason);
        X509_free(certificate);
        if (!any || rc == 0)
            break;
    }
    if (file)
        fclose(file);
    ERR_clear_error();
    return rc;
}

int tls_files_check_dates(const struct tls_files *files, const char **setting, struct reason *reason)
{
    int rc = check_file_dates(*setting = "ca_file", files->ca_file, 1, reason);

    return rc < 0 ? rc : check_file_dates(*setting = "cert_file", files->cert_file, 0, reason);
}
