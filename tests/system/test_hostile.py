"""The segment's content is hostile: whatever a member of its group writes into it, nobody crashes, hangs or reads
outside it."""
from __future__ import annotations

import mmap
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness import BUILD, LIMIT, publish_channel, subscribe_channel, wait_until

SANITIZER_EXIT = 99
# Writes and reads until it is told to stop; errors of the library are what is to be expected.
PROGRAM = """
import os, shmgate, sys
name, stop = sys.argv[1:]
done = errors = 0
while not os.path.exists(stop):
    try:
        with shmgate.attach(name, timeout=0.1) as segment:
            with segment.writer('out') as writer, segment.reader('in') as inward, segment.reader('out') as outward:
                for _ in range(200):
                    writer.write(b'x' * 40)
                    for reader in (inward, outward):
                        reader.latest()
                        try:
                            reader.read(0)
                            with reader.peek(0) as peek: bytes(memoryview(peek))
                        except (shmgate.TimeoutError, shmgate.StaleError): pass
                    done += 1
            segment.counters()
    except (shmgate.Error, ValueError):
        errors += 1
print(done, errors)
"""


def resident_kib(pid: int) -> int:
    return int(Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()[0])


@pytest.mark.sanitized
@pytest.mark.parametrize("rounds", [200_000, pytest.param(20_000_000, marks=pytest.mark.full)])
def test_vandal_harms_nobody(new_gateway, broker, build, processes, tmp_path, socket_path, rounds):
    """Bits flipped and extreme values written all over a live segment: gateway with its metrics, tool and Python
    program end in order, by an error at worst, and without growing; removed and made anew, the segment works as
    ever."""
    seed = int(os.environ.get("SHMGATE_TEST_SEED", random.randrange(2**32)))
    print(f"seed={seed}")
    gateway = new_gateway(
        publish_channel(max_payload=64, slots=16, writers=4), subscribe_channel(max_payload=64, slots=16), broker=broker
    )
    gateway.metrics = {"listen": f"unix:{socket_path}"}
    gateway.write_config()
    gateway.start()
    stop = tmp_path / "stop"
    python = processes.start(
        [sys.executable, "-c", PROGRAM, gateway.segment, stop],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(BUILD / "python")},
    )
    writer = processes.start(
        [build.shmgate, "write", "out", "-l", "-S", gateway.segment],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=build.environment(),
    )
    readers = [
        processes.start(
            [build.shmgate, "read", channel, "-S", gateway.segment],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=build.environment(),
        )
        for channel in ("in", "out")
    ]
    publisher = processes.start(broker.client("mosquitto_pub", "-t", "test/in", "-l"), stdin=subprocess.PIPE)
    before = resident_kib(gateway.pid)
    for part in range(10):
        vandal = processes.start(
            [build.driver("vandal"), gateway.segment, str(rounds // 10), str(seed + part)], stdout=subprocess.PIPE
        )
        for process in (writer, publisher):
            try:
                process.stdin.write(b"a line of text\n" * 50)
                process.stdin.flush()
            except BrokenPipeError:
                pass
        scrape = [
            "curl",
            "-s",
            "-o",
            os.devnull,
            "-w",
            "%{http_code}",
            "--unix-socket",
            socket_path,
            "http://localhost/metrics",
        ]
        while vandal.poll() is None:
            done = subprocess.run(scrape, capture_output=True, timeout=LIMIT)
            # 503: the damage is such that nobody can attach.
            assert done.stdout in (b"200", b"503"), (done, gateway.log()[-4000:])
        assert vandal.returncode == 0
        assert gateway.process.poll() is None, gateway.log()[-4000:]
    # A sanitizer's memory grows by what it holds back.
    assert resident_kib(gateway.pid) - before < (300_000 if build.sanitized else 3_000)
    stop.touch()
    out, err = python.communicate(timeout=LIMIT)
    print(f"python: rounds and errors: {out.decode().strip()}")
    assert python.returncode == 0, (python.returncode, err[-2000:])
    for process in (writer, publisher):
        try:
            process.stdin.close()
        except BrokenPipeError:
            pass
    for process in (writer, *readers):
        if process is not writer:
            process.terminate()
        assert process.wait(LIMIT) in (0, 1), (process.args, process.returncode, process.stderr.read()[-2000:])
    gateway.stop()
    gateway.check_log()
    gateway.tool("release")
    wait_until(lambda: not os.path.exists(f"/dev/shm{gateway.segment}") or gateway.tool("release"))
    gateway.start()
    gateway.write("out", b"as ever")
    gateway.wait_for_delivery("out", 1)


def test_forged_retirement_is_set_right(new_gateway, broker):
    """A program marks the segment as replaced: nobody stops at it, and the gateway says otherwise at its next turn."""
    gateway = new_gateway(publish_channel(), broker=broker).start()
    with open(f"/dev/shm{gateway.segment}", "r+b") as file, mmap.mmap(file.fileno(), 4096) as header:
        for number in range(3):
            header[128:132] = (2).to_bytes(4, "little")
            gateway.write("out", b"x")
            wait_until(lambda: gateway.channel("out")["delivered"] == number + 1)
            wait_until(lambda: header[128:132] == (1).to_bytes(4, "little"))


def test_damaged_table_is_got_over(new_gateway, broker, socket_path):
    """One wrong byte in the tables stops neither a reload with another geometry nor a later start: what is damaged is
    set aside, which is said and counted once, and a writer that was attached goes on."""
    gateway = new_gateway(publish_channel(slots=64), broker=broker)
    gateway.metrics = {"listen": f"unix:{socket_path}"}
    gateway.write_config()
    gateway.start()
    with subprocess.Popen([str(gateway.build.shmgate), "write", "out", "-l", "-S", gateway.segment],
                          stdin=subprocess.PIPE) as attached:
        assert attached.stdin
        attached.stdin.write(b"before\n")
        attached.stdin.flush()
        wait_until(lambda: gateway.channel("out")["delivered"] == 1)
        with open(f"/dev/shm{gateway.segment}", "r+b") as file, mmap.mmap(file.fileno(), 4096) as tables:
            channel = int.from_bytes(tables[40:48], "little")
            tables[channel + 80] = 3
        gateway.channels[0]["slots"] = 128
        gateway.write_config()
        gateway.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "segment set aside" in gateway.log())
        scraped = subprocess.run(["curl", "-s", "--unix-socket", socket_path, "http://localhost/metrics"],
                                 capture_output=True, timeout=LIMIT)
        assert b"\nshmgate_segments_set_aside_total 1\n" in scraped.stdout, scraped
        attached.stdin.write(b"after\n")
        attached.stdin.close()
        assert attached.wait(LIMIT) == 0
    wait_until(lambda: gateway.channel("out")["delivered"] == 1)
    gateway.stop()
    gateway.start()
    gateway.write("out", b"again")
    wait_until(lambda: gateway.channel("out")["delivered"] == 2)
    assert gateway.log().count("segment set aside") == 1
