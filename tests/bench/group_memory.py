"""The shared-memory half: the library alone, beside what the machine itself can do and beside other ways from process
to process."""
from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from table import Table
from world import Failed, Receiver, Result, World, in_turn, median, publish_channel

HERE = Path(__file__).resolve().parent


@dataclass
class Settings:
    """How much of everything."""

    quick: bool
    repeats: int
    curves: dict[str, dict[str, list]] = field(default_factory=dict)
    """Plots by name: a label, and its quantiles or points."""

    def count(self, quick: int, whole: int) -> int:
        return quick if self.quick else whole

    def curve(self, plot: str, label: str, results: list[Result]) -> None:
        """Keep the quantiles of the middle repeat for a plot."""
        usable = sorted((result for result in results if result.get("quantiles")), key=lambda result: result["p50"])
        if usable:
            self.curves.setdefault(plot, {})[label] = usable[len(usable) // 2]["quantiles"]


def latency(world: World, table: Table, settings: Settings) -> None:
    rounds = settings.count(100000, 300000)
    with world.host() as host:
        results = in_turn(settings.repeats, {
            "ping-pong of a cache line": lambda: world.run([world.program("floor_cache"), rounds]),
            "shmgate": lambda: world.run([world.program("ours_turns"), host.segment, rounds]),
        })
    for name, runs in results.items():
        settings.curve("latency-spinning", name, runs)
    ours = median(results["shmgate"], "p50")
    floor = "ping-pong of a cache line"
    what = "one-way latency, 64 B, spinning reader"
    table.at_most(f"{what}, p50", "ns", ours, floor, median(results[floor], "p50"), 1.3)
    table.add(f"{what}, p99", "ns", median(results["shmgate"], "p99"), floor, median(results[floor], "p99"))


def write(world: World, table: Table, settings: Settings) -> None:
    with world.host() as host:
        runs = in_turn(
            settings.repeats,
            {"write": lambda: world.run([world.program("ours_write"), host.segment, settings.count(300, 1000)])},
        )["write"]
        try:
            quiet = "no" if quiet_write(world, host.segment) else "yes"
        except Failed as problem:
            quiet = str(problem)
    whole, clock = median(runs, "write"), median(runs, "clock")
    table.add("write of 64 B with time stamp", "ns", whole, "clock_gettime", clock)
    above = None if whole is None or clock is None else whole - clock
    table.limit(
        "write of 64 B, above the clock's own time",
        "ns",
        above,
        "at most 30 ns",
        above is not None and above <= 30,
        "memcpy of 64 B",
        median(runs, "memcpy"),
    )
    table.limit(
        "write of 64 B makes a system call",
        "",
        0 if quiet == "no" else 1,
        "never",
        quiet == "no",
        f"killed at the first: {quiet}",
    )


def quiet_write(world: World, segment: str) -> bool:
    """Whether a writer that the kernel kills at its first system call lives through 10,000 writes."""
    process = world.processes.start(
        [world.program("quiet_writer"), segment, "ping", "10000", "10"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    output, errors = process.communicate(b"\n", timeout=60)
    if b"ready" not in output:
        raise Failed(errors.decode(errors="replace").strip() or "quiet_writer did not start")
    return b"done" in output and process.returncode == 0


def wake(world: World, table: Table, settings: Settings) -> None:
    count, interval = settings.count(1000, 2000), 1_000_000

    def inward(host) -> Result:
        reader = Receiver(
            world.processes, ["taskset", "-c", "1", world.program("ours_reader"), host.segment, "in", str(count)]
        )
        host.arrive(count, interval)
        return reader.result()

    with world.host() as host, world.broker() as broker, world.gateway(
        broker.uri, [publish_channel(qos=0, max_payload=64, writers=1)]
    ) as gateway:
        sleeping = ["taskset", "-c", "1", world.program("ours_reader"), gateway.segment, "out", str(count)]
        writing = [
            "taskset",
            "-c",
            "0",
            world.program("ours_writer"),
            gateway.segment,
            "out",
            str(count),
            str(interval),
        ]
        results = in_turn(settings.repeats, {
            "semaphore wake-up": lambda: world.run([world.program("floor_wake"), count, interval]),
            "shmgate, publish channel": lambda: world.transfer(sleeping, writing),
            "shmgate, subscribe channel": lambda: inward(host),
        })
    for name, runs in results.items():
        settings.curve("latency-sleeping", name, runs)
    floor = results["semaphore wake-up"]
    for kind, label in (("publish", "writer to sleeping reader"), ("subscribe", "gateway to sleeping reader")):
        ours = results[f"shmgate, {kind} channel"]
        table.at_most(
            f"{label}, p50", "us", micro(median(ours, "p50")), "semaphore wake-up", micro(median(floor, "p50")), 1.1
        )
        table.add(f"{label}, p99", "us", micro(median(ours, "p99")), "semaphore wake-up", micro(median(floor, "p99")))


def micro(nanoseconds: float | None) -> float | None:
    return None if nanoseconds is None else nanoseconds / 1000


def flow(world: World, table: Table, settings: Settings) -> None:
    count = settings.count(3_000_000, 20_000_000)
    with world.host() as host:
        results = in_turn(
            settings.repeats, {"shmgate": lambda: world.run([world.program("ours_flow"), host.segment, count])}
        )
    rate = median(results["shmgate"], "rate")
    millions = None if rate is None else rate / 1e6
    table.limit(
        "one lane to one spinning reader, 64 B",
        "M/s",
        millions,
        "at least 20 M/s",
        millions is not None and millions >= 20,
    )


def python(world: World, table: Table, settings: Settings) -> None:
    count = str(settings.count(100_000, 300_000))
    with world.host() as host:
        results = in_turn(settings.repeats, {
            "shmgate": lambda: world.run([sys.executable, HERE / "ours_python.py", host.segment, count]),
            "multiprocessing": lambda: world.run([sys.executable, HERE / "peer_python.py", count]),
        })
    ours, peer = results["shmgate"], results["multiprocessing"]
    for verb in ("write", "read"):
        cost = micro(median(ours, verb))
        table.limit(
            f"Python: {verb} of 64 B",
            "us",
            cost,
            "at most 0.5 us",
            cost is not None and cost <= 0.5,
            "shared_memory, and a counter",
            micro(median(peer, f"shared_memory_{verb}")),
        )
    table.add(
        "Python: write and read of 64 B",
        "us",
        micro(None if not ours else median(ours, "write") + median(ours, "read")),
        "multiprocessing.Queue",
        micro(median(peer, "queue")),
    )
    drain = median(ours, "drain")
    millions = None if drain is None else drain / 1e6
    table.limit(
        "Python: into a NumPy structured array",
        "M/s",
        millions,
        "at least 5 M/s",
        millions is not None and millions >= 5,
        "shared_memory, one copy",
        None if not peer else median(peer, "numpy") / 1e6,
    )
