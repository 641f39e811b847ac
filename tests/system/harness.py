"""Real brokers, gateways and clients for the system tests, as objects.

No test waits for a time: `wait_until` waits for a condition, with a limit that only a broken program reaches.
"""
from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("SHMGATE_BUILD", ROOT / "build"))
LIMIT = 60.0
"""Seconds after which a condition is given up; generous, as machines may be slow."""

ASAN_OPTIONS = "exitcode=99:detect_stack_use_after_return=1:strict_string_checks=1"
UBSAN_OPTIONS = "exitcode=99:print_stacktrace=1"

Result = TypeVar("Result")


def wait_until(condition: Callable[[], Result], what: str | Callable[[], str] = "", limit: float = LIMIT,
               interval: float = 0.02) -> Result:
    """Return the first true value of `condition`; fail with `what` (text, or a function that gives it) after `limit`
    seconds."""
    end = time.monotonic() + limit
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            text = what() if callable(what) else what
            pytest.fail(f"not within {limit:g} s: {text or condition}", pytrace=True)
        time.sleep(interval)


def _ports() -> Iterator[int]:
    """TCP ports in turn, each once, from a place of chance on. They lie below those that Linux gives to outgoing
    connections (32768 and up: ip(7), ip_local_port_range), so that a port stays free while its server is down, and no
    client meets itself there. Test processes that run side by side have ports of their own."""
    worker, workers = os.environ.get("PYTEST_XDIST_WORKER", "gw0"), int(
        os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")
    )
    own = range(12000 + int(worker[2:]), 32000, workers)
    first = random.randrange(len(own))
    return itertools.chain(own[first:], own[:first])


_next_port = _ports()


def free_port() -> int:
    """A TCP port that nothing on this machine listens on now, and that was not given before."""
    for port in _next_port:
        with socket.socket() as probe, contextlib.suppress(OSError):
            # As servers do: what an earlier connection left in TIME_WAIT does not count.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    pytest.fail("no TCP port of 127.0.0.1 from 12000 to 31999 is left")


def shared_memory_names() -> set[str]:
    """Entries of /dev/shm: segments by their names, semaphores behind "sem."."""
    return set(os.listdir("/dev/shm"))


class Processes:
    """Starts processes and ends every one that still runs, by its id."""

    def __init__(self) -> None:
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self, arguments: list[str | Path], **options: Any) -> subprocess.Popen[bytes]:
        options.setdefault("stdin", subprocess.DEVNULL)
        process = subprocess.Popen([str(argument) for argument in arguments], **options)
        self.started.append(process)
        return process

    def end(self) -> None:
        for process in reversed(self.started):
            if process.poll() is None:
                # One that the test has stopped takes the kill all the same.
                process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream:
                    stream.close()


@dataclass
class Build:
    """One build tree: where its programs are, and how they are run."""

    path: Path
    sanitized: bool

    @property
    def shmgated(self) -> Path:
        return self.path / "bin" / "shmgated"

    @property
    def shmgate(self) -> Path:
        return self.path / "bin" / "shmgate"

    def driver(self, name: str) -> Path:
        """A program of tests/c that is not a test by itself."""
        return self.path / "tests" / name

    def environment(self, **extra: str) -> dict[str, str]:
        return {**os.environ, "ASAN_OPTIONS": ASAN_OPTIONS, "UBSAN_OPTIONS": UBSAN_OPTIONS, **extra}


class Broker:
    """A mosquitto of our own on a loopback port, which it keeps over restarts."""

    def __init__(
        self, processes: Processes, folder: Path, lines: list[str], port: int | None = None, tls: bool = False
    ) -> None:
        self.processes = processes
        self.folder = folder
        self.lines = lines
        self.port = port or free_port()
        self.tls = tls
        self.process: subprocess.Popen[bytes] | None = None
        # No queue limits: the tests count every message.
        self.standard_lines = ["max_queued_messages 0"]
        self.log_type = "all"

    @property
    def uri(self) -> str:
        return f"{'mqtts' if self.tls else 'mqtt'}://127.0.0.1:{self.port}"

    def start(self) -> "Broker":
        config = self.folder / f"mosquitto-{self.port}.conf"
        standard = [f"listener {self.port} 127.0.0.1", f"log_type {self.log_type}", *self.standard_lines]
        # Its database would else be written where the tests were started.
        if not any(line.startswith("persistence_location") for line in self.lines):
            standard.append(f"persistence_location {self.folder}/")
        # As root, mosquitto would become a user that cannot read our folder.
        if os.geteuid() == 0:
            standard.append("user root")
        if not any(line.startswith("allow_anonymous") for line in self.lines):
            standard.append("allow_anonymous true")
        config.write_text("\n".join(standard + self.lines) + "\n")
        with open(self.folder / f"mosquitto-{self.port}.log", "ab") as log:
            self.process = self.processes.start(
                [shutil.which("mosquitto") or "/usr/sbin/mosquitto", "-c", config], stdout=log, stderr=subprocess.STDOUT
            )
        wait_until(self.listens, lambda: f"mosquitto did not start:\n{self.log()}")
        return self

    def listens(self) -> bool:
        assert self.process
        assert self.process.poll() is None, f"mosquitto ended:\n{self.log()}"
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
        except OSError:
            return False
        return True

    def log(self) -> str:
        return (self.folder / f"mosquitto-{self.port}.log").read_text(errors="replace")[-20000:]

    def _end(self, number: int) -> None:
        assert self.process
        self.process.send_signal(number)
        self.process.wait(LIMIT)
        self.process = None

    def stop(self) -> None:
        """End it in order: with `persistence true` it saves what it knows."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def client(self, program: str, *arguments: str) -> list[str]:
        """The command line of mosquitto_pub or mosquitto_sub for this broker."""
        return [program, "-h", "127.0.0.1", "-p", str(self.port), *arguments]

    def publish(
        self, topic: str, payload: bytes | str = b"", *options: str, qos: int = 1, retain: bool = False
    ) -> None:
        """Publish one message with mosquitto_pub; returns when the broker has it (QoS 1 and 2)."""
        data = payload.encode() if isinstance(payload, str) else payload
        command = self.client("mosquitto_pub", "-q", str(qos), "-t", topic, "-s", *options)
        if retain:
            command.append("-r")
        if not data:
            command[command.index("-s")] = "-n"
        done = subprocess.run(command, input=data, stderr=subprocess.PIPE, timeout=LIMIT)
        assert done.returncode == 0, done.stderr.decode()


@dataclass
class Received:
    """A message as mosquitto_sub saw it."""

    topic: str
    payload: bytes
    retained: bool
    qos: int


class Subscriber:
    """A mosquitto_sub that collects what it receives. Subscribed when the constructor returns.

    `options` are for mosquitto_pub too, such as a certificate; with `session`, a client id, the broker keeps its
    session; `retained` says whether the broker keeps retained messages.
    """

    def __init__(self, processes: Processes, broker: Broker, *topics: str, qos: int = 2, options: tuple[str, ...] = (),
                 session: str = "", retained: bool = True) -> None:
        # A message can be expected from when this one, kept by the broker, has come.
        marker = f"test/subscribed/{os.urandom(8).hex()}"
        if retained:
            broker.publish(marker, "subscribed", *options, retain=True)
        command = broker.client("mosquitto_sub", "-q", str(qos), "-F", "%x %r %q %t", *options)
        if session:
            # The broker keeps messages for it while the connection is away.
            command += ["-V", "mqttv311", "-c", "-i", session]
        for topic in (*topics, marker):
            command += ["-t", topic]
        self.output = tempfile.TemporaryFile()
        self.process = processes.start(command, stdout=self.output, stderr=subprocess.STDOUT)
        self.messages: list[Received] = []
        self.marker = marker
        self.rest = b""
        self.offset = 0
        self.subscribed = False

        def is_subscribed() -> bool:
            if not retained:
                broker.publish(marker, "subscribed", *options)
            return self._is_subscribed()
        wait_until(is_subscribed, lambda: f"mosquitto_sub did not subscribe: {self.rest!r}, broker:\n{broker.log()}")

    def _is_subscribed(self) -> bool:
        self.poll()
        assert self.process.poll() is None, f"mosquitto_sub ended: {self.rest!r}"
        return self.subscribed

    def poll(self) -> list[Received]:
        """Take what has come; returns all messages so far."""
        data = self.rest + os.pread(self.output.fileno(), 1 << 28, self.offset)
        self.offset += len(data) - len(self.rest)
        *lines, self.rest = data.split(b"\n")
        for line in lines:
            payload, retained, qos, topic = line.split(b" ", 3)
            if topic.decode() == self.marker:
                self.subscribed = True
            else:
                self.messages.append(
                    Received(topic.decode(), bytes.fromhex(payload.decode()), retained == b"1", int(qos))
                )
        return self.messages

    def payloads(self, topic: str | None = None) -> list[bytes]:
        return [message.payload for message in self.poll() if topic in (None, message.topic)]

    def expect(self, count: int, limit: float = LIMIT) -> list[Received]:
        """Wait until at least `count` messages have come."""
        wait_until(
            lambda: len(self.poll()) >= count,
            lambda: f"{count} messages at the subscriber, got {len(self.messages)}: " f"{self.messages[:5]}",
            limit,
        )
        return self.messages


def ini_text(sections: dict[str, dict[str, Any]]) -> str:
    """gateway.ini from a section's name to its keys and values."""
    lines = []
    for name, keys in sections.items():
        lines.append(f"[{name}]")
        lines += [f"{key} = {value}" for key, value in keys.items()]
        lines.append("")
    return "\n".join(lines)


def publish_channel(name: str = "out", **keys: Any) -> dict[str, Any]:
    return {"name": name, "direction": "publish", "topic": f"test/{name}", **keys}


def subscribe_channel(name: str = "in", **keys: Any) -> dict[str, Any]:
    return {"name": name, "direction": "subscribe", "topic": f"test/{name}", **keys}


class Gateway:
    """One shmgated with its configuration, its segment and its log."""

    def __init__(self, processes: Processes, build: Build, folder: Path, segment: str, channels: list[dict[str, Any]],
                 mqtt: dict[str, Any], shm: dict[str, Any], spool: dict[str, Any] | None = None) -> None:
        self.processes = processes
        self.build = build
        self.folder = folder
        self.segment = segment
        self.client_id = mqtt.setdefault("client_id", segment.lstrip("/"))
        self.config = folder / f"{segment.lstrip('/')}.ini"
        self.log_path = folder / f"{segment.lstrip('/')}.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.notified: list[str] = []
        self.mqtt, self.shm, self.channels = mqtt, {"segment": segment, **shm}, channels
        # Never the machine's own spool, which may be there.
        self.spool_path = folder / f"{segment.lstrip('/')}.spool"
        self.spool = {"path": self.spool_path, **(spool or {})}
        self.metrics: dict[str, Any] = {}
        self.stderr: int | None = None
        """A descriptor that is its standard error instead of the log file."""
        self.variables: dict[str, str] = {}
        """More of its environment."""
        self.write_config()

    def write_config(self) -> None:
        """Write gateway.ini from `mqtt`, `shm`, `spool`, `metrics` and `channels` as they are now."""
        sections: dict[str, dict[str, Any]] = {
            "mqtt": self.mqtt,
            "shm": self.shm,
            "spool": self.spool,
            "metrics": self.metrics,
        }
        for channel in self.channels:
            keys = dict(channel)
            sections[f"channel {keys.pop('name')}"] = keys
        self.config.write_text(ini_text(sections), encoding="utf-8")

    @property
    def pid(self) -> int:
        assert self.process
        return self.process.pid

    def launch(self, prefix: tuple[str, ...] = ()) -> "Gateway":
        """Start it without waiting for anything. `prefix` is a command that runs it, such as setpriv."""
        # The folder of a test has too long a name for a socket; an abstract one needs no file.
        notify = f"shmgate-{os.urandom(8).hex()}"
        self.notify_socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self.notify_socket.bind(f"\0{notify}")
        self.notify_socket.setblocking(False)
        self.notified = []
        with open(self.log_path, "ab") as log:
            self.process = self.processes.start([*prefix, self.build.shmgated, "--config", self.config], stdout=log,
                                                stderr=subprocess.STDOUT if self.stderr is None else self.stderr,
                                                env=self.build.environment(NOTIFY_SOCKET=f"@{notify}",
                                                                           **self.variables))
        return self

    def start(self, link: bool = True) -> "Gateway":
        """Start it and wait until it is ready; with `link`, until it is connected to the broker as well."""
        self.launch()
        wait_until(self.is_ready, lambda: f"the gateway was not ready:\n{self.log()}")
        if link:
            self.wait_for_link()
        return self

    def notifications(self) -> list[str]:
        """What it has told the service manager so far."""
        while True:
            try:
                self.notified.append(self.notify_socket.recv(4096).decode())
            except BlockingIOError:
                return self.notified

    def is_ready(self) -> bool:
        assert self.process
        assert self.process.poll() is None, f"the gateway ended with {self.process.returncode}:\n{self.log()}"
        return any("READY=1" in text.split("\n") for text in self.notifications())

    def wait_for_link(self, state: str = "up") -> None:
        wait_until(lambda: self.stats()["link"] == state, lambda: f"the link was not {state}:\n{self.log()}")

    def log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def wait_for_log(self, text: str) -> None:
        wait_until(lambda: text in self.log(), lambda: f"{text!r} in the log:\n{self.log()}")

    def wait_for_end(self) -> int:
        """Wait until it ends by itself; returns the exit code."""
        assert self.process
        code = self.process.wait(LIMIT)
        self.process = None
        self.notify_socket.close()
        self.check_log()
        return code

    def check_log(self) -> None:
        for sign in ("Sanitizer", "runtime error:"):
            assert sign not in self.log(), self.log()

    def stop(self) -> None:
        """SIGTERM; the orderly stop must be one."""
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        code = self.wait_for_end()
        assert code == 0, f"exit code {code}:\n{self.log()}"

    def kill(self) -> None:
        assert self.process
        self.process.kill()
        self.wait_for_end()

    def tool(self, *arguments: str, input: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        """Run shmgate on this segment."""
        command = [str(self.build.shmgate), *arguments, "-S", self.segment]
        return subprocess.run(command, input=b"" if input is None else input, capture_output=True, timeout=2 * LIMIT,
                              env=self.build.environment())

    def write(self, channel: str, payload: bytes) -> None:
        """Write one message."""
        done = self.tool("write", channel, "-s", input=payload)
        assert done.returncode == 0, done.stderr.decode()

    def start_reader(self, channel: str, *arguments: str) -> subprocess.Popen[bytes]:
        """shmgate read in the background, its output on a pipe."""
        return self.processes.start([self.build.shmgate, "read", channel, "-S", self.segment, *arguments],
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.build.environment())

    def read(self, channel: str, count: int = 1, fields: str = "%x") -> list[str]:
        """The oldest `count` messages of a channel, as lines of `fields`; waits for them."""
        done = self.tool("read", channel, "-C", str(count), "-W", str(int(LIMIT)), "-F", fields)
        assert done.returncode == 0, done.stderr.decode() + self.log()
        return done.stdout.decode().splitlines()

    def stats(self) -> dict[str, Any]:
        done = self.tool("stats", "--json")
        assert done.returncode == 0, done.stderr.decode() + self.log()
        return json.loads(done.stdout)

    def channel(self, name: str) -> dict[str, Any]:
        """The ledger of one channel."""
        return next(channel for channel in self.stats()["channels"] if channel["name"] == name)

    def wait_for_delivery(self, channel: str, count: int, limit: float = LIMIT) -> dict[str, Any]:
        """Wait until `count` messages of a channel are delivered; returns its ledger, which must add up."""
        wait_until(lambda: self.channel(channel)["delivered"] >= count,
                   lambda: f"{count} delivered: {self.channel(channel)}\n{self.log()}", limit, 0.05)
        ledger = self.channel(channel)
        check_ledger(ledger)
        return ledger

    def end(self) -> None:
        """Stop it when it runs, and look for what the sanitizers say."""
        try:
            if self.process and self.process.poll() is None:
                # For a gateway that the test has stopped.
                self.process.send_signal(signal.SIGCONT)
                self.stop()
            self.check_log()
        finally:
            if self.process and self.process.poll() is None:
                self.process.kill()
                self.process.wait()

    def remove_segment(self) -> None:
        if self.segment.lstrip("/") in shared_memory_names():
            done = self.tool("release")
            assert done.returncode == 0, done.stderr.decode()


def write_secret(path: Path, text: str) -> None:
    """Write a file that nobody else may read, as the gateway wants it."""
    path.touch(0o600)
    path.write_text(text)


def without_duplicates(numbers: list[int]) -> list[int]:
    """The first of each, in the order they came."""
    return list(dict.fromkeys(numbers))


def by_writer(payloads: list[bytes]) -> dict[str, list[int]]:
    """The numbers that flood_writer has put into its messages, for each writer in the order they came."""
    numbers: dict[str, list[int]] = {}
    for payload in payloads:
        writer, number, _ = payload.split(b" ", 2)
        numbers.setdefault(writer.decode(), []).append(int(number))
    return numbers


def check_ledger(channel: dict[str, Any]) -> None:
    """written = delivered + queued + spooled + dropped, of one channel of the statistics."""
    accounted = (
        channel["delivered"]
        + channel["queued"]
        + channel["spooled"]
        + channel["filtered"]
        + sum(channel["dropped"].values())
    )
    assert channel["written"] == accounted, channel
