/* config_shown.c: text of gateway.ini as it may stand in a fault. See config_shown.h. */
#include "config/config_shown.h"

#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

#define HIDDEN "***"

/* Show `kept` bytes of the text, *** and `rest`. */
static const char *hide(char out[CONFIG_SHOWN_SIZE], const char *text, size_t kept, const char *rest)
{
    size_t size = utf8_escape(out, CONFIG_SHOWN_SIZE / 2, text, kept);

    size += (size_t)snprintf(out + size, CONFIG_SHOWN_SIZE - size, HIDDEN);
    if (CONFIG_SHOWN_SIZE - size >= 8)
        utf8_escape(out + size, CONFIG_SHOWN_SIZE - size, rest, strlen(rest));
    return out;
}

/* The size of what stands before a scheme's address, the scheme with it; 0: there is no scheme. */
static size_t scheme_size(const char *text)
{
    const char *scheme = strstr(text, "://");

    return scheme ? (size_t)(scheme - text) + 3 : 0;
}

const char *config_shown_value(char out[CONFIG_SHOWN_SIZE], const char *key, const char *value)
{
    size_t scheme = scheme_size(value);
    const char *at = strrchr(value, '@'), *question = scheme > 0 ? strchr(value, '?') : NULL;

    /* In a topic an @ is nothing special. */
    if (at && (scheme > 0 || strcmp(key, "uri") == 0))
        return hide(out, value, scheme, question && question > at ? "@" HIDDEN : at);
    if (question)
        return hide(out, value, (size_t)(question - value) + 1, "");
    if (strcmp(key, "password_file") == 0 && !strchr("/.", value[0]))
        return hide(out, value, 0, "");
    utf8_escape(out, CONFIG_SHOWN_SIZE, value, strlen(value));
    return out;
}

const char *config_shown_line(char out[CONFIG_SHOWN_SIZE], const char *line)
{
    static const char *const words[] = {"pass", "pwd", "secret", "token", "kennwort", "credential"};
    size_t scheme = scheme_size(line);

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        const char *word = strcasestr(line, words[i]);

        if (word)
            return hide(out, line, (size_t)(word - line) + strcspn(word, " \t:"), "");
    }
    if (scheme > 0)
        return hide(out, line, scheme, "");
    utf8_escape(out, CONFIG_SHOWN_SIZE, line, strlen(line));
    return out;
}
