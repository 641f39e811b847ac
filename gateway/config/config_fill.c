/* config_fill.c: fill in what a value of gateway.ini leaves open. See config_fill.h. */
#include "config/config_fill.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/utf8.h"

#define FILLED_MAX (1024 * 1024) /* bytes, as of the longest line that is read */
#define SHOWN 80                 /* bytes of a placeholder shown in a message */
#define NAME_SIZE 256            /* of a placeholder or a variable, with its end */

/* A text that grows. */
struct text {
    char *bytes;
    size_t size, capacity;
};

static int fill_add(struct text *text, const char *bytes, size_t size)
{
    size_t need = text->size + size + 1;

    if (need > FILLED_MAX)
        return -E2BIG;
    if (need > text->capacity) {
        char *larger = realloc(text->bytes, 2 * need);

        if (!larger)
            return -ENOMEM;
        text->bytes = larger;
        text->capacity = 2 * need;
    }
    if (size > 0)
        memcpy(text->bytes + text->size, bytes, size);
    text->size += size;
    text->bytes[text->size] = '\0';
    return 0;
}

/* Give the text out, or nothing when that went wrong. */
static int finish(struct text *text, int status, char **out, struct reason *reason)
{
    *out = NULL;
    if (status == -E2BIG) {
        status = reason_set(reason, -EINVAL, "it has more than %d bytes once it is filled in", FILLED_MAX);
    }
    if (status < 0)
        free(text->bytes);
    else
        *out = text->bytes;
    return status;
}

/* Whether what was found is text as a line of the file may have it. */
static int check_found(const char *name, const char *value, struct reason *reason)
{
    size_t size = strlen(value), length;

    for (size_t at = 0; at < size; at += length) {
        uint32_t code = 0;

        length = utf8_decode(value + at, size - at, &code);
        if (length == 0 || utf8_is_control(code))
            return reason_set(reason, -EINVAL, "%s is not UTF-8 text without control characters", name);
    }
    return 0;
}

static int add_hostname(struct text *text, struct reason *reason)
{
    char host[256] = "";

    if (gethostname(host, sizeof(host) - 1) < 0 || !host[0] || host[0] == '.') {
        return reason_set(reason, -EINVAL, "${hostname}: this machine has no name");
    }
    host[strcspn(host, ".")] = '\0';
    return check_found("${hostname}", host, reason) < 0 ? -EINVAL : fill_add(text, host, strlen(host));
}

/* `name` is what stands behind "env:", and is changed. */
static int add_variable(struct text *text, char *name, struct reason *reason)
{
    char *otherwise = strstr(name, ":-"), shown[SHOWN + 8];
    const char *value;

    if (otherwise) {
        *otherwise = '\0';
        otherwise += 2;
    }
    snprintf(shown, sizeof(shown), "${env:%.*s}", SHOWN - 8, name);
    value = getenv(name);
    if (otherwise && (!value || !*value))
        value = otherwise;
    if (!value) {
        return reason_set(reason, -EINVAL,
                          "%s: the environment has no such variable: set it, or write ${env:NAME:-TEXT}", shown);
    }
    return check_found(shown, value, reason) < 0 ? -EINVAL : fill_add(text, value, strlen(value));
}

/* What stands at `at`, behind a "{" and up to a "}", into `name`. Returns what follows the }; NULL there is none, or it
 * is too long. */
static const char *cut_name(const char *at, char name[NAME_SIZE])
{
    const char *end = strchr(at, '}');

    if (!end || (size_t)(end - at) >= NAME_SIZE)
        return NULL;
    memcpy(name, at, (size_t)(end - at));
    name[end - at] = '\0';
    return end + 1;
}

static int add_placeholder(struct text *text, char *name, struct reason *reason)
{
    char shown[SHOWN];

    if (strcmp(name, "hostname") == 0)
        return add_hostname(text, reason);
    if (strncmp(name, "env:", 4) == 0 && name[4] && name[4] != ':')
        return add_variable(text, name + 4, reason);
    utf8_escape(shown, sizeof(shown), name, strlen(name));
    return reason_set(
        reason, -EINVAL,
        "unknown placeholder ${%s}: expected ${hostname}, ${env:NAME} or ${env:NAME:-TEXT}, or $$ for a dollar", shown);
}

int config_fill_value(const char *value, char **out, struct reason *reason)
{
    struct text text = {0};
    char name[NAME_SIZE];
    int status = fill_add(&text, "", 0);

    while (status == 0 && *value) {
        size_t plain = strcspn(value, "$");

        status = fill_add(&text, value, plain);
        value += plain;
        if (status < 0 || !*value)
            break;
        if (value[1] != '{') {
            status = fill_add(&text, "$", 1);
            value += value[1] == '$' ? 2 : 1;
            continue;
        }
        value = cut_name(value + 2, name);
        if (!value) {
            status = reason_set(reason, -EINVAL, "a placeholder begins with ${ and ends with }");
            break;
        }
        status = add_placeholder(&text, name, reason);
    }
    if (status == 0 && text.size == 0) {
        status = reason_set(reason, -EINVAL, "nothing is left once it is filled in");
    }
    return finish(&text, status, out, reason);
}

int config_fill_topic(const char *topic, const char *channel, const char *client_id, char **out, struct reason *reason)
{
    struct text text = {0};
    char name[NAME_SIZE], shown[SHOWN];
    int status = fill_add(&text, "", 0);

    while (status == 0 && *topic) {
        size_t plain = strcspn(topic, "{}");

        status = fill_add(&text, topic, plain);
        topic += plain;
        if (status < 0 || !*topic)
            break;
        topic = *topic == '{' ? cut_name(topic + 1, name) : NULL;
        if (!topic) {
            status = reason_set(reason, -EINVAL, "braces stand in pairs, around {channel}, {client_id} or {lane}");
            break;
        }
        if (strcmp(name, "channel") == 0) {
            status = fill_add(&text, channel, strlen(channel));
        } else if (strcmp(name, "client_id") == 0) {
            status = client_id ? fill_add(&text, client_id, strlen(client_id)) : 0;
        } else if (strcmp(name, "lane") == 0) {
            status = fill_add(&text, CONFIG_FILL_LANE, strlen(CONFIG_FILL_LANE));
        } else {
            utf8_escape(shown, sizeof(shown), name, strlen(name));
            status = reason_set(reason, -EINVAL, "unknown name {%s}: expected {channel}, {client_id} or {lane}", shown);
        }
    }
    return finish(&text, status, out, reason);
}
