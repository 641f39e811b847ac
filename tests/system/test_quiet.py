"""What costs nothing: a writer beside an awake gateway, and a gateway with nothing to do."""
from __future__ import annotations

import re
import signal
import struct
import subprocess
import time
from pathlib import Path

from harness import LIMIT, publish_channel, subscribe_channel, wait_until

GATEWAY_SLEEPS = 256
"""Where the segment says that the gateway sleeps; see shm/layout.h."""
IDLE_SECONDS = 10


def gateway_sleeps(segment: str) -> bool:
    with open(f"/dev/shm{segment}", "rb") as file:
        file.seek(GATEWAY_SLEEPS)
        return struct.unpack("I", file.read(4))[0] != 0


def state(pid: int) -> str:
    """proc(5): S sleeping, T stopped, R running."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0]


def start_quiet_writer(processes, build, gateway, count: int, first: int) -> subprocess.Popen[bytes]:
    """A writer that is about to forbid itself all system calls."""
    writer = processes.start([build.driver("quiet_writer"), gateway.segment, "out", str(count), str(first)],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert writer.stdout.readline() == b"ready\n"
    return writer


def let_write(writer: subprocess.Popen[bytes]) -> tuple[int, bytes]:
    output, _ = writer.communicate(b"\n", timeout=LIMIT)
    return writer.returncode, output


def stop_asleep(gateway) -> None:
    """SIGSTOP the gateway where it sleeps."""
    wait_until(lambda: gateway_sleeps(gateway.segment) and state(gateway.pid) == "S", "the gateway to sleep")
    gateway.process.send_signal(signal.SIGSTOP)
    wait_until(lambda: state(gateway.pid) == "T", "the gateway to stop")


def test_writer_makes_no_system_call_while_the_gateway_is_awake(new_gateway, broker, build, processes):
    """10,000 writes, over a ring of 256 slots that fills, in a process that its first system call would kill."""
    gateway = new_gateway(
        publish_channel(slots=256, max_payload=64), broker=broker, mqtt={"stats_interval": "0"}
    ).start()
    # Stopped, so that it stays as it is. The writer's first message wakes it: from then on it counts as awake.
    stop_asleep(gateway)
    writer = start_quiet_writer(processes, build, gateway, 10_000, 1)
    assert not gateway_sleeps(gateway.segment)
    assert let_write(writer) == (0, b"done\n")
    assert not gateway_sleeps(gateway.segment)
    gateway.process.send_signal(signal.SIGCONT)
    wait_until(lambda: gateway.channel("out")["queued"] == 0, lambda: str(gateway.channel("out")))
    assert gateway.channel("out")["written"] == 10_001


def test_system_calls_of_a_writer_would_be_seen(new_gateway, broker, build, processes):
    """The counter-proof: when the gateway sleeps the one post is a system call, and the same writer is killed by it."""
    gateway = new_gateway(
        publish_channel(slots=256, max_payload=64), broker=broker, mqtt={"stats_interval": "0"}
    ).start()
    stop_asleep(gateway)
    writer = start_quiet_writer(processes, build, gateway, 1, 0)
    assert let_write(writer) == (-signal.SIGSYS, b"")
    gateway.process.send_signal(signal.SIGCONT)


def test_sleeping_gateway_is_woken_by_one_post(new_gateway, broker, build, processes, tmp_path):
    """strace of 1,000 writes to a gateway that is stopped asleep: one futex call, the post, and nothing else."""
    gateway = new_gateway(
        publish_channel(slots=2048, max_payload=64), broker=broker, mqtt={"stats_interval": "0"}
    ).start()
    stop_asleep(gateway)
    trace = tmp_path / "trace"
    done = subprocess.run(
        ["strace", "-f", "-o", str(trace), str(build.driver("quiet_writer")), gateway.segment, "out", "0", "1000"],
        input=b"\n",
        capture_output=True,
        timeout=LIMIT,
    )
    assert done.returncode == 0, done
    calls = trace.read_text()
    # From the lane's lock (the last thing that opening does) to the "ready" that follows the writes.
    between = calls[calls.rindex("F_OFD_SETLK"):calls.index('"ready')]
    names = re.findall(r"^\d+ +(\w+)\(", between, re.MULTILINE)
    assert names.count("futex") == 1, between
    assert set(names) <= {"futex", "newfstatat", "fstat", "write", "brk", "mmap"}, between
    gateway.process.send_signal(signal.SIGCONT)


def wake_ups(pid: int) -> dict[str, int]:
    """Voluntary context switches of each thread."""
    counts = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        counts[task.name] = int(
            re.search(r"^voluntary_ctxt_switches:\s+(\d+)", (task / "status").read_text(), re.MULTILINE)[1]
        )
    return counts


def test_idle_gateway_sleeps(new_gateway, broker, build):
    """Connected and with nothing to do, the loop wakes less than once a second, and Paho's two threads about once
    each."""
    gateway = new_gateway(publish_channel(), subscribe_channel(), broker=broker).start()
    wait_until(lambda: gateway_sleeps(gateway.segment), "the gateway to sleep")
    before = wake_ups(gateway.pid)
    # A rate is measured over a time; nothing is waited for here.
    time.sleep(IDLE_SECONDS)
    woken = {task: count - before.get(task, 0) for task, count in wake_ups(gateway.pid).items()}
    loop = woken.pop(str(gateway.pid))
    print(f"wake-ups in {IDLE_SECONDS} s: loop {loop}, Paho's threads {sorted(woken.values())}")
    assert loop <= IDLE_SECONDS, woken
    # Paho polls its socket and its queue once a second, by itself.
    assert all(count <= 2 * IDLE_SECONDS for count in woken.values()), woken
