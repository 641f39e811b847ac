"""A proxy that does to a TCP connection what networks do: cut it, stall it, slow it down, lose one direction of it.

It stands between the gateway and a real broker and understands nothing of what it carries, so TLS passes as it is. One
thread of its own moves all bytes; every method may be called from the test's thread, and has taken effect when it
returns. What is set holds for the open connections and for those to come, until it is set anew.
"""
from __future__ import annotations

import contextlib
import queue
import selectors
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from harness import free_port

CHUNK = 65536
"""Bytes taken at a time, and held at most in each direction of a connection: small, so that a stall is felt at once."""

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with a time of 0: close() sends RST (socket(7))."""


class Direction:
    """One direction of a connection: what has been read and not yet been written."""

    def __init__(self, source: socket.socket, sink: socket.socket, upward: bool) -> None:
        self.source, self.sink, self.upward = source, sink, upward
        self.waiting: deque[tuple[float, bytes]] = deque()
        self.held = 0
        self.carried = 0
        """Bytes written to the sink."""
        self.seen = 0
        """Bytes read from the source."""
        self.record = bytearray()
        """What was read, when the proxy records."""
        self.ended = False
        """The source has sent its last byte."""
        self.passed = False
        """The sink has been told so."""
        self.budget_at = time.monotonic()


class Connection:
    """A connection through the proxy."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client, self.server = client, server
        self.up, self.down = Direction(client, server, True), Direction(server, client, False)
        self.began = time.monotonic()
        self.open = True

    def close(self, reset: bool = False) -> None:
        if not self.open:
            return
        self.open = False
        for end in (self.client, self.server):
            if reset:
                with contextlib.suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            end.close()


class Proxy:
    """Listens on a loopback port of its own and passes connections on to `port`. Use it as a context, or call `end`."""

    def __init__(self, port: int, tls: bool = False, record: bool = False) -> None:
        self.target = port
        self.tls = tls
        self.record = record
        self.connections: list[Connection] = []
        """All there ever were, in order."""
        self.port = free_port()
        self._mode = "forward"
        self._delay = 0.0
        self._rate = 0.0
        self._drop_after: int | None = None
        self._kick: str | None = None
        self._listener: socket.socket | None = None
        self._calls: queue.SimpleQueue[tuple[Callable[[], None], threading.Event]] = queue.SimpleQueue()
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._running = True
        self._listen()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._thread.start()

    def __enter__(self) -> "Proxy":
        return self

    def __exit__(self, *_: Any) -> None:
        self.end()

    @property
    def uri(self) -> str:
        return f"{'mqtts' if self.tls else 'mqtt'}://127.0.0.1:{self.port}"

    # ---- What a test can do to the connections ----

    def cut(self) -> int:
        """Reset every open connection, on both sides. Returns how many there were."""
        counted: list[int] = []

        def cut_all() -> None:
            open_now = [connection for connection in self.connections if connection.open]
            for connection in open_now:
                connection.close(reset=True)
            counted.append(len(open_now))
        self._do(cut_all)
        return counted[0]

    def half_close(self) -> None:
        """Tell every client that nothing more will come, and go on taking what it sends."""
        def close_half() -> None:
            for connection in self.connections:
                if connection.open:
                    connection.client.shutdown(socket.SHUT_WR)
                    connection.down.ended = connection.down.passed = True
                    connection.down.waiting.clear()
        self._do(close_half)

    def stall(self) -> None:
        """Neither read nor write any more, and keep all connections open: what is sent fills the buffers and stays
        there."""
        self._set(_mode="stall")

    def swallow(self) -> None:
        """Take all that clients send and lose it; answer nothing. Sends go on to succeed."""
        self._set(_mode="swallow")

    def resume(self) -> None:
        """End stall, swallow, delay, throttle, drop_after and kick."""
        self._set(_mode="forward", _delay=0.0, _rate=0.0, _drop_after=None, _kick=None)

    def delay(self, seconds: float) -> None:
        """Hold every byte back for so long, in both directions."""
        self._set(_delay=seconds)

    def throttle(self, bytes_per_second: float) -> None:
        """Carry no more than that, in each direction."""
        self._set(_rate=bytes_per_second)

    def drop_after(self, count: int) -> None:
        """Of each connection carry `count` bytes up; from then on lose what comes from either side."""
        self._set(_drop_after=count)

    def kick(self, when: str | None) -> None:
        """Close each connection "accepted" at once, or "answered" when the server's first bytes have gone down."""
        assert when in (None, "accepted", "answered")
        self._set(_kick=when)

    def refuse(self) -> None:
        """Do not listen any more: connections are refused. Open ones stay."""
        def close_listener() -> None:
            if self._listener:
                self._selector.unregister(self._listener)
                self._listener.close()
                self._listener = None
        self._do(close_listener)

    def listen(self) -> None:
        """Listen again, on the same port."""
        def open_listener() -> None:
            if not self._listener:
                self._listen()
                self._selector.register(self._listener, selectors.EVENT_READ)
        self._do(open_listener)

    def open_count(self) -> int:
        return sum(connection.open for connection in self.connections)

    def end(self) -> None:
        """Close everything. May be called twice."""
        if not self._thread.is_alive():
            return

        def stop() -> None:
            self._running = False
        self._do(stop)
        self._thread.join()
        for connection in self.connections:
            connection.close()
        if self._listener:
            self._listener.close()
        self._selector.close()
        self._wake_in.close()
        self._wake_out.close()

    # ---- The thread ----

    def _do(self, function: Callable[[], None]) -> None:
        """Run `function` in the proxy's thread; returns when it is done."""
        done = threading.Event()
        self._calls.put((function, done))
        self._wake_out.send(b"x")
        assert done.wait(30), "the proxy's thread hangs"

    def _set(self, **values: Any) -> None:
        self._do(lambda: self.__dict__.update(values))

    def _listen(self) -> None:
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", self.port))
        self._listener.listen(64)
        self._listener.setblocking(False)

    def _run(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wake_in, selectors.EVENT_READ)
        self._selector.register(self._listener, selectors.EVENT_READ)
        while self._running:
            wait = self._interest()
            ready = {key.fileobj for key, _ in self._selector.select(wait)}
            if self._wake_in in ready:
                self._wake_in.recv(CHUNK)
                while not self._calls.empty():
                    function, done = self._calls.get()
                    function()
                    done.set()
                continue
            if self._listener in ready:
                self._accept()
            for connection in self.connections:
                if connection.open:
                    self._move(connection)

    def _interest(self) -> float | None:
        """Tell the selector what can be done now. Returns how long until more can; None: it must be told."""
        wanted: dict[socket.socket, int] = {}
        wait: float | None = None
        now = time.monotonic()
        for connection in self.connections:
            if not connection.open:
                continue
            for direction in (connection.up, connection.down):
                if self._reads(direction):
                    wanted[direction.source] = wanted.get(direction.source, 0) | selectors.EVENT_READ
                due = self._due(direction, now)
                if due is not None and due <= now:
                    wanted[direction.sink] = wanted.get(direction.sink, 0) | selectors.EVENT_WRITE
                elif due is not None:
                    wait = due - now if wait is None else min(wait, due - now)
        fixed = {self._wake_in, self._listener}
        for key in list(self._selector.get_map().values()):
            if key.fileobj not in fixed and key.fileobj not in wanted:
                self._selector.unregister(key.fileobj)
        for end, events in wanted.items():
            try:
                self._selector.modify(end, events)
            except KeyError:
                self._selector.register(end, events)
        return wait

    def _reads(self, direction: Direction) -> bool:
        if direction.ended or self._mode == "stall" or (self._mode == "swallow" and not direction.upward):
            return False
        return direction.held < CHUNK

    def _due(self, direction: Direction, now: float) -> float | None:
        """When the next bytes may be written; None: there are none."""
        if not direction.waiting or self._mode != "forward":
            return None
        return max(direction.waiting[0][0], direction.budget_at if self._rate else now)

    def _accept(self) -> None:
        assert self._listener
        client, _ = self._listener.accept()
        server = socket.socket()
        # A server that is not there: the client's connection is reset, as by a port forwarder.
        try:
            server.connect(("127.0.0.1", self.target))
            refused = False
        except OSError:
            refused = True
        client.setblocking(False)
        server.setblocking(False)
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(client, server)
        self.connections.append(connection)
        if refused or self._kick == "accepted":
            connection.close(reset=refused)

    def _move(self, connection: Connection) -> None:
        try:
            for direction in (connection.up, connection.down):
                if connection.open and self._reads(direction):
                    self._read(connection, direction)
                if connection.open:
                    self._write(connection, direction)
                # Not in a fault: the other side is not to notice anything.
                if (
                    connection.open
                    and direction.ended
                    and not direction.waiting
                    and not direction.passed
                    and self._mode == "forward"
                ):
                    self._pass_end(connection, direction)
        except ConnectionError:
            connection.close(reset=True)

    def _read(self, connection: Connection, direction: Direction) -> None:
        try:
            data = direction.source.recv(CHUNK)
        except BlockingIOError:
            return
        if not data:
            direction.ended = True
            return
        dropped = self._mode == "swallow"
        if self._drop_after is not None:
            if direction.upward:
                room = max(self._drop_after - direction.seen, 0)
                direction.seen += len(data)
                data = data[:room]
            else:
                dropped = dropped or connection.up.seen >= self._drop_after
        else:
            direction.seen += len(data)
        if dropped or not data:
            return
        if self.record:
            direction.record += data
        direction.waiting.append((time.monotonic() + self._delay, data))
        direction.held += len(data)

    def _write(self, connection: Connection, direction: Direction) -> None:
        now = time.monotonic()
        due = self._due(direction, now)
        if due is None or due > now:
            return
        when, data = direction.waiting.popleft()
        # A throttled direction goes in steps of a twentieth of a second.
        part = data[:max(int(self._rate / 20), 1)] if self._rate else data
        try:
            sent = direction.sink.send(part)
        except BlockingIOError:
            sent = 0
        direction.carried += sent
        direction.held -= sent
        if self._rate:
            direction.budget_at = now + sent / self._rate
        if sent < len(data):
            direction.waiting.appendleft((when, data[sent:]))
        if not direction.upward and self._kick == "answered":
            connection.close()

    @staticmethod
    def _pass_end(connection: Connection, direction: Direction) -> None:
        """The source has closed and all it sent is delivered: so does the sink; with both directions ended, all is
        over."""
        direction.passed = True
        with contextlib.suppress(OSError):
            direction.sink.shutdown(socket.SHUT_WR)
        if connection.up.ended and connection.down.ended:
            connection.close()
