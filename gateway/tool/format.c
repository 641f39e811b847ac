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

static void print_hex(FILE *out, const unsigned char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        fprintf(out, "%02x", bytes[i]);
}

static void print_letter(FILE *out, char letter, const struct shared_memory_message *message)
{
    switch (letter) {
    case 'p':
        fwrite(message->payload, 1, message->size, out);
        break;
    case 'x':
        print_hex(out, message->payload, message->size);
        break;
    case 't':
        fwrite(message->topic, 1, message->topic_size, out);
        break;
    case 'n':
        fprintf(out, "%llu", (unsigned long long)message->sequence);
        break;
    case 'l':
        fprintf(out, "%u", message->lane);
        break;
    case 'm':
        fprintf(out, "%llu", (unsigned long long)message->missed);
        break;
    case 'e':
        fprintf(out, "%llu", (unsigned long long)message->expired);
        break;
    case 'r':
        fprintf(out, "%u", message->retained);
        break;
    case 'U':
        fprintf(out, "%llu.%09llu", (unsigned long long)(message->time_ns / 1000000000),
                (unsigned long long)(message->time_ns % 1000000000));
        break;
    default:
        putc('%', out);
    }
}

static void print_escape(FILE *out, char letter)
{
    putc(letter == 'n' ? '\n' : letter == 't' ? '\t' : letter == 'r' ? '\r' : letter == '0' ? '\0' : '\\', out);
}

void format_print(FILE *out, const char *format, const struct shared_memory_message *message)
{
    for (; *format; format++) {
        if (*format == '%')
            print_letter(out, *++format, message);
        else if (*format == '\\')
            print_escape(out, *++format);
        else
            putc(*format, out);
    }
    putc('\n', out);
}
