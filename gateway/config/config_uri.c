/* config_uri.c: the broker addresses of [mqtt] uri. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "config/config_shown.h"
#include "config/config_value.h"

#define HOST_MAX 253 /* characters of a host name (RFC 1035, 2.3.4, without the root's dot) */

struct uri_list {
    char **uris;
    size_t count;
};

static int is_host_character(char character)
{
    return character && strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-", character);
}

/* Check an IPv6 address without its brackets: an address, and an interface after % if it is a link's own. */
static const char *check_ipv6(const char *host, size_t size)
{
    char address[INET6_ADDRSTRLEN];
    struct in6_addr binary;
    const char *zone = memchr(host, '%', size);
    size_t address_size = zone ? (size_t)(zone - host) : size;

    if (address_size >= sizeof(address))
        return "the address in brackets is not IPv6";
    memcpy(address, host, address_size);
    address[address_size] = '\0';
    if (inet_pton(AF_INET6, address, &binary) != 1)
        return "the address in brackets is not IPv6";
    for (size_t i = address_size + 1; i < size; i++)
        if (!is_host_character(host[i]))
            return "the interface after % is not a name";
    return zone && address_size + 1 == size ? "the interface after % is missing" : NULL;
}

/* Check a host name or an IPv4 address. */
static const char *check_name(const char *host, size_t size)
{
    if (size == 0)
        return "the host is missing";
    if (size > HOST_MAX)
        return "the host has more than 253 characters";
    for (size_t i = 0; i < size; i++)
        if (!is_host_character(host[i]))
            return memchr(host, ':', size) ? "an IPv6 address stands in brackets: mqtt://[::1]:1883"
                                           : "the host may have letters, digits, - _ and . only";
    return NULL;
}

/* Check "" or ":1" to ":65535". */
static const char *check_port(const char *text)
{
    unsigned long port = 0;

    if (!*text)
        return NULL;
    if (*text == ':' && strlen(text) >= 2 && strlen(text) <= 6 && strspn(text + 1, "0123456789") == strlen(text + 1))
        port = strtoul(text + 1, NULL, 10);
    return port >= 1 && port <= 65535 ? NULL : "expected a port of 1 to 65535 after the host";
}

/* What is wrong with one URI; NULL when it is good. */
static const char *check_uri(const char *uri)
{
    const char *host, *end, *fault;

    if (strncmp(uri, "mqtt://", 7) == 0)
        host = uri + 7;
    else if (strncmp(uri, "mqtts://", 8) == 0)
        host = uri + 8;
    else
        return "expected mqtt://HOST[:PORT], or mqtts:// for TLS";
    if (strpbrk(host, "/?"))
        return "nothing can follow the port, not even a slash";
    if (*host == '[') {
        end = strchr(++host, ']');
        if (!end)
            return "the closing ] is missing";
        fault = check_ipv6(host, (size_t)(end - host));
        return fault ? fault : check_port(end + 1);
    }
    end = strrchr(host, ':');
    if (!end || strchr(host, ':') != end)
        end = host + strlen(host);
    fault = check_name(host, (size_t)(end - host));
    return fault ? fault : check_port(end);
}

static void free_list(char **uris, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(uris[i]);
    free(uris);
}

/* Check and append the URI of `size` bytes at `text`. */
static int add_uri(struct uri_list *list, const char *text, size_t size, int several, struct reason *reason)
{
    char *uri, **uris, shown[CONFIG_SHOWN_SIZE];
    const char *fault;

    while (size > 0 && strchr(" \t", text[0]))
        text++, size--;
    while (size > 0 && strchr(" \t", text[size - 1]))
        size--;
    uris = realloc(list->uris, (list->count + 1) * sizeof(*uris));
    if (!uris)
        return -ENOMEM;
    list->uris = uris;
    uri = strndup(text, size);
    if (!uri)
        return -ENOMEM;
    list->uris[list->count++] = uri;
    fault = size > 0 ? check_uri(uri) : "nothing stands between two commas, or after the last";
    if (!fault)
        return 0;
    /* The caller shows the whole value before the reason; of several URIs it matters which one is meant. */
    if (several && size > 0)
        return reason_set(reason, -EINVAL, "%s: %s", config_shown_value(shown, "uri", uri), fault);
    return reason_set(reason, -EINVAL, "%s", fault);
}

CONFIG_VALUE_PARSER(config_value_uris)
{
    struct config *config = (struct config *)((char *)field - offsetof(struct config, uris));
    struct uri_list list = {0};
    int status;

    (void)rule;
    /* Before anything else, as the password may hold commas, too. */
    if (strchr(text, '@'))
        return reason_set(reason, -EINVAL, "user and password have keys of their own: username and password_file");
    for (const char *at = text;; at++) {
        size_t size = strcspn(at, ",");
        status = add_uri(&list, at, size, strchr(text, ',') != NULL, reason);
        at += size;
        if (status < 0 || !*at)
            break;
    }
    if (status < 0) {
        free_list(list.uris, list.count);
        return status;
    }
    free_list(config->uris, config->uri_count);
    config->uris = list.uris;
    config->uri_count = list.count;
    return 0;
}
