/* peer_nng.c: nng, ipc, push and pull. See peer_sockets.h. */
#include <nng/nng.h>
#include <nng/protocol/pipeline0/pull.h>
#include <nng/protocol/pipeline0/push.h>

#include "peer_sockets.h"

#define FLUSH_NS 500000000 /* nng_close throws away what has not been sent */

static nng_socket end;

static void check(int rc)
{
    if (rc != 0)
        bench_die("nng: %s", nng_strerror(rc));
}

static void peer_open(const char *address, int listens)
{
    check(listens ? nng_pull0_open(&end) : nng_push0_open(&end));
    check(listens ? nng_listen(end, address, NULL, 0) : nng_dial(end, address, NULL, NNG_FLAG_NONBLOCK));
}

static void peer_send(const char *message)
{
    check(nng_send(end, (void *)message, BENCH_MESSAGE, 0));
}

static void peer_receive(char *buffer)
{
    size_t size = BENCH_MESSAGE;

    check(nng_recv(end, buffer, &size, 0));
}

static void peer_close(void)
{
    bench_sleep_until(bench_now_ns() + FLUSH_NS);
    nng_close(end);
}

int main(int argc, char **argv)
{
    return peer_main(argc, argv, "peer_nng sleeping COUNT INTERVAL_NS | flow COUNT");
}
