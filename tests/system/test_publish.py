"""From shared memory to the broker: what a program writes is what a subscriber gets."""
from __future__ import annotations

import pytest

from harness import publish_channel, wait_until

EVERY_BYTE = bytes(range(256))


@pytest.mark.parametrize("version", ["3.1.1", "5"])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_publish_reaches_subscriber(new_gateway, broker, subscribe, version, qos):
    """A message arrives once, unchanged, at the channel's QoS, with either version of MQTT, and the ledger says so."""
    gateway = new_gateway(publish_channel(qos=qos), broker=broker, mqtt={"version": version}).start()
    subscriber = subscribe(broker, "test/out")
    gateway.write("out", b"21.5 degrees")
    message = subscriber.expect(1)[0]
    assert (message.topic, message.payload, message.qos, message.retained) == ("test/out", b"21.5 degrees", qos, False)
    assert gateway.wait_for_delivery("out", 1)["written"] == 1
    assert len(subscriber.poll()) == 1


@pytest.mark.sanitized
@pytest.mark.parametrize("version", ["3.1.1", "5"])
def test_payload_edges_are_published(new_gateway, broker, subscribe, version):
    """Empty, every byte value, newlines, and exactly max_payload: each payload arrives as it was written, in order."""
    payloads = [b"", b"\0", b"\n", b"two\nlines\n", EVERY_BYTE, b"x" * 300]
    gateway = new_gateway(publish_channel(max_payload=300), broker=broker, mqtt={"version": version}).start()
    subscriber = subscribe(broker, "test/out")
    for payload in payloads:
        gateway.write("out", payload)
    subscriber.expect(len(payloads))
    assert subscriber.payloads() == payloads


def test_payload_above_max_is_an_error_at_the_writer(new_gateway, broker, subscribe):
    """One byte above max_payload: the writer is told both sizes in one line, and nothing is sent."""
    gateway = new_gateway(publish_channel(max_payload=300), broker=broker).start()
    subscriber = subscribe(broker, "test/out")
    done = gateway.tool("write", "out", "-s", input=b"x" * 301)
    error = done.stderr.decode()
    assert done.returncode == 1 and error.count("\n") == 1 and "301" in error and "300" in error, error
    gateway.write("out", b"next")
    assert subscriber.expect(1)[0].payload == b"next"
    assert gateway.wait_for_delivery("out", 1)["written"] == 1


def test_topics_of_any_language_are_published(new_gateway, broker, subscribe):
    """Topics of two-, three- and four-byte characters and with spaces arrive as they stand in the configuration."""
    topics = ["halle/öfen/wärme", "工場/温度", "rocket/🚀", "with space/and more"]
    channels = [publish_channel(f"c{n}", topic=topic) for n, topic in enumerate(topics)]
    gateway = new_gateway(*channels, broker=broker).start()
    subscriber = subscribe(broker, "#")
    for n, topic in enumerate(topics):
        gateway.write(f"c{n}", topic.encode())
    wait_until(
        lambda: {message.topic: message.payload.decode() for message in subscriber.poll() if message.topic in topics}
        == {topic: topic for topic in topics},
        lambda: str(subscriber.messages),
    )


def test_retained_channel_is_kept_by_the_broker(new_gateway, broker, subscribe):
    """With retain = yes a later subscriber gets the last message, marked as retained; with no, nothing."""
    gateway = new_gateway(publish_channel("kept", retain="yes"), publish_channel("gone"), broker=broker).start()
    for payload in (b"first", b"last"):
        gateway.write("kept", payload)
        gateway.write("gone", payload)
    gateway.wait_for_delivery("kept", 2)
    gateway.wait_for_delivery("gone", 2)
    subscriber = subscribe(broker, "test/kept", "test/gone")
    assert [(message.payload, message.retained) for message in subscriber.expect(1)] == [(b"last", True)]


def test_lines_and_files_are_published(new_gateway, broker, subscribe, tmp_path):
    """shmgate write takes a text, a file as one message, and standard input as a message a line."""
    gateway = new_gateway(publish_channel(), broker=broker).start()
    subscriber = subscribe(broker, "test/out")
    file = tmp_path / "payload"
    file.write_bytes(EVERY_BYTE)
    assert gateway.tool("write", "out", "-m", "text").returncode == 0
    assert gateway.tool("write", "out", "-f", str(file)).returncode == 0
    assert gateway.tool("write", "out", "-l", input=b"one\n\nthree").returncode == 0
    subscriber.expect(5)
    assert subscriber.payloads() == [b"text", EVERY_BYTE, b"one", b"", b"three"]


def test_reject_channel_tells_the_writer_when_full(new_gateway, broker):
    """overflow = reject: with the broker away a full ring is an error at the writer; what it had taken is delivered
    afterwards."""
    gateway = new_gateway(publish_channel(overflow="reject", slots=4, writers=1), broker=broker).start()
    broker.stop()
    gateway.wait_for_link("down")
    for n in range(4):
        gateway.write("out", b"%d" % n)
    done = gateway.tool("write", "out", "-W", "0", "-m", "one too many")
    assert done.returncode == 1 and done.stderr.count(b"\n") == 1, done
    broker.start()
    assert gateway.wait_for_delivery("out", 4)["rejected"] == 1


def test_drop_oldest_channel_counts_what_it_drops(new_gateway, broker):
    """overflow = drop-oldest: with the broker away the ring keeps the newest, and the ledger counts the others to the
    message."""
    gateway = new_gateway(publish_channel(slots=8, writers=1), broker=broker).start()
    broker.stop()
    gateway.wait_for_link("down")
    lines = b"".join(b"%d\n" % n for n in range(100))
    assert gateway.tool("write", "out", "-l", input=lines).returncode == 0
    broker.start()
    ledger = gateway.wait_for_delivery("out", 8)
    assert (ledger["written"], ledger["delivered"], ledger["dropped"]) == (100, 8, {"overwritten": 92})
    gateway.wait_for_log("overwritten")
