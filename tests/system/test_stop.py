"""An orderly stop takes five seconds at most, whatever keeps it: a deaf broker, a slow disk, a stuck log, all three."""
from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from certificates import Certificates
from harness import check_ledger, publish_channel, subscribe_channel, wait_until

STOP_SECONDS = 5

SLOW_DISK = """
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
static void nap(void) { struct timespec time = {0, 50000000}; nanosleep(&time, 0); }
int fsync(int fd) { nap(); return (int)syscall(SYS_fsync, fd); }
int fdatasync(int fd) { nap(); return (int)syscall(SYS_fdatasync, fd); }
"""

WRITER = """
import shmgate, sys, time
writer = shmgate.attach(sys.argv[1], timeout=5).writer("out")
due = time.monotonic()
while True:
    writer.write(b"x" * 64)
    due += 0.001
    time.sleep(max(0, due - time.monotonic()))
"""


@pytest.fixture(scope="module")
def slow_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that makes each sync take 50 ms, as flash does."""
    folder = tmp_path_factory.mktemp("slow")
    (folder / "slow.c").write_text(SLOW_DISK)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", folder / "slow.so", folder / "slow.c"], check=True)
    return folder / "slow.so"


@pytest.fixture
def stuck_pipe() -> Iterator[int]:
    """The write end of a pipe that is full, and that nobody reads."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"." * 4096)
    os.set_blocking(writer, True)
    yield writer
    os.close(reader)
    os.close(writer)


def stop_seconds(gateway) -> float:
    begin = time.monotonic()
    gateway.stop()
    seconds = time.monotonic() - begin
    print(f"stopped after {seconds:.2f} s")
    return seconds


def test_stop_beside_a_deaf_broker(new_gateway, broker, new_proxy):
    """With messages under way to a broker that takes them and answers nothing."""
    proxy = new_proxy(broker)
    gateway = new_gateway(publish_channel(qos=1), broker=broker, mqtt={"uri": proxy.uri}).start()
    proxy.swallow()
    gateway.tool("write", "out", "-l", input=b"sample\n" * 100)
    assert stop_seconds(gateway) < STOP_SECONDS


def test_stop_beside_all_of_it(new_gateway, broker, new_proxy, processes, build, slow_disk, stuck_pipe):
    """A deaf broker, a spool on a slow disk that two writers of 1 kHz fill, and a log that is stuck: the stop is
    in time, and the ledger adds up."""
    proxy = new_proxy(broker)
    gateway = new_gateway(publish_channel(qos=1, slots=4096, spool="overflow"), broker=broker, mqtt={"uri": proxy.uri})
    gateway.stderr = stuck_pipe
    gateway.variables["LD_PRELOAD"] = str(slow_disk)
    gateway.start()
    environment = build.environment(PYTHONPATH=str(build.path / "python"))
    for _ in range(2):
        processes.start([sys.executable, "-c", WRITER, gateway.segment], env=environment,
                        stderr=subprocess.DEVNULL)
    wait_until(lambda: gateway.channel("out")["delivered"] > 100)
    proxy.swallow()
    wait_until(lambda: gateway.channel("out")["queued"] > 1000)
    assert stop_seconds(gateway) < STOP_SECONDS
    check_ledger(gateway.channel("out"))


@pytest.mark.sanitized
def test_stop_after_a_cut_leaves_nothing(new_gateway, new_broker, new_proxy, tmp_path, build):
    """Stopped at several moments after its TLS connection was cut, while it connects anew: it ends in order, and the
    sanitizer finds no memory that was lost."""
    certificates = Certificates(tmp_path / "certificates")
    broker = new_broker(*certificates.broker_lines(client_certificate=False), tls=True)
    proxy = new_proxy(broker)
    gateway = new_gateway(publish_channel(qos=1), subscribe_channel(), broker=broker,
                          mqtt={"uri": proxy.uri, "ca_file": certificates.ca})
    for pause_ms in (0, 100, 200, 300):
        gateway.start()
        gateway.write("out", b"sample")
        proxy.cut()
        # Not a wait for something, but the moment that is tried.
        threading.Event().wait(pause_ms / 1000)
        assert stop_seconds(gateway) < STOP_SECONDS
