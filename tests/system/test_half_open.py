"""A connection that is open and dead: nothing closes it, and nothing comes back."""
from __future__ import annotations

import time

import pytest

from harness import LIMIT, publish_channel, wait_until

KEEPALIVE = 5
"""Seconds; the shortest that gateway.ini allows."""

SLACK = 2.0
"""Seconds for a slow machine. Without help, Paho takes 2.5 keep-alives and more: beyond 1.5 of them and this."""


@pytest.fixture
def lines(new_broker, new_proxy, new_gateway, segment):
    """A function that makes a named gateway behind a proxy of its own."""
    broker = new_broker()

    def make(name: str, **keys):
        proxy = new_proxy(broker)
        channel = publish_channel(**{"topic": f"test/{name}", **keys})
        gateway = new_gateway(channel, name=f"{segment}-{name}", mqtt={"uri": proxy.uri, "keepalive": f"{KEEPALIVE}s"})
        return gateway.start(), proxy

    return make


def write_one(gateway) -> None:
    gateway.write("out", b"x")


def test_dead_connection_is_noticed_within_one_and_a_half_keepalives(lines, build, processes):
    """Idle or busy, with sends that still succeed or that no longer do: a connection without answers is lost within 1.5
    keep-alives of the fault, and up again when the fault has gone."""
    idle, idle_proxy = lines("idle")
    qos0, qos0_proxy = lines("qos0", qos=0)
    qos1, qos1_proxy = lines("qos1", qos=1)
    flood, flood_proxy = lines("flood", qos=0, overflow="reject")
    gateways = [idle, qos0, qos1, flood]
    processes.start([build.driver("flood_writer"), flood.segment, "out", "100000000", "0"], env=build.environment())
    wait_until(lambda: flood.channel("out")["delivered"] > 1000, "the flood to flow")
    began = time.monotonic()
    for proxy in (idle_proxy, qos0_proxy):
        proxy.swallow()
    for proxy in (qos1_proxy, flood_proxy):
        proxy.stall()
    lost: dict[str, float] = {}

    def all_lost() -> bool:
        write_one(qos0)
        write_one(qos1)
        for gateway in gateways:
            if gateway.segment not in lost and "connection lost" in gateway.log():
                lost[gateway.segment] = time.monotonic() - began
        return len(lost) == len(gateways)

    wait_until(all_lost, lambda: f"every connection to be lost: {lost}", LIMIT, 0.1)
    assert max(lost.values()) < 1.5 * KEEPALIVE + SLACK, lost
    for proxy in (idle_proxy, qos0_proxy, qos1_proxy, flood_proxy):
        proxy.cut()
        proxy.resume()
    for gateway in gateways:
        gateway.wait_for_link()


def test_idle_connection_is_kept_alive(lines):
    """Answered pings keep a connection that carries nothing else, past the time at which the broker would drop a silent
    one."""
    gateway, proxy = lines("idle")
    carried = proxy.connections[0].down.carried
    # Two answers to pings, of 2 bytes each (MQTT 5, 3.13).
    wait_until(lambda: proxy.connections[0].down.carried >= carried + 4, "answers to pings")
    assert "connection lost" not in gateway.log() and len(proxy.connections) == 1
