/* connect_watch.h: how far an attempt to connect has come, and what stopped it.
 *
 * Of all that can go wrong Paho tells "TCP/TLS connect failure". The executable defines getaddrinfo(), connect(),
 * getsockopt(), recv() and SSL_connect() itself, which come before those of the libraries when the dynamic linker binds
 * Paho's calls (as in write_guard.h): they do what they always do, and while an attempt is watched they note the
 * result. OpenSSL's call-backs of the attempt's SSL object tell of alerts and of certificates that are not good.
 */
#ifndef SHMGATE_CONNECT_WATCH_H
#define SHMGATE_CONNECT_WATCH_H

#include <stddef.h>

enum connect_stage {
    CONNECT_BEGUN,    /* nothing yet: the name is being looked up */
    CONNECT_RESOLVED, /* there is an address */
    CONNECT_REACHED,  /* TCP is connected */
    CONNECT_SECURED,  /* and so is TLS */
    CONNECT_ANSWERED, /* without TLS: bytes have come */
};

#define CONNECT_NAMES_SIZE 160
#define CONNECT_DATE_SIZE 32

struct connect_record {
    enum connect_stage stage;
    int lookup;                     /* the result of getaddrinfo(3), 0: good */
    int error;                      /* errno of connect(2); 0: none */
    int alert;                      /* the TLS alert that the broker sent (RFC 8446, 6); -1: none */
    int verify;                     /* X509_V_ERR_ of a certificate that is not good; 0: none */
    int tls;                        /* 1: TLS was begun */
    int closed;                     /* 1: the other side has closed it */
    int first_byte;                 /* that the other side has sent, without TLS; -1: none */
    char names[CONNECT_NAMES_SIZE]; /* of the broker's certificate, "DNS:a, IP Address:1.2.3.4" */
    char date[CONNECT_DATE_SIZE];   /* when the bad certificate ends or begins to be valid */
};

/* Watch the attempt that begins now. Any thread. */
void connect_watch_begin(void);

/* What has become of it; it is not watched any more. Any thread. */
void connect_watch_end(struct connect_record *record);

#endif
