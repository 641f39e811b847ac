"""What a person at a terminal sees: shmgate top, shmgate stats --watch, and lines of progress."""
from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness import LIMIT, publish_channel, subscribe_channel, wait_until
from terminal import Pty, Tmux

TERMINAL = {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}
ENTER_SCREEN, LEAVE_SCREEN = b"\x1b[?1049h", b"\x1b[?1049l"
CLEARS = re.compile(rb"\x1b\[[23]J|\x1b\[(?:1;1|0;0)?[Hf]\x1b\[0?J|\x1bc")
"""What makes a whole screen empty, and so a redraw flicker."""


@pytest.fixture
def new_pty() -> Iterator[Callable[..., Pty]]:
    made: list[Pty] = []

    def make(*arguments: int) -> Pty:
        made.append(Pty(*arguments))
        return made[-1]

    yield make
    for terminal in made:
        terminal.end()


@pytest.fixture
def tmux() -> Iterator[Tmux]:
    terminal = Tmux()
    try:
        yield terminal
    finally:
        terminal.end()


class Feeder:
    """Writes messages into a channel, one every 5 ms or so, until it is ended."""

    def __init__(self, gateway, channel: str = "out") -> None:
        self.process = gateway.processes.start(
            [gateway.build.shmgate, "write", channel, "-l", "-S", gateway.segment],
            stdin=subprocess.PIPE,
            env=gateway.build.environment(),
        )
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        number = 0
        while not self.ended.wait(0.005):
            self.process.stdin.write(b"sample %d\n" % number)
            self.process.stdin.flush()
            number += 1

    def end(self) -> None:
        self.ended.set()
        self.thread.join()
        self.process.stdin.close()
        assert self.process.wait(LIMIT) == 0


@pytest.fixture
def feed() -> Iterator[Callable[..., Feeder]]:
    made: list[Feeder] = []

    def make(gateway, channel: str = "out") -> Feeder:
        made.append(Feeder(gateway, channel))
        return made[-1]

    yield make
    for feeder in made:
        feeder.end()


def row(lines: list[str], channel: str) -> list[str]:
    """The words of a channel's row on the screen."""
    return next((line.split() for line in lines if line.startswith(f"{channel} ")), [])


def start_in(tmux: Tmux, gateway, *options: str) -> None:
    tmux.type(f"{gateway.build.shmgate} top -S {gateway.segment} {' '.join(options)}", "Enter")
    tmux.expect("CHANNEL", "q quit")


# ---- The screen ----

def test_top_shows_what_flows(new_gateway, broker, tmux, feed):
    """Rows of channels with rates, latencies and the newest messages; the link goes down with the broker; the screen
    fits 80x24 and every other size; q leaves a terminal as it was."""
    gateway = new_gateway(publish_channel(qos=1), subscribe_channel(), broker=broker, mqtt={"client_id": "top"}).start()
    broker.publish("test/in", "set 10")
    feed(gateway)
    tmux.type("stty -g >before; clear; echo started", "Enter")
    tmux.expect("started")
    start_in(tmux, gateway, "-d", "0.2")

    def flows() -> bool:
        words = row(tmux.lines(), "out")
        # name, direction, in and out a second, ..., latencies
        return (
            len(words) == 11
            and words[2].isdigit()
            and int(words[2]) > 0
            and words[3] != "0"
            and "/" in words[9]
            and "/" in words[10]
        )
    wait_until(flows, lambda: f"{row(tmux.lines(), 'out')}\n{tmux.screen()}")
    lines = tmux.expect("link  up", "sample ", "test/in: set 10", f"pid {gateway.pid}")
    assert len(lines) == 24 and lines[0].startswith("shmgate top") and lines[23].startswith("q quit"), tmux.screen()

    for columns, height in ((130, 40), (40, 8), (80, 24)):
        tmux.resize(columns, height)
        wait_until(
            lambda: tmux.lines()[0].startswith("shmgate top") and tmux.lines()[height - 1].startswith("q quit"),
            tmux.screen,
        )
    # With room, the newest message stands in the row.
    tmux.resize(130, 24)
    wait_until(lambda: "sample" in row(tmux.lines(), "out"), tmux.screen)
    tmux.resize(80, 24)

    tmux.type("Enter")
    tmux.expect("send to acknowledgement", "p99.9", "newest message: lane 0", "0 yes")
    tmux.type("q")
    tmux.expect("CHANNEL")
    broker.stop()
    tmux.expect("link  down")
    tmux.type("q")
    lines = tmux.expect("started")
    assert not any("CHANNEL" in line for line in lines), lines
    tmux.type("stty -g >after; cmp before after && echo clean", "Enter")
    tmux.expect("clean")


def test_top_scrolls_and_sorts(new_gateway, broker, tmux):
    """More channels than rows: the selection moves through all of them, in the chosen order; an order begins with its
    first row in sight."""
    gateway = new_gateway(
        *(publish_channel(f"c{number:02}", writers=1, slots=2) for number in range(30)), broker=broker
    ).start()
    gateway.kill()
    # Nobody takes them, and there is room for two.
    assert gateway.tool("write", "c25", "-l", input=b"1\n2\n3\n4\n5\n").returncode == 0
    start_in(tmux, gateway, "-d", "0.2")
    lines = tmux.expect("c00", "1 of 30")
    assert not row(lines, "c29")
    tmux.type("End")
    lines = tmux.expect("c29", "30 of 30")
    assert not row(lines, "c00")
    tmux.type("m", "Home")
    lines = tmux.expect("c00", "c18")
    tmux.type("Down")
    tmux.expect("2 of 30")
    tmux.type("s", "s", "s", "s")
    tmux.expect("sort: dropped")
    wait_until(lambda: tmux.lines()[4].split()[:8] == ["c25", "out", "0", "0", "2", "100%", "0", "3"], tmux.screen)
    tmux.type("?")
    tmux.expect("SEND ms", "back")
    tmux.type("q", "p")
    tmux.expect("PAUSED")


def test_top_follows_the_segment(new_gateway, broker, tmux):
    """A gateway that goes, a segment that is removed and made anew with other channels: top says so and goes on."""
    gateway = new_gateway(publish_channel(), broker=broker).start()
    start_in(tmux, gateway, "-d", "0.1")
    gateway.kill()
    tmux.expect("none runs")
    assert gateway.tool("release").returncode == 0
    tmux.expect("no segment", "waiting for a gateway")
    gateway.channels = [publish_channel("other")]
    gateway.write_config()
    gateway.start()
    tmux.expect("other", f"pid {gateway.pid}", "link  up")
    # And a replacement under way.
    gateway.channels = [publish_channel("other", slots=64), publish_channel("third")]
    gateway.write_config()
    os.kill(gateway.pid, signal.SIGHUP)
    tmux.expect("other", "third")


@pytest.mark.sanitized
def test_top_sends_only_what_changed(new_gateway, broker, new_pty, processes, build, feed):
    """No redraw clears the screen or sends all of it; payloads that would command the terminal are shown as text;
    SIGTERM leaves the terminal as it was; and the segment is mapped read-only. In the C locale with one build, in a
    UTF-8 one with the other."""
    locale = "C" if build.sanitized else "C.UTF-8"
    evil = b"\x1b]0;owned\x07\x1b[2J\x1b[Hx\xc2\x9b2J"
    gateway = new_gateway(publish_channel(qos=1), publish_channel("evil"), subscribe_channel(), broker=broker).start()
    gateway.write("evil", evil)
    broker.publish("test/in", evil)
    wait_until(lambda: gateway.channel("in")["delivered"] == 1)
    feed(gateway)
    terminal = new_pty()
    top = terminal.start(processes, [build.shmgate, "top", "-d", "0.1", "-S", gateway.segment], start_new_session=True,
                         env=build.environment(**{**TERMINAL, "LC_ALL": locale}))
    first = terminal.expect(b"q quit")
    terminal.expect(b"sample ")
    for _ in range(5):
        seen = len(terminal.received)
        wait_until(lambda: len(terminal.received) > seen)
    drawn = terminal.received[first:]
    assert not CLEARS.search(drawn), drawn
    # A screen has 1920 characters.
    assert len(drawn) < 8 * 1000, len(drawn)
    assert (
        b"owned\\x07\\x1b[2J" in terminal.received
        and b"\x1b]" not in terminal.received
        and b"\x07" not in terminal.received
    )
    assert b"\x9b" not in terminal.received and not terminal.is_as_before()
    mapped = [
        line.split()[1] for line in Path(f"/proc/{top.pid}/maps").read_text().splitlines() if gateway.segment in line
    ]
    assert mapped == ["r--s"], mapped
    terminal.send(b"\x0c")  # Ctrl-L repairs the screen, and shows that the pattern finds what it is for
    wait_until(lambda: CLEARS.search(terminal.received[first:]), terminal.received[first:])
    top.send_signal(signal.SIGTERM)
    assert top.wait(LIMIT) == 0
    terminal.expect(LEAVE_SCREEN)
    assert terminal.is_as_before() and terminal.received.count(ENTER_SCREEN) == 1


def test_top_gives_the_terminal_back_when_the_segment_is_cut(new_gateway, broker, new_pty, processes, build):
    """Somebody truncates the segment's file, which kills everybody who has it mapped: top leaves a clean terminal and
    says why."""
    gateway = new_gateway(publish_channel(), broker=broker).start()
    terminal = new_pty()
    top = terminal.start(
        processes, [build.shmgate, "top", "-d", "0.1", "-S", gateway.segment], env=build.environment(**TERMINAL)
    )
    terminal.expect(b"q quit")
    # The gateway would be killed as well; so it still has its lock.
    gateway.process.send_signal(signal.SIGSTOP)
    os.truncate(f"/dev/shm{gateway.segment}", 0)
    assert top.wait(LIMIT) == 1
    gateway.kill()
    os.unlink(f"/dev/shm{gateway.segment}")
    os.unlink(f"/dev/shm/sem.{gateway.segment[1:]}")
    terminal.expect(b"truncated its file")
    assert LEAVE_SCREEN in terminal.received and terminal.is_as_before()


def test_top_without_a_segment_or_a_terminal(new_gateway, broker, new_pty, processes, build, segment):
    """What cannot begin says why in one line, exit code 1, and touches no terminal."""
    terminal = new_pty()
    top = terminal.start(
        processes, [build.shmgate, "top", "-S", segment], stderr=subprocess.PIPE, env=build.environment(**TERMINAL)
    )
    _, errors = top.communicate(timeout=LIMIT)
    assert top.returncode == 1 and errors.decode().count("\n") == 1 and "no segment" in errors.decode()
    gateway = new_gateway(publish_channel(), broker=broker).start()
    done = gateway.tool("top")
    assert done.returncode == 1 and b"not a terminal" in done.stderr and not done.stdout
    strange = terminal.start(processes, [build.shmgate, "top", "-S", segment], stderr=subprocess.PIPE,
                             env=build.environment(TERM="no-such-terminal"))
    _, errors = strange.communicate(timeout=LIMIT)
    assert strange.returncode == 1 and b"TERM" in errors
    assert terminal.is_as_before() and not terminal.received


# ---- stats --watch ----

def test_watch_in_a_pipe(new_gateway, broker, processes, feed):
    """Blocks with rates, an empty line between them; with --json one object a line with its time; SIGINT, and a reader
    that goes away, end it quietly."""
    gateway = new_gateway(publish_channel(qos=1), broker=broker).start()
    feed(gateway)
    command = [gateway.build.shmgate, "stats", "-S", gateway.segment, "--watch"]
    table = processes.start([*command, "0.1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    blocks: list[list[str]] = [[]]
    while len(blocks) < 4:
        line = table.stdout.readline().decode()
        if line == "\n":
            blocks.append([])
        else:
            blocks[-1].append(line)
    for block in blocks[:3]:
        assert len(block) == 3 and "link up" in block[0] and block[1].startswith("channel"), block
    # The first look has no rates yet.
    assert blocks[0][2].split()[2] == "-" and any(block[2].split()[2] not in "-0" for block in blocks[1:3]), blocks
    table.send_signal(signal.SIGINT)
    _, errors = table.communicate(timeout=LIMIT)
    assert table.returncode == 0 and not errors
    objects = processes.start([*command[:-1], "--watch=0.1", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    first, second = (json.loads(objects.stdout.readline()) for _ in range(2))
    assert (
        second["time"] > first["time"]
        and second["channels"][0]["written"] >= first["channels"][0]["written"]
        and second["gateway"]
    )
    objects.stdout.close()
    assert objects.wait(LIMIT) == 0 and not objects.stderr.read()
    wrong = gateway.tool("stats", "--watch=0")
    assert wrong.returncode == 2 and b"--watch" in wrong.stderr


def test_watch_on_a_terminal(new_gateway, broker, processes, new_pty, build):
    """On a terminal the table is written over itself, line by line, and nothing is cleared."""
    gateway = new_gateway(publish_channel(), broker=broker).start()
    terminal = new_pty()
    watch = terminal.start(
        processes, [build.shmgate, "stats", "-S", gateway.segment, "--watch", "0.1"], env=build.environment(**TERMINAL)
    )
    place = terminal.expect(b"\x1b[3A")
    gateway.write("out", b"x")
    terminal.expect(b"\x1b[3A", place)
    watch.send_signal(signal.SIGTERM)
    assert watch.wait(LIMIT) == 0
    assert not CLEARS.search(terminal.received), terminal.received
    assert all(len(line) <= 80 for line in re.sub(rb"\x1b\[\d*[A-K]|\r", b"", terminal.received).split(b"\n"))


# ---- Progress ----

def test_draining_is_shown_on_a_terminal(new_gateway, broker, new_proxy, new_pty, processes, build):
    """The gateway in a terminal tells how far the draining of a backlog is, in one line that a log line and the end
    take away."""
    proxy = new_proxy(broker)
    gateway = new_gateway(
        publish_channel(qos=1, spool="always", max_payload=1000, overflow="reject"), mqtt={"uri": proxy.uri}
    ).start()
    proxy.refuse()
    proxy.cut()
    gateway.wait_for_link("down")
    done = gateway.tool("write", "out", "-l", input=b"".join(b"%0900d\n" % number for number in range(3000)))
    assert done.returncode == 0, done.stderr
    wait_until(lambda: gateway.channel("out")["spooled"] == 3000, gateway.stats)
    gateway.stop()
    # Some 500 messages a second: six seconds if nobody asked for more.
    proxy.throttle(500000)
    proxy.listen()
    terminal = new_pty()
    gateway.process = terminal.start(
        processes, [build.shmgated, "--config", gateway.config], env=build.environment(**TERMINAL)
    )
    place = terminal.expect(b"\r\x1b[Kdraining: ")
    # Some may have gone before it was looked at.
    wait_until(
        lambda: re.match(rb"\d+ of (3000|[12]\d{3}) messages, \d+%, \d+/s, \d+s left", terminal.received[place:]),
        terminal.received,
    )
    # What is logged meanwhile begins on a line of its own.
    gateway.process.send_signal(signal.SIGHUP)
    end = terminal.expect(b"nothing has changed\r\n", place)
    assert re.search(rb"\r\x1b\[K\d{4}-\d\d-\d\dT\S+ reload: ", terminal.received[place:end]), terminal.received[
        place:end
    ]
    place = terminal.expect(b"\r\x1b[Kdraining: ", end)
    proxy.throttle(0)
    wait_until(lambda: gateway.channel("out")["delivered"] == 3000, gateway.stats)
    wait_until(lambda: terminal.received.endswith(b"\r\x1b[K"), lambda: terminal.received)
    gateway.stop()
    terminal.expect(b"stopped:")
    assert b"draining" not in terminal.received[terminal.received.index(b"stopped:"):]


def test_export_shows_progress_on_a_terminal(new_gateway, new_pty, processes, build):
    """An export into a file or pipe tells on the terminal how far it is; without a terminal standard error stays
    empty."""
    gateway = new_gateway(
        publish_channel(spool="always", max_payload=1000, overflow="reject"), mqtt={"uri": "mqtt://127.0.0.1:1"}
    ).start(link=False)
    done = gateway.tool("write", "out", "-l", input=b"".join(b"%0900d\n" % number for number in range(1000)))
    assert done.returncode == 0, done.stderr
    wait_until(lambda: gateway.channel("out")["spooled"] == 1000, gateway.stats)
    command = [build.shmgate, "spool", "export", "-f", gateway.spool_path]
    terminal = new_pty()
    export = terminal.start(processes, command, stdout=subprocess.PIPE, env=build.environment(**TERMINAL))
    taken = b""

    def take() -> bool:
        # As slowly as a slow disk.
        nonlocal taken
        taken += os.read(export.stdout.fileno(), 10000)
        return b"exporting: " in terminal.received
    wait_until(take, interval=0.01)
    place = terminal.expect(b"\r\x1b[Kexporting: ")
    terminal.expect(b" of 1000 messages, ", place)
    taken += export.stdout.read()
    assert export.wait(LIMIT) == 0 and len(taken.splitlines()) == 1000
    terminal.expect(b"\r\x1b[K1000 messages\r\n", place)
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, timeout=LIMIT, env=build.environment(**TERMINAL)
    )
    assert done.returncode == 0 and not done.stderr and done.stdout == taken
