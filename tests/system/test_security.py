"""What shmgate-security(7) says, as far as it is not proven elsewhere: test_hostile (members of the group),
test_unit_file (the hardening), test_metrics (who asks for them), test_subscribe_rules (floods of commands),
test_connection (a broker of an unknown authority)."""
from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from certificates import Certificates
from harness import (
    LIMIT,
    Gateway,
    free_port,
    publish_channel,
    shared_memory_names,
    subscribe_channel,
    wait_until,
    write_secret,
)
from hostile_broker import Attack, HostileBroker, blind_attacks, chosen_attacks

GROWTH_KIB = 30_000
"""What memory may grow by at its highest: Paho takes some 60 times the size of a packet that is all properties, here
300 KB; otherwise about twice."""
GATEWAYS = 9
"""That are attacked at the same time."""


def memory_kib(pid: int, key: str = "VmRSS") -> int:
    return int(Path(f"/proc/{pid}/status").read_text().split(f"{key}:")[1].split()[0])


NOBODY = 65534
"""A user that is in no group of ours."""
STRANGER = """
import os, socket, sys
# Prints what it could do: the attempt and the file.
for path in sys.argv[1:]:
    attempts = {
        "read": lambda: os.open(path, os.O_RDONLY),
        "write": lambda: os.open(path, os.O_WRONLY),
        "connect": lambda: connect(path),
        "remove": lambda: os.unlink(path),
        "rename": lambda: os.rename(path, path + "x"),
        "permit": lambda: os.chmod(path, 0o666),
    }
    def connect(path):
        client = socket.socket(socket.AF_UNIX)
        client.connect(path)
    for name, attempt in attempts.items():
        try:
            attempt()
        except PermissionError:
            continue
        except OSError as error:
            # What is no socket cannot be connected to, and a socket not be opened, but nothing else may stand in
            # the way.
            assert name == "connect" or path.endswith(".sock"), error
            continue
        print(name, path)
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody can enter, and nobody but us write."""
    folder = Path(tempfile.mkdtemp(prefix="shmgate-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def as_nobody(*groups: int) -> dict[str, object]:
    """For subprocess: another user, a member of these groups, when we may become one."""
    return {"user": NOBODY, "group": NOBODY, "extra_groups": groups} if os.geteuid() == 0 else {}


def attempts(paths: list[Path], *groups: int) -> set[tuple[str, str]]:
    """What another user can do to files: the attempts that succeed, and on which."""
    done = subprocess.run(
        ["/usr/bin/python3", "-c", STRANGER, *map(str, paths)],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        cwd="/",
        **as_nobody(*groups),
    )
    assert done.returncode == 0, done
    return {(line.split()[0], Path(line.split()[1]).name) for line in done.stdout.splitlines()}


def test_strangers_are_kept_out(new_gateway, broker, open_folder):
    """Who is not in the group can neither read, write, remove, rename nor permit the segment, its semaphore, the spool
    and the metrics' socket, even where the umask would let everybody in. A member of the gateway's own group can read
    and write the first two, read the spool and ask for metrics. (Without root there is no other user to be: then their
    modes alone are looked at.)"""
    gateway = new_gateway(publish_channel(spool="always"), broker=broker, spool={"path": open_folder / "spool.db"})
    gateway.metrics = {"listen": f"unix:{open_folder}/metrics.sock"}
    gateway.write_config()
    before = os.umask(0)
    try:
        gateway.start()
    finally:
        os.umask(before)
    gateway.write("out", b"x")
    gateway.wait_for_delivery("out", 1)
    paths = [Path(f"/dev/shm{gateway.segment}"), Path(f"/dev/shm/sem.{gateway.segment[1:]}"), *open_folder.iterdir()]
    assert {path.name for path in paths} >= {"spool.db", "spool.db-wal", "metrics.sock"}
    for path in paths:
        assert stat.S_IMODE(path.stat().st_mode) & 0o007 == 0, path
    if os.geteuid() == 0:
        assert attempts(paths) == set()
        member = {(what, path.name) for path in paths[:2] for what in ("read", "write")} | {("connect", "metrics.sock")}
        member |= {("read", path.name) for path in paths if path.name.startswith("spool.db")}
        assert attempts(paths, os.getegid()) == member
    gateway.write("out", b"y")
    gateway.wait_for_delivery("out", 2)


def test_name_taken_by_somebody_else_is_refused(new_gateway):
    """A segment that another user has made under our name is not served: the gateway ends and names it, and the other's
    file stays as it is. (Without root there is no other user to be: then it is a file of ours that is no segment.)"""
    gateway = new_gateway(publish_channel(), mqtt={"uri": f"mqtt://127.0.0.1:{free_port()}"})
    path = Path(f"/dev/shm{gateway.segment}")
    subprocess.run(
        ["/bin/sh", "-c", f"umask 0; head -c 100000 /dev/zero > {path}"],
        check=True,
        timeout=LIMIT,
        cwd="/",
        **as_nobody(),
    )
    try:
        gateway.launch()
        assert gateway.wait_for_end() == 1
        assert "could not serve segment: " in gateway.log() and gateway.segment in gateway.log()
        assert path.read_bytes() == bytes(100_000)
    finally:
        path.unlink()


def password_lines(folder: Path, password: str) -> list[str]:
    path = folder / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(path), "machine7", password], check=True, capture_output=True)
    return ["allow_anonymous false", f"password_file {path}"]


def test_password_is_nowhere(new_gateway, new_broker, subscribe, open_folder, tmp_path):
    """After a connection, a refusal and a reload the password stands in no log, argument, environment, message to the
    service manager, statistics, metrics, segment or spool; nor in Paho's own trace."""
    password = "Streng-Geheim-XYZZY"
    broker = new_broker(*password_lines(tmp_path, password))
    write_secret(tmp_path / "secret", password + "\n")
    subscriber = subscribe(broker, "shmgate/#", options=("-u", "machine7", "-P", password))
    gateway = new_gateway(
        publish_channel(spool="always"),
        broker=broker,
        mqtt={"username": "machine7", "password_file": tmp_path / "secret", "stats_interval": "100ms"},
        spool={"path": open_folder / "spool.db"},
    )
    gateway.metrics = {"listen": f"unix:{open_folder}/metrics.sock"}
    gateway.write_config()
    trace = open_folder / "trace"
    os.environ.update(MQTT_C_CLIENT_TRACE=str(trace), MQTT_C_CLIENT_TRACE_LEVEL="MAXIMUM")
    try:
        gateway.start()
    finally:
        del os.environ["MQTT_C_CLIENT_TRACE"], os.environ["MQTT_C_CLIENT_TRACE_LEVEL"]
    gateway.write("out", b"x")
    gateway.wait_for_delivery("out", 1)
    wait_until(lambda: any(message.topic.endswith("/stats") for message in subscriber.poll()), "the statistics")
    broker.stop()
    gateway.wait_for_link("down")
    password_lines(tmp_path, "another")
    broker.start()
    gateway.wait_for_log("password_file")
    gateway.process.send_signal(signal.SIGHUP)
    gateway.wait_for_log("nothing has changed")
    gateway.write("out", b"y")
    metrics = subprocess.run(
        ["curl", "-s", "--unix-socket", open_folder / "metrics.sock", "http://localhost/metrics"],
        capture_output=True,
        timeout=LIMIT,
    )
    process = Path(f"/proc/{gateway.pid}")
    places = {
        "log": gateway.log_path.read_bytes(),
        "arguments": (process / "cmdline").read_bytes(),
        "environment": (process / "environ").read_bytes(),
        "notifications": "".join(gateway.notifications()).encode(),
        "metrics": metrics.stdout,
        "trace": trace.read_bytes(),
        "broker": b"".join(message.payload for message in subscriber.messages),
        "segment": Path(f"/dev/shm{gateway.segment}").read_bytes(),
        "tool": gateway.tool("stats", "--json").stdout,
    }
    places |= {path.name: path.read_bytes() for path in open_folder.glob("spool.db*") if path.stat().st_size > 0}
    for place, content in places.items():
        assert content, place
        assert password.encode() not in content, place


def dump_of(process: subprocess.Popen[bytes]) -> bool:
    """End a process by SIGABRT; returns whether the kernel has dumped its core."""
    process.send_signal(signal.SIGABRT)
    ended = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert ended.si_status == signal.SIGABRT
    return ended.si_code == os.CLD_DUMPED


def test_memory_is_for_nobody_else(new_gateway, build, processes, open_folder):
    """Neither a core dump nor another process of the same user shows the gateway's memory, in which Paho keeps the
    password; a program that does not forbid it is open to both. (A machine whose kernel dumps no core at all shows only
    the second.)"""
    gateway = new_gateway(
        publish_channel(), mqtt={"uri": f"mqtt://127.0.0.1:{free_port()}"}, spool={"path": open_folder / "spool.db"}
    )
    config, program = open_folder / "gateway.ini", open_folder / "shmgated"
    config.write_text(gateway.config.read_text())
    shutil.copy2(build.shmgated, program)
    who = as_nobody()

    def unlimited() -> None:
        resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    try:
        guarded = processes.start(
            [program, "--config", config], stderr=subprocess.PIPE, cwd="/", preexec_fn=unlimited, **who
        )
        assert b"segment " in guarded.stderr.readline()
        open_one = processes.start(["/usr/bin/sleep", "1000"], cwd="/", preexec_fn=unlimited, **who)
        wait_until(lambda: b"sleep" in Path(f"/proc/{open_one.pid}/cmdline").read_bytes())
        for process, readable in ((open_one, True), (guarded, False)):
            done = subprocess.run(
                ["/usr/bin/cat", f"/proc/{process.pid}/environ"], capture_output=True, cwd="/", timeout=LIMIT, **who
            )
            assert (done.returncode == 0) == readable, done
        print(f"this machine dumps cores: {dump_of(open_one)}")
        assert not dump_of(guarded)
    finally:
        for name in shared_memory_names():
            if gateway.segment[1:] in name:
                os.unlink(f"/dev/shm/{name}")


def test_topics_are_only_text(new_gateway, broker, tmp_path):
    """Topics with conversions of printf and with paths come through to readers as they are; no file is made or named by
    them, and the log does not know them."""
    folder = tmp_path / "work"
    folder.mkdir()
    gateway: Gateway = new_gateway(subscribe_channel(topic="test/#", topic_max=64), broker=broker)
    names = shared_memory_names() if gateway.start() else set()
    topics = [
        "test/%n%n%s%s%x",
        "test/../../../../tmp/shmgate-owned",
        "test//dev/shm/x",
        "test/$(reboot)",
        "test/`id`;id",
        "test/%p %t",
        "test/.",
        "test/" + "%s" * 40,
    ]
    for topic in topics:
        broker.publish(topic, "%n%s " + topic)
    done = subprocess.run(
        [
            str(gateway.build.shmgate),
            "read",
            "in",
            "-S",
            gateway.segment,
            "-C",
            "7",
            "-W",
            str(int(LIMIT)),
            "-F",
            "%t|%p",
        ],
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=2 * LIMIT,
    )
    assert done.stdout.splitlines() == [f"{topic}|%n%s {topic}" for topic in topics[:7]], done
    # The last one was too long for the channel: a loss, of which the log tells, without its topic.
    gateway.wait_for_log("reason=topic_too_long")
    assert "test/%" not in gateway.log().replace(str(gateway.config), "")
    assert not list(folder.iterdir()) and shared_memory_names() == names and not os.path.exists("/tmp/shmgate-owned")


def test_certificate_for_another_name_is_refused(new_gateway, new_broker, tmp_path):
    """mqtts:// compares the host's name, without being asked to: with a certificate of the right authority for
    localhost, the same broker is spoken to as localhost, and not as another name of the machine."""
    certificates = Certificates(tmp_path / "certificates", names="DNS:localhost")
    broker = new_broker(*certificates.broker_lines(client_certificate=False), tls=True)
    settings = {"uri": f"mqtts://127.0.0.1:{broker.port}", "ca_file": certificates.ca}
    gateway = new_gateway(publish_channel(), mqtt=settings).start(link=False)
    gateway.write("out", b"secret")
    gateway.wait_for_log("could not connect")
    assert gateway.stats()["link"] == "down" and gateway.channel("out")["queued"] == 1
    gateway.mqtt["uri"] = f"mqtts://localhost:{broker.port}"
    gateway.write_config()
    gateway.process.send_signal(signal.SIGHUP)
    gateway.wait_for_delivery("out", 1)


def seed() -> int:
    """Of this run's bits; shown, and to be had again."""
    value = int(os.environ.get("SHMGATE_TEST_SEED", random.randrange(2**32)))
    print(f"seed={value}")
    return value


def check_attacks(new_gateway, segment: str, number: int, attacks: list[Attack], growth_kib: int) -> None:
    """Let brokers of MQTT 3.1.1 (4) or 5 attack a gateway each, with a few of the attacks in turn; all gateways
    survive, grow no more than they may, and then serve."""
    # Paho takes a second to connect again: side by side it is soon over.
    brokers = [HostileBroker(number, attacks[first::GATEWAYS]) for first in range(GATEWAYS)]
    try:
        gateways = []
        for index, broker in enumerate(brokers):
            # As many addresses as attacks: after each the next one is tried without a pause.
            uris = ", ".join([f"mqtt://127.0.0.1:{broker.port}"] * (len(broker.left) + 1))
            gateways.append(
                new_gateway(
                    publish_channel(topic="out"),
                    subscribe_channel(topic="test/#", topic_max=64),
                    name=f"{segment}-{index}",
                    mqtt={"uri": uris, "version": "5" if number == 5 else "3.1.1"},
                ).start(link=False)
            )
        before = [memory_kib(gateway.pid) for gateway in gateways]
        for gateway, broker, memory in zip(gateways, brokers, before, strict=True):
            def is_over(gateway=gateway, broker=broker) -> bool:
                assert (
                    gateway.process.poll() is None
                ), f"died of {broker.present}: {gateway.process.returncode}\n{gateway.log()[-4000:]}"
                return not broker.left and b"as ever" in gateway.tool("read", "in", "-W", "0").stdout
            wait_until(
                is_over,
                lambda gateway=gateway, broker=broker: (
                    f"{broker.present}, {len(broker.left)} left\n{gateway.log()[-4000:]}"
                ),
            )
            gateway.write("out", b"x")
            gateway.wait_for_delivery("out", 1)
            assert memory_kib(gateway.pid, "VmHWM") - memory < growth_kib, broker.attacks
        if "the longest topic" in dict(attacks):
            assert sum(gateway.channel("in")["dropped"].get("topic_too_long", 0) for gateway in gateways) == 2
    finally:
        for broker in brokers:
            broker.end()


def test_malformed_packets_cost_bounded_memory(new_gateway, segment):
    """Sizes without end, topics of 65,535 bytes or levels, properties by the thousand, or only bits: the gateway lives,
    connects again, and serves a broker that behaves as ever; its memory has grown no more than the largest packet
    explains."""
    check_attacks(new_gateway, segment, 5, list(chosen_attacks(5, seed()))[:GATEWAYS], GROWTH_KIB)


@pytest.mark.full
@pytest.mark.sanitized
@pytest.mark.parametrize("number", [4, 5], ids=["3.1.1", "5"])
@pytest.mark.parametrize("chosen", [True, False], ids=["chosen", "blind"])
def test_every_malformed_packet_is_survived(new_gateway, segment, build, number, chosen):
    """The same with both versions, with every type of packet cut short and filled with bits, and under the address
    sanitizer."""
    attacks = list(chosen_attacks(number, seed()) if chosen else blind_attacks(seed()))
    check_attacks(new_gateway, segment, number, attacks, 1_000_000 if build.sanitized else GROWTH_KIB)
