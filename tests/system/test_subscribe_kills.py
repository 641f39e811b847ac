"""What the broker was told has arrived is in shared memory, however the gateway ends."""
from __future__ import annotations

import os
import random

import pytest

from harness import LIMIT, check_ledger, subscribe_channel, wait_until

BURST = 2000
"""Commands published a round: so many that they still flow when the gateway is killed."""


@pytest.mark.parametrize("qos", [1, 2])
@pytest.mark.parametrize("version", ["3.1.1", "5"])
@pytest.mark.parametrize("kills", [20, pytest.param(300, marks=pytest.mark.full)])
def test_no_command_is_lost_when_the_gateway_is_killed(new_gateway, broker, processes, tmp_path, kills, version, qos):
    """kill -9 again and again amid a flow of commands: a reader gets every one that the broker took, at least once, in
    order."""
    seed = int(os.environ.get("SHMGATE_TEST_SEED", random.randrange(2**32)))
    print(f"seed={seed}")
    dice = random.Random(seed)
    gateway = new_gateway(
        subscribe_channel(qos=qos, max_payload=16, slots=1 << 17), broker=broker, mqtt={"version": version}
    ).start()
    output = tmp_path / "read"
    with open(output, "wb") as file:
        reader = processes.start([gateway.build.shmgate, "read", "in", "-S", gateway.segment], stdout=file)
    publisher = processes.start(broker.client("mosquitto_pub", "-q", str(qos), "-t", "test/in", "-l"), stdin=-1)
    written = 0
    for _ in range(kills):
        # Somewhere within what is published now, which has more than four bytes a line.
        size = output.stat().st_size + dice.randrange(1, BURST * 4)
        publisher.stdin.write(b"".join(b"%d\n" % number for number in range(written, written + BURST)))
        publisher.stdin.flush()
        written += BURST
        wait_until(lambda size=size: output.stat().st_size >= size, gateway.log, interval=0)
        gateway.kill()
        gateway.launch()
    publisher.stdin.close()
    assert publisher.wait(LIMIT) == 0

    def read() -> list[int]:
        """What was read so far, each command where it came first."""
        return list(dict.fromkeys(int(line) for line in output.read_bytes().splitlines(True) if line.endswith(b"\n")))

    wait_until(
        lambda: len(read()) >= written,
        lambda: f"missing: {sorted(set(range(written)) - set(read()))[:100]}",
        limit=4 * LIMIT,
        interval=0.5,
    )
    assert read() == list(range(written))
    assert reader.poll() is None
    wait_until(gateway.is_ready, gateway.log)
    check_ledger(gateway.channel("in"))
    assert gateway.channel("in")["dropped"] == {}
