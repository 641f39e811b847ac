"""A log that nobody takes: Ctrl-S on the terminal, a pipe whose reader has stopped. It is the log's trouble only."""
from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import termios
import time
from collections.abc import Iterator

import pytest

from harness import LIMIT, publish_channel, wait_until
from terminal import Pty

STOP_SECONDS = 5
"""The most that an orderly stop takes."""


class StuckPipe:
    """A pipe that is full, and that nobody reads until `resume`."""

    def __init__(self) -> None:
        self.reader, self.descriptor = os.pipe()
        os.set_blocking(self.descriptor, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(self.descriptor, b"." * 4096)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(self.descriptor, b".")
        os.set_blocking(self.descriptor, True)
        self.got = b""

    def resume(self) -> None:
        os.set_blocking(self.reader, False)

    def text(self) -> str:
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self.reader, 65536):
                self.got += data
        return self.got.decode(errors="replace").lstrip(".")

    def end(self) -> None:
        os.close(self.reader)
        os.close(self.descriptor)


class StoppedTerminal:
    """A terminal on which somebody has pressed Ctrl-S."""

    def __init__(self) -> None:
        self.pty = Pty()
        self.descriptor = self.pty.slave
        termios.tcflow(self.pty.slave, termios.TCOOFF)

    def resume(self) -> None:
        termios.tcflow(self.pty.slave, termios.TCOON)

    def text(self) -> str:
        return self.pty.received.decode(errors="replace")

    def end(self) -> None:
        self.resume()
        self.pty.end()


@pytest.fixture(params=[StuckPipe, StoppedTerminal])
def stuck(request: pytest.FixtureRequest) -> Iterator[StuckPipe | StoppedTerminal]:
    log = request.param()
    yield log
    log.end()


def reload_often(gateway, count: int) -> None:
    """Reloads, each of which has something to log."""
    for number in range(count):
        before = len(gateway.notifications())
        gateway.mqtt["stats_interval"] = f"{100 + number}s"
        gateway.write_config()
        gateway.process.send_signal(signal.SIGHUP)
        wait_until(lambda: any("READY=1" in text for text in gateway.notifications()[before:]),
                   f"reload {number} to come to its end")


def test_stuck_log_stops_nothing(new_gateway, broker, subscribe, stuck):
    """With a log that is stuck from the start, messages flow, reload and watchdog go on, and the stop is in time."""
    gateway = new_gateway(publish_channel(qos=1), broker=broker)
    gateway.stderr = stuck.descriptor
    gateway.variables["WATCHDOG_USEC"] = "400000"
    gateway.start()
    subscriber = subscribe(broker, "test/out")
    gateway.write("out", b"one")
    subscriber.expect(1)
    reload_often(gateway, 5)
    before = gateway.notifications().count("WATCHDOG=1\n")
    wait_until(lambda: gateway.notifications().count("WATCHDOG=1\n") > before + 2, "the watchdog to be fed")
    gateway.write("out", b"two")
    subscriber.expect(2)
    begin = time.monotonic()
    gateway.stop()
    assert time.monotonic() - begin < STOP_SECONDS


def test_stuck_log_goes_on_when_it_is_taken_again(new_gateway, broker, stuck):
    """What the queue could keep comes in order when somebody reads again; who shares the pipe finds it as it was."""
    gateway = new_gateway(publish_channel(), broker=broker)
    gateway.stderr = stuck.descriptor
    gateway.start()
    reload_often(gateway, 3)
    assert not fcntl.fcntl(stuck.descriptor, fcntl.F_GETFL) & os.O_NONBLOCK
    stuck.resume()
    wait_until(lambda: stuck.text().count("reload: changed") == 3, lambda: f"three reloads in {stuck.text()}", LIMIT)
    gateway.stop()
    assert "are missing here" not in stuck.text()
    assert stuck.text().index("connected: ") < stuck.text().index("reload: changed")
