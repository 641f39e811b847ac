"""What people use today from process to process, at the same jobs."""
from __future__ import annotations

import shutil
import subprocess
import urllib.request
from pathlib import Path

from group_memory import HERE, Settings, micro
from table import Table
from world import BUILD, Failed, Receiver, Result, World, in_turn, median

AERON = "1.44.1"
AERON_JAR = f"https://repo1.maven.org/maven2/io/aeron/aeron-all/{AERON}/aeron-all-{AERON}.jar"


def aeron(world: World) -> list[str]:
    """The command for AeronPeer. Raises Failed when it cannot be had."""
    if not shutil.which("javac"):
        raise Failed("no JDK here")
    folder = BUILD / "aeron"
    folder.mkdir(exist_ok=True)
    jar = folder / f"aeron-all-{AERON}.jar"
    try:
        if not jar.exists():
            with urllib.request.urlopen(AERON_JAR, timeout=60) as source:
                jar.write_bytes(source.read())
        subprocess.run(
            ["javac", "-cp", jar, "-d", folder, HERE / "aeron" / "AeronPeer.java"],
            check=True,
            capture_output=True,
            timeout=120,
        )
    except (OSError, subprocess.SubprocessError) as problem:
        raise Failed(f"could not be had: {problem}") from problem
    return [
        "java",
        "--add-opens",
        "java.base/sun.nio.ch=ALL-UNNAMED",
        "--add-opens",
        "java.base/jdk.internal.misc=ALL-UNNAMED",
        "-cp",
        f"{jar}:{folder}",
        "AeronPeer",
    ]


def iceoryx2(world: World) -> list[str]:
    """The command for peer_iceoryx2. Raises Failed when it cannot be had."""
    if not shutil.which("cargo"):
        raise Failed("no Rust here")
    target = BUILD / "iceoryx2"
    try:
        subprocess.run(
            [
                "cargo",
                "build",
                "-q",
                "--release",
                "--manifest-path",
                HERE / "iceoryx2" / "Cargo.toml",
                "--target-dir",
                target,
            ],
            check=True,
            capture_output=True,
            timeout=900,
        )
    except (OSError, subprocess.SubprocessError) as problem:
        raise Failed(f"could not be built: {problem}") from problem
    finally:
        (HERE / "iceoryx2" / "Cargo.lock").unlink(missing_ok=True)
    return [str(target / "release" / "peer_iceoryx2")]


def leftovers() -> set[Path]:
    """What iceoryx2 leaves in shared memory when its processes have ended."""
    return set(Path("/dev/shm").glob("iox2_*"))


def spinning(world: World, table: Table, settings: Settings) -> None:
    """Aeron and iceoryx2: one way with both sides spinning, and as many messages as go through."""
    rounds, count = settings.count(100_000, 300_000), settings.count(3_000_000, 10_000_000)
    others = leftovers()
    for name, make in (("Aeron", aeron), ("iceoryx2", iceoryx2)):
        try:
            command = make(world)
        except Failed as problem:
            table.missing("one-way latency, 64 B, spinning reader, p50", "ns", f"{name}: {str(problem)[:60]}")
            table.missing("one lane to one spinning reader, 64 B", "M/s", name)
            continue
        with world.host() as host:
            turns = in_turn(
                settings.repeats,
                {
                    "peer": lambda: world.run([*command, "turns", rounds]),
                    "shmgate": lambda: world.run([world.program("ours_turns"), host.segment, rounds]),
                },
            )
            flows = in_turn(
                settings.repeats,
                {
                    "peer": lambda: world.run([*command, "flow", count]),
                    "shmgate": lambda: world.run([world.program("ours_flow"), host.segment, count]),
                },
            )
        settings.curve("latency-spinning", name, turns["peer"])
        table.at_most(
            "one-way latency, 64 B, spinning reader, p50",
            "ns",
            median(turns["shmgate"], "p50"),
            name,
            median(turns["peer"], "p50"),
            1,
        )
        ours, theirs = median(flows["shmgate"], "rate"), median(flows["peer"], "rate")
        table.at_least(
            "one lane to one spinning reader, 64 B", "M/s", ours and ours / 1e6, name, theirs and theirs / 1e6, 1
        )
        for file in leftovers() - others:
            file.unlink(missing_ok=True)


def sleeping(world: World, table: Table, settings: Settings) -> None:
    """ZeroMQ and nng: a receiver that sleeps, and as many messages as go through."""
    count, flow = settings.count(1000, 2000), settings.count(200_000, 1_000_000)
    for name, program in (("ZeroMQ ipc", "peer_zeromq"), ("nng ipc", "peer_nng")):
        if not Path(world.program(program)).exists():
            table.missing("gateway to sleeping reader, p50", "us", f"{name}: its library is not here")
            continue

        def ours() -> Result:
            reader = Receiver(
                world.processes, ["taskset", "-c", "1", world.program("ours_reader"), host.segment, "in", str(count)]
            )
            host.arrive(count, 1_000_000)
            return reader.result()
        with world.host() as host:
            naps = in_turn(
                settings.repeats,
                {"peer": lambda: world.run([world.program(program), "sleeping", count, 1_000_000]), "shmgate": ours},
            )
            flows = in_turn(
                settings.repeats,
                {
                    "peer": lambda: world.run([world.program(program), "flow", flow]),
                    "shmgate": lambda: world.run([world.program("ours_flow"), host.segment, flow]),
                },
            )
        settings.curve("latency-sleeping", name, naps["peer"])
        table.add(
            "gateway to sleeping reader, p50",
            "us",
            micro(median(naps["shmgate"], "p50")),
            name,
            micro(median(naps["peer"], "p50")),
        )
        theirs, rate = median(flows["peer"], "rate"), median(flows["shmgate"], "rate")
        table.add("one writer to one reader, 64 B", "M/s", rate and rate / 1e6, name, theirs and theirs / 1e6)
