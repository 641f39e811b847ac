"""What a subscribe channel takes of what the broker sends: rate, retained messages, age."""
from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from harness import LIMIT, check_ledger, subscribe_channel, wait_until


def test_flood_is_limited_and_counted(new_gateway, broker):
    """Of a flood no more than max_rate a second come through, the rest is counted by that name and logged; later ones
    pass again."""
    gateway = new_gateway(subscribe_channel(max_rate=20), broker=broker).start()
    begin = time.monotonic()
    flood = "".join(f"{n}\n" for n in range(500))
    subprocess.run(
        broker.client("mosquitto_pub", "-q", "1", "-t", "test/in", "-l"),
        input=flood.encode(),
        check=True,
        timeout=LIMIT,
    )
    wait_until(lambda: gateway.channel("in")["written"] == 500, lambda: f"{gateway.channel('in')}\n{broker.log()}")
    ledger = gateway.channel("in")
    check_ledger(ledger)
    assert 20 <= ledger["delivered"] <= 20 + 20 * (time.monotonic() - begin)
    assert ledger["dropped"] == {"rate": 500 - ledger["delivered"]}
    assert gateway.read("in", 20, "%p") == [str(n) for n in range(20)]
    gateway.wait_for_log("rate")

    def passes_again() -> bool:
        broker.publish("test/in", "later")
        return gateway.channel("in")["delivered"] > ledger["delivered"]

    wait_until(passes_again, lambda: str(gateway.channel("in")))


@pytest.mark.parametrize("version", ["3.1.1", "5"])
def test_retained_messages_can_be_ignored(new_gateway, broker, version):
    """With retained = ignore what the broker has kept does not come, nor counts as lost; what is published now comes,
    retained or not."""
    broker.publish("test/in", "kept", retain=True)
    broker.publish("test/all", "kept", retain=True)
    gateway = new_gateway(
        subscribe_channel(retained="ignore"), subscribe_channel("all"), broker=broker, mqtt={"version": version}
    ).start()
    assert gateway.read("all", fields="%p") == ["kept"]
    broker.publish("test/in", "now", retain=True)
    broker.publish("test/in", "later")
    assert gateway.read("in", 2, "%p") == ["now", "later"]
    ledger = gateway.channel("in")
    assert (ledger["written"], ledger["delivered"], ledger["dropped"]) == (2, 2, {})


def reconnect(gateway, broker) -> None:
    """Cut the connection under the gateway and wait for the next one."""
    before = gateway.log().count("connected: uri=")
    broker.stop()
    gateway.wait_for_link("down")
    broker.start()
    wait_until(lambda: gateway.log().count("connected: uri=") > before, gateway.log)
    gateway.wait_for_link()


def retained_flags(gateway, build, channel: str, count: int) -> list[tuple[str, bool]]:
    """Payload and retained flag of the channel's oldest `count` messages."""
    program = (
        "import shmgate, sys\nwith shmgate.attach(sys.argv[1]) as segment, segment.reader(sys.argv[2]) as reader:\n"
        "    for n in range(int(sys.argv[3])):\n        message = reader.read(60)\n"
        "        print(message.payload.decode(), message.retained)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, gateway.segment, channel, str(count)],
        check=True,
        timeout=2 * LIMIT,
        stdout=subprocess.PIPE,
        env=build.environment(PYTHONPATH=str(build.path / "python")),
    )
    return [(payload, flag == "True") for payload, flag in (line.split() for line in done.stdout.decode().splitlines())]


@pytest.mark.parametrize(
    "version, qos, repeated", [("5", 1, False), ("5", 2, False), ("5", 0, True), ("3.1.1", 1, True)]
)
def test_reconnection_repeats_retained_messages_only_without_a_session(
    new_gateway, new_broker, build, version, qos, repeated
):
    """A mere reconnection does not repeat a retained command with MQTT 5 and QoS 1 or 2, and does otherwise; a new one
    is not missed."""
    broker = new_broker("persistence true", "autosave_on_changes true", "autosave_interval 1")
    broker.publish("test/in", "kept", retain=True)
    gateway = new_gateway(subscribe_channel(qos=qos), broker=broker, mqtt={"version": version}).start()
    gateway.read("in", fields="%p")
    reconnect(gateway, broker)
    assert "session=resumed" in gateway.log()
    broker.publish("test/in", "fresh", retain=True, qos=2)
    expected = [("kept", True)] * (2 if repeated else 1) + [("fresh", False)]
    assert retained_flags(gateway, build, "in", len(expected)) == expected


@pytest.mark.parametrize("version", ["3.1.1", "5"])
def test_new_process_and_lost_session_get_retained_messages(new_gateway, new_broker, version):
    """What the broker keeps comes again to a new process on the same segment, and when the broker has forgotten the
    session."""
    broker = new_broker()
    broker.publish("test/in", "kept", retain=True)
    gateway = new_gateway(subscribe_channel(), broker=broker, mqtt={"version": version}).start()
    assert gateway.read("in", 1, "%p") == ["kept"]
    gateway.kill()
    gateway.start()
    assert gateway.read("in", 2, "%p") == ["kept", "kept"]
    # Without persistence the broker forgets both the session and the message; the gateway comes back when there is
    # another message.
    os.kill(gateway.pid, signal.SIGSTOP)
    broker.kill()
    broker.start()
    broker.publish("test/in", "kept by another", retain=True)
    os.kill(gateway.pid, signal.SIGCONT)
    assert gateway.read("in", 3, "%p") == ["kept", "kept", "kept by another"]


def published(broker, payload: str, *options: str) -> None:
    """Publish on test/in with MQTT 5; `options` give properties."""
    broker.publish("test/in", payload, "-V", "mqttv5", *options)


def expires_in(seconds: int) -> tuple[str, ...]:
    return ("-D", "publish", "message-expiry-interval", str(seconds))


def made_at(text: str | float) -> tuple[str, ...]:
    return ("-D", "publish", "user-property", "shmgate-time", str(text))


def wait_past(unix_time: float) -> None:
    wait_until(lambda: time.time() > unix_time, f"the clock to pass {unix_time}")


READ_FRESH = """
import shmgate, sys
with shmgate.attach(sys.argv[1]) as segment, segment.reader("in") as reader, segment.reader("in") as peeker:
    message = reader.read(60)
    print(message.payload.decode(), message.expired, message.missed)
    with peeker.peek(60) as peek:
        print(bytes(memoryview(peek)).decode(), peek.message.expired)
"""


def test_messages_that_expire_in_the_ring_are_not_read(new_gateway, broker, build):
    """What outlives its expiry interval or max_age before a reader comes is not given out by latest, read, peek or the
    tool, but counted."""
    gateway = new_gateway(subscribe_channel(max_age="1h"), broker=broker).start()
    begin = time.time()
    published(broker, "in its own time", *expires_in(5))
    published(broker, "in good time", *made_at(begin + 5 - 3600))
    wait_until(lambda: gateway.channel("in")["delivered"] == 2, lambda: str(gateway.channel("in")))
    wait_past(time.time() + 5)
    environment = build.environment(PYTHONPATH=str(build.path / "python"))
    latest = (
        "import shmgate, sys\nwith shmgate.attach(sys.argv[1]) as s, s.reader('in') as reader: print(reader.latest())"
    )
    assert subprocess.check_output([sys.executable, "-c", latest, gateway.segment], env=environment) == b"None\n"
    published(broker, "fresh")
    assert gateway.read("in", fields="%p %e") == ["fresh 2"]
    done = subprocess.check_output(
        [sys.executable, "-c", READ_FRESH, gateway.segment], env=environment, timeout=2 * LIMIT
    )
    assert done.decode().splitlines() == ["fresh 2 0", "fresh 2"]
    assert gateway.channel("in")["dropped"] == {}


@pytest.mark.sanitized
def test_messages_too_old_on_arrival_are_dropped(new_gateway, broker):
    """max_age counts from the publisher's time stamp; one that is no time, or still to come, counts as the arrival."""
    gateway = new_gateway(subscribe_channel(max_age="1h"), broker=broker).start()
    now = time.time()
    published(broker, "old", *made_at(now - 3700))
    published(broker, "very old", *made_at("1.5"))
    for text in (now - 60, f"{now:.0f}", now + 3600, "-5", "1e3", "soon", ""):
        published(broker, f"good {text}", *made_at(text))
    published(broker, "no time")
    assert gateway.read("in", 8, "%p") == [
        *(f"good {text}" for text in (now - 60, f"{now:.0f}", now + 3600, "-5", "1e3", "soon", "")),
        "no time",
    ]
    ledger = gateway.channel("in")
    check_ledger(ledger)
    assert (ledger["written"], ledger["delivered"], ledger["dropped"]) == (10, 8, {"expired": 2})
    gateway.wait_for_log("expired")


def test_commands_that_expire_while_the_gateway_is_away_do_not_come(new_gateway, broker):
    """Of what the broker keeps for an absent gateway, the expired does not come; what is older than max_age is dropped
    and counted."""
    gateway = new_gateway(subscribe_channel(max_age="1s"), broker=broker).start()
    gateway.stop()
    begin = time.time()
    published(broker, "expired", *expires_in(1))
    published(broker, "old", *made_at(begin))
    wait_past(begin + 3)
    published(broker, "fresh", *expires_in(3600))
    gateway.start()
    wait_until(lambda: gateway.channel("in")["written"] == 2, lambda: str(gateway.channel("in")))
    assert (gateway.channel("in")["delivered"], gateway.channel("in")["dropped"]) == (1, {"expired": 1})
