/* format.c: how read prints a message (-F). */
#include <stdio.h>
#include <string.h>

#include "shm/shared_memory.h"
#include "tool/tool.h"

#define LETTERS "pxtnlmerU%"
#define ESCAPES "ntr0\\"

char format_check(const char *format)
{
    for (; *format; format++) {
        const char *known = *format == '%' ? LETTERS : *format == '\\' ? ESCAPES : NULL;

        if (!known)
            continue;
        if (format[1] == '\0')
            return *format;
        if (!strchr(known, *++format))
            return *format;
    }
    return '\0';
}

static void print_hex(const unsigned char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        printf("%02x", bytes[i]);
}

static void print_letter(char letter, const struct shared_memory_message *message)
{
    switch (letter) {
    case 'p':
        fwrite(message->payload, 1, message->size, stdout);
        break;
    case 'x':
        print_hex(message->payload, message->size);
        break;
    case 't':
        fwrite(message->topic, 1, message->topic_size, stdout);
        break;
    case 'n':
        printf("%llu", (unsigned long long)message->sequence);
        break;
    case 'l':
        printf("%u", message->lane);
        break;
    case 'm':
        printf("%llu", (unsigned long long)message->missed);
        break;
    case 'e':
        printf("%llu", (unsigned long long)message->expired);
        break;
    case 'r':
        printf("%u", message->retained);
        break;
    case 'U':
        printf("%llu.%09llu", (unsigned long long)(message->time_ns / 1000000000),
               (unsigned long long)(message->time_ns % 1000000000));
        break;
    default:
        putchar('%');
    }
}

static void print_escape(char letter)
{
    putchar(letter == 'n' ? '\n' : letter == 't' ? '\t' : letter == 'r' ? '\r' : letter == '0' ? '\0' : '\\');
}

void format_print(const char *format, const struct shared_memory_message *message)
{
    for (; *format; format++) {
        if (*format == '%')
            print_letter(*++format, message);
        else if (*format == '\\')
            print_escape(*++format);
        else
            putchar(*format);
    }
    putchar('\n');
}
