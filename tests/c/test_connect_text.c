/* test_connect_text.c: what stopped an attempt to connect is told in words that lead to it, each cause in its own. */
#include <errno.h>
#include <netdb.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <string.h>

#include "check.h"
#include "mqtt/connect_text.h"

static char text[320];

static const char *explain(struct connect_record record, const char *openssl, int has_cert)
{
    const struct connect_failure failure = {&record, openssl, has_cert, 1700000000};

    connect_text_explain(text, sizeof(text), &failure);
    return text;
}

/* Names, addresses and ports. */
static void test_causes_of_tcp(void)
{
    static const struct {
        struct connect_record record;
        const char *word;
    } cases[] = {
        {{CONNECT_BEGUN, .lookup = EAI_NONAME, .alert = -1, .first_byte = -1}, "the name is not known"},
        {{CONNECT_BEGUN, .lookup = EAI_AGAIN, .alert = -1, .first_byte = -1}, "no name server answers"},
        {{CONNECT_RESOLVED, .error = ECONNREFUSED, .alert = -1, .first_byte = -1}, "connection refused"},
        {{CONNECT_RESOLVED, .error = EHOSTUNREACH, .alert = -1, .first_byte = -1}, "No route to host"},
        {{CONNECT_RESOLVED, .error = ETIMEDOUT, .alert = -1, .first_byte = -1}, "timed out"},
        {{CONNECT_RESOLVED, .alert = -1, .first_byte = -1}, "timed out"},
        {{CONNECT_REACHED, .alert = -1, .first_byte = -1}, "connected, and then no answer"},
        {{CONNECT_REACHED, .closed = 1, .alert = -1, .first_byte = -1}, "closed without an answer"},
        {{CONNECT_ANSWERED, .alert = -1, .first_byte = 0x15}, "mqtts://"},
        {{CONNECT_ANSWERED, .alert = -1, .first_byte = 'H'}, "does not speak MQTT"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        CHECK(strstr(explain(cases[i].record, "", 0), cases[i].word));
}

/* The broker's certificate: dates beside what the clock says, names, authorities. */
static void test_causes_in_the_brokers_certificate(void)
{
    struct connect_record record = {CONNECT_REACHED, .tls = 1, .alert = -1, .first_byte = -1};

    strcpy(record.date, "2021-01-01 00:00:00Z");
    record.verify = X509_V_ERR_CERT_HAS_EXPIRED;
    CHECK(strstr(explain(record, "", 0), "has expired") && strstr(text, record.date) && strstr(text, "2023-11-14"));
    record.verify = X509_V_ERR_CERT_NOT_YET_VALID;
    CHECK(strstr(explain(record, "", 0), "is not yet valid") && strstr(text, record.date) &&
          strstr(text, "2023-11-14"));
    record.verify = X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY;
    CHECK(strstr(explain(record, "", 0), "unknown authority") && strstr(text, "ca_file"));
    record.verify = X509_V_ERR_CERT_REVOKED;
    CHECK(strstr(explain(record, "", 0), "revoked"));
    record.verify = 0;
    record.stage = CONNECT_SECURED;
    strcpy(record.names, "DNS:elsewhere");
    CHECK(strstr(explain(record, "", 0), "which is for DNS:elsewhere"));
}

/* What the broker says of ours, and a port that does not speak TLS. */
static void test_causes_in_our_certificate(void)
{
    struct connect_record record = {CONNECT_REACHED, .tls = 1, .first_byte = -1};

    record.alert = TLS13_AD_CERTIFICATE_REQUIRED;
    CHECK(strstr(explain(record, "", 0), "set cert_file and key_file") && strstr(text, "certificate required"));
    record.alert = SSL3_AD_HANDSHAKE_FAILURE;
    CHECK(strstr(explain(record, "", 0), "set cert_file and key_file"));
    record.alert = SSL3_AD_CERTIFICATE_EXPIRED;
    CHECK(strstr(explain(record, "", 1), "our certificate has expired"));
    record.alert = TLS1_AD_UNKNOWN_CA;
    CHECK(strstr(explain(record, "", 1), "does not know the authority of our certificate"));
    record.alert = TLS1_AD_PROTOCOL_VERSION;
    CHECK(strstr(explain(record, "", 1), "version of TLS"));
    record.alert = -1;
    CHECK(strstr(explain(record, "wrong version number", 0), "does not speak TLS"));
    CHECK(strstr(explain(record, "unexpected eof while reading", 0), "does the port speak TLS?"));
    CHECK(strstr(explain(record, "no start line in the key", 0), "check ca_file, cert_file and key_file"));
}

static const struct check_test tests[] = {
    {"test_causes_of_tcp", test_causes_of_tcp},
    {"test_causes_in_the_brokers_certificate", test_causes_in_the_brokers_certificate},
    {"test_causes_in_our_certificate", test_causes_in_our_certificate},
};

CHECK_MAIN(tests)
