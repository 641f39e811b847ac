"""The spool: what the broker cannot take now is kept on disk, over outages, kills and reboots, and every message is
accounted for."""
from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness import LIMIT, ROOT, by_writer, check_ledger, publish_channel, wait_until, without_duplicates

WRITERS = 4
WINDOW = 64


@pytest.fixture
def lasting_broker(new_broker, subscribe, tmp_path):
    """A broker that remembers a subscriber over restarts, and that subscriber."""
    broker = new_broker(
        "persistence true", f"persistence_location {tmp_path}/", "max_inflight_messages 0", "autosave_interval 1"
    )

    def start(*topics: str):
        return subscribe(broker, *topics, qos=1, session=f"lasting-{os.urandom(4).hex()}")

    return broker, start


def anonymous_kib(pid: int) -> int:
    """Memory of the process that is its own: neither the segment nor programs."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1])
    raise AssertionError("no RssAnon")


def start_floods(processes, build, gateway, count: int, channel: str = "out") -> list[subprocess.Popen[bytes]]:
    return [
        processes.start(
            [build.driver("flood_writer"), gateway.segment, channel, str(count), str(writer)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for writer in range(WRITERS)
    ]


def flood(processes, build, gateway, count: int, channel: str = "out") -> None:
    """Let the writers write `count` messages each."""
    for writer in start_floods(processes, build, gateway, count, channel):
        output, _ = writer.communicate(timeout=4 * LIMIT)
        assert writer.returncode == 0, output.decode() + gateway.log()[-2000:]


def expect_all(subscriber, gateway, count: int, writers: int = WRITERS, ordered: bool = True) -> int:
    """Wait until `count` messages of each writer have come: all of them, and, if `ordered`, in order once duplicates
    are removed. Returns the number of duplicates."""
    wait_until(
        lambda: len(set(subscriber.payloads())) >= count * writers,
        lambda: f"{len(set(subscriber.payloads()))} of {count * writers}\n{gateway.stats()}\n{gateway.log()[-2000:]}",
        4 * LIMIT,
        0.1,
    )
    numbers = by_writer(subscriber.payloads())
    for writer, got in numbers.items():
        got = without_duplicates(got)
        assert (got if ordered else sorted(got)) == list(range(count)), f"writer {writer}"
    assert len(numbers) == writers
    return sum(map(len, numbers.values())) - count * writers


def spooled(gateway, channel: str = "out") -> int:
    return gateway.channel(channel)["spooled"]


@pytest.mark.parametrize("drain", ["in-order", "live-first"])
def test_outage_with_kills_in_the_middle(new_gateway, lasting_broker, processes, build, drain):
    """100,000 messages while the broker is away, the gateway killed with -9 in the middle and in the draining: none is
    missing, in order per writer unless new ones may overtake, and the gateway's memory stays within 2 MB of what it
    was."""
    each = 25_000
    broker, subscribe = lasting_broker
    gateway = new_gateway(
        publish_channel(max_payload=64, writers=WRITERS, slots=1024, overflow="reject", spool="overflow", drain=drain),
        broker=broker,
    ).start()
    subscriber = subscribe("test/out")
    broker.stop()
    gateway.wait_for_link("down")
    before = anonymous_kib(gateway.pid)
    floods = start_floods(processes, build, gateway, each)
    wait_until(lambda: spooled(gateway) > each, gateway.log)
    middle = anonymous_kib(gateway.pid)
    gateway.kill()
    gateway.start(link=False)
    for writer in floods:
        output, _ = writer.communicate(timeout=4 * LIMIT)
        assert writer.returncode == 0, output.decode() + gateway.log()[-2000:]
    wait_until(lambda: spooled(gateway) > 3 * each, gateway.log)
    after = anonymous_kib(gateway.pid)
    check_ledger(gateway.channel("out"))
    print(f"memory in KiB: before={before} middle={middle} after={after}")
    assert middle - before < 2048 and after - before < 2048
    broker.start()
    # In the middle of the draining the gateway is killed again, and the broker goes once more.
    wait_until(lambda: len(subscriber.poll()) > each, gateway.log)
    gateway.kill()
    gateway.start()
    wait_until(lambda: len(subscriber.poll()) > 2 * each, gateway.log)
    broker.stop()
    broker.start()
    duplicates = expect_all(subscriber, gateway, each, ordered=drain == "in-order")
    ledger = gateway.wait_for_delivery("out", WRITERS * each, 4 * LIMIT)
    wait_until(lambda: spooled(gateway) == 0)
    assert ledger["dropped"] == {}
    # A window for each kill and loss, and what was delivered and not yet deleted when the gateway was killed.
    assert duplicates <= 3 * WINDOW + 4096


@pytest.mark.sanitized
def test_stop_and_reboot_in_an_outage(new_gateway, lasting_broker, processes, build):
    """The gateway is stopped in an outage, and the shared memory is gone with the machine: all that was written arrives
    after the next start, what was spooled first, and the new segment's ledger accounts for it."""
    broker, subscribe = lasting_broker
    gateway = new_gateway(
        publish_channel(max_payload=64, writers=WRITERS, slots=64, overflow="reject", spool="overflow"), broker=broker
    ).start()
    subscriber = subscribe("test/out")
    broker.stop()
    gateway.wait_for_link("down")
    flood(processes, build, gateway, 500)
    gateway.stop()
    gateway.remove_segment()
    gateway.start(link=False)
    assert spooled(gateway) == 500 * WRITERS
    gateway.write("out", b"9 0 after")
    check_ledger(gateway.channel("out"))
    broker.start()
    expect_all_but_last = lambda: len(subscriber.poll()) >= 500 * WRITERS + 1  # noqa: E731
    wait_until(expect_all_but_last, gateway.log)
    numbers = by_writer(subscriber.payloads())
    assert subscriber.payloads()[-1] == b"9 0 after"
    assert all(without_duplicates(numbers[str(writer)]) == list(range(500)) for writer in range(WRITERS))
    ledger = gateway.wait_for_delivery("out", 500 * WRITERS + 1)
    assert ledger["written"] == 500 * WRITERS + 1 and ledger["dropped"] == {}


def test_low_rate_channel_is_on_disk_after_the_interval(new_gateway, lasting_broker):
    """One message in an outage is moved to disk though the ring is nearly empty: a power cut costs no more than the
    interval."""
    broker, subscribe = lasting_broker
    gateway = new_gateway(publish_channel(spool="overflow"), broker=broker, spool={"interval": "100ms"}).start()
    subscriber = subscribe("test/out")
    broker.stop()
    gateway.wait_for_link("down")
    gateway.write("out", b"alone")
    wait_until(lambda: spooled(gateway) == 1, gateway.log)
    gateway.kill()
    gateway.remove_segment()
    gateway.start(link=False)
    broker.start()
    subscriber.expect(1)
    assert subscriber.payloads() == [b"alone"]


@pytest.mark.sanitized
def test_always_puts_each_message_on_disk_first(new_gateway, broker, subscribe, processes, build):
    """spool = always with the broker at hand: everything arrives in order, once, and the spool is empty again."""
    gateway = new_gateway(
        publish_channel(max_payload=64, writers=WRITERS, slots=256, overflow="reject", spool="always"), broker=broker
    ).start()
    subscriber = subscribe(broker, "test/out")
    flood(processes, build, gateway, 3000)
    assert expect_all(subscriber, gateway, 3000) == 0
    ledger = gateway.wait_for_delivery("out", 3000 * WRITERS)
    assert ledger["dropped"] == {} and ledger["spooled"] == 0
    assert gateway.stats()["spool"]["state"] == "ok"


def test_live_first_does_not_wait_for_the_backlog(new_gateway, lasting_broker, processes, build):
    """After an outage a live-first channel's new message, and that of a channel without a backlog, overtake what is
    spooled; an in-order channel's does not."""
    broker, subscribe = lasting_broker
    each = 5000
    settings = {"max_payload": 64, "writers": 5, "slots": 256, "overflow": "reject", "spool": "overflow"}
    gateway = new_gateway(
        publish_channel("eager", drain="live-first", **settings),
        publish_channel("patient", **settings),
        publish_channel("other"),
        broker=broker,
    ).start()
    subscriber = subscribe("test/#")
    broker.stop()
    gateway.wait_for_link("down")
    flood(processes, build, gateway, each, "eager")
    flood(processes, build, gateway, each, "patient")
    for name in ("eager", "patient"):
        wait_until(lambda name=name: spooled(gateway, name) > 3 * each, gateway.log)
        gateway.write(name, b"9 0 live")
    gateway.write("other", b"9 0 live")
    broker.start()
    wait_until(
        lambda: len(subscriber.poll()) >= 2 * WRITERS * each + 3,
        lambda: f"{len(subscriber.messages)}\n{gateway.log()}",
        4 * LIMIT,
    )
    order = [message.topic for message in subscriber.messages if message.payload == b"9 0 live"]
    last = len(subscriber.messages) - 1
    at = {message.topic: number for number, message in enumerate(subscriber.messages) if message.payload == b"9 0 live"}
    assert set(order) == {"test/eager", "test/patient", "test/other"}
    assert at["test/other"] < last // 4 and at["test/eager"] < last // 2, (at, last)
    patient = [message.payload for message in subscriber.messages if message.topic == "test/patient"]
    assert b"9 0 live" not in patient[:each]


def test_limits_drop_what_the_ledger_says(new_gateway, lasting_broker, processes, build):
    """With max_size and max_age, what arrives and what was dropped by reason make up what was written, to the
    message."""
    broker, subscribe = lasting_broker
    gateway = new_gateway(
        publish_channel(max_payload=64, writers=WRITERS, slots=256, overflow="reject", spool="overflow"),
        publish_channel("aged", spool="overflow", spool_max_age="1s", writers=1),
        broker=broker,
        spool={"max_size": "1M", "max_age": "1h", "interval": "100ms"},
    ).start()
    subscriber = subscribe("test/#")
    broker.stop()
    gateway.wait_for_link("down")
    flood(processes, build, gateway, 8000)
    wait_until(lambda: gateway.channel("out")["queued"] == 0, gateway.log)
    for number in range(5):
        gateway.write("aged", b"old %d" % number)
    wait_until(lambda: gateway.channel("aged")["dropped"].get("spool_age") == 5, gateway.log)
    gateway.wait_for_log("losing messages: channel=aged reason=spool_age count=5")
    broker.start()
    wait_until(lambda: gateway.channel("out")["queued"] + spooled(gateway) == 0, gateway.log, 4 * LIMIT)
    ledger = gateway.channel("out")
    check_ledger(ledger)
    assert ledger["written"] == 8000 * WRITERS and set(ledger["dropped"]) == {"spool_size"}
    assert ledger["dropped"]["spool_size"] > 8000
    got = lambda: {message.payload for message in subscriber.poll() if message.topic == "test/out"}  # noqa: E731
    wait_until(lambda: len(got()) == ledger["delivered"], lambda: f"{len(got())} {ledger}")
    assert subscriber.payloads("test/aged") == []


@pytest.mark.sanitized
def test_full_disk_and_room_again(new_gateway, lasting_broker, processes, build):
    """The disk fills up in an outage: channels without a spool are not touched by it, what is lost is counted to the
    message, and when there is room again the spool goes on by itself."""
    broker, subscribe = lasting_broker
    gateway = new_gateway(
        publish_channel(max_payload=64, writers=WRITERS, slots=256, overflow="drop-oldest", spool="overflow"),
        publish_channel("live"),
        broker=broker,
    ).start()
    subscriber = subscribe("test/#")
    broker.stop()
    gateway.wait_for_link("down")
    # A file as large as the process may have is as good as a full disk, and needs no disk of our own.
    resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, (60_000, resource.RLIM_INFINITY))
    flood(processes, build, gateway, 8000)
    wait_until(lambda: gateway.stats()["spool"]["state"] == "full", gateway.log)
    assert "make room on its disk" in gateway.log()
    broker.start()
    gateway.wait_for_link()
    gateway.write("live", b"live")
    wait_until(lambda: b"live" in subscriber.payloads("test/live"), gateway.log)
    resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    wait_until(
        lambda: gateway.channel("out")["queued"] + spooled(gateway) == 0,
        lambda: f"{gateway.stats()}\n{gateway.log()}",
        4 * LIMIT,
    )
    ledger = gateway.channel("out")
    check_ledger(ledger)
    assert (
        ledger["written"] == 8000 * WRITERS
        and set(ledger["dropped"]) == {"overwritten"}
        and ledger["dropped"]["overwritten"] > 0
    )
    got = lambda: set(subscriber.payloads("test/out"))  # noqa: E731
    wait_until(lambda: len(got()) == ledger["delivered"], lambda: f"{len(got())} {ledger}")
    broker.stop()
    gateway.wait_for_link("down")
    flood(processes, build, gateway, 500)
    wait_until(lambda: gateway.stats()["spool"]["state"] == "ok" and spooled(gateway) > 0, gateway.log)


def test_full_disk_does_not_hold_up_a_channel_with_a_backlog(new_gateway, lasting_broker, processes, build):
    """Nothing can be written to the disk any more, not even what has been delivered from it: a channel's new messages
    then do not wait for its backlog. With room again the rest follows, and the ledger adds up."""
    broker, subscribe = lasting_broker
    each = 2000
    gateway = new_gateway(
        publish_channel(max_payload=64, writers=5, slots=256, overflow="reject", spool="overflow"),
        broker=broker,
        spool={"interval": "100ms"},
    ).start()
    subscriber = subscribe("test/out")
    broker.stop()
    gateway.wait_for_link("down")
    flood(processes, build, gateway, each)
    wait_until(lambda: spooled(gateway) == WRITERS * each, gateway.log)
    # Not one byte: the log is a file, too, and ends here.
    resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    broker.start()
    gateway.wait_for_link()
    gateway.write("out", b"9 0 live")
    wait_until(lambda: b"9 0 live" in subscriber.payloads(), gateway.stats)
    assert gateway.stats()["spool"]["state"] == "full" and spooled(gateway) == WRITERS * each
    resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    wait_until(lambda: gateway.channel("out")["delivered"] == WRITERS * each + 1, gateway.stats, 2 * LIMIT)
    check_ledger(gateway.channel("out"))
    numbers = by_writer(subscriber.payloads())
    assert all(without_duplicates(numbers[str(writer)]) == list(range(each)) for writer in range(WRITERS))


def test_spool_that_comes_late_is_accounted_for(new_gateway, lasting_broker, processes, build):
    """After a reboot the spool's disk is there only after the gateway: what it holds is sent all the same, and the
    ledger adds up before and after."""
    broker, subscribe = lasting_broker
    gateway = new_gateway(
        publish_channel(max_payload=64, writers=WRITERS, slots=64, overflow="reject", spool="overflow"), broker=broker
    )
    folder = gateway.folder / "disk"
    folder.mkdir()
    gateway.spool["path"] = folder / "spool.db"
    gateway.write_config()
    gateway.start()
    subscriber = subscribe("test/out")
    broker.stop()
    gateway.wait_for_link("down")
    flood(processes, build, gateway, 100)
    gateway.stop()
    gateway.remove_segment()
    folder.rename(gateway.folder / "away")
    gateway.start(link=False)
    wait_until(lambda: gateway.stats()["spool"]["state"] == "failed", gateway.log)
    check_ledger(gateway.channel("out"))
    (gateway.folder / "away").rename(folder)
    wait_until(lambda: spooled(gateway) == 100 * WRITERS, gateway.log)
    check_ledger(gateway.channel("out"))
    broker.start()
    expect_all(subscriber, gateway, 100)
    ledger = gateway.wait_for_delivery("out", 100 * WRITERS)
    assert ledger["written"] == 100 * WRITERS and ledger["dropped"] == {}


@pytest.mark.parametrize("damage", ["garbage", "truncated", "directory"])
def test_damaged_spool_does_not_stop_live_traffic(new_gateway, broker, subscribe, damage):
    """Whatever lies where the spool should be: messages flow, and the log says what was done."""
    gateway = new_gateway(publish_channel(spool="always"), broker=broker)
    if damage == "garbage":
        gateway.spool_path.write_bytes(os.urandom(100_000))
    elif damage == "directory":
        gateway.spool_path.mkdir()
    else:
        gateway.start(link=True)
        gateway.stop()
        gateway.spool_path.write_bytes(gateway.spool_path.read_bytes()[:5000])
    gateway.start()
    subscriber = subscribe(broker, "test/out")
    gateway.write("out", b"alive")
    subscriber.expect(1)
    assert gateway.stats()["spool"]["state"] == ("failed" if damage == "directory" else "ok")
    assert ("could not use spool" if damage == "directory" else "spool set aside") in gateway.log()


def test_removed_spool_is_counted(new_gateway, lasting_broker, processes, build):
    """Somebody removes the file while the gateway is stopped: what it held is lost, said and counted."""
    broker, subscribe = lasting_broker
    gateway = new_gateway(
        publish_channel(max_payload=64, writers=WRITERS, slots=64, overflow="reject", spool="overflow"), broker=broker
    ).start()
    broker.stop()
    gateway.wait_for_link("down")
    flood(processes, build, gateway, 100)
    gateway.stop()
    for path in gateway.folder.glob(f"{gateway.spool_path.name}*"):
        path.unlink()
    gateway.start(link=False)
    ledger = gateway.channel("out")
    check_ledger(ledger)
    assert ledger["dropped"] == {"spool_failed": 100 * WRITERS}
    assert "spooled messages are gone" in gateway.log()


def test_source_properties_tell_duplicates(new_gateway, lasting_broker, processes, build):
    """source = yes: after an outage, a reboot and kills a subscriber removes duplicates and sorts by what each message
    says of its origin."""
    sys.path.insert(0, str(ROOT / "python"))
    from shmgate.client import make_client
    from shmgate.origin import DuplicateFilter, origin
    from shmgate.settings import Settings

    broker, _ = lasting_broker
    each = 300
    gateway = new_gateway(
        publish_channel(
            max_payload=64,
            writers=WRITERS,
            slots=64,
            overflow="reject",
            spool="overflow",
            source="yes",
            drain="live-first",
        ),
        broker=broker,
    ).start()
    messages: list = []
    client = make_client(Settings(uris=[broker.uri], version="5"))
    client.on_connect = lambda client, *_: client.subscribe("test/out", 1)
    client.on_subscribe = lambda *_: messages.append(None)
    client.on_message = lambda client, userdata, message: messages.append(message)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    try:
        wait_until(lambda: messages)
        floods = start_floods(processes, build, gateway, each)
        for _ in range(3):
            gateway.kill()
            gateway.start()
        for writer in floods:
            writer.communicate(timeout=4 * LIMIT)
        wait_until(
            lambda: len({message.payload for message in messages[1:]}) == each * WRITERS,
            lambda: f"{len(messages)}\n{gateway.log()}",
        )
    finally:
        client.disconnect()
        client.loop_stop()
    duplicates = DuplicateFilter()
    kept = [message for message in messages[1:] if duplicates.is_new(origin(message))]
    assert len(kept) == each * WRITERS
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert {origin(message).boot for message in kept} == {boot}
    numbers = by_writer([message.payload for message in sorted(kept, key=origin)])
    assert all(got == list(range(each)) for got in numbers.values())
    now = time.time()
    assert all(now - 600 < origin(message).time <= now for message in kept)


def test_duplicate_filter_takes_numbers_in_any_order():
    """Each number of a stream is new once, whatever the order; streams are apart; memory is bounded."""
    sys.path.insert(0, str(ROOT / "python"))
    from shmgate.origin import DuplicateFilter, Origin

    dice = random.Random(7)
    wanted = [Origin("b", stream, number, 0.0) for stream in "xy" for number in range(200) for _ in range(2)]
    dice.shuffle(wanted)
    duplicates = DuplicateFilter()
    assert sorted(one for one in wanted if duplicates.is_new(one)) == sorted(set(wanted))
    small = DuplicateFilter(streams=2, gaps=3)
    assert all(small.is_new(Origin("b", "x", 2 * number, 0.0)) for number in range(100))
    assert len(small._ranges["x"]) <= 4
    for stream in "yz":
        assert small.is_new(Origin("b", stream, 0, 0.0))
    assert set(small._ranges) == {"y", "z"}


def test_tool_looks_at_the_spool(new_gateway, lasting_broker):
    """shmgate spool list, show, export and check, with the gateway at work and without it, and on a damaged file."""
    broker, _ = lasting_broker
    gateway = new_gateway(
        publish_channel(spool="overflow", writers=1),
        publish_channel("other", spool="overflow", writers=1),
        broker=broker,
        spool={"interval": "100ms"},
    ).start()
    broker.stop()
    gateway.wait_for_link("down")
    for payload in (b"one", b'two "2"', b"\xff\x00"):
        gateway.write("out", payload)
    gateway.write("other", b"elsewhere")
    wait_until(lambda: spooled(gateway) == 3 and spooled(gateway, "other") == 1, gateway.log)

    def spool(*arguments: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [gateway.build.shmgate, "spool", *arguments, "-f", gateway.spool_path], capture_output=True, timeout=LIMIT
        )

    listed = spool("list").stdout.decode().splitlines()
    assert [line.split()[:4] for line in listed[1:]] == [
        ["out", "0", "3", str(12 + 3 * 58)],
        ["other", "1", "1", str(9 + 58)],
    ]
    assert spool("show", "out").stdout == b'one\ntwo "2"\n\xff\x00\n'
    assert spool("show", "out", "-C", "1", "-F", "%t %n %x").stdout == b"test/out 0 6f6e65\n"
    exported = [json.loads(line) for line in spool("export").stdout.splitlines()]
    assert [(line["channel"], bytes.fromhex(line["payload_hex"]), line["sequence"]) for line in exported] == [
        ("out", b"one", 0), ("out", b'two "2"', 1), ("out", b"\xff\x00", 2), ("other", b"elsewhere", 0)]
    assert exported[0]["qos"] == 1 and exported[0]["topic"] == "test/out"
    checked = spool("check")
    assert checked.returncode == 0 and b"ok: 4 messages in 2 streams" in checked.stdout
    gateway.stop()
    assert spool("check").returncode == 0
    data = bytearray(gateway.spool_path.read_bytes())
    data[4096 * 3:4096 * 3 + 64] = b"x" * 64
    gateway.spool_path.write_bytes(data)
    damaged = spool("check")
    assert damaged.returncode == 1 and damaged.stdout
    missing = subprocess.run(
        [gateway.build.shmgate, "spool", "list", "-f", "/nonexistent"], capture_output=True, timeout=LIMIT
    )
    assert missing.returncode == 1 and b"could not open /nonexistent: No such file" in missing.stderr
    for wrong in (["spool"], ["spool", "lst"], ["spool", "check", "a", "b"]):
        assert subprocess.run([gateway.build.shmgate, *wrong], capture_output=True, timeout=LIMIT).returncode == 2


def test_paused_reader_does_not_hold_the_journal(new_gateway, processes, build):
    """Somebody pages through the spool and pauses, as less does: the gateway's journal stays as small as without them,
    and what was paused goes on to the end, each message once."""
    gateway = new_gateway(
        publish_channel(spool="always", slots=4096, max_payload=1024, overflow="reject", writers=1),
        mqtt={"uri": "mqtt://127.0.0.1:1", "connect_timeout": "1s"},
    ).start(link=False)
    lines = [b"%d %s" % (number, b"x" * 100) for number in range(3000)]
    assert gateway.tool("write", "out", "-l", input=b"\n".join(lines)).returncode == 0
    wait_until(lambda: spooled(gateway) == 3000, gateway.log)
    reader = processes.start([build.shmgate, "spool", "show", "-f", gateway.spool_path], stdout=subprocess.PIPE)
    assert reader.stdout.readline().startswith(b"0 ")
    # Its pipe is full by now.
    assert gateway.tool("write", "out", "-l", input=b"\n".join([b"y" * 1000] * 12000)).returncode == 0
    wait_until(lambda: spooled(gateway) == 15000, gateway.log, 4 * LIMIT)
    journal = gateway.spool_path.with_name(gateway.spool_path.name + "-wal").stat().st_size
    assert journal < 6_000_000, f"{journal} bytes of journal"
    shown = [b"0 ", *reader.stdout.read().splitlines()]
    assert reader.wait(LIMIT) == 0
    assert [line[:5] for line in shown[1:3000]] == [line[:5] for line in lines[1:]]
    assert len(shown) == 15000


def test_copy_without_its_journal_is_told(new_gateway, build, tmp_path):
    """The tool says that messages may be missing when spool.db was copied without its -wal; not for both files, and not
    after an orderly stop."""
    gateway = new_gateway(
        publish_channel(spool="always", writers=1), mqtt={"uri": "mqtt://127.0.0.1:1", "connect_timeout": "1s"}
    ).start(link=False)
    gateway.write("out", b"one")
    wait_until(lambda: spooled(gateway) == 1, gateway.log)

    def look(path: Path, action: str = "list") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [build.shmgate, "spool", action, "-f", path], capture_output=True, text=True, timeout=LIMIT
        )

    journal = gateway.spool_path.with_name(gateway.spool_path.name + "-wal")
    alone, both = tmp_path / "alone.db", tmp_path / "both.db"
    alone.write_bytes(gateway.spool_path.read_bytes())
    for action in ("list", "show", "check"):
        assert "alone.db-wal" in look(alone, action).stderr, action
    both.write_bytes(gateway.spool_path.read_bytes())
    both.with_name("both.db-wal").write_bytes(journal.read_bytes())
    shown = look(both, "show")
    assert (shown.returncode, shown.stdout, shown.stderr) == (0, "one\n", "")
    gateway.stop()
    stopped = look(gateway.spool_path, "show")
    assert (stopped.stdout, stopped.stderr) == ("one\n", ""), stopped


@pytest.mark.sanitized
def test_spool_survives_a_change_of_geometry(new_gateway, lasting_broker, processes, build):
    """The ring's size and the topic change in an outage: what was spooled before is published first, on the topic of
    then."""
    broker, subscribe = lasting_broker
    channel = {"max_payload": 64, "writers": 1, "overflow": "reject", "spool": "overflow"}
    gateway = new_gateway(publish_channel(slots=64, **channel), broker=broker).start()
    subscriber = subscribe("test/#")
    broker.stop()
    gateway.wait_for_link("down")
    for number in range(100):
        gateway.write("out", b"%d" % number)
    gateway.channels[:] = [publish_channel(slots=128, **{**channel, "topic": "test/new"})]
    gateway.write_config()
    gateway.process.send_signal(1)
    gateway.wait_for_log("replaced: ")
    for number in range(100, 300):
        gateway.write("out", b"%d" % number)
    check_ledger(gateway.channel("out"))
    broker.start()
    wait_until(lambda: len(set(subscriber.payloads())) == 300, lambda: f"{gateway.stats()} {gateway.log()}")
    assert without_duplicates([int(payload) for payload in subscriber.payloads()]) == list(range(300))
    topics = [message.topic for message in subscriber.poll()]
    assert topics[0] == "test/out" and topics[-1] == "test/new"
    ledger = gateway.wait_for_delivery("out", 300)
    assert ledger["written"] == 300 and ledger["dropped"] == {}
