"""The gateway as a whole: samples in batches, many channels, an outage, and what it costs to have it there."""
from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from functools import partial
from pathlib import Path

from group_memory import Settings
from group_mqtt import complete, receiver
from table import Table
from world import BUILD, Receiver, Result, World, in_turn, median, publish_channel

CHANNELS = (1, 10, 100, 1000)
IDLE_S = 4.0
SETTLE_S = 2.0
"""Seconds after which a gateway that had something to do is idle: latencies are shown once more a second later."""


def batched(world: World, table: Table, settings: Settings) -> None:
    """Samples of 64 bytes, up to 1,000 in a message, to a bare socket that takes the frames apart."""
    count = settings.count(1_000_000, 3_000_000)
    channel = publish_channel(
        "batched", qos=1, max_payload=64, slots=262144, writers=1, overflow="reject", batch_max=1000, batch_time="5ms"
    )
    with world.broker() as broker, world.gateway(broker.uri, [channel]) as gateway:
        runs = in_turn(
            settings.repeats,
            {
                "batched": lambda: complete(
                    count,
                    world.transfer(
                        receiver(world, "raw", broker, "test/batched", 1, count),
                        [world.program("ours_writer"), gateway.segment, "batched", str(count), "0"],
                    ),
                )
            },
        )
    rate = median(runs["batched"], "rate")
    table.limit(
        "samples of 64 B, 1,000 in a message, QoS 1",
        "1/s",
        rate,
        "at least 1 M samples/s",
        rate is not None and rate >= 1e6,
    )


def scale(world: World, table: Table, settings: Settings) -> None:
    """The same messages over 1 to 1,000 channels, in turns; and the wake-ups of the gateways when nothing happens."""
    count = settings.count(20000, 50000)
    sizes = CHANNELS if not settings.quick else CHANNELS[::3]
    with world.broker() as broker, contextlib.ExitStack() as stack:
        gateways = {}
        for number in sizes:
            channels = [
                publish_channel(
                    f"c{index}",
                    topic=f"scale{number}/{index}",
                    qos=1,
                    max_payload=64,
                    slots=max(64, 65536 // number),
                    writers=1,
                    overflow="reject",
                )
                for index in range(number)
            ]
            gateways[number] = stack.enter_context(world.gateway(broker.uri, channels, client_id=f"scale{number}"))

        def job(number: int) -> Result:
            return complete(count, world.transfer(receiver(world, "raw", broker, f"scale{number}/#", 1, count), [
                world.program("ours_writer"), gateways[number].segment, "c", str(count), "0", str(number)]))
        results = in_turn(settings.repeats, {str(number): partial(job, number) for number in sizes})
        idle = {number: wake_ups(gateways[number].pid) for number in sizes}
    rates = {number: median(results[str(number)], "rate") for number in sizes}
    costs = {number: 1e6 / rate for number, rate in rates.items() if rate}
    settings.curves["cost-channels"] = {"shmgate, QoS 1": [[number, cost] for number, cost in costs.items()]}
    first, last = sizes[0], sizes[-1]
    table.at_most(
        f"cost of a message with {last:,} channels, QoS 1",
        "us",
        costs.get(last),
        f"with {first} channel",
        costs.get(first),
        1.1,
    )
    table.limit(
        f"idle gateway with {last:,} channels: wake-ups of its own thread",
        "1/s",
        idle[last][0],
        "none but keep-alives",
        idle[last][0] <= 0.5,
        f"with {first} channel",
        idle[first][0],
    )
    table.add(
        f"idle gateway with {last:,} channels: wake-ups of all threads",
        "1/s",
        idle[last][1],
        f"with {first} channel",
        idle[first][1],
    )


def switches(pid: int) -> dict[int, int]:
    """Voluntary context switches of each thread so far: how often it went to sleep."""
    found = {}
    for thread in Path(f"/proc/{pid}/task").iterdir():
        for line in (thread / "status").read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches"):
                found[int(thread.name)] = int(line.split()[1])
    return found


def wake_ups(pid: int) -> tuple[float, float]:
    """A second, of an idle gateway: its own thread's, and all threads'."""
    time.sleep(SETTLE_S)
    before = switches(pid)
    time.sleep(IDLE_S)
    after = switches(pid)
    return (after[pid] - before[pid]) / IDLE_S, sum(after[thread] - before.get(thread, 0) for thread in after) / IDLE_S


def resident_kib(pid: int) -> float:
    """Resident memory but for what is shared by many: the segment."""
    values = {
        line.split(":")[0]: int(line.split()[1])
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith(("VmRSS", "RssShmem"))
    }
    return values["VmRSS"] - values["RssShmem"]


def daemon(world: World, table: Table, settings: Settings) -> None:
    """What it takes to have it there: memory, disk, and the time to be ready."""
    channels = [publish_channel(f"c{index}", max_payload=256, slots=1024, writers=1) for index in range(100)]
    ready: list[float] = []
    with world.broker() as broker:
        for _ in range(settings.repeats):
            with world.gateway(broker.uri, channels, start=False) as gateway:
                begin = time.perf_counter()
                gateway.launch()
                while not gateway.is_ready():
                    time.sleep(0.0005)
                ready.append(time.perf_counter() - begin)
                gateway.wait_for_link()
                resident = resident_kib(gateway.pid)
                gateway.stop()
    stripped = world.folder / "shmgated"
    shutil.copy(BUILD / "bin" / "shmgated", stripped)
    subprocess.run(["strip", stripped], check=True)
    size = os.path.getsize(stripped) / 1024
    table.limit(
        "gateway with 100 channels of 1,024 x 256 B: resident",
        "MiB",
        resident / 1024,
        "at most 8 MB",
        resident / 1024 <= 8,
    )
    table.limit("gateway: the program's file, stripped", "KiB", size, "at most 300 KB", size <= 300)
    middle = sorted(ready)[len(ready) // 2] * 1000
    table.limit("gateway: ready after exec, 100 new channels", "ms", middle, "at most 50 ms", middle <= 50)


def outage(world: World, table: Table, settings: Settings) -> None:
    """A backlog from the disk, and as many messages from the ring, to the same subscriber."""
    count = settings.count(20000, 50000)
    channel = publish_channel("o", qos=1, max_payload=64, slots=65536, writers=1, overflow="reject", spool="overflow")

    def fill(gateway) -> None:
        world.run([world.program("ours_writer"), gateway.segment, "o", str(count), "0"])

    def listen(broker) -> Receiver:
        return Receiver(world.processes, receiver(world, "raw", broker, "test/o", 1, count))

    def saturated() -> Result:
        with world.broker() as broker, world.gateway(broker.uri, [channel]) as gateway:
            waiting = listen(broker)
            fill(gateway)
            return complete(count, waiting.result())

    def drained() -> Result:
        with world.broker() as broker:
            broker.stop()
            with world.gateway(broker.uri, [channel], link=False) as gateway:
                fill(gateway)
                # An orderly stop moves all of it to the disk.
                gateway.stop()
                broker.start()
                waiting = listen(broker)
                gateway.start()
                return complete(count, waiting.result())
    results = in_turn(settings.repeats, {"saturated": saturated, "drained": drained})
    table.at_least(
        "backlog from disk to subscriber, QoS 1",
        "msg/s",
        median(results["drained"], "rate"),
        "from the ring, saturated",
        median(results["saturated"], "rate"),
        0.9,
    )
