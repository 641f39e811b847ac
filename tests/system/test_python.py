"""The Python package beside a real gateway."""
from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time

import numpy
import pytest

from harness import BUILD, LIMIT, publish_channel, subscribe_channel, wait_until

sys.path.insert(0, str(BUILD / "python"))
import shmgate  # noqa: E402 - the line above finds it

ROOT = BUILD.parent


@pytest.fixture
def gateway(new_gateway, broker):
    return new_gateway(
        publish_channel("telemetry", writers=2),
        publish_channel("small", overflow="reject", slots=2, max_payload=8, writers=1),
        subscribe_channel("commands", topic="commands/#"),
        broker=broker,
    ).start()


def script(gateway, code: str, **options) -> subprocess.Popen[bytes]:
    return gateway.processes.start(
        [sys.executable, "-c", code, gateway.segment],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(BUILD / "python")},
        **options,
    )


def test_messages_go_both_ways(gateway, broker, subscribe):
    """What Python writes reaches a subscriber; what is published reaches Python with its topic."""
    subscriber = subscribe(broker, "test/telemetry")
    payloads = [b"", b"text", bytearray(b"\0\n"), memoryview(b"x" * 256)]
    with shmgate.attach(gateway.segment, timeout=5) as segment, segment.writer("telemetry") as writer, segment.reader(
        "commands"
    ) as reader:
        for payload in payloads:
            writer.write(payload)
        subscriber.expect(len(payloads))
        assert subscriber.payloads() == [bytes(payload) for payload in payloads]
        broker.publish("commands/ü", b"\0go\n")
        message = reader.read(timeout=LIMIT)
        assert (message.payload, message.topic, message.sequence, message.missed, message.retained) == (
            b"\0go\n",
            "commands/ü",
            0,
            0,
            False,
        )
        assert abs(message.time_ns / 1e9 - time.time()) < LIMIT


def test_errors_are_exceptions_with_a_hint(gateway):
    """Each error of the library has a class, and its text says what to do."""
    with shmgate.attach(gateway.segment) as segment:
        with pytest.raises(shmgate.NotFoundError, match="no channel nosuch"):
            segment.writer("nosuch")
        with pytest.raises(shmgate.DirectionError, match="subscribe channel"):
            segment.writer("commands")
        with segment.writer("small") as writer:
            with pytest.raises(shmgate.TooLargeError, match="max_payload"):
                writer.write(b"123456789")
            with pytest.raises(shmgate.BusyError, match="writers"):
                segment.writer("small")
            with pytest.raises(TypeError):
                writer.write("text")
        with pytest.raises(ValueError, match="closed"):
            writer.write(b"")
        with segment.reader("commands") as reader, pytest.raises(TimeoutError):
            reader.read(timeout=0)
    with pytest.raises(ValueError, match="closed"):
        segment.counters()
    with pytest.raises(shmgate.TimeoutError, match="shmgated"):
        shmgate.attach("/shmgate-nosuch")


def test_full_ring_that_rejects_raises(new_gateway, new_broker):
    """overflow = reject and no broker: the third write into two slots says so, and the first two stay."""
    gateway = new_gateway(
        publish_channel("small", overflow="reject", slots=2, writers=1), broker=new_broker(start=False)
    ).start(link=False)
    with shmgate.attach(gateway.segment) as segment, segment.writer("small") as writer:
        writer.write(b"1")
        writer.write(b"2")
        with pytest.raises(shmgate.FullError, match="try again"):
            writer.write(b"3")
        assert segment.counters()["small"]["queued"] == 2
        assert segment.counters()["small"]["rejected"] == 1


def test_waiting_lets_other_threads_run(gateway, broker):
    """The GIL is released while a read waits: another thread publishes what it waits for."""
    with shmgate.attach(gateway.segment) as segment, segment.reader("commands") as reader:
        publisher = threading.Thread(target=broker.publish, args=("commands/x", "from a thread"))
        publisher.start()
        assert reader.read(timeout=LIMIT).payload == b"from a thread"
        publisher.join()


def test_second_thread_in_a_waiting_reader_is_refused(gateway, broker):
    """A reader is for one thread at a time: the second gets an error, the first its message."""
    with shmgate.attach(gateway.segment) as segment, segment.reader("commands") as reader:
        got = []
        waiter = threading.Thread(target=lambda: got.append(reader.read(timeout=LIMIT)))
        waiter.start()

        def refused() -> bool:
            try:
                reader.latest()
            except RuntimeError:
                return True
            return False

        wait_until(refused)
        broker.publish("commands/x", "1")
        waiter.join()
        assert got[0].payload == b"1"


def test_records_are_read_into_an_array(gateway, broker):
    """read_many_into() fills a NumPy structured array with what is there, no more than fits; a message of another size
    ends it, and stays for read()."""
    record = numpy.dtype([("number", "<u4"), ("value", "<f4")])
    records = numpy.zeros(4, record)
    with shmgate.attach(gateway.segment, timeout=LIMIT) as segment, segment.writer(
        "telemetry"
    ) as writer, segment.reader("telemetry") as reader:
        for number in range(6):
            writer.write(numpy.array((number, number / 2), record).tobytes())
        writer.write(b"other")
        assert reader.read_many_into(records, 0) == 4
        assert records["number"].tolist() == [0, 1, 2, 3] and records["value"].tolist() == [0, 0.5, 1, 1.5]
        assert reader.read_many_into(records, 0) == 2
        assert records["number"].tolist() == [4, 5, 2, 3]
        with pytest.raises(ValueError, match="has 5 bytes"):
            reader.read_many_into(records, 0)
        assert reader.read(0).payload == b"other"
        with pytest.raises(TimeoutError):
            reader.read_many_into(records, 0.01)
        with pytest.raises(BufferError):
            reader.read_many_into(b"read-only", 0)


def test_iteration_latest_and_read_into(gateway, broker):
    """A reader is an iterator; latest() leaves its place; read_into() fills the caller's buffer."""
    with shmgate.attach(gateway.segment) as segment, segment.reader("commands") as reader:
        assert reader.latest() is None
        for i in range(4):
            broker.publish("commands/x", f"{i}")
        with segment.reader("commands") as other:
            assert [next(other).payload for _ in range(4)] == [b"0", b"1", b"2", b"3"]
        assert reader.latest().payload == b"3"
        assert next(iter(reader)).payload == b"0"
        buffer = bytearray(8)
        assert reader.read_into(buffer) == 1 and buffer[0:1] == b"1"
        with segment.reader("commands", from_now=True) as late, pytest.raises(TimeoutError):
            late.read(0)


def test_peek_shows_the_slot_and_notices_an_overwrite(gateway):
    """A Peek is a view without a copy; what was overwritten under it is not taken for the message."""
    with shmgate.attach(gateway.segment) as segment, segment.writer("telemetry") as writer, segment.reader(
        "telemetry"
    ) as reader:
        writer.write(b"whole")
        with reader.peek() as peek:
            with memoryview(peek) as view:
                assert view.readonly and bytes(view) == b"whole" and len(peek) == 5
                with pytest.raises(BufferError):
                    peek.release()
                with pytest.raises(BufferError):
                    reader.read(0)
        writer.write(b"first")
        with pytest.raises(shmgate.StaleError), reader.peek():
            for _ in range(5000):
                writer.write(b"later")
        assert reader.read(0).missed > 0


def test_read_takes_a_message_that_only_fits_since_a_reload(new_gateway, broker):
    """max_payload is raised while a read waits, and while nobody looks: the reader's own buffer grows with it."""
    channels = [subscribe_channel("commands", topic="commands/#", max_payload=8)]
    gateway = new_gateway(*channels, broker=broker).start()
    with shmgate.attach(gateway.segment) as segment:
        waiting, looking, tasks = (segment.reader("commands") for _ in range(3))
        got: list[bytes] = []
        waiter = threading.Thread(target=lambda: got.append(waiting.read(LIMIT).payload))
        waiter.start()
        gateway.channels[0]["max_payload"] = 64
        gateway.write_config()
        gateway.process.send_signal(signal.SIGHUP)
        gateway.wait_for_log("segment drained")
        broker.publish("commands/x", "larger than before")
        waiter.join()

        async def read() -> bytes:
            return (await tasks.read(LIMIT)).payload

        assert [*got, looking.latest().payload, asyncio.run(read())] == [b"larger than before"] * 3
        for reader in (waiting, looking, tasks):
            reader.close()


def test_interrupt_ends_a_wait(gateway):
    """Ctrl-C is heard while a read waits for ever."""
    waiting = script(
        gateway,
        "import shmgate, sys\nr = shmgate.attach(sys.argv[1]).reader('commands')\nprint('waiting', flush=True)\n"
        "r.read()",
    )
    assert waiting.stdout.readline() == b"waiting\n"
    waiting.send_signal(signal.SIGINT)
    assert b"KeyboardInterrupt" in waiting.communicate(timeout=LIMIT)[1]


def test_handles_do_not_survive_a_fork(gateway):
    """A child's use of an inherited handle is an error, not a second writer in the same lane."""
    child = script(
        gateway,
        "import os, shmgate, sys\nw = shmgate.attach(sys.argv[1]).writer('telemetry')\n"
        "if os.fork() == 0:\n try:\n  w.write(b'x')\n except PermissionError as e:\n  print(e.strerror, flush=True)\n"
        " os._exit(0)\n"
        "os.wait()\nw.write(b'y')\n",
    )
    out, err = child.communicate(timeout=LIMIT)
    assert b"fork" in out and child.returncode == 0, err


def test_many_operations_leave_memory_flat(gateway):
    """No reference is lost: the same number of objects lives after 10,000 more operations of each kind."""
    child = script(gateway, """
import gc, shmgate, sys
s = shmgate.attach(sys.argv[1])
def work(n):
    for _ in range(n):
        with s.writer('telemetry') as w, s.reader('telemetry', from_now=True) as r:
            w.write(b'abc'); r.latest(); r.read(0)
            w.write(b'abc')
            with r.peek(0) as p: bytes(memoryview(p))
            s.counters()
def resident():
    with open('/proc/self/statm') as f: return int(f.read().split()[1])
work(3000); gc.collect(); before = (len(gc.get_objects()), sys.getallocatedblocks()); pages = resident()
work(10000); gc.collect(); after = (len(gc.get_objects()), sys.getallocatedblocks())
assert after[0] - before[0] < 50 and after[1] - before[1] < 100, (before, after)
assert resident() - pages < 256, (pages, resident())
""")
    out, err = child.communicate(timeout=LIMIT)
    assert child.returncode == 0, err


@pytest.mark.parametrize("python", ["debian", "venv"])
def test_example_command_arrives(gateway, python):
    """The example sends a command with paho-mqtt (Debian's, and the other major version) and sees it in shared
    memory."""
    interpreter = sys.executable if python == "debian" else str(BUILD / "venv" / "bin" / "python")
    done = subprocess.run([interpreter, str(ROOT / "python" / "example_command.py"), str(gateway.config)],
                          env={**os.environ, "SHMGATE_SEGMENT": gateway.segment}, capture_output=True, timeout=LIMIT)
    assert done.stdout == b"commands/example arrived in channel commands: start\n", done
