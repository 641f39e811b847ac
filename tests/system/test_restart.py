"""The gateway's restart is invisible: killed at any moment or given another geometry, programs go on and nothing is
lost."""
from __future__ import annotations

import os
import random
import subprocess

import pytest

from harness import (
    LIMIT,
    by_writer,
    check_ledger,
    publish_channel,
    shared_memory_names,
    subscribe_channel,
    wait_until,
    without_duplicates,
)

WRITERS = 4
WINDOW = 64


@pytest.mark.parametrize("kills", [50, pytest.param(1000, marks=pytest.mark.full)])
def test_killed_gateway_is_not_noticed(new_gateway, new_broker, subscribe, build, processes, tmp_path, kills):
    """kill -9 at random moments under load, both ways: no program sees an error, nothing that was written is missing,
    order per writer holds once duplicates are removed, and there are at most a window of duplicates a restart."""
    seed = int(os.environ.get("SHMGATE_TEST_SEED", random.randrange(2**32)))
    print(f"seed={seed}")
    dice = random.Random(seed)
    each = 60 * kills
    total = WRITERS * each
    broker = new_broker("max_queued_messages 0", "max_inflight_messages 0")
    gateway = new_gateway(publish_channel(qos=1, max_payload=64, writers=WRITERS, slots=64, overflow="reject"),
                          subscribe_channel(qos=1, max_payload=64, slots=65536), broker=broker).start()
    subscriber = subscribe(broker, "test/out", qos=1)
    outputs = [tmp_path / f"reader{i}" for i in range(3)]
    readers = []
    for output in outputs:
        with open(output, "wb") as file:
            readers.append(
                processes.start(
                    [build.shmgate, "read", "in", "-S", gateway.segment], stdout=file, stderr=subprocess.PIPE
                )
            )
    commands = 20 * kills
    lines = tmp_path / "commands"
    lines.write_bytes(b"".join(b"%d\n" % number for number in range(commands)))
    floods = [
        processes.start(
            [build.driver("flood_writer"), gateway.segment, "out", str(each), str(writer)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for writer in range(WRITERS)
    ]
    with open(lines, "rb") as file:
        publisher = processes.start(broker.client("mosquitto_pub", "-q", "1", "-t", "test/in", "-l"), stdin=file)
    for kill in range(kills):
        # Now and then at once, in the middle of the start; else when some more messages have come.
        mark = 0 if dice.random() < 0.2 else total * kill // (kills + 1) - dice.randrange(WRITERS * 30)
        wait_until(lambda mark=mark: len(subscriber.poll()) >= mark, lambda: gateway.log()[-2000:], 4 * LIMIT, 0.002)
        gateway.kill()
        gateway.launch()
    for flood in floods:
        output, _ = flood.communicate(timeout=4 * LIMIT)
        assert flood.returncode == 0, output.decode() + gateway.log()[-2000:]
    gateway.wait_for_delivery("out", total, 4 * LIMIT)
    assert publisher.wait(LIMIT) == 0

    wait_until(
        lambda: len(set(subscriber.payloads())) >= total, lambda: f"{len(set(subscriber.payloads()))} of {total}"
    )
    numbers = by_writer(subscriber.payloads())
    assert len(numbers) == WRITERS
    for writer, got in numbers.items():
        assert without_duplicates(got) == list(range(each)), f"writer {writer!r}"
    duplicates = sum(map(len, numbers.values())) - total
    print(f"kills={kills} messages={total} duplicates={duplicates}")
    assert duplicates <= kills * WINDOW
    check_ledger(gateway.channel("out"))

    last = b"\n%d\n" % (commands - 1)
    for reader, output in zip(readers, outputs):
        wait_until(lambda output=output: output.read_bytes().endswith(last), lambda: gateway.log()[-2000:])
        assert reader.poll() is None
        assert without_duplicates([int(line) for line in output.read_bytes().split()]) == list(range(commands))
        reader.terminate()
        assert reader.wait(LIMIT) == 0 and reader.stderr.read() == b""


@pytest.mark.parametrize("how", ["reload", "restart"])
def test_changed_geometry_takes_everybody_along(new_gateway, broker, subscribe, build, processes, how):
    """SIGHUP, or a restart, with other slots, max_payload, topic and channels: attached writers and readers move over
    by themselves, what was written before is published on the old topic, and the old segments go."""
    gateway = new_gateway(
        publish_channel(topic="old/out", slots=8, overflow="reject"),
        publish_channel("gone"),
        subscribe_channel(),
        broker=broker,
    ).start()
    subscriber = subscribe(broker, "old/out", "new/out")
    writer = processes.start(
        [build.shmgate, "write", "out", "-l", "-S", gateway.segment], stdin=subprocess.PIPE, stderr=subprocess.PIPE
    )
    reader = gateway.start_reader("in")

    def write(text: str) -> None:
        writer.stdin.write(text.encode() + b"\n")
        writer.stdin.flush()

    def change() -> None:
        gateway.write_config()
        if how == "reload":
            before = gateway.log().count(" replaced: ")
            gateway.process.send_signal(1)
            wait_until(lambda: gateway.log().count(" replaced: ") > before, gateway.log)
        else:
            gateway.stop()
            gateway.start()

    write("0")
    subscriber.expect(1)
    broker.publish("test/in", "a")
    assert reader.stdout.readline() == b"a\n"
    for number, slots in enumerate((64, 16, 128), start=1):
        gateway.channels[:] = [
            publish_channel(topic="new/out", slots=slots, max_payload=100 + number, overflow="reject"),
            subscribe_channel(slots=slots),
            publish_channel(f"extra{number}"),
        ]
        change()
        write(str(number))
        subscriber.expect(number + 1)
        broker.publish("test/in", f"{number}")
        assert reader.stdout.readline() == b"%d\n" % number
    assert [(message.topic, message.payload) for message in subscriber.poll()] == [
        ("old/out", b"0"),
        ("new/out", b"1"),
        ("new/out", b"2"),
        ("new/out", b"3"),
    ]
    done = gateway.tool("write", "gone", "-m", "x")
    assert done.returncode == 1 and b"no channel gone" in done.stderr
    writer.stdin.close()
    assert writer.wait(LIMIT) == 0, writer.stderr.read()
    reader.terminate()
    assert reader.wait(LIMIT) == 0
    name = gateway.segment[1:]
    wait_until(
        lambda: {entry for entry in shared_memory_names() if name in entry} == {name, f"sem.{name}"}, gateway.log
    )
    ledger = gateway.wait_for_delivery("out", 4)
    assert ledger["written"] == 4 and ledger["dropped"] == {}


def test_faulty_reload_changes_nothing(new_gateway, broker, subscribe):
    """SIGHUP with a mistake in the file: file and line are logged, and the running configuration goes on, connection
    and all."""
    gateway = new_gateway(publish_channel(), broker=broker).start()
    subscriber = subscribe(broker, "test/out")
    gateway.channels[0]["qso"] = 1
    gateway.write_config()
    gateway.process.send_signal(1)
    gateway.wait_for_log("the running configuration stays as it is")
    assert f"{gateway.config}:" in gateway.log() and 'did you mean "qos"?' in gateway.log()
    gateway.write("out", b"still here")
    subscriber.expect(1)
    assert gateway.log().count("connected: ") == 1
