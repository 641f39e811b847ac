"""The whole way, both ways: shared memory to an MQTT subscriber and back, beside a bare socket, bare Paho, and a
bridge."""
from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from group_memory import Settings, micro
from table import Table
from world import Result, World, in_turn, median, publish_channel, subscribe_channel

WINDOWS = (5, 10, 20, 50, 100)
PACED_NS = 1_000_000
PACED_WINDOW = 20
RAW_WINDOW = 100


def sender(
    world: World, kind: str, broker, topic: str, qos: int, count: int, interval_ns: int, window: int
) -> list[str]:
    return [
        world.program(f"{kind}_publisher"),
        str(broker.port),
        topic,
        str(qos),
        str(count),
        str(interval_ns),
        str(window),
    ]


def receiver(world: World, kind: str, broker, topic: str, qos: int, count: int) -> list[str]:
    return [world.program(f"{kind}_subscriber"), str(broker.port), topic, str(qos), str(count)]


def complete(count: int, result: Result) -> Result:
    """A run in which messages were lost has no rate that could be compared."""
    if result["count"] < count:
        raise ValueError(f"{result['count']} of {count} messages came")
    return result


def with_cpu(pid: int, job: Callable[[], Result]) -> Result:
    """A job, and how much processor time the process used a message meanwhile, in microseconds."""
    before = cpu_us(pid)
    result = job()
    return {**result, "cpu_us": (cpu_us(pid) - before) / result["count"]}


def cpu_us(pid: int) -> float:
    """Processor time of all threads so far, of the kernel's for them too: fields 14 and 15 of proc_pid_stat(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1e6 / os.sysconf("SC_CLK_TCK")


def outward(world: World, table: Table, settings: Settings) -> None:
    """From shared memory to a subscriber that is a bare socket, whoever publishes."""
    channels = [
        publish_channel(f"q{qos}", qos=qos, max_payload=64, slots=65536, writers=1, overflow="reject") for qos in (0, 1)
    ]
    with world.broker() as broker, world.gateway(broker.uri, channels) as gateway:
        for qos in (0, 1):
            topic = f"test/q{qos}"

            def job(command: list[str], count: int) -> Result:
                return complete(count, world.transfer(receiver(world, "raw", broker, topic, qos, count), command))

            def ours(count: int, interval_ns: int) -> list[str]:
                return [world.program("ours_writer"), gateway.segment, f"q{qos}", str(count), str(interval_ns)]
            count = settings.count(20000, 50000)
            jobs = {
                "shmgate": partial(with_cpu, gateway.pid, partial(job, ours(count, 0), count)),
                "raw": partial(job, sender(world, "raw", broker, topic, qos, count, 0, RAW_WINDOW), count),
            }
            for window in WINDOWS if not settings.quick else WINDOWS[2:]:
                jobs[f"Paho, window {window}"] = partial(
                    job, sender(world, "paho", broker, topic, qos, count, 0, window), count
                )
            results = in_turn(settings.repeats, jobs)
            saturated(table, f"shared memory to subscriber, QoS {qos}", results)
            table.add(
                f"shared memory to subscriber, QoS {qos}, saturated: CPU a message",
                "us",
                median(results["shmgate"], "cpu_us"),
            )
            count = settings.count(1000, 3000)
            results = in_turn(
                settings.repeats,
                {
                    "shmgate": partial(job, ours(count, PACED_NS), count),
                    "bare Paho publisher": partial(
                        job, sender(world, "paho", broker, topic, qos, count, PACED_NS, PACED_WINDOW), count
                    ),
                    "raw socket": partial(
                        job, sender(world, "raw", broker, topic, qos, count, PACED_NS, RAW_WINDOW), count
                    ),
                },
            )
            paced(
                table,
                settings,
                f"shared memory to subscriber, QoS {qos}",
                f"latency-outward-qos{qos}",
                "bare Paho publisher",
                results,
            )


def inward(world: World, table: Table, settings: Settings) -> None:
    """From a publisher that is a bare socket to a reader asleep at shared memory, or to a bare Paho subscriber."""
    channels = [subscribe_channel(f"q{qos}", qos=qos, max_payload=64, slots=65536) for qos in (0, 1)]
    with world.broker() as broker, world.gateway(broker.uri, channels) as gateway:
        for qos in (0, 1):
            def job(command: list[str], topic: str, interval_ns: int, count: int) -> Result:
                return complete(
                    count,
                    world.transfer(command, sender(world, "raw", broker, topic, qos, count, interval_ns, RAW_WINDOW)),
                )

            def ways(count: int, interval_ns: int) -> dict[str, partial[Result]]:
                # The gateway is always there, and is not to get what is meant for the others.
                return {
                    "shmgate": partial(
                        job,
                        [world.program("ours_reader"), gateway.segment, f"q{qos}", str(count)],
                        f"test/q{qos}",
                        interval_ns,
                        count,
                    ),
                    "bare Paho subscriber": partial(
                        job, receiver(world, "paho", broker, "bare", qos, count), "bare", interval_ns, count
                    ),
                    "raw socket": partial(
                        job, receiver(world, "raw", broker, "bare", qos, count), "bare", interval_ns, count
                    ),
                }
            what = f"MQTT to shared memory, QoS {qos}"
            results = in_turn(settings.repeats, ways(settings.count(20000, 50000), 0))
            ours = median(results["shmgate"], "rate")
            table.at_least(
                f"{what}, saturated",
                "msg/s",
                ours,
                "bare Paho subscriber",
                median(results["bare Paho subscriber"], "rate"),
                0.95,
            )
            table.add(f"{what}, saturated", "msg/s", ours, "raw socket", median(results["raw socket"], "rate"))
            results = in_turn(settings.repeats, ways(settings.count(1000, 3000), PACED_NS))
            paced(table, settings, what, f"latency-inward-qos{qos}", "bare Paho subscriber", results)


def saturated(table: Table, what: str, results: dict[str, list[Result]]) -> None:
    rates = {name: median(runs, "rate") for name, runs in results.items()}
    paho = {name: rate for name, rate in rates.items() if name.startswith("Paho") and rate is not None}
    best = max(paho, key=lambda name: paho[name]) if paho else "Paho"
    table.at_least(f"{what}, saturated", "msg/s", rates["shmgate"], f"bare {best}", paho.get(best), 0.95)
    for name, rate in rates.items():
        if name not in ("shmgate", best):
            table.add(
                f"{what}, saturated", "msg/s", rates["shmgate"], "raw socket" if name == "raw" else f"bare {name}", rate
            )


def paced(
    table: Table, settings: Settings, what: str, plot: str, reference: str, results: dict[str, list[Result]]
) -> None:
    for name, runs in results.items():
        settings.curve(plot, name, runs)
    for figure in ("p50", "p99"):
        table.at_most(f"{what}, 1,000 msg/s, {figure}", "us", micro(median(results["shmgate"], figure)), reference,
                      micro(median(results[reference], figure)), 1.15)
    table.add(
        f"{what}, 1,000 msg/s, p50",
        "us",
        micro(median(results["shmgate"], "p50")),
        "raw socket",
        micro(median(results["raw socket"], "p50")),
    )
