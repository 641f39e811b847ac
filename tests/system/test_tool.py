"""The shmgate command: its exit codes, formats and counts, as scripts rely on them."""
from __future__ import annotations

import re
import subprocess
import time

import pytest

from harness import LIMIT, publish_channel, shared_memory_names, subscribe_channel


def test_read_ends_with_27_when_nothing_came(new_gateway, broker):
    """-W runs out: exit code 27, as mosquitto_sub has it, and no output."""
    gateway = new_gateway(subscribe_channel(), broker=broker).start()
    done = gateway.tool("read", "in", "-W", "1")
    assert (done.returncode, done.stdout) == (27, b""), done


def test_read_formats(new_gateway, broker):
    """%p, %t, %n, %x and %U, text around them and %%."""
    gateway = new_gateway(subscribe_channel(topic="a/+"), broker=broker).start()
    before = time.time()
    broker.publish("a/b", "hello")
    line = gateway.read("in", fields="[%t] %p %x %n %U 100%%")[0]
    match = re.fullmatch(r"\[a/b\] hello 68656c6c6f 0 (\d+\.\d+) 100%", line)
    assert match, line
    # Two clocks of one machine: up to their resolution the message is not older than the publish.
    assert before - 0.1 <= float(match[1]) <= time.time() + 0.1


def test_publish_channel_can_be_read(new_gateway, broker):
    """What one program writes into a publish channel another can read, with the channel's topic."""
    gateway = new_gateway(publish_channel(), broker=broker).start()
    gateway.write("out", b"local")
    assert gateway.read("out", fields="%t %p") == ["test/out local"]


@pytest.mark.parametrize("arguments", [[], ["nosuch"], ["write"], ["write", "out"], ["write", "out", "-m", "a", "-l"], ["read"],
                                       ["read", "in", "-C", "many"], ["stats", "--nosuch"]])
def test_wrong_usage_ends_with_2(build, arguments):
    """Wrong arguments: exit code 2, a reason, nothing on standard output."""
    done = subprocess.run([str(build.shmgate), *arguments], capture_output=True, timeout=LIMIT)
    assert done.returncode == 2 and done.stderr and not done.stdout, done


def test_wrong_usage_of_the_daemon_ends_with_2(build):
    """The same for shmgated; --help and --version are answers."""
    for arguments in (["--nosuch"], ["extra"]):
        assert subprocess.run([str(build.shmgated), *arguments], capture_output=True, timeout=LIMIT).returncode == 2
    for argument in ("--help", "--version"):
        done = subprocess.run([str(build.shmgated), argument], capture_output=True, timeout=LIMIT)
        assert done.returncode == 0 and done.stdout and not done.stderr, done


def test_release_removes_what_a_stopped_gateway_left(new_gateway, broker):
    """Segment and semaphore are gone afterwards; while a gateway runs, release is refused."""
    gateway = new_gateway(publish_channel(), broker=broker).start()
    name = gateway.segment[1:]
    done = gateway.tool("release")
    assert done.returncode == 1 and done.stderr.count(b"\n") == 1, done
    assert {name, f"sem.{name}"} <= shared_memory_names()
    gateway.stop()
    assert {name, f"sem.{name}"} <= shared_memory_names()
    assert gateway.tool("release").returncode == 0
    assert not {name, f"sem.{name}"} & shared_memory_names()
    assert gateway.tool("release").returncode == 1


def test_stats_are_readable_by_people(new_gateway, broker):
    """Without --json: a line for each channel, with its counters."""
    gateway = new_gateway(publish_channel("temperature"), subscribe_channel("setpoint"), broker=broker).start()
    gateway.write("temperature", b"x")
    text = gateway.tool("stats").stdout.decode()
    assert "temperature" in text and "setpoint" in text, text
