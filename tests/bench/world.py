"""What a comparison runs in: processes that are ended, brokers, gateways, segments, and one way to pass messages
through any of them.

Everything listens on loopback. Whatever happens, `World.close` leaves no process, no segment and no temporary file.
"""
from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "system"))

# noqa: E402
from harness import BUILD, Broker, Build, Gateway, Processes, free_port, publish_channel, subscribe_channel

TIMEOUT_S = 120.0
"""Seconds that no job takes; one that does is ended, and its row says that it could not be measured."""
SIZE = 64
IN_FLIGHT = 100
"""Unanswered messages the broker allows, to everybody: more than any window that is tried."""
# Without set_tcp_nodelay the broker holds small packets back until the subscriber's system acknowledges the last one,
# up to 40 ms later: at 1,000 messages a second that hides everything else, of whoever publishes.

Result = dict[str, Any]


class Failed(Exception):
    """A job did not come to its end; the text says why."""


class Receiver:
    """A running program that has said that it listens, and will print its result."""

    def __init__(self, processes: Processes, command: Sequence[str | Path], **options: Any) -> None:
        self.command = [str(word) for word in command]
        self.process = processes.start(self.command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
        assert self.process.stdout
        line = self.process.stdout.readline()
        if line != b"ready\n":
            _, errors = self.process.communicate(timeout=TIMEOUT_S)
            raise Failed(f"{self.command[0]}: {errors.decode(errors='replace').strip() or line!r}")

    def result(self) -> Result:
        try:
            output, errors = self.process.communicate(timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired as late:
            self.process.kill()
            self.process.communicate()
            raise Failed(f"{self.command[0]}: not done within {TIMEOUT_S:g} s") from late
        if self.process.returncode != 0:
            raise Failed(f"{self.command[0]}: {errors.decode(errors='replace').strip()}")
        return json.loads(output)


class World:
    """The build, a folder, and what runs."""

    def __init__(self) -> None:
        self.processes = Processes()
        self.folder_owner = tempfile.TemporaryDirectory(prefix="shmgate-bench-")
        self.folder = Path(self.folder_owner.name)
        self.build = Build(BUILD, False)
        self.stack = contextlib.ExitStack()

    def close(self) -> None:
        try:
            self.stack.close()
        finally:
            self.processes.end()
            self.folder_owner.cleanup()

    def program(self, name: str) -> str:
        return str(BUILD / "bench" / name)

    def run(self, command: Sequence[str | Path], **options: Any) -> Result:
        """Run a program to its end; its JSON result."""
        words = [str(word) for word in command]
        process = self.processes.start(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
        try:
            output, errors = process.communicate(timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired as late:
            process.kill()
            process.communicate()
            raise Failed(f"{words[0]}: not done within {TIMEOUT_S:g} s") from late
        if process.returncode != 0:
            raise Failed(f"{words[0]}: {errors.decode(errors='replace').strip()}")
        return json.loads(output.decode().splitlines()[-1])

    def transfer(self, receiver: Sequence[str | Path], sender: Sequence[str | Path], **options: Any) -> Result:
        """Messages from `sender` to `receiver`: what the receiver saw."""
        waiting = Receiver(self.processes, receiver, **options)
        try:
            self.run(sender)
            result = waiting.result()
        finally:
            if waiting.process.poll() is None:
                waiting.process.kill()
                waiting.process.communicate()
        return result

    @contextlib.contextmanager
    def host(self) -> Iterator["Host"]:
        """A segment without a gateway's work."""
        host = Host(self)
        try:
            yield host
        finally:
            host.end()

    @contextlib.contextmanager
    def broker(self, *lines: str, folder: Path | None = None) -> Iterator[Broker]:
        broker = Broker(
            self.processes,
            folder or self.folder,
            [f"max_inflight_messages {IN_FLIGHT}", "set_tcp_nodelay true", *lines],
        )
        broker.log_type = "error"
        broker.start()
        try:
            yield broker
        finally:
            if broker.process and broker.process.poll() is None:
                broker.stop()

    @contextlib.contextmanager
    def gateway(
        self, broker_uri: str, channels: list[dict[str, Any]], link: bool = True, start: bool = True, **mqtt: Any
    ) -> Iterator[Gateway]:
        gateway = Gateway(
            self.processes,
            self.build,
            self.folder,
            f"/shmgate-bench-{os.getpid()}-{free_port()}",
            channels,
            {"uri": broker_uri, "stats_interval": 0, **mqtt},
            {},
        )
        try:
            if start:
                gateway.start(link)
            yield gateway
        finally:
            gateway.end()
            gateway.remove_segment()


class Host:
    """ours_host: a segment that is served, by nobody who does anything."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.segment = f"/shmgate-bench-{os.getpid()}-{free_port()}"
        self.receiver = Receiver(world.processes, [world.program("ours_host"), self.segment], stdin=subprocess.PIPE)

    def arrive(self, count: int, interval_ns: int) -> None:
        """Put messages into the subscribe channel "in", as a gateway does."""
        stream = self.receiver.process.stdin
        assert stream
        stream.write(f"arrive {count} {interval_ns}\n".encode())
        stream.flush()

    def end(self) -> None:
        process = self.receiver.process
        if process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=TIMEOUT_S)
        if process.poll() is None:
            process.kill()
            process.communicate()
        for name in (self.segment.lstrip("/"), f"sem.{self.segment.lstrip('/')}"):
            Path("/dev/shm", name).unlink(missing_ok=True)


def in_turn(repeats: int, jobs: Mapping[str, Callable[[], Result]]) -> dict[str, list[Result]]:
    """Each job `repeats` times, in turn, so that what the machine does meanwhile meets all alike. A job that fails is
    left out from then on, with a word on standard error."""
    results: dict[str, list[Result]] = {name: [] for name in jobs}
    failed: set[str] = set()
    for _ in range(repeats):
        for name, job in jobs.items():
            if name in failed:
                continue
            try:
                results[name].append(job())
            except (Failed, AssertionError, OSError, ValueError) as problem:
                failed.add(name)
                results[name] = []
                print(f"could not measure {name}: {str(problem)[:500]}", file=sys.stderr, flush=True)
    return results


def median(results: Sequence[Result], key: str) -> float | None:
    """The median of one figure over the repeats; None when there is none."""
    values = [float(result[key]) for result in results if result.get(key) is not None]
    return statistics.median(values) if values else None
