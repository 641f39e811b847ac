/* mqtt_text.c: what the broker's, Paho's and OpenSSL's codes mean. */
#include "mqtt/mqtt_text.h"

#include <stdio.h>
#include <string.h>

#define BAD_CREDENTIALS "the broker refused the user name or password: check username and password_file"
#define NOT_AUTHORISED \
    "the broker does not let us in: check username, password_file, cert_file and the broker's access rules"
#define BAD_CLIENT_ID "the broker refused the client id: change client_id"
#define BAD_VERSION "the broker does not speak this version of MQTT: change version"

struct code_text {
    int code;
    int permanent; /* of a connection: 1 when a person must change something */
    const char *text;
};

/* MQTT 3.1.1, table 3.1. */
static const struct code_text codes3[] = {
    {1, 1, BAD_VERSION},     {2, 1, BAD_CLIENT_ID},  {3, 0, "the broker is not available now"},
    {4, 1, BAD_CREDENTIALS}, {5, 1, NOT_AUTHORISED},
};

/* MQTT 5, table 2-6, those that a CONNACK, a PUBACK or a SUBACK can carry. */
static const struct code_text codes5[] = {
    {0x80, 0, "unspecified error"},
    {0x81, 1, "malformed packet"},
    {0x82, 1, "protocol error"},
    {0x83, 0, "implementation-specific error"},
    {0x84, 1, BAD_VERSION},
    {0x85, 1, BAD_CLIENT_ID},
    {0x86, 1, BAD_CREDENTIALS},
    {0x87, 1, NOT_AUTHORISED},
    {0x88, 0, "the broker is not available now"},
    {0x89, 0, "the broker is busy"},
    {0x8a, 1, "the broker has banned us: ask its administrator"},
    {0x8c, 1, "the broker wants another way of authentication"},
    {0x8f, 1, "the broker does not allow this topic filter"},
    {0x90, 1, "the broker does not allow this topic"},
    {0x91, 0, "the packet identifier is in use"},
    {0x95, 1, "the packet is larger than the broker allows"},
    {0x97, 0, "the broker's quota is used up"},
    {0x99, 1, "the payload is not what its format indicator says"},
    {0x9a, 1, "the broker keeps no retained messages: set retain = no"},
    {0x9b, 1, "the broker does not support this QoS: lower qos"},
    {0x9c, 0, "the broker says to use another server"},
    {0x9d, 0, "the broker has moved"},
    {0x9e, 1, "the broker does not support shared subscriptions"},
    {0x9f, 0, "the broker limits the rate of connections"},
    {0xa1, 1, "the broker does not support subscription identifiers"},
    {0xa2, 1, "the broker does not support wildcard subscriptions"},
};

static const struct code_text *find_code(const struct code_text *reasons, size_t count, int code)
{
    for (size_t i = 0; i < count; i++)
        if (reasons[i].code == code)
            return &reasons[i];
    return NULL;
}

static const struct code_text *find5(int code)
{
    return find_code(codes5, sizeof(codes5) / sizeof(codes5[0]), code);
}

const char *mqtt_text_reason(int code)
{
    const struct code_text *reason = find5(code);

    return reason ? reason->text : "unknown reason code";
}

int mqtt_text_publish_refused(int code)
{
    /* Paho's own codes are negative; below 0x80 is success. Of the rest only a used-up quota and an identifier that is
     * still in use go away by themselves. */
    return code >= 0x80 && code != 0x97 && code != 0x91;
}

void mqtt_text_tls(char *text, size_t size, const char *line, size_t line_size)
{
    const char *start = line, *end = line + line_size;
    int colons = 0;

    /* thread:error:number:library:function:REASON:file:line:data (ERR_print_errors_cb(3)) */
    for (const char *at = line; at < end && colons < 6; at++) {
        if (*at != ':')
            continue;
        if (++colons == 5)
            start = at + 1;
        else if (colons == 6)
            end = at;
    }
    while (end > start && (end[-1] == '\n' || end[-1] == ' '))
        end--;
    snprintf(text, size, "%.*s", (int)(end - start), start);
}

int mqtt_text_connect(char *text, size_t size, const struct mqtt_text_failure *failure)
{
    const char *message = failure->message, *tls_reason = failure->tls_reason;
    int code = failure->code;
    const struct code_text *known = failure->version >= 5 ? find5(code)
                                                          : find_code(codes3, sizeof(codes3) / sizeof(codes3[0]), code);

    if (known) {
        snprintf(text, size, "%s", known->text);
        return known->permanent;
    }
    if (tls_reason && tls_reason[0])
        snprintf(text, size,
                 "TLS: %s: check ca_file, cert_file, key_file and the host name in the broker's certificate",
                 tls_reason);
    else if (code > 0)
        snprintf(text, size, "the broker refused the connection with code %d", code);
    else
        snprintf(text, size, "no broker answers there%s%s: is it running, are host and port right?",
                 message && message[0] ? ": " : "", message && message[0] ? message : "");
    return 0;
}
