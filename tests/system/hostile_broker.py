"""A broker that means ill: it takes the connection as MQTT 5 or 3.1.1 wants it, and then sends what no broker
should."""
from __future__ import annotations

import contextlib
import random
import socket
import threading
from collections.abc import Iterator

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, PINGREQ, PINGRESP = 1, 2, 3, 4, 8, 9, 12, 13
"""Packet types (MQTT 5, 2.1.2)."""
USER_PROPERTY = b"\x26"


def number(value: int) -> bytes:
    """A variable byte integer (MQTT 5, 1.5.5)."""
    digits = bytearray()
    while True:
        digits.append(value % 128 | (128 if value > 127 else 0))
        value //= 128
        if value == 0:
            return bytes(digits)


def text(value: bytes) -> bytes:
    return len(value).to_bytes(2, "big") + value


def packet(kind: int, body: bytes, flags: int = 0) -> bytes:
    return bytes([kind << 4 | flags]) + number(len(body)) + body


def publish(version: int, topic: bytes, payload: bytes, properties: bytes = b"") -> bytes:
    """A PUBLISH with QoS 0."""
    return packet(PUBLISH, text(topic) + (number(len(properties)) + properties if version == 5 else b"") + payload)


Attack = tuple[str, bytes]
"""What is sent on one connection: its name, and the bytes."""


def chosen_attacks(version: int, seed: int) -> Iterator[Attack]:
    """Packets made to do harm."""
    chance = random.Random(seed)
    yield "a packet of 256 MB that does not come", b"\x30\xff\xff\xff\x7f" + text(b"test/in") + b"x" * 1_000_000
    yield "a length without an end", b"\x30" + b"\xff" * 100
    yield "the longest topic", publish(version, b"test/" + b"x" * 65530, b"")
    yield "the deepest topic", publish(version, b"test" + b"/" * 65531, b"")
    yield "a topic longer than its packet", packet(PUBLISH, b"\xff\xffx")
    if version == 5:
        property_ = USER_PROPERTY + text(b"key") + text(b"value")
        yield "a property 20,000 times", publish(version, b"test/in", b"", property_ * 20_000)
        yield "properties longer than their packet", packet(PUBLISH, text(b"test/in") + number(1_000_000) + property_)
    yield "only bits", chance.randbytes(100_000)
    yield "a topic that is not UTF-8", publish(version, b"test/\xff\xfe\xc0\x80", b"")
    yield "a topic with a NUL", publish(version, b"test/\0in", b"")
    yield "a topic with wildcards", publish(version, b"test/#/+", b"")
    yield "an empty topic", publish(version, b"", b"")
    yield "QoS 3", packet(PUBLISH, text(b"test/in") + b"\0\1\0x", 6)
    yield "an answer to nothing", b"".join(packet(kind, b"\xff\xff") for kind in (PUBACK, 5, 7, 11)) + packet(
        6, b"\xff\xff", 2
    )
    yield "a second CONNACK", packet(CONNACK, b"\0\0\0" if version == 5 else b"\0\0")
    if version == 5:
        yield "a property that nobody knows", publish(version, b"test/in", b"", b"\x7f" * 100)
        yield "a property cut off", publish(version, b"test/in", b"", property_[:-3])
        yield "a reason for a goodbye, cut off", packet(14, b"\x8d" + number(100) + b"\x1f\xff\xff")


def blind_attacks(seed: int) -> Iterator[Attack]:
    """Each type of packet with too little in it, and with anything."""
    chance = random.Random(seed)
    for kind in range(16):
        yield f"packet type {kind} without a body", packet(kind, b"")
        yield f"packet type {kind} of one byte", packet(kind, b"\xff")
        yield f"packet type {kind} of bits", packet(kind, chance.randbytes(40), chance.randrange(16))


class HostileBroker:
    """Sends one attack a connection, ends it, and waits for the next; after the last one it is as good as any
    broker."""

    def __init__(self, version: int, attacks: list[Attack]) -> None:
        self.version = version
        self.attacks = [name for name, _ in attacks]
        self.left = list(attacks)
        self.present = "nothing yet"
        self.outgoing = publish(version, b"test/in", b"as ever")
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.client: socket.socket | None = None
        self.ended = False
        self.thread = threading.Thread(target=self._run, name="hostile broker", daemon=True)
        self.thread.start()

    def end(self) -> None:
        self.ended = True
        # Closing them alone would not end a call that waits.
        for end in (self.listener, self.client):
            if end:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.listener.close()

    def _run(self) -> None:
        while not self.ended:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.client = client
            with client, contextlib.suppress(OSError, EOFError):
                self._serve(client)

    @staticmethod
    def _exactly(client: socket.socket, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = client.recv(size - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    def _receive(self, client: socket.socket) -> tuple[int, bytes]:
        head, size, shift = self._exactly(client, 1)[0], 0, 0
        while True:
            digit = self._exactly(client, 1)[0]
            size |= (digit & 127) << shift
            shift += 7
            if digit < 128:
                return head, self._exactly(client, size)

    def _serve(self, client: socket.socket) -> None:
        five = self.version == 5
        while True:
            head, body = self._receive(client)
            if head >> 4 == CONNECT:
                client.sendall(packet(CONNACK, b"\0\0\0" if five else b"\0\0"))
            elif head >> 4 == SUBSCRIBE:
                client.sendall(packet(SUBACK, body[:2] + (b"\0" if five else b"") + b"\1"))
                if not self.left:
                    client.sendall(self.outgoing)
                    continue
                self.present, data = self.left.pop(0)
                client.sendall(data)
                client.shutdown(socket.SHUT_WR)
                while client.recv(65536):
                    pass
                return
            elif head >> 4 == PUBLISH and head & 6:
                topic_size = int.from_bytes(body[:2], "big")
                client.sendall(packet(PUBACK, body[2 + topic_size:4 + topic_size]))
            elif head >> 4 == PINGREQ:
                client.sendall(packet(PINGRESP, b""))
