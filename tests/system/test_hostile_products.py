"""A hostile member of the group beside everything else at once: spool, batches, origins, reloads that change the
geometry, idle writers, outages and kills. Whatever comes together, the gateway goes on, its start gets over what it
finds, the spool is never damaged by it, and it does not grow."""
from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
from pathlib import Path

import pytest

from harness import LIMIT, publish_channel, subscribe_channel, wait_until

BLOWS = 2000
"""Of the vandal, in each round."""


def resident_kib(pid: int) -> int:
    return int(Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()[0])


class Neighbours:
    """Programs that write into the segment, read from it and hit it; whatever they meet, they end by themselves."""

    def __init__(self, gateway, build, processes) -> None:
        self.gateway, self.build, self.processes = gateway, build, processes
        self.writers: list[subprocess.Popen[bytes]] = []
        self.passing: list[subprocess.Popen[bytes]] = []

    def start(self, *command, **options) -> subprocess.Popen[bytes]:
        return self.processes.start(command, stderr=subprocess.DEVNULL, env=self.build.environment(), **options)

    def write(self, channel: str, count: int) -> None:
        """A writer that writes once and then stays, idle."""
        writer = self.start(self.build.shmgate, "write", channel, "-l", "-W", "1", "-S", self.gateway.segment,
                            stdin=subprocess.PIPE)
        with contextlib.suppress(BrokenPipeError):
            writer.stdin.write(b"a line of text\n" * count)
            writer.stdin.flush()
        self.writers.append(writer)

    def hit(self, seed: int) -> None:
        self.passing.append(
            self.start(self.build.driver("vandal"), self.gateway.segment, str(BLOWS), str(seed),
                       stdout=subprocess.DEVNULL)
        )

    def leave(self, kept: int) -> None:
        """All but the last few writers go; who was passing has passed."""
        for process in self.passing:
            process.wait(LIMIT)
        self.passing.clear()
        while len(self.writers) > kept:
            writer = self.writers.pop(0)
            writer.kill()
            writer.wait(LIMIT)
            with contextlib.suppress(BrokenPipeError):
                writer.stdin.close()


def come_back(gateway, how: str) -> None:
    """Reload, stop and start, or kill and start; it must be ready again each time."""
    if how == "reload":
        ready = sum("READY=1" in text for text in gateway.notifications())
        gateway.process.send_signal(signal.SIGHUP)

        def is_ready_again() -> bool:
            assert gateway.process.poll() is None, gateway.log()[-4000:]
            return sum("READY=1" in text for text in gateway.notifications()) > ready
        wait_until(is_ready_again, lambda: gateway.log()[-4000:])
        return
    if how == "stop":
        gateway.stop()
    else:
        gateway.kill()
    gateway.start(link=False)


@pytest.mark.sanitized
@pytest.mark.parametrize("rounds", [12, pytest.param(1000, marks=pytest.mark.full)])
def test_vandal_beside_everything_else(new_gateway, new_broker, build, processes, rounds):
    """Round after round the segment is hit while writers write and the geometry changes; in some the broker is away, in
    some the gateway is killed or stopped. It comes back each time, its spool is whole, and at the end all works as
    ever."""
    seed = int(os.environ.get("SHMGATE_TEST_SEED", random.randrange(2**32)))
    print(f"seed={seed}")
    chance = random.Random(seed)
    broker = new_broker()
    gateway = new_gateway(
        publish_channel(max_payload=64, slots=16, writers=4, spool="overflow", source="yes", batch_max=4,
                        batch_time="5ms"),
        publish_channel("always", max_payload=64, slots=16, writers=2, spool="always", source="yes"),
        subscribe_channel(max_payload=64, slots=16),
        broker=broker, spool={"max_size": "1M", "interval": "100ms"},
    )
    gateway.start()
    neighbours = Neighbours(gateway, build, processes)
    grown = 0
    before = resident_kib(gateway.pid)
    for turn in range(rounds):
        how = chance.choice(["reload", "reload", "reload", "stop", "kill"])
        if turn % 4 == 1:
            broker.stop()
        neighbours.hit(seed + turn)
        neighbours.write("out", 20)
        neighbours.write("always", 10)
        if turn % 4 == 3:
            broker.start()
        gateway.channels[0]["slots"] = chance.choice([8, 16, 32])
        gateway.channels[1]["slots"] = chance.choice([8, 16])
        gateway.write_config()
        if how != "reload":
            grown += max(0, resident_kib(gateway.pid) - before)
        come_back(gateway, how)
        if how != "reload":
            before = resident_kib(gateway.pid)
        neighbours.leave(kept=3)
        assert "spool set aside" not in gateway.log(), gateway.log()[-4000:]
    grown += max(0, resident_kib(gateway.pid) - before)
    # A sanitizer's memory grows by what it holds back; the lives of one gateway last some rounds.
    assert grown < (50_000 if build.sanitized else 1_000) * (rounds + 10), grown
    neighbours.leave(kept=0)
    if not broker.process or broker.process.poll() is not None:
        broker.start()
    gateway.stop()
    gateway.check_log()
    gateway.tool("release")
    checked = subprocess.run([build.shmgate, "spool", "check", "-f", gateway.spool_path], capture_output=True,
                             timeout=LIMIT, env=build.environment())
    assert checked.returncode == 0, checked.stdout + checked.stderr
    gateway.start()
    delivered = gateway.channel("out")["delivered"]
    gateway.write("out", b"as ever")
    gateway.wait_for_delivery("out", delivered + 1)
