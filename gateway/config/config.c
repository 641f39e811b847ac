/* config.c: what gateway.ini says, checked. See config.h. */
#include "config/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/config_files.h"
#include "config/config_reader.h"
#include "config/config_value.h"

static void report_failure(const char *path, int status, config_report report, void *context)
{
    char message[REASON_SIZE];

    snprintf(message, sizeof(message), "could not read the file: %s",
             status == -ENOTSUP ? "it is not a regular file" : strerror(-status));
    report(context, path, 0, message);
}

/* Read all files and look at what they amount to. Returns 0, with faults gathered; or -errno, which has been reported.
 */
static int read_files(struct config_reader *reader, const struct config_files *files, config_report report,
                      void *context)
{
    int status;

    for (size_t i = 0; i < files->count; i++) {
        status = config_reader_file(reader, files->paths[i]);
        if (status < 0) {
            report_failure(files->paths[i], status, report, context);
            return status;
        }
    }
    reader->config->file_count = files->count;
    status = config_reader_finish(reader);
    if (status == 0)
        status = config_check(reader->config, &reader->origins, &reader->faults);
    if (status < 0)
        report_failure(reader->config->path, status, report, context);
    return status;
}

/* Keep a warning; one for which there is no memory is not missed. */
static void keep_warning(void *context, const char *file, unsigned line, const char *message)
{
    struct config *config = context;
    char **larger = realloc(config->warnings, (config->warning_count + 1) * sizeof(*larger));

    if (!larger)
        return;
    config->warnings = larger;
    if (asprintf(&larger[config->warning_count], "%s:%u: %s", file, line, message) >= 0)
        config->warning_count++;
}

int config_load(struct config *config, const char *path, config_report report, void *context)
{
    struct config_reader reader;
    struct config_files files = {0};
    struct reason reason = {"out of memory"};
    int status;

    *config = (struct config){.path = strdup(path)};
    status = config_reader_begin(&reader, config);
    if (status == 0)
        status = config->path ? config_files_find(&files, path, &reason) : -ENOMEM;
    if (status < 0)
        report(context, path, 0, reason.text);
    else
        status = read_files(&reader, &files, report, context);
    if (status == 0)
        status = config_faults_report(&reader.faults, report, context);
    if (status == 0)
        config_faults_report_warnings(&reader.faults, keep_warning, config);
    config_files_free(&files);
    config_reader_end(&reader);
    if (status < 0)
        config_free(config);
    return status;
}

void config_free_channel(struct config_channel *channel)
{
    free(channel->name);
    free(channel->topic);
}

void config_free(struct config *config)
{
    for (size_t i = 0; i < config->uri_count; i++)
        free(config->uris[i]);
    for (size_t i = 0; i < config->channel_count; i++)
        config_free_channel(&config->channels[i]);
    free(config->uris);
    free(config->channels);
    free(config->client_id);
    free(config->username);
    free(config->password_file);
    free(config->ca_file);
    free(config->cert_file);
    free(config->key_file);
    free(config->segment);
    free(config->group);
    free(config->spool_path);
    free(config->metrics_listen);
    free(config->path);
    for (size_t i = 0; i < config->warning_count; i++)
        free(config->warnings[i]);
    free(config->warnings);
    *config = (struct config){0};
}

/* Read up to `size` bytes from the start of `path`. Returns their number or -errno. */
static ssize_t read_start(const char *path, char *buffer, size_t size)
{
    /* Without O_NONBLOCK a FIFO would hold us up here already. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat status;
    size_t used = 0;
    ssize_t count = 1;

    if (fd < 0)
        return -errno;
    /* What took its place since gateway.ini was read may be anything. */
    if (fstat(fd, &status) < 0)
        count = -errno;
    else if (!S_ISREG(status.st_mode))
        count = -ENOTSUP;
    while (used < size && count > 0) {
        count = read(fd, buffer + used, size - used);
        if (count < 0 && errno == EINTR)
            count = 1;
        else if (count < 0)
            count = -errno;
        else
            used += (size_t)count;
    }
    close(fd);
    return count < 0 ? count : (ssize_t)used;
}

int config_read_secret(const char *path, char *secret, size_t size, struct reason *reason)
{
    ssize_t count = read_start(path, secret, size);
    char why[CONFIG_VALUE_OPEN_SIZE];
    size_t length = 0;
    char *end;
    int status = 0;

    if (count < 0) {
        status = reason_set(reason, (int)count, "could not read %s: %s", path,
                            count == -ENOTSUP ? "it is not a regular file"
                                              : config_value_explain_open((int)-count, why));
        goto cleanup;
    }
    /* An editor's mark that the file is UTF-8 is none of the secret. */
    if (count >= 3 && memcmp(secret, "\xef\xbb\xbf", 3) == 0) {
        count -= 3;
        memmove(secret, secret + 3, (size_t)count);
    }
    end = memchr(secret, '\n', (size_t)count);
    length = end ? (size_t)(end - secret) : (size_t)count;
    if (length > 0 && end && secret[length - 1] == '\r')
        length--;
    if (length == size) {
        status = reason_set(reason, -EMSGSIZE, "the first line of %s is longer than %zu bytes", path, size - 1);
    } else if (length == 0) {
        status = reason_set(reason, -EINVAL, "the first line of %s is empty", path);
    } else if (memchr(secret, '\0', length)) {
        status = reason_set(reason, -EINVAL, "the first line of %s contains a NUL byte: save it as UTF-8", path);
    }
cleanup:
    explicit_bzero(status < 0 ? secret : secret + length, status < 0 ? size : size - length);
    return status;
}
