"""Topics that a broker knows by a number are not sent again (MQTT 5)."""
from __future__ import annotations

import pytest

from harness import publish_channel, wait_until
from packets import PUBLISH, Packet, packets

TOPICS = {name: f"plant/hall 7/line 12/machine 3/{name}" for name in ("pressure", "temperature", "speed")}


@pytest.fixture
def rig(new_broker, new_proxy, new_gateway, subscribe):
    """A function that makes a gateway behind a recording proxy, and a subscriber to all it publishes."""
    def make(*lines: str, **keys):
        broker = new_broker(*lines)
        proxy = new_proxy(broker, record=True)
        subscriber = subscribe(broker, "plant/#")
        gateway = new_gateway(*(publish_channel(name, **{"topic": topic, **keys}) for name, topic in TOPICS.items()),
                              mqtt={"uri": proxy.uri, "keepalive": "5s"}).start()
        return gateway, proxy, subscriber
    return make


def write_each(gateway, count: int, text: str) -> None:
    for name in TOPICS:
        done = gateway.tool("write", name, "-l", input=b"".join(b"%s %d\n" % (text.encode(), n) for n in range(count)))
        assert done.returncode == 0, done.stderr.decode()


def published(connection) -> list[Packet]:
    """The messages of the channels on a connection."""
    return [packet for packet in packets(bytes(connection.up.record))
            if packet.kind == PUBLISH and not packet.topic().startswith("shmgate/")]


def check_arrived(subscriber, expected: int) -> None:
    """Everything arrived once or more, each message under its own topic and in order."""
    subscriber.expect(expected)
    for topic in TOPICS.values():
        assert len(dict.fromkeys(subscriber.payloads(topic))) == expected // len(TOPICS), topic


@pytest.mark.parametrize("qos", [0, 1])
def test_topic_is_sent_once_a_connection(rig, qos):
    """Of the messages on one topic only the first has it, on the next connection too, and each arrives under its
    topic."""
    gateway, proxy, subscriber = rig(qos=qos)
    for number in range(2):
        write_each(gateway, 20, f"round {number}")
        for name in TOPICS:
            gateway.wait_for_delivery(name, 20 * (number + 1))
        check_arrived(subscriber, 60 * (number + 1))
        proxy.cut()
        wait_until(lambda: len(proxy.connections) == number + 2, "the next connection")
        gateway.wait_for_link()
    for connection in proxy.connections[:2]:
        messages = published(connection)
        assert len(messages) == 60
        assert sorted(message.topic() for message in messages if message.topic()) == sorted(TOPICS.values())
        assert {message.alias() for message in messages} == {1, 2, 3}


@pytest.mark.parametrize("most", [0, 2])
def test_no_more_numbers_than_the_broker_takes(rig, most):
    """A broker that takes two numbers gets two, one that takes none gets none; the other topics are sent as they
    are."""
    gateway, proxy, subscriber = rig(f"max_topic_alias {most}")
    write_each(gateway, 10, "x")
    check_arrived(subscriber, 30)
    messages = published(proxy.connections[0])
    assert {message.alias() for message in messages} == {0, *range(1, most + 1)}
    assert sum(message.topic() == "" for message in messages) == 9 * most
    assert len(proxy.connections) == 1


def test_message_that_may_be_resumed_has_its_topic(rig):
    """With QoS 2 an exchange goes on over a lost connection, on which a number would mean nothing: none is used."""
    gateway, proxy, subscriber = rig(qos=2)
    write_each(gateway, 10, "x")
    check_arrived(subscriber, 30)
    assert all(message.alias() == 0 and message.topic() for message in published(proxy.connections[0]))


def test_number_does_not_make_a_message_too_large(rig):
    """The largest message that the broker takes is taken first on its topic too, where the number would be added to
    it."""
    largest = 300 - 1 - 2 - (2 + len(TOPICS["speed"])) - 2 - 1
    gateway, proxy, subscriber = rig("max_packet_size 300", max_payload=300)
    for size in (largest, largest - 2, largest - 3, largest):
        gateway.write("speed", b"x" * size)
    subscriber.expect(4)
    assert [message.alias() for message in published(proxy.connections[0])] == [0, 0, 1, 1]
    assert len(proxy.connections) == 1 and gateway.channel("speed")["dropped"] == {}
