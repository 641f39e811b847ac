"""The fault proxy itself does what it says: a test that relies on a fault must not pass because there was none."""
from __future__ import annotations

import socket
import threading
import time

import pytest

from harness import LIMIT, free_port, wait_until
from proxy import Proxy


class Echo:
    """A server that sends back what it gets."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.received = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                end, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(end,), daemon=True).start()

    def _serve(self, end: socket.socket) -> None:
        with end:
            try:
                while data := end.recv(4096):
                    self.received += len(data)
                    end.sendall(data)
            except OSError:
                pass


@pytest.fixture
def echo():
    server = Echo()
    yield server
    server.listener.close()


@pytest.fixture
def proxy(echo):
    with Proxy(echo.port) as made:
        yield made


def connect(proxy: Proxy) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", proxy.port), timeout=LIMIT)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def receive(client: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = client.recv(count - len(data))
        assert part, f"closed after {data!r}"
        data += part
    return data


def is_silent(client: socket.socket) -> bool:
    """Nothing comes within a moment. A proxy that forwards would have answered long before."""
    client.settimeout(0.2)
    try:
        client.recv(1)
        return False
    except TimeoutError:
        return True
    finally:
        client.settimeout(LIMIT)


def test_bytes_pass_both_ways(proxy):
    """Without a fault a proxy is not felt, whatever the size."""
    data = bytes(range(256)) * 3001
    with connect(proxy) as client:
        threading.Thread(target=client.sendall, args=(data,), daemon=True).start()
        assert receive(client, len(data)) == data
    wait_until(lambda: proxy.open_count() == 0, "the end to pass")
    assert proxy.connections[0].up.carried == proxy.connections[0].down.carried == len(data)


def test_cut_resets_the_connection(proxy):
    """A cut is a RST at the client, and the next connection works."""
    with connect(proxy) as client:
        client.sendall(b"x")
        receive(client, 1)
        assert proxy.cut() == 1
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    with connect(proxy) as client:
        client.sendall(b"y")
        assert receive(client, 1) == b"y"


def test_stall_moves_nothing_and_resume_everything(proxy, echo):
    """In a stall nothing arrives, sends end up in full buffers, and afterwards all of it comes."""
    with connect(proxy) as client:
        client.sendall(b"x")
        receive(client, 1)
        proxy.stall()
        client.sendall(b"later")
        assert is_silent(client) and echo.received == 1
        client.setblocking(False)
        with pytest.raises(BlockingIOError):
            for _ in range(10000):
                client.send(bytes(65536))
        client.settimeout(LIMIT)
        proxy.resume()
        assert receive(client, 5) == b"later"



def test_swallow_takes_everything_and_answers_nothing(proxy, echo):
    """Swallowed sends succeed for as long as one likes, and the server sees none of them."""
    with connect(proxy) as client:
        client.sendall(b"x")
        receive(client, 1)
        proxy.swallow()
        client.sendall(bytes(32 << 20))
        assert is_silent(client) and echo.received == 1 and proxy.open_count() == 1


def test_delay_holds_back(proxy):
    """What is delayed comes, and not before its time."""
    proxy.delay(0.3)
    with connect(proxy) as client:
        began = time.monotonic()
        client.sendall(b"x")
        assert receive(client, 1) == b"x" and time.monotonic() - began >= 0.6


def test_throttle_limits_the_rate(proxy):
    """2000 bytes at 10000 a second take at least 0.15 s a way."""
    proxy.throttle(10000)
    with connect(proxy) as client:
        began = time.monotonic()
        client.sendall(bytes(2000))
        assert receive(client, 2000) == bytes(2000) and time.monotonic() - began >= 0.15


def test_half_close_ends_one_direction(proxy, echo):
    """After a half-close the client reads the end, and what it sends still arrives."""
    with connect(proxy) as client:
        client.sendall(b"x")
        receive(client, 1)
        proxy.half_close()
        assert client.recv(1) == b""
        client.sendall(b"more")
        wait_until(lambda: echo.received == 5, "the bytes after the half-close")


def test_drop_after_loses_the_rest(proxy, echo):
    """From byte N on nothing arrives, and nothing comes back either."""
    proxy.drop_after(3)
    with connect(proxy) as client:
        client.sendall(b"abcdef")
        wait_until(lambda: echo.received == 3, "the first three")
        client.sendall(b"ghi")
        assert is_silent(client) and echo.received == 3


def test_refuse_and_listen_again(proxy):
    """A refusing proxy is an unused port; afterwards it is the same one again."""
    port = proxy.port
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)
    proxy.listen()
    assert proxy.port == port
    with connect(proxy) as client:
        client.sendall(b"x")
        assert receive(client, 1) == b"x"


@pytest.mark.parametrize("when, answer", [("accepted", b""), ("answered", b"x")])
def test_kick_closes_after_accepting(proxy, when, answer):
    """A kicked client is connected, perhaps answered, and then out."""
    proxy.kick(when)
    # A client that is slow to look finds the connection gone: already in connect(), or when it sends.
    try:
        with connect(proxy) as client:
            client.sendall(b"x")
            assert client.recv(2) == answer and client.recv(1) == b""
    except (ConnectionResetError, BrokenPipeError):
        assert when == "accepted"


def test_absent_server_is_a_reset():
    """Behind the proxy nobody listens: the connection is reset at once, sometimes before connect() has returned."""
    with Proxy(free_port()) as proxy, pytest.raises(ConnectionResetError), connect(proxy) as client:
        client.recv(1)
