/* mqtt_text.c: what the broker's, Paho's and OpenSSL's codes mean. */
#include "mqtt/mqtt_text.h"

#include <stdio.h>
#include <string.h>

#include "mqtt/connect_text.h"
#include "mqtt/mqtt_codes.h"

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
    int code = failure->code;
    const struct mqtt_code *known = failure->version >= 5 ? mqtt_codes_find(MQTT_PACKET_CONNACK, code)
                                                          : mqtt_codes_find_311(code);

    if (known && code > 0) {
        snprintf(text, size, "%s", known->text);
        return known->permanent;
    }
    if (code > 0)
        snprintf(text, size, "the broker refused the connection with code %d", code);
    else
        connect_text_explain(text, size, &failure->connect);
    return 0;
}
