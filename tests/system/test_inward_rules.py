"""What a subscribe channel takes of what the broker sends: rate."""
from __future__ import annotations

import subprocess
import time

from harness import LIMIT, check_ledger, subscribe_channel, wait_until


def test_flood_is_limited_and_counted(new_gateway, broker):
    """Of a flood no more than max_rate a second come through, the rest is counted by that name and logged; later ones pass again."""
    gateway = new_gateway(subscribe_channel(max_rate=20), broker=broker).start()
    begin = time.monotonic()
    flood = "".join(f"{n}\n" for n in range(500))
    subprocess.run(broker.client("mosquitto_pub", "-q", "1", "-t", "test/in", "-l"), input=flood.encode(), check=True, timeout=LIMIT)
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
