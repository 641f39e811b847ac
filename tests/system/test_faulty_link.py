"""A bad day on the network: cuts, stalls, broker restarts and kills under load. Nothing is missing, and order holds."""
from __future__ import annotations

import os
import random
import subprocess

import pytest

from certificates import Certificates
from harness import LIMIT, by_writer, check_ledger, publish_channel, wait_until, without_duplicates

WRITERS = 2
WINDOW = 64
RATE = 400_000
"""Bytes a second through the proxy, so that the faults meet messages under way."""


@pytest.mark.parametrize(
    "cuts, stalls, stops, kills", [(2, 1, 1, 1), pytest.param(50, 5, 3, 2, marks=pytest.mark.full)]
)
def test_nothing_is_missing_after_a_bad_day(
    new_gateway, new_broker, new_proxy, subscribe, build, processes, tmp_path, cuts, stalls, stops, kills
):
    """20,000 numbered messages at QoS 1 while the link is cut and stalled and the broker is stopped and killed with -9:
    all arrive, in order per writer once duplicates are removed, and the duplicates are no more than a window for each
    fault."""
    each = 20_000 // WRITERS
    seed = int(os.environ.get("SHMGATE_TEST_SEED", random.randrange(2**32)))
    print(f"seed={seed}")
    dice = random.Random(seed)
    broker = new_broker(
        "persistence true",
        f"persistence_location {tmp_path}/",
        "max_inflight_messages 0",
        "autosave_on_changes true",
        "autosave_interval 1",
    )
    proxy = new_proxy(broker)
    gateway = new_gateway(
        publish_channel(qos=1, max_payload=64, writers=WRITERS, slots=256, overflow="reject", spool="overflow"),
        mqtt={"uri": proxy.uri, "keepalive": "5s"},
    ).start()
    subscriber = subscribe(broker, "test/out", qos=1, session="watcher")
    proxy.throttle(RATE)

    def distinct() -> int:
        return len(set(subscriber.payloads()))

    def cut() -> None:
        wait_until(proxy.cut, gateway.log, 2 * LIMIT)

    def stall() -> None:
        proxy.stall()
        gateway.wait_for_link("down")
        proxy.resume()
        proxy.throttle(RATE)

    def stop() -> None:
        broker.stop()
        gateway.wait_for_link("down")
        broker.start()

    def kill() -> None:
        # What a broker has acknowledged and then loses is not ours to keep: all of that is with the subscriber before
        # the kill.
        wait_until(lambda: gateway.stats()["link"] == "up", gateway.log, 2 * LIMIT)
        proxy.refuse()
        proxy.cut()
        gateway.wait_for_link("down")
        wait_until(lambda: distinct() >= gateway.channel("out")["delivered"], gateway.log)
        broker.kill()
        broker.start()
        proxy.listen()

    faults = [cut] * cuts + [stall] * stalls + [stop] * stops + [kill] * kills
    dice.shuffle(faults)
    floods = [
        processes.start(
            [build.driver("flood_writer"), gateway.segment, "out", str(each), str(writer)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for writer in range(WRITERS)
    ]
    for number, fault in enumerate(faults):
        mark = WRITERS * each * number // (len(faults) + 1)
        wait_until(
            lambda mark=mark: distinct() >= mark, lambda: f"{distinct()} of {mark}\n{gateway.log()[-2000:]}", 2 * LIMIT
        )
        fault()
    proxy.resume()
    for flood in floods:
        output, _ = flood.communicate(timeout=2 * LIMIT)
        assert flood.returncode == 0, output.decode() + gateway.log()[-2000:]
    wait_until(
        lambda: distinct() >= WRITERS * each,
        lambda: f"{distinct()}\n{gateway.stats()}\n{gateway.log()[-2000:]}",
        2 * LIMIT,
    )
    numbers = by_writer(subscriber.payloads())
    for writer in range(WRITERS):
        assert without_duplicates(numbers[str(writer)]) == list(range(each)), f"writer {writer}"
    duplicates = len(subscriber.messages) - WRITERS * each
    print(f"faults={len(faults)} duplicates={duplicates}")
    # A broker that was killed may give its subscriber again what it had not yet saved as given.
    assert duplicates <= (len(faults) + kills) * WINDOW + kills * each
    check_ledger(gateway.wait_for_delivery("out", WRITERS * each))


@pytest.mark.sanitized
@pytest.mark.parametrize("cuts", [2, pytest.param(20, marks=pytest.mark.full)])
@pytest.mark.parametrize("tls", [False, True])
def test_cuts_under_load_are_clean(
    new_gateway, new_broker, new_proxy, subscribe, build, processes, tmp_path, tls, cuts
):
    """Connections that are cut while messages fly leave no use of freed memory, over TCP and over TLS, and everything
    arrives."""
    certificates = Certificates(tmp_path / "certificates") if tls else None
    broker = new_broker(*(certificates.broker_lines(client_certificate=False) if certificates else []), tls=tls)
    options = ("--cafile", str(certificates.ca)) if certificates else ()
    proxy = new_proxy(broker)
    mqtt = {"uri": proxy.uri, **({"ca_file": certificates.ca} if certificates else {})}
    gateway = new_gateway(
        publish_channel(qos=1, max_payload=64, writers=1, slots=256, overflow="reject"),
        publish_channel("more", qos=2, max_payload=64, writers=1, slots=256, overflow="reject"),
        publish_channel("some", qos=0, max_payload=64, writers=1, slots=64, overflow="reject"),
        mqtt=mqtt,
    ).start()
    subscriber = subscribe(broker, "test/out", options=options)
    floods = [
        processes.start([build.driver("flood_writer"), gateway.segment, name, str(count), "0"], env=build.environment())
        for name, count in (("out", 20000), ("more", 4000), ("some", 20000))
    ]
    for number in range(cuts):
        mark = 20000 * number // (cuts + 1)
        wait_until(lambda mark=mark: gateway.channel("out")["delivered"] >= mark, gateway.log, 2 * LIMIT)
        # Pauses between attempts grow to half a minute with so many losses.
        wait_until(proxy.cut, gateway.log, 2 * LIMIT)
    for flood in floods:
        assert flood.wait(2 * LIMIT) == 0
    gateway.wait_for_delivery("out", 20000, 2 * LIMIT)
    gateway.wait_for_delivery("more", 4000, 2 * LIMIT)
    wait_until(lambda: len(set(subscriber.payloads())) >= 20000, gateway.log)
    gateway.check_log()


def test_certificates_are_read_anew_at_each_connection(new_gateway, new_broker, new_proxy, subscribe, tmp_path):
    """Another authority, another broker certificate, another client certificate under the old names: the next
    connection uses them, without a restart or a reload."""
    old, new = Certificates(tmp_path / "old"), Certificates(tmp_path / "new")
    mine = tmp_path / "mine"
    mine.mkdir()

    def install(certificates: Certificates) -> None:
        for source, name in (
            (certificates.ca, "ca.pem"),
            (certificates.client, "client.pem"),
            (certificates.client_key, "client.key"),
        ):
            (mine / "next").touch(0o600)
            (mine / "next").write_bytes(source.read_bytes())
            (mine / "next").rename(mine / name)

    def start(certificates: Certificates):
        return new_broker(*certificates.broker_lines(), tls=True, port=None if certificates is old else port)

    install(old)
    broker = start(old)
    port = broker.port
    gateway = new_gateway(
        publish_channel(),
        mqtt={
            "uri": broker.uri,
            "ca_file": mine / "ca.pem",
            "cert_file": mine / "client.pem",
            "key_file": mine / "client.key",
        },
    ).start()
    broker.stop()
    gateway.wait_for_link("down")
    broker = start(new)
    wait_until(lambda: "could not connect" in gateway.log(), gateway.log)
    assert gateway.stats()["link"] == "down"
    install(new)
    gateway.wait_for_link()
    gateway.write("out", b"rotated")
    gateway.wait_for_delivery("out", 1)


def test_kicking_broker_is_not_stormed(new_gateway, broker, new_proxy):
    """A broker that takes the connection and closes it again at once: the pauses between attempts grow, as with one
    that is not there."""
    proxy = new_proxy(broker)
    proxy.kick("answered")
    gateway = new_gateway(publish_channel(), mqtt={"uri": proxy.uri}).start(link=False)

    def pauses() -> list[float]:
        return [later.began - earlier.began for earlier, later in zip(proxy.connections, proxy.connections[1:])]

    # The first pause is 0.6 s at most, and Paho needs another second; only one that grows comes to five.
    wait_until(lambda: max(pauses(), default=0.0) > 5, lambda: f"{pauses()}\n{gateway.log()}", 2 * LIMIT)
    proxy.resume()
    gateway.wait_for_link()
