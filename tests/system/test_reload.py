"""SIGHUP: what can change does, without a message lost or doubled, and without leaving the broker unless [mqtt] has
changed."""
from __future__ import annotations

import signal
import subprocess

import pytest

from harness import LIMIT, by_writer, check_ledger, publish_channel, subscribe_channel, wait_until, without_duplicates


def reload(gateway) -> None:
    """SIGHUP; returns when the gateway says that it is ready again."""
    gateway.write_config()
    ready = sum("READY=1" in text for text in gateway.notifications())
    gateway.process.send_signal(signal.SIGHUP)
    wait_until(lambda: sum("READY=1" in text for text in gateway.notifications()) > ready, gateway.log)


@pytest.mark.sanitized
def test_reload_under_load_keeps_the_connection(new_gateway, broker, subscribe, processes, build, tmp_path):
    """Ring sizes, QoS, retain, statistics and channels change eight times while writers write and commands arrive: one
    connection, nothing missing, nothing twice, everything in order."""
    each, commands = 6000, 2000
    base = {"max_payload": 64, "writers": 2, "overflow": "reject"}
    gateway = new_gateway(publish_channel(slots=64, **base), subscribe_channel(slots=16384), broker=broker).start()
    subscriber = subscribe(broker, "test/out", qos=1)
    output = tmp_path / "commands.out"
    with open(output, "wb") as file:
        reader = processes.start(
            [build.shmgate, "read", "in", "-S", gateway.segment], stdout=file, stderr=subprocess.PIPE
        )
    lines = tmp_path / "commands"
    lines.write_bytes(b"".join(b"%d\n" % number for number in range(commands)))
    floods = [
        processes.start(
            [build.driver("flood_writer"), gateway.segment, "out", str(each), str(writer)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=build.environment(),
        )
        for writer in range(2)
    ]
    with open(lines, "rb") as file:
        publisher = processes.start(broker.client("mosquitto_pub", "-q", "1", "-t", "test/in", "-l"), stdin=file)
    for number in range(8):
        mark = 2 * each * number // 9
        wait_until(lambda mark=mark: len(subscriber.poll()) >= mark, gateway.log)
        gateway.channels[0].update(slots=(32, 64, 128)[number % 3], retain=("no", "yes")[number % 2])
        gateway.channels[2:] = [publish_channel(f"extra{number}")]
        gateway.mqtt["stats_interval"] = f"{10 + number}s"
        reload(gateway)
    for flood in floods:
        text, _ = flood.communicate(timeout=2 * LIMIT)
        assert flood.returncode == 0, text.decode() + gateway.log()
    assert publisher.wait(LIMIT) == 0
    wait_until(
        lambda: len(subscriber.poll()) >= 2 * each,
        lambda: f"{len(subscriber.messages)}\n{gateway.stats()}\n{gateway.log()}",
    )
    assert by_writer(subscriber.payloads()) == {"0": list(range(each)), "1": list(range(each))}
    wait_until(
        lambda: output.read_bytes().endswith(b"\n%d\n" % (commands - 1)),
        lambda: f"{output.read_bytes()[-40:]!r}\n{gateway.log()}",
    )
    assert [int(line) for line in output.read_bytes().split()] == list(range(commands))
    assert gateway.log().count("connected: ") == 1 and "connection lost" not in gateway.log()
    check_ledger(gateway.wait_for_delivery("out", 2 * each))
    assert reader.poll() is None


def test_reload_changes_subscriptions(new_gateway, broker, subscribe):
    """A new subscribe channel gets its messages, one that has gone does not cost any more, and the connection is the
    same."""
    gateway = new_gateway(subscribe_channel("old"), subscribe_channel("stays"), broker=broker).start()
    gateway.channels[:] = [subscribe_channel("stays"), subscribe_channel("new")]
    reload(gateway)
    wait_until(lambda: "test/new" in broker.log(), broker.log)
    broker.publish("test/new", "hello")
    broker.publish("test/stays", "still")
    assert gateway.read("new", fields="%p") == ["hello"] and gateway.read("stays", fields="%p") == ["still"]
    wait_until(lambda: "UNSUBSCRIBE from" in broker.log() and "\ttest/old" in broker.log(), broker.log)
    assert gateway.log().count("connected: ") == 1


def test_reload_says_what_has_changed(new_gateway, broker):
    """The log names each changed key, and each channel that came or went; a file that says the same changes nothing."""
    gateway = new_gateway(publish_channel("a"), publish_channel("b"), broker=broker).start()
    reload(gateway)
    assert "nothing has changed" in gateway.log()
    gateway.channels[:] = [publish_channel("a", qos=2, spool="overflow"), publish_channel("c")]
    gateway.spool["max_size"] = "2M"
    reload(gateway)
    for change in (
        "[spool] max_size",
        "[channel a] qos",
        "[channel a] spool",
        "[channel b] removed",
        "[channel c] added",
    ):
        assert f"reload: changed: {change}\n" in gateway.log(), change
    assert gateway.log().count("reload: changed: ") == 5


def test_reload_of_the_broker_connects_anew(new_gateway, new_broker, subscribe):
    """Another uri: what was written goes to the new broker, and the old one hears that the gateway is offline."""
    first, second = new_broker(), new_broker()
    gateway = new_gateway(publish_channel(), broker=first).start()
    watcher = subscribe(first, f"shmgate/{gateway.client_id}/status")
    subscriber = subscribe(second, "test/out")
    gateway.mqtt["uri"] = second.uri
    reload(gateway)
    gateway.write("out", b"moved")
    subscriber.expect(1)
    wait_until(lambda: watcher.payloads()[-1:] == [b"offline"])


def test_reload_that_cannot_be_had_goes_back(new_gateway, broker, subscribe):
    """A valid file that asks for more memory than there is: the former configuration serves on, and the log says so."""
    gateway = new_gateway(publish_channel(), broker=broker).start()
    subscriber = subscribe(broker, "test/out")
    gateway.write("out", b"before")
    subscriber.expect(1)
    gateway.channels[0].update(slots=1 << 24, max_payload="16M", writers=64)
    reload(gateway)
    gateway.wait_for_log("going back to the former configuration")
    gateway.wait_for_link()
    gateway.write("out", b"after")
    wait_until(lambda: without_duplicates(subscriber.payloads()) == [b"before", b"after"], gateway.log)


def test_reload_in_an_outage(new_gateway, new_broker, subscribe):
    """Without a broker a reload is done all the same, and what was written before and after it arrives."""
    broker = new_broker(start=False)
    gateway = new_gateway(publish_channel(slots=8), mqtt={"uri": broker.uri}).start(link=False)
    gateway.write("out", b"before")
    gateway.channels[0]["slots"] = 16
    reload(gateway)
    gateway.write("out", b"after")
    broker.start()
    subscriber = subscribe(broker, "test/out")
    gateway.wait_for_delivery("out", 2)
    assert subscriber.poll() is not None


def test_file_that_drops_in_is_reloaded(new_gateway, broker, subscribe):
    """A file put into gateway.d is part of the configuration at the next reload, replaces what the main file says, and
    a fault in it is told with its own name; --check counts it. When it is taken away everything is as before."""
    gateway = new_gateway(publish_channel(), broker=broker).start()
    folder = gateway.config.with_suffix(".d")
    folder.mkdir()
    (folder / "site.ini").write_text(
        "[channel out]\ntopic = site/{channel}\n[channel more]\ndirection = publish\ntopic = more\n"
    )
    check = subprocess.run(
        [gateway.build.shmgated, "--config", gateway.config, "--check"], capture_output=True, text=True, timeout=LIMIT
    )
    assert (
        check.returncode == 0
        and check.stdout.count("\n") == 1
        and "2 publish" in check.stdout
        and "with 1 file beside it" in check.stdout
    ), check.stdout
    reload(gateway)
    assert "[channel more] added" in gateway.log()
    subscriber = subscribe(broker, "#")
    gateway.write("out", b"there")
    wait_until(
        lambda: [m for m in subscriber.poll() if m.topic == "site/out" and m.payload == b"there"],
        lambda: str(subscriber.messages),
    )
    (folder / "site.ini").write_text("[channel out]\nqos = 9\n")
    reload(gateway)
    assert "site.ini:2: qos 9" in gateway.log()
    (folder / "site.ini").unlink()
    reload(gateway)
    assert "[channel more] removed" in gateway.log()
    gateway.write("out", b"back")
    wait_until(
        lambda: [m for m in subscriber.poll() if m.topic == "test/out" and m.payload == b"back"],
        lambda: str(subscriber.messages),
    )


@pytest.mark.sanitized
def test_each_lane_has_its_topic_over_an_outage(new_gateway, broker, subscribe):
    """With {lane} in the topic each writer's messages go to its own, from the ring and from the spool alike, also after
    the channel's geometry has changed."""
    channel = publish_channel(topic="w/{client_id}/{lane}", spool="always", slots=64)
    gateway = new_gateway(channel, broker=broker, mqtt={"client_id": "me"}).start()
    subscriber = subscribe(broker, "w/#")
    writers = []
    for number in range(2):
        writers.append(
            gateway.processes.start(
                [gateway.build.shmgate, "write", "out", "-l", "-S", gateway.segment], stdin=subprocess.PIPE
            )
        )
        writers[number].stdin.write(b"first %d\n" % number)
        writers[number].stdin.flush()
        gateway.wait_for_delivery("out", number + 1)
    broker.stop()
    gateway.wait_for_link("down")
    for number in range(2):
        writers[number].stdin.write(b"second %d\n" % number)
        writers[number].stdin.flush()
    wait_until(lambda: gateway.channel("out")["spooled"] == 2, lambda: str(gateway.channel("out")))
    gateway.channels[0]["slots"] = 128
    reload(gateway)
    subscriber.process.kill()
    broker.start()
    again = subscribe(broker, "w/#")
    for number in range(2):
        writers[number].stdin.write(b"third %d\n" % number)
        writers[number].stdin.flush()
    gateway.wait_for_delivery("out", 6)
    for number in range(2):
        payloads = subscriber.payloads(f"w/me/{number}") + again.payloads(f"w/me/{number}")
        assert {payload.split()[1] for payload in payloads} == {b"%d" % number}, payloads
    for writer in writers:
        writer.stdin.close()
        assert writer.wait(LIMIT) == 0
