/* raw_mqtt.c: as little MQTT 3.1.1 as a comparison needs. See raw_mqtt.h. Section numbers are those of its
 * specification. */
#include "raw_mqtt.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"

#define BUFFER (1024 * 1024)
#define PACKET_MAX \
    (192 * 1024) /* bytes of any packet that is sent here, and that the broker may send: frames have up to 128 KiB */
#define ANSWER_MS 10000

struct raw_connection {
    int fd;
    unsigned char out[BUFFER], in[BUFFER];
    size_t out_size, in_first, in_last;
};

static size_t put_string(unsigned char *to, const char *string)
{
    size_t size = strlen(string);

    to[0] = (unsigned char)(size >> 8);
    to[1] = (unsigned char)size;
    memcpy(to + 2, string, size);
    return size + 2;
}

/* Begin a packet whose body has `size` bytes; returns where the body goes. */
static unsigned char *begin_packet(struct raw_connection *connection, unsigned first, size_t size)
{
    unsigned char *to;

    if (size + 5 > PACKET_MAX)
        bench_die("a packet of %zu bytes is too long", size);
    if (connection->out_size + size + 5 > BUFFER)
        raw_flush(connection);
    to = connection->out + connection->out_size;
    *to++ = (unsigned char)first;
    /* Remaining length, 2.2.3. */
    for (size_t rest = size; rest > 0 || size == 0; rest >>= 7) {
        *to++ = (unsigned char)((rest & 127) | (rest > 127 ? 128 : 0));
        if (rest <= 127)
            break;
    }
    connection->out_size = (size_t)(to - connection->out) + size;
    return to;
}

void raw_flush(struct raw_connection *connection)
{
    size_t sent = 0;

    while (sent < connection->out_size) {
        ssize_t count = send(connection->fd, connection->out + sent, connection->out_size - sent, MSG_NOSIGNAL);

        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            bench_die("send to the broker: %s", strerror(errno));
        sent += (size_t)count;
    }
    connection->out_size = 0;
}

static void expect(struct raw_connection *connection, enum raw_kind kind)
{
    struct raw_packet packet;

    raw_flush(connection);
    do {
        if (!raw_receive(connection, &packet, ANSWER_MS))
            bench_die("the broker does not answer");
    } while (packet.kind != kind);
    if (packet.size == 0 || packet.body[packet.size - 1] >= 0x80 || (kind == RAW_CONNACK && packet.body[1] != 0))
        bench_die("the broker refuses");
}

struct raw_connection *raw_connect(unsigned port, const char *client, int clean)
{
    struct raw_connection *connection = calloc(1, sizeof(*connection));
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    static const unsigned char head[] = {0, 4, 'M', 'Q', 'T', 'T', 4};
    unsigned char *to;
    int on = 1;

    if (!connection || (connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) < 0 ||
        connect(connection->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        bench_die("connect to port %u: %s", port, strerror(errno));
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    /* 3.1: protocol, level, flags, keep-alive (0: none), client. */
    to = begin_packet(connection, 0x10, sizeof(head) + 3 + 2 + strlen(client));
    memcpy(to, head, sizeof(head));
    to += sizeof(head);
    *to++ = clean ? 2 : 0;
    *to++ = 0;
    *to++ = 0;
    put_string(to, client);
    expect(connection, RAW_CONNACK);
    return connection;
}

void raw_subscribe(struct raw_connection *connection, const char *topic, unsigned qos)
{
    unsigned char *to = begin_packet(connection, 0x82, 2 + 2 + strlen(topic) + 1);

    *to++ = 0;
    *to++ = 1;
    to += put_string(to, topic);
    *to = (unsigned char)qos;
    expect(connection, RAW_SUBACK);
}

void raw_publish(struct raw_connection *connection, const char *topic, unsigned qos, uint16_t identifier,
                 const void *payload, size_t size)
{
    unsigned char *to = begin_packet(connection, 0x30 | qos << 1, 2 + strlen(topic) + (qos ? 2 : 0) + size);

    to += put_string(to, topic);
    if (qos) {
        *to++ = (unsigned char)(identifier >> 8);
        *to++ = (unsigned char)identifier;
    }
    memcpy(to, payload, size);
}

void raw_acknowledge(struct raw_connection *connection, uint16_t identifier)
{
    unsigned char *to = begin_packet(connection, 0x40, 2);

    to[0] = (unsigned char)(identifier >> 8);
    to[1] = (unsigned char)identifier;
}

/* Bytes of the packet that begins at in_first: 0 when it is not whole yet. *head has the bytes of its fixed header. */
static size_t whole(const struct raw_connection *connection, size_t *head)
{
    const unsigned char *at = connection->in + connection->in_first;
    size_t have = connection->in_last - connection->in_first, size = 0;

    for (size_t i = 1; i < 5 && i < have; i++) {
        size |= (size_t)(at[i] & 127) << (7 * (i - 1));
        if (at[i] & 128)
            continue;
        if (size > PACKET_MAX)
            bench_die("the broker sends a packet of %zu bytes", size);
        *head = i + 1;
        return have >= size + *head ? size + *head : 0;
    }
    return 0;
}

int raw_pending(const struct raw_connection *connection)
{
    size_t head;

    return whole(connection, &head) > 0;
}

int raw_receive(struct raw_connection *connection, struct raw_packet *packet, int timeout_ms)
{
    struct pollfd ready = {.fd = connection->fd, .events = POLLIN};
    size_t size, head = 0;

    while ((size = whole(connection, &head)) == 0) {
        ssize_t count;

        if (connection->in_last > BUFFER - 2 * PACKET_MAX || connection->in_first == connection->in_last) {
            connection->in_last -= connection->in_first;
            memmove(connection->in, connection->in + connection->in_first, connection->in_last);
            connection->in_first = 0;
        }
        if (timeout_ms >= 0 && poll(&ready, 1, timeout_ms) == 0)
            return 0;
        count = read(connection->fd, connection->in + connection->in_last, BUFFER - connection->in_last);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return 0;
        connection->in_last += (size_t)count;
    }
    packet->kind = (enum raw_kind)(connection->in[connection->in_first] >> 4);
    packet->flags = connection->in[connection->in_first] & 15;
    packet->body = connection->in + connection->in_first + head;
    packet->size = size - head;
    connection->in_first += size;
    return 1;
}

const void *raw_payload(const struct raw_packet *packet, size_t *size, uint16_t *identifier)
{
    size_t skip;

    if (packet->size < 2)
        bench_die("the broker sends a PUBLISH without a topic");
    skip = 2 + ((size_t)packet->body[0] << 8 | packet->body[1]);
    *identifier = 0;
    if (packet->flags & 6) {
        if (skip + 2 <= packet->size)
            *identifier = (uint16_t)(packet->body[skip] << 8 | packet->body[skip + 1]);
        skip += 2;
    }
    if (skip > packet->size)
        bench_die("the broker sends a PUBLISH that is too short");
    *size = packet->size - skip;
    return packet->body + skip;
}
