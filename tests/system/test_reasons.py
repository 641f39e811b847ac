"""Why there is no connection is told, each different reason once, in words that lead to the cause."""
from __future__ import annotations

import pytest

from harness import publish_channel, wait_until
from refusing_broker import RefusingBroker


@pytest.fixture
def refusing_broker():
    """Make brokers that refuse; all end with the test."""
    made: list[RefusingBroker] = []

    def make(version: int = 5, **answers) -> RefusingBroker:
        made.append(RefusingBroker(version, **answers))
        return made[-1]

    yield make
    for broker in made:
        broker.end()


def lines(gateway, text: str) -> list[str]:
    return [line for line in gateway.log().splitlines() if text in line]


@pytest.mark.parametrize("code, words", [
    (0x8B, "shutting down"),
    (0x8D, "keep-alive"),
    (0x8E, "another client"),
    (0x93, "receive maximum"),
    (0x98, "administrative"),
])
def test_reason_for_a_goodbye_is_told(new_gateway, refusing_broker, code, words):
    """The reason code of the broker's DISCONNECT, and the text beside it, stand in the line of the lost connection."""
    broker = refusing_broker(disconnect=code, words="come\nback")
    gateway = new_gateway(publish_channel(), mqtt={"uri": broker.uri}).start(link=False)
    gateway.wait_for_log("connection lost")
    line = lines(gateway, "connection lost")[0]
    assert words in line and '"come\\x0aback"' in line, line


def test_each_reason_of_an_outage_is_told_once(new_gateway, refusing_broker):
    """The broker is busy, then knows our password no more, then is busy again: two lines, and the status has the
    present one."""
    broker = refusing_broker()
    gateway = new_gateway(publish_channel(), mqtt={"uri": broker.uri}).start()
    broker.answers.connect = 0x89
    broker.cut()
    gateway.wait_for_log("the broker is busy")
    broker.answers.connect = 0x86
    gateway.wait_for_log("check username and password_file")
    broker.answers.connect = 0x89
    wait_until(lambda: "the broker is busy" in (gateway.notifications() or [""])[-1])
    broker.answers.connect = 0
    gateway.wait_for_link()
    told = lines(gateway, "could not connect")
    assert len(told) == 2 and "busy" in told[0] and "password_file" in told[1], told
