"""python -m shmgate.subscriber, with Debian's paho-mqtt and with the other major version."""
from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness import BUILD, LIMIT, publish_channel, wait_until


@pytest.fixture(params=["debian", "venv"])
def start(request, processes):
    """A function that starts a subscriber."""
    python = sys.executable if request.param == "debian" else BUILD / "venv" / "bin" / "python"

    def make(*arguments: object, **options) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PYTHONPATH": str(BUILD / "python")}
        return processes.start(
            [python, "-m", "shmgate.subscriber", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            **options,
        )
    return make


def publish_until_line(broker, topic: str, payload: str, subscriber) -> bytes:
    """Retained, so that it does not matter who is there first."""
    broker.publish(topic, payload, retain=True)
    return subscriber.stdout.readline()


def test_topics_come_from_gateway_ini(new_gateway, broker, start):
    """With --config it subscribes to every publish channel's topic at the gateway's broker, and prints each message at
    once."""
    gateway = new_gateway(publish_channel("a", retain="yes"), publish_channel("b", retain="yes"), broker=broker).start()
    subscriber = start("--config", gateway.config, "-v", "-C", "2")
    gateway.write("a", b"1")
    assert subscriber.stdout.readline() == b"test/a 1\n"
    gateway.write("b", b"2")
    assert subscriber.stdout.readline() == b"test/b 2\n"
    assert subscriber.wait(LIMIT) == 0 and subscriber.stderr.read() == b""


def test_samples_of_a_batch_are_printed_one_by_one(new_gateway, broker, start):
    """Of channels that put several samples into a message each sample is a line; what is no frame is an error line, and
    the next goes on."""
    gateway = new_gateway(publish_channel(retain="yes", batch_max=3, batch_time="1h"), broker=broker).start()
    subscriber = start("--config", gateway.config, "-v", "-C", "6")
    gateway.tool("write", "out", "-l", input=b"one\ntwo\nthree\n")
    assert [subscriber.stdout.readline() for _ in range(3)] == [
        b"test/out one\n",
        b"test/out two\n",
        b"test/out three\n",
    ]
    broker.publish("test/out", "no frame")
    assert subscriber.stderr.readline() == b"subscriber: test/out: not a frame\n"
    gateway.tool("write", "out", "-l", input=b"4\n5\n6\n")
    assert subscriber.stdout.readline() == b"test/out 4\n"
    assert subscriber.wait(LIMIT) == 0


def test_topics_come_from_the_command_line(broker, start):
    """-t and --uri need no file; --hex shows bytes that are no text."""
    subscriber = start("--uri", broker.uri, "-t", "x/+", "--hex", "-C", "1")
    assert publish_until_line(broker, "x/y", "\x01é", subscriber) == b"01c3a9\n"
    assert subscriber.wait(LIMIT) == 0


def test_time_runs_out(broker, start):
    """-W: exit code 27, as mosquitto_sub has it."""
    subscriber = start("--uri", broker.uri, "-t", "nothing", "-W", "0.2")
    assert subscriber.wait(LIMIT) == 27


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_it_quietly(broker, start, number):
    """Exit code 0 and no word on standard error."""
    subscriber = start("--uri", broker.uri, "-t", "t")
    assert publish_until_line(broker, "t", "here", subscriber) == b"here\n"
    subscriber.send_signal(number)
    assert subscriber.wait(LIMIT) == 0 and subscriber.stderr.read() == b""


def test_closed_pipe_ends_it_quietly(broker, start):
    """Whoever read its output has gone: it ends without a traceback."""
    subscriber = start("--uri", broker.uri, "-t", "t")
    assert publish_until_line(broker, "t", "here", subscriber) == b"here\n"
    subscriber.stdout.close()
    wait_until(lambda: broker.publish("t", "more") or subscriber.poll() is not None)
    assert subscriber.returncode == 0 and subscriber.stderr.read() == b""


def test_it_comes_back_after_a_broker_restart(broker, start):
    """The connection's loss is said once on standard error, and subscriptions are renewed."""
    subscriber = start("--uri", broker.uri, "-t", "t", "-C", "2")
    assert publish_until_line(broker, "t", "before", subscriber) == b"before\n"
    broker.kill()
    broker.start()
    assert publish_until_line(broker, "t", "after", subscriber) == b"after\n"
    assert subscriber.wait(LIMIT) == 0
    assert b"lost; trying again" in subscriber.stderr.read()


def test_refused_subscription_says_why(new_broker, start, tmp_path):
    """SUBACK 0x80 or above: one line that names the topic, exit code 1. (mosquitto refuses subscriptions only by its
    security plugin.)"""
    rules = tmp_path / "rules.json"
    rules.write_text(
        json.dumps(
            {
                "defaultACLAccess": {
                    "publishClientSend": True,
                    "publishClientReceive": True,
                    "subscribe": False,
                    "unsubscribe": True,
                }
            }
        )
    )
    tmp_path.chmod(0o755)
    rules.chmod(0o666)
    plugin = next(Path("/usr/lib").rglob("mosquitto_dynamic_security.so"))
    broker = new_broker(f"plugin {plugin}", f"plugin_opt_config_file {rules}")
    subscriber = start("--uri", broker.uri, "-t", "secret/topic")
    assert subscriber.wait(LIMIT) == 1
    assert b"refused the subscription to secret/topic" in subscriber.stderr.read()


def test_refused_connection_says_why(new_broker, start):
    """CONNACK with a refusal: one line, exit code 1."""
    broker = new_broker("allow_anonymous false")
    subscriber = start("--uri", broker.uri, "-t", "t")
    assert subscriber.wait(LIMIT) == 1
    assert b"refused the connection" in subscriber.stderr.read()


def test_wrong_usage_ends_with_2(start):
    """Neither topic nor file: exit code 2 with a hint."""
    subscriber = start()
    assert subscriber.wait(LIMIT) == 2 and b"--config" in subscriber.stderr.read()
