"""What people use today from a program to a broker, at the same job."""
from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import urllib.request
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from group_memory import HERE, Settings
from group_mqtt import complete, receiver, sender
from harness import Broker, free_port
from table import Table
from world import BUILD, Failed, Receiver, Result, World, in_turn, median, publish_channel

NODE_RED = "4"
GO = "https://proxy.golang.org"
TELEGRAF = "1.37.2"
# The tool chain that its go.mod asks for, with the sums of what the proxy had in November 2026; the sums of all modules
# are in Telegraf's own go.sum.
TELEGRAF_GO = "golang.org/toolchain@v0.0.1-go1.25.5.linux-amd64"
SUMS = {
    TELEGRAF_GO: "8cea6783dab64d68b38f5b81ecd38d45155a3c06638991acc6af19e0fca80edb",
    f"github.com/influxdata/telegraf@v{TELEGRAF}": "fc9ff86bd041ad72ea1d874a5ac45896049b8fb65616e49884f807596d3c64d6",
}
TELEGRAF_PARTS = "custom,inputs.socket_listener,outputs.mqtt,parsers.value,serializers.template"


def node_red(world: World, broker_port: int, port: int) -> subprocess.Popen[bytes]:
    """Node-RED with one flow: lines from a port, each to the topic nodered/a. Raises Failed when it cannot be had."""
    if not shutil.which("npm"):
        raise Failed("no npm here")
    home, package = BUILD / "nodered", world.folder / "nodered"
    package.mkdir()
    try:
        subprocess.run(
            ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", "--prefix", home, f"node-red@{NODE_RED}"],
            check=True,
            capture_output=True,
            timeout=300,
        )
    except (OSError, subprocess.SubprocessError) as problem:
        raise Failed(f"could not be had: {problem}") from problem
    flows = [
        {
            "id": "b",
            "type": "mqtt-broker",
            "broker": "127.0.0.1",
            "port": str(broker_port),
            "clientid": "",
            "keepalive": "60",
            "protocolVersion": "4",
            "cleansession": True,
        },
        {"id": "t", "type": "tab", "label": "lines"},
        {
            "id": "i",
            "type": "tcp in",
            "z": "t",
            "server": "client",
            "host": "127.0.0.1",
            "port": str(port),
            "datamode": "stream",
            "datatype": "utf8",
            "newline": "\\n",
            "topic": "",
            "wires": [["o"]],
        },
        {
            "id": "o",
            "type": "mqtt out",
            "z": "t",
            "topic": "nodered/a",
            "qos": "1",
            "retain": "",
            "broker": "b",
            "wires": [],
        },
    ]
    (package / "flows.json").write_text(json.dumps(flows))
    (package / "settings.js").write_text(
        'module.exports = {uiHost: "127.0.0.1", uiPort: %d, httpAdminRoot: false, httpNodeRoot: false, flowFile: '
        '"flows.json", '
        'socketReconnectTime: 100, telemetry: {enabled: false}};\n' % free_port()
    )
    process = world.processes.start(
        ["node", str(home / "node_modules/node-red/red.js"), "-u", str(package), "-s", str(package / "settings.js")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    for line in process.stdout:
        if b"Connected to broker" in line:
            # What it says from now on nobody reads: it says nothing more until it ends.
            return process
    raise Failed("ended at once")


def fetch_module(module: str, folder: Path) -> Path:
    """Unpack a module of Go into the folder. Raises OSError, or Failed when it is not the one that is known."""
    path, version = module.split("@")
    archive = folder / "module.zip"
    with urllib.request.urlopen(f"{GO}/{path}/@v/{version}.zip", timeout=60) as source, archive.open("wb") as target:
        shutil.copyfileobj(source, target)
    if hashlib.sha256(archive.read_bytes()).hexdigest() != SUMS[module]:
        raise Failed(f"{module}: not what it was")
    with zipfile.ZipFile(archive) as zipped:
        zipped.extractall(folder)
    archive.unlink()
    return folder / module


def telegraf_program() -> Path:
    """Telegraf with the parts that the job needs. Raises Failed when it cannot be had."""
    folder = BUILD / "telegraf"
    program = folder / "bin" / f"telegraf-{TELEGRAF}"
    if program.exists():
        return program
    if platform.machine() != "x86_64":
        raise Failed("its tool chain is known for x86-64 only")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        go, source = (fetch_module(module, folder) for module in SUMS)
        for tool in (*go.glob("bin/*"), *go.glob("pkg/tool/*/*")):
            tool.chmod(0o755)
        environment = {
            **os.environ,
            "GOROOT": str(go),
            "GOPATH": str(folder / "modules"),
            "GOCACHE": str(folder / "cache"),
            "GOPROXY": GO,
            "GOSUMDB": "off",
            "GOTOOLCHAIN": "local",
            "GOFLAGS": "-mod=mod -modcacherw",
            "CGO_ENABLED": "0",
        }
        subprocess.run(
            [go / "bin" / "go", "build", "-trimpath", "-tags", TELEGRAF_PARTS, "-o", program, "./cmd/telegraf"],
            cwd=source,
            env=environment,
            check=True,
            capture_output=True,
            timeout=900,
        )
    except (OSError, subprocess.SubprocessError, zipfile.BadZipFile) as problem:
        raise Failed(f"could not be built: {problem}") from problem
    finally:
        for left in ("golang.org", "github.com", "modules", "cache"):
            shutil.rmtree(folder / left, ignore_errors=True)
    return program


def telegraf(world: World, broker_port: int, path: Path, count: int) -> subprocess.Popen[bytes]:
    """Telegraf with lines from a Unix socket, each to the topic telegraf/a. Raises Failed when it cannot be had."""
    program, config = telegraf_program(), world.folder / "telegraf.conf"
    config.write_text(f"""[agent]
interval = "1s"
flush_interval = "100ms"
metric_batch_size = 1000
metric_buffer_limit = {2 * count}
omit_hostname = true
[[inputs.socket_listener]]
service_address = "unix://{path}"
data_format = "value"
data_type = "string"
[[outputs.mqtt]]
servers = ["tcp://127.0.0.1:{broker_port}"]
topic = "telegraf/a"
qos = 1
data_format = "template"
template = '{{{{ .Field "value" }}}}'
""")
    process = world.processes.start(
        [str(program), "--config", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    for line in process.stderr:
        if b"Listening on unix" in line:
            # It says more only when something goes wrong.
            return process
    raise Failed("ended at once")


def to_broker(world: World, table: Table, settings: Settings) -> None:
    """A bridge of mosquitto, a script with paho-mqtt that reads a Unix socket, Node-RED and Telegraf: messages of 64
    bytes at QoS 1, saturated."""
    count = settings.count(10000, 30000)
    what = "shared memory to subscriber, QoS 1, saturated"
    channel = publish_channel("q1", qos=1, max_payload=64, slots=65536, writers=1, overflow="reject")
    with world.broker() as broker, world.gateway(broker.uri, [channel]) as gateway, contextlib.ExitStack() as stack:
        def job(topic: str, command: list[str]) -> Result:
            return complete(count, world.transfer(receiver(world, "raw", broker, topic, 1, count), command))

        def lines(source: str) -> list[str]:
            return [world.program("peer_lines"), source, str(count), "0"]

        def also(name: str, topic: str, source: str, start: Callable[[], subprocess.Popen[bytes]]) -> None:
            try:
                stack.callback(end, start())
                jobs[name] = partial(job, topic, lines(source))
            except Failed as problem:
                table.missing(what, "msg/s", f"{name}: {str(problem)[:60]}")
        (world.folder / "bridge").mkdir()
        local = Broker(
            world.processes,
            world.folder / "bridge",
            [
                "max_inflight_messages 100",
                "max_queued_messages 0",
                "set_tcp_nodelay true",
                "connection up",
                f"address 127.0.0.1:{broker.port}",
                "topic bridged/# out 1",
            ],
        )
        local.start()
        stack.callback(local.stop)
        script, sink, port = world.folder / "script", world.folder / "telegraf", free_port()
        reading = Receiver(
            world.processes,
            [sys.executable, str(HERE / "peer_script.py"), str(script), str(broker.port), "script/a", "1"],
        )
        stack.callback(end, reading.process)
        jobs = {
            "shmgate": partial(job, "test/q1", [world.program("ours_writer"), gateway.segment, "q1", str(count), "0"]),
            "mosquitto bridge": partial(job, "bridged/a", sender(world, "raw", local, "bridged/a", 1, count, 0, 100)),
            "paho-mqtt script": partial(job, "script/a", lines(f"unix:{script}")),
        }
        also("Node-RED", "nodered/a", f"listen:{port}", lambda: node_red(world, broker.port, port))
        also("Telegraf", "telegraf/a", f"unix:{sink}", lambda: telegraf(world, broker.port, sink, count))
        rates = {name: median(runs, "rate") for name, runs in in_turn(settings.repeats, jobs).items()}
    ours = rates.pop("shmgate")
    table.at_least(what, "msg/s", ours, "mosquitto bridge", rates.pop("mosquitto bridge"), 1)
    for name, rate in rates.items():
        table.add(what, "msg/s", ours, name, rate)


def end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(timeout=30)
