"""What a broker says it will not take (MQTT 5) is not sent: it would close the connection, again and again."""
from __future__ import annotations

import pytest

from harness import free_port, publish_channel, subscribe_channel, wait_until
from packets import PINGREQ, packets


def publish_payload_max(packet_max: int, topic: str) -> int:
    """The largest payload of a PUBLISH with QoS 1 in a packet of 130 to 16386 bytes (MQTT 5, 3.3): type, remaining
    length, topic, identifier, no properties."""
    return packet_max - 1 - 2 - (2 + len(topic)) - 2 - 1


def warnings(gateway, text: str) -> int:
    return sum("warning: " in line and text in line for line in gateway.log().splitlines())


def asked_keepalives(proxy) -> list[int]:
    """The keep-alive in the first packet of each connection through a recording proxy."""
    return [next(packets(bytes(connection.up.record))).keepalive() for connection in proxy.connections]


def test_message_larger_than_the_broker_takes_is_refused(new_gateway, new_broker, subscribe):
    """A message of exactly the broker's packet size is delivered; one byte more is counted as refused, is never sent,
    and costs neither the connection nor the messages around it."""
    broker = new_broker("max_packet_size 300")
    subscriber = subscribe(broker, "test/out")
    gateway = new_gateway(publish_channel(max_payload=1024), broker=broker).start()
    largest = publish_payload_max(300, "test/out")
    sizes = [1, largest, largest + 1, 2, 1024, 3]
    for size in sizes:
        gateway.write("out", b"x" * size)
    subscriber.expect(4)
    assert [len(payload) for payload in subscriber.payloads()] == [1, largest, 2, 3]
    ledger = gateway.wait_for_delivery("out", 4)
    assert ledger["dropped"] == {"refused": 2} and ledger["queued"] == 0
    assert "connection lost" not in gateway.log() and gateway.log().count(" connected: ") == 1
    assert warnings(gateway, "packets of 300 bytes") == 1


@pytest.mark.parametrize("qos_max", [0, 1])
def test_qos_is_lowered_to_what_the_broker_takes(new_gateway, new_broker, subscribe, qos_max):
    """With a broker that takes a lower QoS, also for our will, messages are published with that, and the log says so
    once."""
    limited = free_port()
    broker = new_broker(f"listener {limited} 127.0.0.1", f"max_qos {qos_max}")
    subscriber = subscribe(broker, "test/+")
    gateway = new_gateway(
        publish_channel(name="two", qos=2),
        publish_channel(name="one", qos=1),
        publish_channel(name="zero", qos=0),
        mqtt={"uri": f"mqtt://127.0.0.1:{limited}"},
    ).start()
    for name in ("two", "one", "zero"):
        gateway.write(name, b"x")
    subscriber.expect(3)
    assert {message.topic: message.qos for message in subscriber.messages} == {
        "test/two": qos_max, "test/one": qos_max, "test/zero": 0}
    for name in ("two", "one", "zero"):
        gateway.wait_for_delivery(name, 1)
    broker.stop()
    gateway.wait_for_link("down")
    broker.start()
    gateway.wait_for_link()
    assert warnings(gateway, f"QoS {qos_max} at most") == 1


def test_broker_without_retained_messages_gets_none(new_gateway, new_broker, subscribe):
    """Where nothing is retained, neither our will nor a channel's messages ask for it, and the log says so once."""
    broker = new_broker("retain_available false")
    subscriber = subscribe(broker, "test/out", "shmgate/#", retained=False)
    gateway = new_gateway(publish_channel(retain="yes"), broker=broker).start()
    gateway.write("out", b"x")
    gateway.wait_for_delivery("out", 1)
    wait_until(lambda: b"x" in subscriber.payloads("test/out"), "the message")
    gateway.kill()
    wait_until(lambda: b"offline" in subscriber.payloads(), "the will")
    gateway.start()
    gateway.write("out", b"y")
    gateway.wait_for_delivery("out", 2)
    broker.stop()
    gateway.wait_for_link("down")
    broker.start()
    gateway.wait_for_link()
    # Once for each of the two processes.
    assert warnings(gateway, "no retained messages") == 2


def test_keepalive_of_the_broker_holds(new_gateway, new_broker, new_proxy, subscribe):
    """A broker that wants a shorter keep-alive than ours gets it at once, and in the next connections from the
    start."""
    broker = new_broker("max_keepalive 10")
    proxy = new_proxy(broker, record=True)
    gateway = new_gateway(publish_channel(), mqtt={"uri": proxy.uri, "keepalive": "60s"}).start()
    asked = asked_keepalives(proxy)
    assert len(asked) == 2 and asked[0] > 10 >= asked[1], gateway.log()
    wait_until(
        lambda: any(packet.kind == PINGREQ for packet in packets(bytes(proxy.connections[1].up.record))),
        "a ping",
        limit=30,
    )
    proxy.cut()
    gateway.wait_for_link("down")
    gateway.wait_for_link()
    gateway.write("out", b"x")
    gateway.wait_for_delivery("out", 1)
    assert asked_keepalives(proxy) == [asked[0], asked[1], asked[1]]
    assert "error: " not in gateway.log()


@pytest.mark.parametrize("expiry, session, count", [("0", "new", 1), ("1h", "resumed", 2)])
def test_session_outlasts_the_gateway_as_configured(new_gateway, broker, expiry, session, count):
    """Commands that come while the gateway is away wait for it, unless its session ends with the connection."""
    gateway = new_gateway(subscribe_channel(), broker=broker, mqtt={"session_expiry": expiry}).start()
    broker.publish("test/in", "before")
    assert gateway.read("in", fields="%p") == ["before"]
    gateway.kill()
    wait_until(lambda: f"Client {gateway.client_id} closed its connection" in broker.log(), "the broker to notice")
    broker.publish("test/in", "between")
    gateway.start()
    wait_until(lambda: gateway.log().count(" connected: ") == 2, "the second connection")
    assert f"session={session} " in gateway.log().splitlines()[-1], gateway.log()
    broker.publish("test/in", "after")
    expected = ["before", "between", "after"] if count == 2 else ["before", "after"]
    assert gateway.read("in", len(expected), "%p") == expected


@pytest.mark.sanitized
def test_messages_in_flight_survive_a_session_that_ends_with_the_connection(new_gateway, broker, new_proxy, subscribe):
    """Without a session too, what was not acknowledged when the connection was cut is sent again."""
    proxy = new_proxy(broker)
    subscriber = subscribe(broker, "test/out", qos=1)
    gateway = new_gateway(
        publish_channel(overflow="reject"), mqtt={"uri": proxy.uri, "session_expiry": "0", "keepalive": "5s"}
    ).start()
    # Nothing is acknowledged: the window fills.
    proxy.stall()
    for number in range(100):
        gateway.write("out", b"%d" % number)
    proxy.cut()
    proxy.resume()
    gateway.wait_for_delivery("out", 100)
    wait_until(lambda: b"99" in subscriber.payloads(), "the last message")
    assert list(dict.fromkeys(subscriber.payloads())) == [b"%d" % number for number in range(100)]
