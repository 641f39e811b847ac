"""From the broker to shared memory: what is published is what every reader gets."""
from __future__ import annotations

import pytest

from harness import LIMIT, check_ledger, subscribe_channel, wait_until

EVERY_BYTE = bytes(range(256))


@pytest.mark.parametrize("version", ["3.1.1", "5"])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_message_lands_in_shared_memory(new_gateway, broker, version, qos):
    """A message published at any QoS is read once, unchanged, with its topic, and the ledger says so."""
    gateway = new_gateway(subscribe_channel(qos=qos), broker=broker, mqtt={"version": version}).start()
    broker.publish("test/in", "set 42", qos=qos)
    assert gateway.read("in", fields="%t %p %n") == ["test/in set 42 0"]
    assert gateway.channel("in")["delivered"] == 1
    check_ledger(gateway.channel("in"))


@pytest.mark.sanitized
@pytest.mark.parametrize("version", ["3.1.1", "5"])
def test_payload_edges_land_in_shared_memory(new_gateway, broker, version):
    """Empty, every byte value, newlines, and exactly max_payload: each payload is read as it was published, in
    order."""
    payloads = [b"", b"\0", b"\n", b"two\nlines\n", EVERY_BYTE, b"x" * 300]
    gateway = new_gateway(subscribe_channel(max_payload=300), broker=broker, mqtt={"version": version}).start()
    for payload in payloads:
        broker.publish("test/in", payload)
    assert gateway.read("in", len(payloads)) == [payload.hex() for payload in payloads]


@pytest.mark.sanitized
def test_payload_above_max_is_dropped_and_counted(new_gateway, broker):
    """One byte above max_payload: dropped, counted by that name, logged once, and the next message arrives."""
    gateway = new_gateway(subscribe_channel(max_payload=300), broker=broker).start()
    broker.publish("test/in", b"x" * 301)
    broker.publish("test/in", b"next")
    assert gateway.read("in", fields="%p") == ["next"]
    ledger = gateway.channel("in")
    assert (ledger["written"], ledger["delivered"], ledger["dropped"]) == (2, 1, {"too_large": 1})
    gateway.wait_for_log("too_large")


def test_wildcard_channel_delivers_the_topic(new_gateway, broker):
    """Messages of a filter with + and # come with the topic each was published on, and others do not come."""
    gateway = new_gateway(
        subscribe_channel("hash", topic="a/#"), subscribe_channel("plus", topic="+/speed/+"), broker=broker
    ).start()
    for topic in ("a", "a/b/c", "b/speed/1", "c/speed/2", "b/speed", "b/c/speed/1", "a/x"):
        broker.publish(topic, "x")
    assert gateway.read("hash", 3, "%t") == ["a", "a/b/c", "a/x"]
    assert gateway.read("plus", 2, "%t") == ["b/speed/1", "c/speed/2"]


def test_topics_of_any_language_land_in_shared_memory(new_gateway, broker):
    """A filter and topics of two-, three- and four-byte characters work as any other."""
    gateway = new_gateway(subscribe_channel(topic="befehle/+/öffnen"), broker=broker).start()
    for topic in ("befehle/tür/öffnen", "befehle/門/öffnen", "befehle/🚪/öffnen"):
        broker.publish(topic, topic)
    assert gateway.read("in", 3, "%t=%p") == [
        f"befehle/{door}/öffnen=befehle/{door}/öffnen" for door in ("tür", "門", "🚪")
    ]


def test_long_topic_is_dropped_and_counted(new_gateway, broker):
    """A topic longer than topic_max: dropped, counted by that name, logged, and the next message arrives."""
    gateway = new_gateway(subscribe_channel(topic="t/#", topic_max=16), broker=broker).start()
    broker.publish("t/" + "x" * 15, "long")
    broker.publish("t/" + "x" * 14, "fits")
    assert gateway.read("in", fields="%p") == ["fits"]
    assert gateway.channel("in")["dropped"] == {"topic_too_long": 1}
    gateway.wait_for_log("topic_too_long")


def test_retained_command_is_delivered_at_the_start(new_gateway, broker):
    """A message that the broker has kept from before the gateway's start is read."""
    broker.publish("test/in", "kept", retain=True)
    gateway = new_gateway(subscribe_channel(), broker=broker).start()
    assert gateway.read("in", fields="%p") == ["kept"]


def test_overlapping_filters_deliver_once_to_each_channel(new_gateway, broker):
    """A message that matches the filters of two channels is in both, once."""
    gateway = new_gateway(
        subscribe_channel("all", topic="o/#"), subscribe_channel("one", topic="o/x"), broker=broker
    ).start()
    broker.publish("o/x", "1")
    broker.publish("o/x", "2")
    assert gateway.read("all", 2, "%p") == ["1", "2"]
    assert gateway.read("one", 2, "%p") == ["1", "2"]
    assert gateway.channel("all")["written"] == 2 and gateway.channel("one")["written"] == 2


def test_reader_that_waits_is_woken(new_gateway, broker):
    """A reader that already sleeps gets a message as it comes, flushed, and ends after the count it asked for."""
    gateway = new_gateway(subscribe_channel(), broker=broker).start()
    reader = gateway.start_reader("in", "-C", "2", "-W", str(int(LIMIT)))
    wait_until(lambda: sleeps(reader.pid), "the reader to sleep")
    broker.publish("test/in", "first")
    assert reader.stdout.readline() == b"first\n"
    broker.publish("test/in", "second")
    assert reader.stdout.readline() == b"second\n"
    assert reader.wait(LIMIT) == 0


def test_commands_published_while_the_gateway_is_away_arrive(new_gateway, broker):
    """The broker keeps QoS 1 messages for the gateway's session over its restart."""
    gateway = new_gateway(subscribe_channel(), broker=broker).start()
    gateway.stop()
    broker.publish("test/in", "meanwhile")
    gateway.start()
    assert gateway.read("in", fields="%p") == ["meanwhile"]


def sleeps(pid: int) -> bool:
    """Whether a process waits in the kernel (proc(5), state S)."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        return stat.read().rsplit(")", 1)[1].split()[0] == "S"
