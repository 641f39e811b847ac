"""A broker that refuses: connections, subscriptions, messages, each with the reason code that a test wants."""
from __future__ import annotations

import contextlib
import socket
import threading
from dataclasses import dataclass, field

from hostile_broker import CONNACK, CONNECT, PINGREQ, PINGRESP, PUBACK, PUBLISH, SUBACK, SUBSCRIBE, number, packet, text

UNSUBSCRIBE, UNSUBACK, DISCONNECT = 10, 11, 14
REASON_STRING = b"\x1f"


@dataclass
class Answers:
    """What it answers from now on; a code of None: nothing."""

    connect: int | None = 0
    session_present: bool = False
    subscribe: int | None = 1
    """At most what was asked for."""
    publish: dict[str, int] = field(default_factory=dict)
    """By topic."""
    disconnect: int | None = None
    """Ends each connection so, after the gateway's "online"."""
    words: str = ""
    """A reason string beside the code (MQTT 5)."""


class RefusingBroker:
    """Accepts any number of connections; what came is in `subscribed` and `unsubscribed`."""

    def __init__(self, version: int = 5, **answers) -> None:
        self.version = version
        self.answers = Answers(**answers)
        self.subscribed: list[str] = []
        self.unsubscribed: list[str] = []
        self.clients: list[socket.socket] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.uri = f"mqtt://127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self._accept, name="refusing broker", daemon=True)
        self.thread.start()

    def end(self) -> None:
        """Closing alone would not end a call that waits."""
        for end in (self.listener, *self.clients):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.listener.close()

    def cut(self) -> None:
        """End all connections without a word."""
        for client in self.clients:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def publish(self, topic: str, payload: bytes) -> None:
        """A message of QoS 0 to all that are connected."""
        body = text(topic.encode()) + (b"\0" if self.version == 5 else b"") + payload
        for client in self.clients:
            with contextlib.suppress(OSError):
                client.sendall(packet(PUBLISH, body))

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.clients.append(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError, EOFError):
            while True:
                self._answer(client, *self._receive(client))

    def _receive(self, client: socket.socket) -> tuple[int, bytes]:
        def exactly(size: int) -> bytes:
            data = b""
            while len(data) < size:
                part = client.recv(size - len(data))
                if not part:
                    raise EOFError
                data += part
            return data

        head, size, shift = exactly(1)[0], 0, 0
        while True:
            digit = exactly(1)[0]
            size |= (digit & 127) << shift
            shift += 7
            if digit < 128:
                return head, exactly(size)

    @staticmethod
    def _close(client: socket.socket) -> None:
        """So that what was sent is read: with bytes of theirs unread the kernel would reset the connection."""
        client.shutdown(socket.SHUT_WR)
        while client.recv(65536):
            pass
        raise EOFError

    def _properties(self) -> bytes:
        """With a reason string, if there shall be one."""
        if self.version < 5:
            return b""
        words = REASON_STRING + text(self.answers.words.encode()) if self.answers.words else b""
        return number(len(words)) + words

    def _answer(self, client: socket.socket, head: int, body: bytes) -> None:
        five, answers, kind = self.version == 5, self.answers, head >> 4
        if kind == CONNECT and answers.connect is not None:
            client.sendall(packet(CONNACK, bytes([answers.session_present, answers.connect]) + self._properties()))
            if answers.connect:
                self._close(client)
        elif kind in (SUBSCRIBE, UNSUBSCRIBE):
            # MQTT 5, 3.8: identifier, properties, filter, options.
            at = 2 + (1 + body[2] if five else 0)
            size = int.from_bytes(body[at:at + 2], "big")
            name = body[at + 2:at + 2 + size].decode()
            (self.subscribed if kind == SUBSCRIBE else self.unsubscribed).append(name)
            if kind == UNSUBSCRIBE:
                client.sendall(packet(UNSUBACK, body[:2] + (b"\0\0" if five else b"")))
            elif answers.subscribe is not None:
                code = min(answers.subscribe, body[at + 2 + size] & 3) if answers.subscribe < 3 else answers.subscribe
                client.sendall(packet(SUBACK, body[:2] + (b"\0" if five else b"") + bytes([code])))
        elif kind == PUBLISH and head & 6:
            size = int.from_bytes(body[:2], "big")
            topic = body[2:2 + size].decode()
            code = answers.publish.get(topic, 0)
            client.sendall(packet(PUBACK, body[2 + size:4 + size] + (bytes([code, 0]) if five and code else b"")))
            if answers.disconnect is not None and topic.endswith("/status"):
                client.sendall(packet(DISCONNECT, bytes([answers.disconnect]) + self._properties()))
                self._close(client)
        elif kind == PINGREQ:
            client.sendall(packet(PINGRESP, b""))
