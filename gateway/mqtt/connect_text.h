/* connect_text.h: what stopped an attempt to connect, in one line that leads to what to do. */
#ifndef SHMGATE_CONNECT_TEXT_H
#define SHMGATE_CONNECT_TEXT_H

#include <stddef.h>
#include <time.h>

#include "mqtt/connect_watch.h"

struct connect_failure {
    const struct connect_record *record;
    const char *openssl; /* the first line of OpenSSL's error queue, its gist; empty: none */
    int has_cert;        /* 1: we have shown a certificate of ours, cert_file */
    time_t now;          /* what our clock says */
};

/* Explain it. Any thread, nothing blocks. */
void connect_text_explain(char *text, size_t size, const struct connect_failure *failure);

#endif
