"""What was made for the version before still works, and what a later version has made is left alone.

In earlier/ are a gateway.ini, the spool that its gateway left (as SQL; a backlog of two segments, one behind the other)
and a Python program, all of commit fc9d131.
"""

from __future__ import annotations

import grp
import os
import sqlite3
import subprocess
from pathlib import Path

import pytest

from harness import BUILD, LIMIT, check_ledger, publish_channel, wait_until

EARLIER = Path(__file__).parent / "earlier"
# What the spool holds: the topic, and the numbers of the messages in their order.
SPOOLED = {
    "earlier/telemetry": [b"telemetry %d" % number for number in range(3, 33)],
    "earlier/earlier/events/0": [b"events %d" % number for number in range(26, 42)],
    "earlier/limited": [b"limited %d" % number for number in range(44, 60)],
}


def make_spool(path: Path) -> None:
    """The spool of fc9d131."""
    with sqlite3.connect(path) as database:
        database.executescript((EARLIER / "spool.sql").read_text(encoding="utf-8"))
    database.close()


@pytest.fixture
def earlier(new_gateway, broker, tmp_path, segment, socket_path, monkeypatch):
    """A gateway, not yet started, with the gateway.ini of fc9d131."""
    (tmp_path / "password").write_text("secret\n", encoding="utf-8")
    (tmp_path / "password").chmod(0o600)
    for key, value in {
        "BROKER_PORT": str(broker.port),
        "FOLDER": str(tmp_path),
        "SEGMENT": segment,
        "GROUP": grp.getgrgid(os.getgid()).gr_name,
        "METRICS": str(socket_path),
    }.items():
        monkeypatch.setenv(key, value)
    gateway = new_gateway(broker=broker)
    gateway.config = EARLIER / "gateway.ini"
    return gateway


def test_configuration_is_in_order(earlier, build):
    """--check finds nothing to complain about."""
    done = subprocess.run(
        [build.shmgated, "--check", "--config", earlier.config], capture_output=True, text=True, timeout=LIMIT
    )
    assert done.returncode == 0 and "4 publish and 1 subscribe channels, 1 broker" in done.stdout, done.stdout


@pytest.mark.sanitized
def test_spool_is_drained(earlier, broker, subscribe, tmp_path):
    """Each message arrives once, with its topic and in order, and the ledger accounts for it."""
    subscriber = subscribe(broker, "earlier/#", qos=2)
    make_spool(tmp_path / "spool.db")
    earlier.start()
    wait_until(lambda: earlier.channel("telemetry")["spooled"] == 0, earlier.log)
    got = subscriber.expect(sum(map(len, SPOOLED.values())))
    for topic, payloads in SPOOLED.items():
        assert [message.payload for message in got if message.topic == topic] == payloads
        ledger = earlier.channel(topic.split("/")[-2] if topic.endswith("/0") else topic.split("/")[-1])
        check_ledger(ledger)
        assert (ledger["delivered"], ledger["spooled"], ledger["dropped"]) == (len(payloads), 0, {})
    earlier.stop()
    with sqlite3.connect(tmp_path / "spool.db") as database:
        assert database.execute("SELECT count(*) FROM message").fetchone() == (0,)
    database.close()
    assert "set aside" not in earlier.log()


def test_program_runs(earlier, broker, processes):
    """It writes, reads and waits as it did, and gets what the broker sends."""
    earlier.start()
    program = processes.start(
        ["/usr/bin/python3", EARLIER / "program.py", earlier.segment, "3"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(BUILD / "python")},
    )
    assert program.stdout.readline() == b"ready\n", program.communicate(timeout=LIMIT)[1].decode()
    broker.publish("earlier/commands/a", "command 0\ncommand 1\n", qos=1)
    broker.publish("earlier/commands/b", "command 2", qos=1)
    output, errors = program.communicate(timeout=LIMIT)
    assert (program.returncode, output) == (0, b"done\n"), errors.decode()


@pytest.mark.sanitized
def test_spool_of_a_later_version_is_left_alone(new_gateway, broker, subscribe, build):
    """The log says what to do; the file stays as it is, byte for byte; and messages go on from the rings."""
    gateway = new_gateway(publish_channel(spool="overflow"), broker=broker)
    subscriber = subscribe(broker, "test/out", qos=1)
    make_spool(gateway.spool_path)
    with sqlite3.connect(gateway.spool_path) as database:
        database.execute("PRAGMA user_version = 2")
    database.close()
    before = gateway.spool_path.read_bytes()
    gateway.start()
    gateway.write("out", b"live")
    assert subscriber.expect(1)[0].payload == b"live"
    gateway.wait_for_log("it is of version 2, this program knows version 1: run the shmgated that made it")
    assert gateway.stats()["spool"]["state"] == "failed"
    gateway.stop()
    assert gateway.spool_path.read_bytes() == before
    assert "set aside" not in gateway.log()
    shown = subprocess.run(
        [build.shmgate, "spool", "list", "-f", gateway.spool_path], capture_output=True, text=True, timeout=LIMIT
    )
    assert (shown.returncode, shown.stdout) == (1, "")
    assert "it is of version 2, this program knows version 1" in shown.stderr
