"""The small programs that one looks at first: python/test_shm.py, with the package and with stock Python alone, and
shm/examples/four_calls.c."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness import BUILD, LIMIT, ROOT, publish_channel, subscribe_channel, wait_until

STOCK_PYTHON = str(BUILD / "venv" / "bin" / "python")
"""Has posix_ipc, and not the package."""


@pytest.fixture
def gateway(new_gateway, broker):
    return new_gateway(
        publish_channel("telemetry", writers=8, slots=16384, max_payload=64),
        publish_channel("small", overflow="reject", slots=2, max_payload=8),
        subscribe_channel("commands", topic="commands/#"),
        broker=broker,
    ).start()


@pytest.fixture(params=["package", "stock", "alone"])
def command(request, tmp_path) -> list[str]:
    """How test_shm.py is run: with the package; with --stock; or in a folder where the package is not to be found."""
    program = ROOT / "python" / "test_shm.py"
    if request.param == "package":
        return [sys.executable, str(program)]
    if request.param == "stock":
        return [STOCK_PYTHON, str(program), "--stock"]
    for name in ("test_shm.py", "stock_shm.py"):
        shutil.copy(ROOT / "python" / name, tmp_path)
    return [STOCK_PYTHON, str(tmp_path / "test_shm.py")]


@pytest.fixture
def start(gateway):
    """A function that starts a program on the gateway's segment."""

    def started(*arguments: str | Path) -> subprocess.Popen[bytes]:
        return gateway.processes.start(
            list(arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "SHMGATE_SEGMENT": gateway.segment},
        )

    return started


def output(process: subprocess.Popen[bytes]) -> list[str]:
    """What it prints; it must end in order."""
    out, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 0 and not err, (process.returncode, err)
    return out.decode().splitlines()


def test_write_and_read_go_on_until_the_count(command, start, broker, subscribe):
    """`write` publishes a message an interval, `read` shows each; a line a message."""
    subscriber = subscribe(broker, "test/telemetry")
    wrote = output(start(*command, "write", "--count", "3", "--interval", "0.05"))
    assert [re.sub(r"\d+", "N", line, count=1) for line in wrote] == [
        f"wrote to telemetry: hello from process N, message {number}" for number in range(3)
    ]
    texts = [line.removeprefix("wrote to telemetry: ") for line in wrote]
    assert [message.payload.decode() for message in subscriber.expect(3)] == texts
    assert output(start(*command, "read", "--count", "3")) == [f"read from telemetry: {text}" for text in texts]


def test_interrupt_ends_write_and_read_quietly(command, start, broker):
    """Ctrl-C, in the midst of it: no traceback, exit 0."""
    reader = start(*command, "read", "commands")
    wait_until(lambda: broker.publish("commands/x", "go") or reader.stdout.peek(), interval=0.2)
    writer = start(*command, "write", "--interval", "0.01")
    for process in (reader, writer):
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        output(process)


def test_interrupt_ends_what_a_script_has_started_in_the_background(command, start):
    """There the shell has it ignore SIGINT."""
    script = start("sh", "-c", '"$@" write --interval 0.01 & echo $!; wait', "sh", *command)
    number = int(script.stdout.readline())
    assert script.stdout.readline().startswith(b"wrote")
    os.kill(number, signal.SIGINT)
    output(script)


def test_closed_output_ends_it_quietly(command, start):
    """`python test_shm.py write | head -1`."""
    writer = start(*command, "write", "--interval", "0.01")
    writer.stdout.readline()
    writer.stdout.close()
    assert writer.wait(LIMIT) == 0 and writer.stderr.read() == b""


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("write", "nosuch"), "no channel nosuch"),
        (("read", "nosuch"), "no channel nosuch"),
        (("write", "commands"), "subscribe channel"),
        (("write", "small"), "max_payload"),
    ],
)
def test_faults_are_told_in_a_line(command, start, arguments, text):
    """No traceback for what a user can mistake."""
    process = start(*command, *arguments, "--count", "1")
    out, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 1 and err.count(b"\n") == 1 and text in err.decode() and not out


def test_stock_writers_and_others_lose_nothing(start, gateway, broker):
    """Two writers of stock Python, which cannot set one bit alone, beside two of the package: each message is
    delivered, and each lane in order."""
    code = (
        "import sys; sys.path[:0] = [{folders}]; import {module} as library, os\n"
        "writer = library.attach(os.environ['SHMGATE_SEGMENT'], timeout=5).writer('telemetry')\n"
        "for number in range(3000): writer.write(b'%s %d' % (sys.argv[1].encode(), number))\n"
    )
    stock = code.format(folders=repr(str(ROOT / "python")), module="stock_shm")
    package = code.format(folders=repr(str(BUILD / "python")), module="shmgate")
    writers = [
        start(STOCK_PYTHON, "-c", stock, "a"),
        start(STOCK_PYTHON, "-c", stock, "b"),
        start(sys.executable, "-c", package, "c"),
        start(sys.executable, "-c", package, "d"),
    ]
    for writer in writers:
        output(writer)
    assert gateway.wait_for_delivery("telemetry", 12000)["written"] == 12000
    numbers: dict[str, list[int]] = {}
    for payload in gateway.read("telemetry", 12000):
        name, number = bytes.fromhex(payload).split()
        numbers.setdefault(name.decode(), []).append(int(number))
    assert numbers == {name: list(range(3000)) for name in "abcd"}


def test_stock_writer_that_is_killed_leaves_its_lane(start, gateway):
    """The lock goes with the process, and the lane's next writer goes on where it ended; nothing that was written is
    lost."""
    for round in range(1, 4):
        writer = start(STOCK_PYTHON, ROOT / "python" / "test_shm.py", "write", "--stock", "--interval", "0")
        for _ in range(50):
            assert writer.stdout.readline()
        writer.kill()
        lines = 50 + len(writer.communicate()[0].splitlines())
        wait_until(lambda: gateway.channel("telemetry")["delivered"] == gateway.channel("telemetry")["written"])
        assert gateway.channel("telemetry")["written"] >= lines * round // 2
        by_lane = gateway.channel("telemetry")["by_lane"]
        assert len(by_lane) == 1, by_lane


def test_stock_programs_follow_a_change_of_geometry(start, gateway, broker, subscribe):
    """A reload that replaces the segment: writer and reader go on in the new one."""
    subscriber = subscribe(broker, "test/telemetry")
    program = [STOCK_PYTHON, ROOT / "python" / "test_shm.py", "--stock"]
    reader = start(*program, "read", "commands")
    writer = start(*program, "write", "--interval", "0.01")
    assert writer.stdout.readline()
    gateway.channels[0]["slots"] = 64
    gateway.write_config()
    gateway.process.send_signal(signal.SIGHUP)
    gateway.wait_for_log("segment drained")
    last = writer.stdout.readline().decode()
    wait_until(lambda: broker.publish("commands/x", "after") or reader.stdout.peek(), interval=0.2)
    for _ in range(20):
        last = writer.stdout.readline().decode()
    wait_until(lambda: last.strip().removeprefix("wrote to telemetry: ").encode() in subscriber.payloads())
    for process in (reader, writer):
        process.send_signal(signal.SIGINT)
        output(process)
    numbers = [int(payload.rsplit(b" ", 1)[1]) for payload in subscriber.payloads()]
    assert numbers == list(range(len(numbers)))


def test_asyncio_example_obeys_and_reports(start, broker, subscribe):
    """A command that arrives is in the next report; Ctrl-C ends it; a missing channel is told in a line."""
    program = [sys.executable, ROOT / "python" / "examples" / "asyncio_commands.py"]
    subscriber = subscribe(broker, "test/telemetry")
    example = start(*program)
    wait_until(lambda: b'{"setpoint": 0.0}' in subscriber.payloads())
    broker.publish("commands/setpoint", "21.5")
    wait_until(lambda: b'{"setpoint": 21.5}' in subscriber.payloads())
    example.send_signal(signal.SIGINT)
    output(example)
    mistyped = start(*program, "nosuch")
    assert b"no channel nosuch" in mistyped.communicate(timeout=LIMIT)[1] and mistyped.returncode == 1


def test_four_calls_is_built_by_its_line(start, gateway, broker, subscribe, tmp_path):
    """The gcc line in the program's first comment builds it, and it writes, reads and ends."""
    program = ROOT / "shm" / "examples" / "four_calls.c"
    line = re.search(r"^ \* +(gcc .*)$", program.read_text(), re.MULTILINE)
    assert line
    (tmp_path / "shm").symlink_to(ROOT / "shm")
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "lib").symlink_to(BUILD / "lib")
    done = subprocess.run(
        ["sh", "-c", line[1].replace("gcc ", "gcc -Wall -Wextra -Werror ", 1)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert done.returncode == 0 and not done.stderr, done.stderr
    subscriber = subscribe(broker, "test/telemetry")
    assert output(start(tmp_path / "build" / "four_calls", "telemetry", "2")) == [
        "wrote message 0",
        "read message 0",
        "wrote message 1",
        "read message 1",
    ]
    assert [message.payload for message in subscriber.expect(2)] == [b"message 0", b"message 1"]
    endless = start(tmp_path / "build" / "four_calls")
    assert endless.stdout.readline() == b"wrote message 0\n"
    endless.send_signal(signal.SIGINT)
    output(endless)
    done = subprocess.run(
        [tmp_path / "build" / "four_calls", "nosuch"],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        env={**os.environ, "SHMGATE_SEGMENT": gateway.segment},
    )
    assert done.returncode == 1 and "no channel nosuch" in done.stderr
