/* connect_text.c: what stopped an attempt to connect, in words. See connect_text.h. */
#include "mqtt/connect_text.h"

#include <errno.h>
#include <netdb.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <stdio.h>
#include <string.h>

static void show_now(char out[CONNECT_DATE_SIZE], time_t now)
{
    struct tm parts;

    if (!gmtime_r(&now, &parts) || strftime(out, CONNECT_DATE_SIZE, "%Y-%m-%d %H:%M:%SZ", &parts) == 0)
        snprintf(out, CONNECT_DATE_SIZE, "?");
}

static void explain_lookup(char *text, size_t size, int lookup)
{
    if (lookup == EAI_NONAME || lookup == EAI_NODATA)
        snprintf(text, size,
                 "the name is not known: is the host in uri right, and does this machine's name server (%s) "
                 "know it?",
                 "/etc/resolv.conf");
    else if (lookup == EAI_AGAIN)
        snprintf(text, size, "the name could not be looked up: no name server answers, see /etc/resolv.conf");
    else
        snprintf(text, size, "the name could not be looked up: %s", gai_strerror(lookup));
}

static void explain_tcp(char *text, size_t size, int error)
{
    const char *what;

    switch (error) {
    case 0:
    case ETIMEDOUT:
        snprintf(text, size, "timed out: nobody answers at that address: is the machine up, does a firewall drop it?");
        return;
    case ECONNREFUSED:
        what = "connection refused";
        break;
    default:
        what = strerror(error);
    }
    snprintf(text, size, "no broker answers there: %s: is it running, are host and port right?", what);
}

/* The broker's certificate does not satisfy us. */
static void explain_certificate(char *text, size_t size, const struct connect_failure *failure)
{
    const struct connect_record *record = failure->record;
    char now[CONNECT_DATE_SIZE];

    show_now(now, failure->now);
    switch (record->verify) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        snprintf(text, size,
                 "TLS: the broker's certificate, or its authority's, has expired: it was valid until %s, "
                 "and this machine's clock says %s",
                 record->date, now);
        return;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        snprintf(text, size,
                 "TLS: the broker's certificate, or its authority's, is not yet valid: it is from %s on, "
                 "and this machine's clock says %s: is the clock right?",
                 record->date, now);
        return;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
        snprintf(text, size,
                 "TLS: the broker's certificate is from an unknown authority (%s): ca_file must hold the one "
                 "that has signed it",
                 X509_verify_cert_error_string(record->verify));
        return;
    default:
        snprintf(text, size, "TLS: the broker's certificate is not good: %s",
                 X509_verify_cert_error_string(record->verify));
    }
}

/* What the broker says of us, mostly of our certificate (RFC 8446, 6.2; RFC 5246, 7.2.2). */
static void explain_alert(char *text, size_t size, const struct connect_failure *failure)
{
    int alert = failure->record->alert;
    /* OpenSSL 3.0 has no words for this one. */
    const char *name = alert == TLS13_AD_CERTIFICATE_REQUIRED ? "certificate required"
                                                              : SSL_alert_desc_string_long(alert);

    if (!failure->has_cert && (alert == SSL3_AD_HANDSHAKE_FAILURE || alert == TLS13_AD_CERTIFICATE_REQUIRED ||
                               alert == SSL3_AD_BAD_CERTIFICATE))
        snprintf(text, size, "TLS: %s: the broker may want a certificate of ours: set cert_file and key_file", name);
    else if (alert == SSL3_AD_CERTIFICATE_EXPIRED)
        snprintf(text, size,
                 "TLS: the broker says that our certificate has expired, or is not yet valid: renew "
                 "cert_file, or look at both clocks");
    else if (alert == TLS1_AD_UNKNOWN_CA)
        snprintf(text, size,
                 "TLS: the broker does not know the authority of our certificate: cert_file must be signed "
                 "by one that the broker trusts");
    else if (alert == TLS1_AD_PROTOCOL_VERSION)
        snprintf(text, size, "TLS: the broker does not speak a version of TLS that this machine does");
    else if (alert == SSL3_AD_CERTIFICATE_REVOKED)
        snprintf(text, size, "TLS: the broker says that our certificate is revoked: renew cert_file");
    else
        snprintf(text, size, "TLS: the broker refuses us: %s: check cert_file and key_file", name);
}

static void explain_tls(char *text, size_t size, const struct connect_failure *failure)
{
    const struct connect_record *record = failure->record;
    const char *openssl = failure->openssl;

    if (record->verify != X509_V_OK)
        explain_certificate(text, size, failure);
    else if (record->alert > 0)
        explain_alert(text, size, failure);
    else if (record->stage >= CONNECT_SECURED && record->closed)
        snprintf(text, size, "TLS is up, but the broker has closed the connection%s",
                 failure->has_cert ? "" : ": it may want a certificate of ours: set cert_file and key_file");
    else if (strstr(openssl, "wrong version number") || strstr(openssl, "http request") ||
             strstr(openssl, "packet length too long") || strstr(openssl, "unsupported protocol"))
        snprintf(text, size,
                 "TLS: what answers on this port does not speak TLS (%s): without it uri begins with mqtt://", openssl);
    else if (strstr(openssl, "certificate") || strstr(openssl, "key"))
        snprintf(text, size, "TLS: %s: check ca_file, cert_file and key_file", openssl);
    else
        snprintf(text, size,
                 "TLS: the connection ended in the handshake%s%s: does the port speak TLS? Without it uri begins with "
                 "mqtt://",
                 openssl[0] ? ": " : "", openssl);
}

void connect_text_explain(char *text, size_t size, const struct connect_failure *failure)
{
    const struct connect_record *record = failure->record;

    if (record->lookup != 0)
        explain_lookup(text, size, record->lookup);
    else if (record->stage == CONNECT_BEGUN)
        snprintf(text, size, "no broker answers there: is it running, are host and port right?");
    else if (record->stage == CONNECT_RESOLVED)
        explain_tcp(text, size, record->error);
    else if (record->tls && record->stage == CONNECT_SECURED && !record->closed && record->alert <= 0)
        snprintf(text, size, "TLS: the host in uri is not a name in the broker's certificate, which is for %s",
                 record->names);
    else if (record->tls)
        explain_tls(text, size, failure);
    else if (record->first_byte == 0x15)
        snprintf(text, size, "what answers on this port speaks TLS: let uri begin with mqtts://");
    else if (record->first_byte >= 0)
        snprintf(text, size, "what answers on this port does not speak MQTT: is the port right?");
    else if (record->closed)
        snprintf(text, size, "connected, and closed without an answer: is it a broker? A port for TLS needs mqtts://");
    else
        snprintf(text, size,
                 "connected, and then no answer: what listens there may not speak MQTT, or may want TLS "
                 "(mqtts://), or the broker hangs");
}
