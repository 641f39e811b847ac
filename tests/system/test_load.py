"""Many messages: complete, in order, once."""
from __future__ import annotations

import subprocess

import pytest

from harness import LIMIT, check_ledger, publish_channel, subscribe_channel, wait_until

LOAD_LIMIT = 4 * LIMIT


@pytest.mark.sanitized
def test_flood_out_is_complete_and_in_order(new_gateway, broker, subscribe, build, processes):
    """100,000 numbered messages of 64 bytes (20,000 under the sanitizers), QoS 1, from 4 writers at once: all arrive,
    each writer's in order, none twice."""
    writers, each = 4, 5_000 if build.sanitized else 25_000
    gateway = new_gateway(
        publish_channel(qos=1, max_payload=64, writers=writers, overflow="reject"), broker=broker
    ).start()
    subscriber = subscribe(broker, "test/out", qos=1)
    floods = [processes.start([build.driver("flood_writer"), gateway.segment, "out", str(each), str(writer)],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=build.environment())
              for writer in range(writers)]
    for flood in floods:
        output, _ = flood.communicate(timeout=LOAD_LIMIT)
        assert flood.returncode == 0, output.decode() + gateway.log()
    subscriber.expect(writers * each, LOAD_LIMIT)
    numbers: dict[bytes, list[int]] = {b"%d" % writer: [] for writer in range(writers)}
    for payload in subscriber.payloads():
        assert len(payload) == 64
        writer, number, _ = payload.split(b" ", 2)
        numbers[writer].append(int(number))
    for writer, got in numbers.items():
        assert got == list(range(each)), f"writer {writer!r}: {len(got)} messages, not 0 to {each - 1} in order"
    ledger = gateway.wait_for_delivery("out", writers * each)
    assert ledger["written"] == writers * each and ledger["dropped"] == {}


@pytest.mark.sanitized
def test_flood_in_reaches_every_reader(new_gateway, broker, build, processes):
    """10,000 numbered messages from the broker: each of 3 readers gets all of them, in order, none twice."""
    count = 10_000
    gateway = new_gateway(subscribe_channel(slots=16384, max_payload=64), broker=broker).start()
    readers = [
        processes.start(
            [build.driver("flood_reader"), gateway.segment, "in", str(count)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=build.environment(),
        )
        for _ in range(3)
    ]
    for reader in readers:
        assert reader.stdout.readline() == b"ready\n"
    lines = b"".join(b"%d\n" % number for number in range(count))
    subprocess.run(
        broker.client("mosquitto_pub", "-q", "1", "-t", "test/in", "-l"), input=lines, check=True, timeout=LOAD_LIMIT
    )
    for reader in readers:
        output, _ = reader.communicate(timeout=LOAD_LIMIT)
        assert (output.decode(), reader.returncode) == (f"read {count} missed 0 disordered 0\n", 0), gateway.log()
    ledger = gateway.channel("in")
    check_ledger(ledger)
    assert ledger["written"] == ledger["delivered"] == count


def test_slow_reader_is_told_what_it_missed(new_gateway, broker, build, processes):
    """A reader that comes late to a ring of 16 slots gets the newest, is told the number of the others, and ends as
    incomplete."""
    gateway = new_gateway(subscribe_channel(slots=16, max_payload=64), broker=broker).start()
    lines = b"".join(b"%d\n" % number for number in range(100))
    subprocess.run(
        broker.client("mosquitto_pub", "-q", "1", "-t", "test/in", "-l"), input=lines, check=True, timeout=LIMIT
    )
    wait_until(lambda: gateway.channel("in")["delivered"] == 100, "100 messages in shared memory")
    newest = gateway.read("in", 1, "%p %n")[0].split()
    assert newest[0] == newest[1] and 84 <= int(newest[0]) <= 99, newest
    check_ledger(gateway.channel("in"))
