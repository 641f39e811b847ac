"""Readers in event loops: await, async for, cancellation, the descriptor for selectors; and that nothing is lost or
left."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import selectors
import signal
import sys
import threading
import time

import pytest

from harness import BUILD, LIMIT, publish_channel, subscribe_channel, wait_until

sys.path.insert(0, str(BUILD / "python"))
import shmgate  # noqa: E402 - the line above finds it


@pytest.fixture
def gateway(new_gateway, broker):
    return new_gateway(
        publish_channel("telemetry", writers=2, slots=4096, max_payload=64),
        publish_channel("other", writers=1),
        subscribe_channel("commands", topic="commands/#"),
        broker=broker,
    ).start()


@pytest.fixture
def shared(gateway):
    with shmgate.attach(gateway.segment, timeout=LIMIT) as attached:
        yield attached


def run(coroutine):
    """Run it in a loop of its own, with a limit that only a broken program reaches."""

    async def limited():
        async with asyncio.timeout(LIMIT):
            return await coroutine

    return asyncio.run(limited())


def threads() -> int:
    """Of this process, those that Python does not know too."""
    return len(os.listdir("/proc/self/task"))


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_await_gives_what_is_there_and_what_comes(shared):
    """read() in a task: a message that is there at once, one that comes later from another thread, and none in time."""

    async def main() -> None:
        with shared.writer("telemetry") as writer, shared.reader("telemetry") as reader:
            writer.write(b"1")
            assert (await reader.read()).payload == b"1"
            asyncio.get_running_loop().call_later(0.05, writer.write, b"2")
            assert (await reader.read(timeout=LIMIT)).payload == b"2"
            begin = time.monotonic()
            with pytest.raises(shmgate.TimeoutError, match=r"no message in channel telemetry within 0\.05 s"):
                await reader.read(timeout=0.05)
            assert time.monotonic() - begin >= 0.05

    run(main())


def test_async_for_gives_what_arrives_over_mqtt(shared, broker):
    """`async for message in segment.reader("commands")`, as it stands."""

    async def main() -> list[bytes]:
        publisher = asyncio.to_thread(lambda: [broker.publish("commands/x", f"{number}") for number in range(5)])
        publishing = asyncio.create_task(publisher)
        got = []
        async for message in shared.reader("commands"):
            got.append(message.payload)
            if len(got) == 5:
                break
        await publishing
        return got

    assert run(main()) == [b"0", b"1", b"2", b"3", b"4"]


def test_reads_that_do_not_wait_are_plain_in_a_loop(shared):
    """read(0), latest() and peek(0) cannot hold a loop up, and are the same in it; also while a task waits in the
    reader."""

    async def main() -> None:
        with shared.writer("telemetry") as writer, shared.reader("telemetry") as reader:
            writer.write(b"1")
            assert reader.read(0).payload == b"1"
            task = asyncio.create_task(reader.read())
            await asyncio.sleep(0.01)
            assert reader.latest().payload == b"1"
            with pytest.raises(TimeoutError):
                reader.read(0)
            writer.write(b"2")
            assert (await task).payload == b"2"

    run(main())


def test_second_task_in_a_reader_is_refused(shared):
    """One task at a time; the first one gets its message. Two readers can be awaited at once."""

    async def main() -> None:
        with (
            shared.writer("telemetry") as writer,
            shared.reader("telemetry") as reader,
            shared.reader("telemetry") as second,
        ):
            tasks = [asyncio.create_task(reader.read()), asyncio.create_task(second.read())]
            await asyncio.sleep(0.01)
            with pytest.raises(RuntimeError, match="another task"):
                await reader.read()
            writer.write(b"1")
            assert [message.payload for message in await asyncio.gather(*tasks)] == [b"1", b"1"]

    run(main())


def test_cancelled_thousands_of_times_nothing_is_lost_or_left(shared):
    """Reads are cancelled at random instants while messages come: each message is read once, in order; no thread and no
    descriptor is left."""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    choice = random.Random(seed)
    count = 3000
    before = threads(), descriptors()

    async def main() -> int:
        loop = asyncio.get_running_loop()
        cancelled = 0
        with shared.writer("telemetry") as writer, shared.reader("telemetry") as reader:
            numbers = iter(range(count))
            asked = expected = 0
            while expected < count:
                task = asyncio.create_task(reader.read())
                if asked < count and choice.random() < 0.6:
                    loop.call_later(choice.random() * 0.0005, lambda: writer.write(b"%d" % next(numbers)))
                    asked += 1
                for _ in range(choice.randrange(4)):
                    await asyncio.sleep(choice.choice((0, 0, 0.0002)))
                task.cancel()
                try:
                    message = await task
                except asyncio.CancelledError:
                    cancelled += 1
                    continue
                assert (int(message.payload), message.missed) == (expected, 0)
                expected += 1
        return cancelled

    assert run(main()) > count // 10
    assert (threads(), descriptors()) == before


def test_thousands_of_timeouts_leave_nothing(shared):
    """asyncio.wait_for() gives up 2,000 times."""

    async def main() -> tuple[int, int]:
        async with shared.reader("commands") as reader:
            # The thread that sleeps for the reader is there from here on.
            reader.fileno()
            within = threads(), descriptors()
            for _ in range(2000):
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(reader.read(), 0.0001)
            assert (threads(), descriptors()) == within
            return within

    before = threads(), descriptors()
    run(main())
    # The loop's own descriptors have gone with it.
    assert (threads(), descriptors()) == before


@pytest.mark.parametrize("how", ["task", "thread", "signal"])
def test_close_ends_what_awaits(shared, how):
    """close() from another task, another thread or a signal's handler: a read raises ValueError, an `async for`
    ends."""

    async def main() -> None:
        for waits_in in ("read", "for"):
            reader = shared.reader("commands")

            async def waiting(reader=reader, waits_in=waits_in) -> str:
                if waits_in == "for":
                    async for _ in reader:
                        pass
                    return "ended"
                try:
                    await reader.read()
                except ValueError as error:
                    return str(error)
                return "a message"

            task = asyncio.create_task(waiting())
            await asyncio.sleep(0.02)
            if how == "task":
                reader.close()
            elif how == "thread":
                threading.Thread(target=reader.close).start()
            else:
                before = signal.signal(signal.SIGUSR1, lambda *_, reader=reader: reader.close())
                os.kill(os.getpid(), signal.SIGUSR1)
            assert await task == ("ended" if waits_in == "for" else "the reader is closed")
            if how == "signal":
                signal.signal(signal.SIGUSR1, before)

    before = threads(), descriptors()
    run(main())
    # Whoever leaves last closes it: perhaps the other thread, which is not seen to end.
    wait_until(lambda: (threads(), descriptors()) == before)


def test_other_tasks_have_their_turn_while_messages_are_plenty(shared):
    """A task that always finds a message does not keep the loop to itself."""

    async def main() -> int:
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        with shared.writer("telemetry") as writer, shared.reader("telemetry") as reader:
            for _ in range(2000):
                writer.write(b"x")
            task = asyncio.create_task(other())
            for _ in range(2000):
                await reader.read()
            task.cancel()
        return turns

    assert run(main()) >= 20


def test_await_goes_on_over_a_change_of_geometry(gateway, shared, broker):
    """A reload that replaces the segment while a task waits in a reader of the old one: it gets what comes in the new
    one."""

    async def main() -> bytes:
        with shared.reader("commands") as reader:
            task = asyncio.create_task(reader.read())
            await asyncio.sleep(0.01)
            gateway.channels[0]["slots"] = 64
            gateway.write_config()
            gateway.process.send_signal(signal.SIGHUP)
            await asyncio.to_thread(gateway.wait_for_log, "segment drained")
            await asyncio.to_thread(broker.publish, "commands/x", "after")
            return (await task).payload

    assert run(main()) == b"after"


def test_loop_that_ends_beside_a_task_that_waits(shared):
    """asyncio.run() cancels what still waits; a second loop can use the reader."""
    reader = shared.reader("telemetry")

    async def leave() -> None:
        left = asyncio.create_task(reader.read())
        await asyncio.sleep(0.01)
        assert not left.done()

    async def main() -> bytes:
        return (await reader.read()).payload

    for _ in range(3):
        run(leave())
    with shared.writer("telemetry") as writer:
        writer.write(b"1")
    assert run(main()) == b"1"
    reader.close()


def test_descriptor_tells_a_selector_of_messages(shared):
    """Readable when there may be a message; read until there is none, and it is silent until the next one."""
    with (
        shared.writer("telemetry") as writer,
        shared.reader("telemetry") as reader,
        shared.reader("other") as silent,
        selectors.DefaultSelector() as selector,
    ):
        for each in (reader, silent):
            assert each.fileno() == each.fileno() >= 0
            selector.register(each, selectors.EVENT_READ)
        got = []

        def drain() -> None:
            for key, _ in selector.select(LIMIT):
                try:
                    while True:
                        got.append(key.fileobj.read(0).payload)
                except TimeoutError:
                    pass

        for number in range(200):
            writer.write(b"%d" % number)
            while len(got) <= number:
                drain()
        assert got == [b"%d" % number for number in range(200)]
    with pytest.raises(ValueError, match="closed"):
        reader.fileno()


def test_tasks_that_wait_cost_nothing(shared):
    """Twenty tasks on a silent channel for three seconds: no more than the look that each takes once a second."""

    async def main() -> tuple[float, int]:
        readers = [shared.reader("commands") for _ in range(20)]
        tasks = [asyncio.create_task(reader.read()) for reader in readers]
        await asyncio.sleep(0.2)
        before = resource.getrusage(resource.RUSAGE_SELF)
        await asyncio.sleep(3)
        after = resource.getrusage(resource.RUSAGE_SELF)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for reader in readers:
            reader.close()
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, after.ru_nvcsw - before.ru_nvcsw

    seconds, switches = run(main())
    print(f"{seconds * 1000:.1f} ms of processor, {switches} wake-ups in 3 s")
    assert seconds < 0.3 and switches < 20 * 3 * 6
