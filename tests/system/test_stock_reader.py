"""The layout is documented so well that a script without our library can use a segment (stock_reader.py)."""
from __future__ import annotations

import json
import subprocess
from pathlib import Path

from harness import BUILD, LIMIT, publish_channel, subscribe_channel, wait_until

SCRIPT = Path(__file__).with_name("stock_reader.py")


def stock(gateway, *arguments: str) -> list[str]:
    python = BUILD / "venv" / "bin" / "python"
    done = subprocess.run(
        [str(python), str(SCRIPT), gateway.segment, *arguments], capture_output=True, timeout=LIMIT, text=True
    )
    assert done.returncode == 0, done
    return done.stdout.splitlines()


def test_stock_python_reads_messages_of_both_directions(new_gateway, broker):
    """Payloads, topics and sequence numbers are where layout.h says, in publish and in subscribe channels."""
    gateway = new_gateway(publish_channel(), subscribe_channel(topic="in/#"), broker=broker).start()
    payloads = [b"", b"one", b"\0two\n", b"x" * 256]
    for payload in payloads:
        gateway.write("out", payload)
        broker.publish("in/ä", payload)
    gateway.read("in", len(payloads))
    out = [line.split() for line in stock(gateway, "messages", "out")]
    assert [(topic, payload) for _, _, topic, payload in out] == [(b"test/out".hex(), p.hex() or "-") for p in payloads]
    inward = [line.split() for line in stock(gateway, "messages", "in")]
    assert [(number, topic, payload) for _, number, topic, payload in inward] == [
        (str(i), "in/ä".encode().hex(), p.hex() or "-") for i, p in enumerate(payloads)]


def test_stock_python_reads_the_same_counters_as_the_tool(new_gateway, broker):
    """The ledger is where layout.h says, with nothing counted differently."""
    gateway = new_gateway(
        publish_channel(), publish_channel("late", slots=2), subscribe_channel(max_payload=4), broker=broker
    ).start()
    for i in range(3):
        gateway.write("out", b"%d" % i)
    gateway.wait_for_delivery("out", 3)
    broker.publish("test/in", "fits")
    broker.publish("test/in", "too long")
    wait_until(lambda: gateway.channel("in")["dropped"])
    ours = {channel["name"]: channel for channel in gateway.stats()["channels"]}
    for theirs in json.loads(stock(gateway, "counters")[0]):
        assert theirs.items() <= ours[theirs["name"]].items()


def test_stock_python_passes_over_expired_messages(new_gateway, broker):
    """The end of a message is where layout.h says: it is shown until then and no longer, and one without an end
    stays."""
    gateway = new_gateway(subscribe_channel(), broker=broker).start()
    broker.publish("test/in", "ends", "-V", "mqttv5", "-D", "publish", "message-expiry-interval", "2")
    broker.publish("test/in", "stays")
    wait_until(lambda: gateway.channel("in")["delivered"] == 2)
    wait_until(lambda: [line.split()[1] for line in stock(gateway, "messages", "in")] == ["1"])


def test_stock_python_rings_the_doorbell(new_gateway, broker):
    """A post of the named semaphore wakes the gateway's loop, which finds nothing and sleeps again."""
    gateway = new_gateway(publish_channel(), broker=broker).start()

    def wake_ups() -> int:
        status = Path(f"/proc/{gateway.pid}/task/{gateway.pid}/status").read_text()
        return int(status.split("voluntary_ctxt_switches:")[1].split()[0])

    before = wake_ups()
    for _ in range(20):
        stock(gateway, "ring")
    wait_until(lambda: wake_ups() >= before + 15, lambda: f"{before} wake-ups before, {wake_ups()} now")
