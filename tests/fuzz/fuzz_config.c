/* fuzz_config.c: any bytes as gateway.ini: config_load comes to an end, and either reports a fault or gives a
 * configuration that can be planned. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "config/config.h"
#include "loop/channel_table.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static unsigned faults;

static void count(void *context, const char *file, unsigned line, const char *message)
{
    (void)context;
    (void)line;
    faults++;
    if (!file[0] || !message[0] || strchr(message, '\n'))
        abort();
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    int fd = memfd_create("gateway.ini", MFD_CLOEXEC);
    struct config config;
    struct channel_table table;
    struct reason reason;
    char path[64];

    if (fd < 0)
        return 0;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    faults = 0;
    if (write(fd, data, size) == (ssize_t)size) {
        if (config_load(&config, path, count, NULL) == 0) {
            if (faults > 0 || config.channel_count == 0 || config.uri_count == 0)
                abort();
            if (channel_table_create(&table, &config, &reason) == 0)
                channel_table_destroy(&table);
            config_free(&config);
        } else if (faults == 0) {
            abort();
        }
    }
    close(fd);
    return 0;
}
