"""What the gateway says about itself on the broker."""
from __future__ import annotations

import contextlib
import json
import subprocess

import pytest

from harness import LIMIT, check_ledger, publish_channel, subscribe_channel, wait_until


@pytest.mark.parametrize("version", ["3.1.1", "5"])
def test_status_is_online_and_offline(new_gateway, broker, subscribe, version):
    """The status topic is retained: online while it serves, offline after an orderly stop and, by the will, after kill
    -9."""
    gateway = new_gateway(publish_channel(), broker=broker, mqtt={"version": version}).start()
    topic = f"shmgate/{gateway.client_id}/status"

    def expect(text: bytes) -> None:
        status = subscribe(broker, topic)
        wait_until(lambda: status.payloads()[-1:] == [text], lambda: f"{text!r}: {status.messages}\n{gateway.log()}")

    status = subscribe(broker, topic)
    assert (status.expect(1)[0].payload, status.messages[0].retained) == (b"online", True)
    gateway.stop()
    expect(b"offline")
    gateway.start()
    expect(b"online")
    gateway.kill()
    expect(b"offline")


def test_stats_topic_is_the_ledger(new_gateway, broker, subscribe):
    """The stats topic has the same JSON as shmgate stats, and in it everything written and received is accounted
    for."""
    gateway = new_gateway(publish_channel(), subscribe_channel(max_payload=8), broker=broker,
                          mqtt={"stats_interval": "100ms"}).start()
    for n in range(10):
        gateway.write("out", b"%d" % n)
    broker.publish("test/in", "short")
    broker.publish("test/in", "much too long")
    gateway.wait_for_delivery("out", 10)
    gateway.read("in")
    wanted = {channel["name"]: channel for channel in gateway.stats()["channels"]}
    stats = subscribe(broker, f"shmgate/{gateway.client_id}/stats")

    def newest() -> dict:
        return json.loads(stats.payloads()[-1]) if stats.payloads() else {}

    wait_until(lambda: {channel["name"]: channel for channel in newest().get("channels", [])} == wanted,
               lambda: f"{newest()} is not {wanted}")
    assert newest()["segment"] == gateway.segment
    for channel in wanted.values():
        check_ledger(channel)
    assert wanted["in"]["dropped"] == {"too_large": 1}


def test_ledger_survives_restarts(new_gateway, broker):
    """The counters go on where they were, after an orderly stop and after kill -9."""
    gateway = new_gateway(publish_channel(), broker=broker).start()
    written = 0
    for end in (gateway.stop, gateway.kill):
        for _ in range(5):
            gateway.write("out", b"x")
        written += 5
        gateway.wait_for_delivery("out", written)
        end()
        gateway.start()
    ledger = gateway.wait_for_delivery("out", written)
    assert ledger["written"] == written and ledger["queued"] == 0
    # A message whose acknowledgement the kill took may have been sent twice, but is counted once.
    assert ledger["delivered"] == written


def test_service_manager_is_told(new_gateway, broker):
    """READY=1 when it serves, STOPPING=1 when it ends in order."""
    gateway = new_gateway(publish_channel(), broker=broker).start()
    notify = gateway.notifications
    gateway.process.terminate()
    assert gateway.process.wait(60) == 0
    assert any("STOPPING=1" in text for text in notify()), gateway.notified


def test_stats_tell_lanes_and_latencies(new_gateway, broker, subscribe):
    """Each lane that was written to has its own line in the ledger, and a channel says how long its messages took to
    the socket and to the PUBACK."""
    gateway = new_gateway(publish_channel(writers=3, qos=1), broker=broker).start()
    with contextlib.ExitStack() as stack:
        writers = []
        for number in range(2):
            writer = gateway.processes.start(
                [gateway.build.shmgate, "write", "out", "-l", "-S", gateway.segment], stdin=subprocess.PIPE
            )
            stack.callback(writer.stdin.close)
            writer.stdin.write(b"x\n" * (10 + number))
            writer.stdin.flush()
            wait_until(lambda number=number: len(gateway.channel("out")["by_lane"]) == number + 1)
            writers.append(writer)
        gateway.wait_for_delivery("out", 21)
        wait_until(
            lambda: gateway.channel("out").get("latency_us", {}).get("send_to_ack", {}).get("max"), gateway.stats
        )
    channel = gateway.channel("out")
    assert [lane["lane"] for lane in channel["by_lane"]] == [0, 1]
    assert sorted(lane["written"] for lane in channel["by_lane"]) == [10, 11]
    for lane in channel["by_lane"]:
        check_ledger(lane)
    for way in ("write_to_send", "send_to_ack"):
        times = channel["latency_us"][way]
        assert 0 <= times["p50"] <= times["p99"] <= times["p99.9"] <= times["max"] < LIMIT * 1e6
    assert channel["latency_us"]["send_to_ack"]["p50"] > 0


def test_service_manager_is_told_of_the_connection(new_gateway, broker):
    """What systemctl status shows says whether the gateway is connected, to which broker, and if not, why."""
    gateway = new_gateway(publish_channel(), broker=broker).start()

    def status() -> str:
        lines = "\n".join(gateway.notifications()).split("\n")
        return [line for line in lines if line.startswith("STATUS=")][-1]

    wait_until(lambda: status() == f"STATUS=serving; connected to {broker.uri}", lambda: gateway.notifications())
    broker.stop()
    wait_until(lambda: f"serving; not connected to {broker.uri}: no broker answers there" in status(),
               lambda: gateway.notifications())
    broker.start()
    wait_until(lambda: status() == f"STATUS=serving; connected to {broker.uri}", lambda: gateway.notifications())
