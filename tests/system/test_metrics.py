"""The counters for Prometheus: what they say, who may ask, and what it costs when somebody asks badly."""
from __future__ import annotations

import signal
import socket
import stat
import subprocess
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from harness import LIMIT, free_port, publish_channel, subscribe_channel, wait_until

CLIENTS = 4
"""Places for connections; METRICS_CLIENTS in gateway/observe/metrics.h."""
REQUEST_MAX = 4096
"""Bytes of a request; METRICS_HTTP_REQUEST in gateway/observe/metrics_http.h."""


def listening(gateway, listen: str):
    """The gateway, with its metrics there; not yet started."""
    gateway.metrics = {"listen": listen}
    gateway.write_config()
    return gateway


def connect(listen: str) -> socket.socket:
    if listen.startswith("unix:"):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(LIMIT)
        client.connect(listen[5:])
        return client
    host, port = listen.rsplit(":", 1)
    return socket.create_connection((host.strip("[]"), int(port)), timeout=LIMIT)


def ask(listen: str, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send a request; returns status, headers and body of the answer, which must end the connection."""
    with connect(listen) as client:
        client.sendall(request)
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    assert first.startswith("HTTP/1.1 ") and headers["Connection"] == "close", head
    return int(first.split()[1]), headers, body


def curl(listen: str) -> str:
    """What curl gets of /metrics."""
    where = (
        ["--unix-socket", listen[5:], "http://localhost/metrics"]
        if listen.startswith("unix:")
        else [f"http://{listen}/metrics"]
    )
    done = subprocess.run(
        ["curl", "--silent", "--show-error", "--fail", "--noproxy", "*", "-g", *where],
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert done.returncode == 0, done
    return done.stdout


def samples(text: str) -> dict[tuple, float]:
    """Value by name and sorted labels, as Prometheus' own parser understands them."""
    found = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation and family.type != "unknown", family
        for sample in family.samples:
            key = (sample.name, *sorted(sample.labels.items()))
            assert key not in found, key
            found[key] = sample.value
    return found


def value(found: dict[tuple, float], name: str, **labels: str) -> float:
    return found[(name, *sorted(labels.items()))]


def check_against(gateway, listen: str) -> dict[tuple, float]:
    """The metrics say the same as the ledger, of every channel of a quiet gateway."""
    found, stats = samples(curl(listen)), gateway.stats()
    for channel in stats["channels"]:
        labels = {"channel": channel["name"], "direction": channel["direction"]}
        assert value(found, "shmgate_messages_written_total", **labels) == channel["written"]
        assert value(found, "shmgate_messages_delivered_total", **labels) == channel["delivered"]
        assert value(found, "shmgate_messages_queued", **labels) == channel["queued"]
        assert value(found, "shmgate_messages_spooled", **labels) == channel["spooled"]
        assert value(found, "shmgate_writes_rejected_total", **labels) == channel["rejected"]
        dropped = {dict(key[1:])["reason"]: number for key, number in found.items()
                   if key[0] == "shmgate_messages_dropped_total" and ("channel", channel["name"]) in key}
        assert (
            "overwritten" in dropped
            and {reason: number for reason, number in dropped.items() if number} == channel["dropped"]
        )
    assert value(found, "shmgate_link_up") == (stats["link"] == "up")
    assert value(found, "shmgate_spool_state", state=stats["spool"]["state"]) == 1
    assert sum(number for key, number in found.items() if key[0] == "shmgate_spool_state") == 1
    return found


@pytest.mark.parametrize("kind", ["unix", "127.0.0.1", "[::1]"])
def test_metrics_are_the_ledger(new_gateway, broker, socket_path, kind):
    """On each kind of address curl gets, in a form that Prometheus' parser takes, the counters of the ledger, with the
    link up, and down."""
    listen = f"unix:{socket_path}" if kind == "unix" else f"{kind}:{free_port()}"
    gateway = listening(
        new_gateway(
            publish_channel(),
            subscribe_channel(max_payload=8),
            publish_channel("tight", overflow="reject", slots=2),
            broker=broker,
        ),
        listen,
    ).start()
    for payload in (b"a", b"b"):
        gateway.write("out", payload)
    broker.publish("test/in", "small")
    broker.publish("test/in", "larger than eight bytes")
    gateway.wait_for_delivery("out", 2)
    wait_until(lambda: gateway.channel("in")["written"] == 2, gateway.log)
    found = check_against(gateway, listen)
    assert value(found, "shmgate_messages_dropped_total", channel="in", direction="subscribe", reason="too_large") == 1
    assert 1e9 < value(found, "process_start_time_seconds") < 1e10
    assert any(key[0] == "shmgate_build_info" and ("segment", gateway.segment) in key for key in found)
    if kind == "unix":
        # They are shown once a second.
        wait_until(lambda: "latency_us" in gateway.channel("out"), "latencies to be shown")
        found = check_against(gateway, listen)
        median = value(
            found, "shmgate_latency_seconds", channel="out", direction="publish", stage="write_to_send", quantile="0.5"
        )
        greatest = value(
            found, "shmgate_latency_seconds", channel="out", direction="publish", stage="write_to_send", quantile="1"
        )
        assert 0 < median <= greatest < LIMIT
        assert stat.S_IMODE(socket_path.stat().st_mode) == 0o660
        broker.stop()
        gateway.wait_for_link("down")
        gateway.tool("write", "tight", "-l", input=b"1\n2\n")
        found = check_against(gateway, listen)
        assert value(found, "shmgate_messages_queued", channel="tight", direction="publish") == 2
        gateway.stop()
        assert not socket_path.exists()


@pytest.mark.sanitized
def test_requests_are_answered_by_their_kind(new_gateway, socket_path):
    """GET and HEAD of /metrics are answered, in whatever pieces they come; another path, another method, no HTTP and a
    request without an end are refused with what HTTP has for it."""
    listen = f"unix:{socket_path}"
    listening(new_gateway(publish_channel(), mqtt={"uri": f"mqtt://127.0.0.1:{free_port()}"}), listen).start(link=False)
    status, headers, body = ask(listen, b"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n")
    assert status == 200 and headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert int(headers["Content-Length"]) == len(body) and samples(body.decode())
    assert ask(listen, b"GET /metrics?x=y HTTP/1.0\n\n")[0] == 200
    assert ask(listen, b"HEAD /metrics HTTP/1.1\r\n\r\n")[::2] == (200, b"")
    with connect(listen) as client:
        for byte in b"GET /metrics HTTP/1.1\r\n\r\n":
            client.sendall(bytes([byte]))
        assert client.recv(15) == b"HTTP/1.1 200 OK"
    for path in (b"/", b"/metricsx", b"/metrics/../etc/passwd", b"/%n%s%s%n"):
        assert ask(listen, b"GET " + path + b" HTTP/1.1\r\n\r\n")[0] == 404
    for method in (b"POST", b"PUT", b"DELETE", b"get", b"X" * 3000):
        assert ask(listen, method + b" /metrics HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello")[0] == 405
    for junk in (
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /metrics\r\n\r\n",
        b"GET metrics HTTP/1.1\r\n\r\n",
        b"GET /metrics HTTP/2.0\r\n\r\n",
        b"GET /metrics HTTP/1.1 more\r\n\r\n",
        bytes(range(256)) + b"\n\n",
        b"\0" * 100 + b"\r\n\r\n",
        b"GET /" + b"x" * REQUEST_MAX,
        b"GET /metrics HTTP/1.1\r\n" + b"X: y\r\n" * 5000,
    ):
        assert ask(listen, junk)[0] == 400, junk[:60]


def test_hostile_clients_hold_nobody_up(new_gateway, broker, socket_path):
    """While more clients than there are places send nothing, half a request, or never read, messages flow as ever and
    memory does not grow; each client is thrown out in time, and the next scrape gets its answer."""
    listen = f"unix:{socket_path}"
    gateway = listening(new_gateway(publish_channel(), broker=broker), listen).start()
    curl(listen)
    before = resident_kib(gateway.pid)
    clients = [connect(listen) for _ in range(CLIENTS)]
    for client, request in zip(
        clients, (b"", b"GET /met", b"GET /metrics HTTP/1.1\r\n\r\n", b"POST / HTTP/1.1\r\n\r\n"), strict=True
    ):
        client.sendall(request)
    for number in range(20):
        gateway.write("out", b"%d" % number)
    gateway.wait_for_delivery("out", 20)
    # All places are taken; this one waits in the kernel's queue until they are free again.
    check_against(gateway, listen)
    for client in clients:
        client.settimeout(LIMIT)
        while client.recv(65536):
            pass
        client.close()
    assert resident_kib(gateway.pid) - before < 1_000


def resident_kib(pid: int) -> int:
    return int(Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()[0])


def wake_ups(gateway) -> int | None:
    """How often the metrics' thread has gone to sleep; None: there is no such thread."""
    for task in Path(f"/proc/{gateway.pid}/task").iterdir():
        if (task / "comm").read_text() == "metrics\n":
            return int((task / "status").read_text().split("\nvoluntary_ctxt_switches:")[1].split()[0])
    return None


def test_metrics_cost_nothing_until_asked(new_gateway, broker, socket_path):
    """Without [metrics] there is no thread; with it, the thread does not wake up for any message."""
    gateway = new_gateway(publish_channel(), broker=broker).start()
    assert wake_ups(gateway) is None
    listen = f"unix:{socket_path}"
    reload(listening(gateway, listen))
    curl(listen)
    before = settled(gateway)
    for number in range(50):
        gateway.write("out", b"%d" % number)
    gateway.wait_for_delivery("out", 50)
    assert wake_ups(gateway) == before


def settled(gateway) -> int:
    """Its wake-ups, when it has seen its last client go."""
    last = [-1]

    def is_settled() -> bool:
        last.append(wake_ups(gateway))
        return len(last) > 4 and last[-4] == last[-1]
    wait_until(is_settled, "the metrics' thread to sleep", interval=0.05)
    return last[-1]


def reload(gateway) -> str:
    """SIGHUP with the configuration as it stands; returns what the gateway has told the service manager at the end."""
    ready = sum("READY=1" in text for text in gateway.notifications())
    gateway.process.send_signal(signal.SIGHUP)
    wait_until(lambda: sum("READY=1" in text for text in gateway.notifications()) > ready, gateway.log)
    return [text for text in gateway.notifications() if "READY=1" in text][-1]


def test_reload_moves_the_listener(new_gateway, broker, socket_path):
    """A reload opens, moves and closes the listener, with the connection to the broker kept; an address that cannot be
    had is a fault, and what was served before is served on; a new segment needs no word."""
    unix, port = f"unix:{socket_path}", f"127.0.0.1:{free_port()}"
    gateway = new_gateway(publish_channel(), broker=broker).start()
    reload(listening(gateway, port))
    check_against(gateway, port)
    reload(listening(gateway, unix))
    check_against(gateway, unix)
    with pytest.raises(ConnectionRefusedError):
        connect(port)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert "reload failed" in reload(listening(gateway, f"127.0.0.1:{taken.getsockname()[1]}"))
    assert (
        "could not serve metrics: listen=127.0.0.1:" in gateway.log()
        and "the running configuration stays" in gateway.log()
    )
    gateway.channels[0]["slots"] = 64
    gateway.write("out", b"before")
    gateway.wait_for_delivery("out", 1)
    reload(listening(gateway, unix))
    gateway.write("out", b"after")
    gateway.wait_for_delivery("out", 2)
    check_against(gateway, unix)
    # A file that somebody has taken away comes back.
    socket_path.unlink()
    reload(gateway)
    check_against(gateway, unix)
    gateway.metrics = {}
    gateway.write_config()
    reload(gateway)
    assert not socket_path.exists() and wake_ups(gateway) is None
    assert gateway.log().count(" connected: ") == 1


def test_socket_of_a_killed_gateway_is_replaced(new_gateway, broker, socket_path):
    """After kill -9 the next start takes the socket's place; a socket that answers and a file that is none are refused
    by name, and stay."""
    listen = f"unix:{socket_path}"
    gateway = listening(new_gateway(publish_channel(), broker=broker), listen).start()
    gateway.kill()
    assert socket_path.is_socket()
    gateway.start()
    check_against(gateway, listen)
    second = listening(
        new_gateway(publish_channel(), broker=broker, mqtt={"client_id": "second"}, name=gateway.segment + "-2"), listen
    )
    second.launch()
    assert second.wait_for_end() == 1
    assert f"could not serve metrics: listen={listen}: somebody else listens there" in second.log()
    check_against(gateway, listen)
    gateway.stop()
    socket_path.write_text("a file of somebody's")
    second.launch()
    assert second.wait_for_end() == 1
    assert listen in second.log() and socket_path.read_text() == "a file of somebody's"


@pytest.mark.parametrize(
    "listen",
    [
        "0.0.0.0:9464",
        "192.168.1.1:9464",
        "[::]:9464",
        "localhost:9464",
        "127.0.0.1",
        "127.0.0.1:0",
        "127.0.0.1:65536",
        "9464",
        "unix:metrics.sock",
        "unix:/" + "x" * 108,
        "unix:",
        "unix:/run/",
    ],
)
def test_other_addresses_are_faults(new_gateway, listen):
    """What is no Unix socket and no loopback port is a fault, at its file and line."""
    gateway = listening(new_gateway(publish_channel(), mqtt={"uri": "mqtt://127.0.0.1"}), listen)
    done = subprocess.run(
        [str(gateway.build.shmgated), "--config", str(gateway.config), "--check"],
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    line = gateway.config.read_text().split("\n").index(f"listen = {listen}") + 1
    assert done.returncode == 1 and done.stdout.startswith(f"{gateway.config}:{line}: listen "), done
