/* tls_files.h: whether the certificate and key files of a TLS connection can be used, before Paho meets them: it
 * reports what is wrong with them as a failed connection.
 */
#ifndef SHMGATE_TLS_FILES_H
#define SHMGATE_TLS_FILES_H

#include "shm/reason.h"

/* PEM; NULL: none. Borrowed. */
struct tls_files {
    const char *ca_file;   /* the authorities */
    const char *cert_file; /* our certificate */
    const char *key_file;  /* its key */
};

/* Load the files as a connection would. Returns 0; or -EINVAL, -EACCES, -ENOENT, ... with the reason and the setting it
 * is about ("ca_file", ...) in *setting, and -ENOMEM with NULL there. Reads the disk. */
int tls_files_check(const struct tls_files *files, const char **setting, struct reason *reason);

/* Whether the authority's and our certificate, which tls_files_check has found good, are valid today. What is not may
 * be in a while, when a clock is set. Returns 0; -EINVAL with the reason and the setting. Reads the disk. */
int tls_files_check_dates(const struct tls_files *files, const char **setting, struct reason *reason);

#endif
