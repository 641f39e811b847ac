/* peer_zeromq.c: ZeroMQ, ipc, push and pull. See peer_sockets.h. */
#include <zmq.h>

#include "peer_sockets.h"

static void *context, *end;

static void peer_open(const char *address, int listens)
{
    context = zmq_ctx_new();
    end = context ? zmq_socket(context, listens ? ZMQ_PULL : ZMQ_PUSH) : NULL;
    if (!end || (listens ? zmq_bind(end, address) : zmq_connect(end, address)) != 0)
        bench_die("ZeroMQ: %s", zmq_strerror(zmq_errno()));
}

static void peer_send(const char *message)
{
    if (zmq_send(end, message, BENCH_MESSAGE, 0) != BENCH_MESSAGE)
        bench_die("ZeroMQ: %s", zmq_strerror(zmq_errno()));
}

static void peer_receive(char *buffer)
{
    if (zmq_recv(end, buffer, BENCH_MESSAGE, 0) != BENCH_MESSAGE)
        bench_die("ZeroMQ: %s", zmq_strerror(zmq_errno()));
}

static void peer_close(void)
{
    zmq_close(end);
    zmq_ctx_term(context);
}

int main(int argc, char **argv)
{
    return peer_main(argc, argv, "peer_zeromq sleeping COUNT INTERVAL_NS | flow COUNT");
}
