"""What people use today, at the same jobs: libraries for shared memory, and ways from a program to a broker."""
from __future__ import annotations

import json
import shutil
import subprocess
import sys
import urllib.request
from functools import partial
from pathlib import Path

from group_memory import HERE, Settings, micro
from group_mqtt import complete, receiver, sender
from harness import Broker, free_port
from table import Table
from world import BUILD, Failed, Receiver, Result, World, in_turn, median, publish_channel

AERON = "1.44.1"
NODE_RED = "4"
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
        subprocess.run(["javac", "-cp", jar, "-d", folder, HERE / "aeron" / "AeronPeer.java"], check=True, capture_output=True, timeout=120)
    except (OSError, subprocess.SubprocessError) as problem:
        raise Failed(f"could not be had: {problem}") from problem
    return ["java", "--add-opens", "java.base/sun.nio.ch=ALL-UNNAMED", "--add-opens", "java.base/jdk.internal.misc=ALL-UNNAMED", "-cp", f"{jar}:{folder}", "AeronPeer"]


def iceoryx2(world: World) -> list[str]:
    """The command for peer_iceoryx2. Raises Failed when it cannot be had."""
    if not shutil.which("cargo"):
        raise Failed("no Rust here")
    target = BUILD / "iceoryx2"
    try:
        subprocess.run(["cargo", "build", "-q", "--release", "--manifest-path", HERE / "iceoryx2" / "Cargo.toml", "--target-dir", target], check=True,
                       capture_output=True, timeout=900)
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
            turns = in_turn(settings.repeats, {"peer": lambda: world.run([*command, "turns", rounds]),
                                               "shmgate": lambda: world.run([world.program("ours_turns"), host.segment, rounds])})
            flows = in_turn(settings.repeats, {"peer": lambda: world.run([*command, "flow", count]),
                                               "shmgate": lambda: world.run([world.program("ours_flow"), host.segment, count])})
        settings.curve("latency-spinning", name, turns["peer"])
        table.at_most("one-way latency, 64 B, spinning reader, p50", "ns", median(turns["shmgate"], "p50"), name, median(turns["peer"], "p50"), 1)
        ours, theirs = median(flows["shmgate"], "rate"), median(flows["peer"], "rate")
        table.at_least("one lane to one spinning reader, 64 B", "M/s", ours and ours / 1e6, name, theirs and theirs / 1e6, 1)
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
            reader = Receiver(world.processes, ["taskset", "-c", "1", world.program("ours_reader"), host.segment, "in", str(count)])
            host.arrive(count, 1_000_000)
            return reader.result()
        with world.host() as host:
            naps = in_turn(settings.repeats, {"peer": lambda: world.run([world.program(program), "sleeping", count, 1_000_000]), "shmgate": ours})
            flows = in_turn(settings.repeats, {"peer": lambda: world.run([world.program(program), "flow", flow]),
                                               "shmgate": lambda: world.run([world.program("ours_flow"), host.segment, flow])})
        settings.curve("latency-sleeping", name, naps["peer"])
        table.add("gateway to sleeping reader, p50", "us", micro(median(naps["shmgate"], "p50")), name, micro(median(naps["peer"], "p50")))
        theirs, rate = median(flows["peer"], "rate"), median(flows["shmgate"], "rate")
        table.add("one writer to one reader, 64 B", "M/s", rate and rate / 1e6, name, theirs and theirs / 1e6)


def node_red(world: World, broker_port: int, port: int) -> subprocess.Popen[bytes]:
    """Node-RED with one flow: lines from a port, each to the topic nodered/a. Raises Failed when it cannot be had."""
    if not shutil.which("npm"):
        raise Failed("no npm here")
    home, package = BUILD / "nodered", world.folder / "nodered"
    package.mkdir()
    try:
        subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", "--prefix", home, f"node-red@{NODE_RED}"], check=True, capture_output=True,
                       timeout=300)
    except (OSError, subprocess.SubprocessError) as problem:
        raise Failed(f"could not be had: {problem}") from problem
    flows = [{"id": "b", "type": "mqtt-broker", "broker": "127.0.0.1", "port": str(broker_port), "clientid": "", "keepalive": "60", "protocolVersion": "4",
              "cleansession": True}, {"id": "t", "type": "tab", "label": "lines"},
             {"id": "i", "type": "tcp in", "z": "t", "server": "client", "host": "127.0.0.1", "port": str(port), "datamode": "stream", "datatype": "utf8",
              "newline": "\\n", "topic": "", "wires": [["o"]]},
             {"id": "o", "type": "mqtt out", "z": "t", "topic": "nodered/a", "qos": "1", "retain": "", "broker": "b", "wires": []}]
    (package / "flows.json").write_text(json.dumps(flows))
    (package / "settings.js").write_text('module.exports = {uiHost: "127.0.0.1", uiPort: %d, httpAdminRoot: false, httpNodeRoot: false, flowFile: "flows.json", '
                                         'socketReconnectTime: 100, telemetry: {enabled: false}};\n' % free_port())
    process = world.processes.start(["node", str(home / "node_modules/node-red/red.js"), "-u", str(package), "-s", str(package / "settings.js")],
                                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    for line in process.stdout:
        if b"Connected to broker" in line:
            # What it says from now on nobody reads: it says nothing more until it ends.
            return process
    raise Failed("ended at once")


def to_broker(world: World, table: Table, settings: Settings) -> None:
    """A bridge of mosquitto, a script with paho-mqtt that reads a Unix socket, and Node-RED: messages of 64 bytes at QoS 1, saturated."""
    count = settings.count(10000, 30000)
    channel = publish_channel("q1", qos=1, max_payload=64, slots=65536, writers=1, overflow="reject")
    with world.broker() as broker, world.gateway(broker.uri, [channel]) as gateway:
        (world.folder / "bridge").mkdir()
        local = Broker(world.processes, world.folder / "bridge", ["max_inflight_messages 100", "max_queued_messages 0", "set_tcp_nodelay true",
                                                                  "connection up", f"address 127.0.0.1:{broker.port}", "topic bridged/# out 1"])
        local.start()
        path = world.folder / "script"
        script = Receiver(world.processes, [sys.executable, str(HERE / "peer_script.py"), str(path), str(broker.port), "script/a", "1"])

        lines_port, missing = free_port(), ""

        def job(topic: str, command: list[str]) -> Result:
            return complete(count, world.transfer(receiver(world, "raw", broker, topic, 1, count), command))
        jobs = {}
        try:
            flow = node_red(world, broker.port, lines_port)
            jobs["Node-RED"] = partial(job, "nodered/a", [world.program("peer_lines"), f"listen:{lines_port}", str(count), "0"])
        except Failed as problem:
            flow, missing = None, str(problem)[:60]
        try:
            results = in_turn(settings.repeats, {**jobs,
                "shmgate": partial(job, "test/q1", [world.program("ours_writer"), gateway.segment, "q1", str(count), "0"]),
                "mosquitto bridge": partial(job, "bridged/a", sender(world, "raw", local, "bridged/a", 1, count, 0, 100)),
                "paho-mqtt script": partial(job, "script/a", [world.program("peer_lines"), f"unix:{path}", str(count), "0"])})
        finally:
            local.stop()
            script.process.terminate()
            script.process.wait(timeout=30)
            if flow:
                flow.terminate()
                flow.wait(timeout=30)
    what = "shared memory to subscriber, QoS 1, saturated"
    table.at_least(what, "msg/s", median(results["shmgate"], "rate"), "mosquitto bridge", median(results["mosquitto bridge"], "rate"), 1)
    table.add(what, "msg/s", median(results["shmgate"], "rate"), "paho-mqtt script", median(results["paho-mqtt script"], "rate"))
    if missing:
        table.missing(what, "msg/s", f"Node-RED: {missing}")
    else:
        table.add(what, "msg/s", median(results["shmgate"], "rate"), "Node-RED", median(results["Node-RED"], "rate"))
    table.missing(what, "msg/s", "Telegraf: not in Debian, not built here")
