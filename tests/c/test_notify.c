/* test_notify.c: the service manager is told in its own words, and never waited for. */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "check.h"
#include "observe/notify.h"

static char received[4096];

/* Bind a datagram socket to `name`, @ for abstract, and make it $NOTIFY_SOCKET. */
static int listen_as(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    strncpy(address.sun_path, name, sizeof(address.sun_path) - 1);
    if (name[0] == '@')
        address.sun_path[0] = '\0';
    if (fd >= 0 &&
        bind(fd, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))) < 0) {
        close(fd);
        return -1;
    }
    setenv("NOTIFY_SOCKET", name, 1);
    return fd;
}

static const char *receive(int fd)
{
    ssize_t size = recv(fd, received, sizeof(received) - 1, 0);

    received[size > 0 ? size : 0] = '\0';
    return received;
}

/* Without a socket every call is fine and does nothing; a strange address is an error. */
static void test_address(void)
{
    char name[200];

    unsetenv("NOTIFY_SOCKET");
    CHECK_EQUAL(notify_ready("x"), 0);
    setenv("NOTIFY_SOCKET", "", 1);
    CHECK_EQUAL(notify_send("READY=1"), 0);
    setenv("NOTIFY_SOCKET", "relative", 1);
    CHECK_EQUAL(notify_send("READY=1"), -EINVAL);
    setenv("NOTIFY_SOCKET", "/no/such/socket", 1);
    CHECK_EQUAL(notify_send("READY=1"), -ENOENT);
    memset(name, '/', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    setenv("NOTIFY_SOCKET", name, 1);
    CHECK_EQUAL(notify_send("READY=1"), -ENAMETOOLONG);
    unsetenv("NOTIFY_SOCKET");
}

/* Each state arrives as one datagram, through a path and through an abstract name. */
static void test_states_arrive(void)
{
    char name[64];

    for (int abstract = 0; abstract < 2; abstract++) {
        snprintf(name, sizeof(name), "%sshmgate-test-%d", abstract ? "@" : "/tmp/", (int)getpid());
        int fd = listen_as(name);
        CHECK(fd >= 0);
        int good = notify_ready("serving\nMAINPID=1") == 0 &&
                   strcmp(receive(fd), "READY=1\nSTATUS=serving\\x0aMAINPID=1\n") == 0;
        good &= notify_ready(NULL) == 0 && strcmp(receive(fd), "READY=1\n") == 0;
        good &= notify_status("link=up") == 0 && strcmp(receive(fd), "STATUS=link=up\n") == 0;
        good &= notify_reloading() == 0 && strncmp(receive(fd), "RELOADING=1\nMONOTONIC_USEC=", 27) == 0 &&
                atoll(received + 27) > 0;
        good &= notify_stopping() == 0 && strcmp(receive(fd), "STOPPING=1\n") == 0;
        good &= notify_watchdog() == 0 && strcmp(receive(fd), "WATCHDOG=1\n") == 0;
        close(fd);
        if (!abstract)
            unlink(name);
        CHECK(good);
    }
    unsetenv("NOTIFY_SOCKET");
}

/* A manager that does not read costs an error, not a wait. */
static void test_full_socket_does_not_block(void)
{
    char name[64];
    int fd, status = 0;

    snprintf(name, sizeof(name), "@shmgate-full-%d", (int)getpid());
    fd = listen_as(name);
    CHECK(fd >= 0);
    for (int i = 0; i < 100000 && status == 0; i++)
        status = notify_watchdog();
    close(fd);
    unsetenv("NOTIFY_SOCKET");
    CHECK_EQUAL(status, -EAGAIN);
}

static uint64_t interval(const char *usec, const char *pid)
{
    usec ? setenv("WATCHDOG_USEC", usec, 1) : unsetenv("WATCHDOG_USEC");
    pid ? setenv("WATCHDOG_PID", pid, 1) : unsetenv("WATCHDOG_PID");
    return notify_watchdog_interval_ms();
}

/* The watchdog is due at half of systemd's time, if it is meant for this process. */
static void test_watchdog_interval(void)
{
    char pid[32];

    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    CHECK_EQUAL(interval(NULL, NULL), 0);
    CHECK_EQUAL(interval("30000000", NULL), 15000);
    CHECK_EQUAL(interval("30000000", pid), 15000);
    CHECK_EQUAL(interval("30000000", "1"), 0);
    CHECK_EQUAL(interval("30000000", "x"), 0);
    CHECK_EQUAL(interval("1500", NULL), 1);
    CHECK_EQUAL(interval("0", NULL), 0);
    CHECK_EQUAL(interval("-5", NULL), 0);
    CHECK_EQUAL(interval("5s", NULL), 0);
    CHECK_EQUAL(interval("99999999999999999999999", NULL), 0);
    (void)interval(NULL, NULL);
}

static const struct check_test tests[] = {
    {"test_address", test_address},
    {"test_states_arrive", test_states_arrive},
    {"test_full_socket_does_not_block", test_full_socket_does_not_block},
    {"test_watchdog_interval", test_watchdog_interval},
};

CHECK_MAIN(tests)
