/* tls_files.h: whether the certificate and key files of a TLS connection can be used, before Paho meets them: it
 * reports what is wrong with them as a failed connection.
 */
#ifndef SHMGATE_TLS_FILES_H
#define SHMGATE_TLS_FILES_H

#include "shm/reason.h"

/* Load the files as a connection would: `ca_file` the authorities, `cert_file` and `key_file` our certificate and its
 * key (PEM; NULL: none). Returns 0; or -EINVAL, -EACCES, -ENOENT, ... with the reason and the setting it is
 * about ("ca_file", ...) in *setting, and -ENOMEM with NULL there. Reads the disk. */
int tls_files_check(const char *ca_file, const char *cert_file, const char *key_file, const char **setting,
                    struct reason *reason);

#endif
