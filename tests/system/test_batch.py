"""Several samples in one MQTT message: what is promised of a message holds for each sample."""
from __future__ import annotations

import sys
import time

import pytest

from harness import BUILD, by_writer, check_ledger, publish_channel, subscribe_channel, wait_until, without_duplicates

sys.path.insert(0, str(BUILD / "python"))
from shmgate import frame  # noqa: E402


def samples_of(messages: list) -> list[bytes]:
    return [sample.payload for message in messages for sample in frame.unpack(message.payload).samples]


@pytest.mark.sanitized
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_samples_arrive_in_few_messages(new_gateway, broker, subscribe, qos):
    """Three thousand samples arrive unchanged and in order, each with its number and time, in as many messages as
    batch_max asks for; the ledger counts samples."""
    gateway = new_gateway(publish_channel(qos=qos, batch_max=500, batch_time="1m", slots=4096), broker=broker).start()
    subscriber = subscribe(broker, "test/out")
    written = [b"sample %d" % number for number in range(3000)]
    gateway.tool("write", "out", "-l", input=b"\n".join(written))
    wait_until(lambda: len(samples_of(subscriber.poll())) >= 3000, lambda: f"{len(subscriber.messages)} messages")
    frames = [frame.unpack(message.payload) for message in subscriber.messages]
    assert samples_of(subscriber.messages) == written
    assert [part.sequence for part in frames] == [
        sum(len(before.samples) for before in frames[:n]) for n in range(len(frames))
    ]
    times = [sample.time_ns for part in frames for sample in part.samples]
    assert times == sorted(times) and abs(times[0] / 1e9 - time.time()) < 3600
    assert len(frames) == 6 and gateway.wait_for_delivery("out", 3000)["written"] == 3000
    check_ledger(gateway.channel("out"))


def test_lone_sample_does_not_wait_for_ever(new_gateway, broker, subscribe):
    """A sample that no other follows is sent when batch_time is over; and at a stop of the gateway, whatever batch_time
    says."""
    gateway = new_gateway(
        publish_channel(batch_max=100, batch_time="50ms"),
        publish_channel("slow", batch_max=100, batch_time="1h"),
        broker=broker,
    ).start()
    subscriber = subscribe(broker, "test/#")
    gateway.write("slow", b"last")
    gateway.write("out", b"lone")
    wait_until(lambda: samples_of(subscriber.poll()) == [b"lone"], lambda: str(subscriber.messages))
    assert gateway.channel("slow")["queued"] == 1
    gateway.stop()
    wait_until(lambda: samples_of(subscriber.poll()) == [b"lone", b"last"], lambda: str(subscriber.messages))


def test_lines_are_json_lines(new_gateway, broker, subscribe):
    """With batch_format = lines a message is text with a sample a line; a sample with a newline in it has a message of
    its own, and nothing changes places."""
    gateway = new_gateway(publish_channel(batch_max=10, batch_time="1h", batch_format="lines"), broker=broker).start()
    subscriber = subscribe(broker, "test/out")
    gateway.write("out", b'{"n": 1}')
    gateway.write("out", b'{"n": 2}')
    gateway.write("out", b"two\nlines")
    gateway.write("out", b'{"n": 3}')
    gateway.stop()
    wait_until(lambda: len(subscriber.poll()) >= 3, lambda: str(subscriber.messages))
    assert subscriber.payloads() == [b'{"n": 1}\n{"n": 2}', b"two\nlines", b'{"n": 3}']


@pytest.mark.parametrize("batch_format", ["frame", "lines"])
def test_batches_come_back_into_shared_memory(new_gateway, broker, subscribe, batch_format):
    """What one channel batches another takes apart: each sample is a message for local readers."""
    gateway = new_gateway(
        publish_channel(batch_max=3, batch_time="1h", batch_format=batch_format),
        subscribe_channel(topic="back/+", unpack=batch_format),
        broker=broker,
    ).start()
    subscriber = subscribe(broker, "test/out")
    gateway.tool("write", "out", "-l", input=b"one\ntwo\nthree\n")
    broker.publish("back/a", subscriber.expect(1)[0].payload)
    assert gateway.read("in", 3, "%t %p") == ["back/a one", "back/a two", "back/a three"]
    assert (gateway.channel("in")["written"], gateway.channel("in")["delivered"]) == (3, 3)


def test_what_is_no_frame_is_dropped(new_gateway, broker):
    """A message that is no frame is dropped as a whole, counted and logged; a frame from Python's pack is taken."""
    gateway = new_gateway(subscribe_channel(unpack="frame"), broker=broker).start()
    whole = frame.pack([(time.time_ns(), b"first"), (time.time_ns(), b"second")])
    topic = gateway.channel("in")["topic"].replace("#", "a")
    broker.publish(topic, whole[:-1])
    broker.publish(topic, whole)
    assert gateway.read("in", 2, "%p") == ["first", "second"]
    assert gateway.channel("in")["dropped"]["corrupt"] == 1
    gateway.wait_for_log("corrupt")


@pytest.mark.sanitized
def test_batches_over_an_outage_and_kills(new_gateway, new_broker, subscribe):
    """The broker goes away, the gateway is killed twice, once with the backlog half sent: every sample arrives, in
    order once duplicates are removed, out of the spool and the ring; and the ledger counts each once."""
    # It keeps the subscriber's session, which may come back later than the gateway.
    broker = new_broker("persistence true")
    gateway = new_gateway(
        publish_channel(batch_max=64, batch_time="5ms", slots=1024, spool="overflow"), broker=broker
    ).start()
    subscriber = subscribe(broker, "test/out", options=("-c", "-i", "batches"))
    gateway.tool("write", "out", "-l", input=b"".join(b"0 %d .\n" % number for number in range(100)))
    gateway.wait_for_delivery("out", 100)
    subscriber.expect(1)
    broker.stop()
    for begin in range(100, 6100, 500):
        gateway.tool("write", "out", "-l", input=b"".join(b"0 %d .\n" % number for number in range(begin, begin + 500)))
        wait_until(lambda: gateway.channel("out")["queued"] <= 512, lambda: str(gateway.channel("out")))
    assert gateway.channel("out")["spooled"] > 1000
    gateway.kill()
    gateway.start(link=False)
    broker.start()
    wait_until(lambda: gateway.channel("out")["delivered"] > 1000, lambda: str(gateway.channel("out")))
    gateway.kill()
    gateway.start()
    wait_until(lambda: gateway.channel("out")["delivered"] == 6100, lambda: str(gateway.channel("out")))
    check_ledger(gateway.channel("out"))
    numbers = wait_until(
        lambda: (got := by_writer(samples_of(subscriber.poll())).get("0", [])) and len(set(got)) == 6100 and got,
        lambda: f"{len(set(by_writer(samples_of(subscriber.poll())).get('0', [])))} of 6100",
    )
    assert without_duplicates(numbers) == list(range(6100))
    assert len(subscriber.messages) < 600
