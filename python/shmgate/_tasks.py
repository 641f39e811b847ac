"""How tasks of an event loop wait in a Reader: `await reader.read()`, and `async for` and `async with` with a reader.

The extension makes these coroutines; it lends them three methods of the Reader (src/reader_tasks.c). A task waits for
the reader's descriptor, and takes a message only when it is about to give it out: a task that is cancelled has taken
none.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
from typing import TYPE_CHECKING

from shmgate._errors import TimeoutError  # noqa: A004 - it is one

if TYPE_CHECKING:
    from shmgate import Message, Reader

READS_AT_A_STRETCH = 64
"""After so many reads in which a message was there already, the loop's other tasks have their turn."""


class _Bell:
    """Ends the present wait of one task: by the descriptor or a timer of its loop, or by a call from any thread."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.rung: asyncio.Future[None] | None = None
        self.too_late = False

    def ring(self) -> None:
        if self.rung is not None and not self.rung.done():
            self.rung.set_result(None)

    def ring_too_late(self) -> None:
        self.too_late = True
        self.ring()

    def __call__(self) -> None:
        # A loop that is closed has no task left to be told.
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self.ring)

    async def wait(self) -> None:
        self.rung = self.loop.create_future()
        await self.rung


async def _wait(reader: Reader, bell: _Bell, timeout: float | None) -> Message:
    """The next message, when there is none yet."""
    descriptor = reader.fileno()
    bell.loop.add_reader(descriptor, bell.ring)
    timer = None if timeout is None else bell.loop.call_later(timeout, bell.ring_too_late)
    try:
        while True:
            message = reader._take()
            if message is not None:
                return message
            if bell.too_late:
                raise TimeoutError(errno.ETIMEDOUT, f"no message in channel {reader.channel} within {timeout:.6g} s")
            await bell.wait()
    finally:
        bell.loop.remove_reader(descriptor)
        if timer:
            timer.cancel()


async def read(reader: Reader, timeout: float | None) -> Message:
    """The next message, waiting up to `timeout` seconds (None: for ever).

    Raises TimeoutError; ValueError when the reader is, or is being, closed; RuntimeError when another task waits in it.
    """
    bell = _Bell()
    reads = reader._hold(bell)
    try:
        if reads % READS_AT_A_STRETCH == READS_AT_A_STRETCH - 1:
            await asyncio.sleep(0)
        message = reader._take()
        return message if message is not None else await _wait(reader, bell, timeout)
    finally:
        reader._let_go()


async def read_next(reader: Reader) -> Message:
    """The next message of an iteration, which ends when the reader is closed."""
    try:
        return await read(reader, None)
    except ValueError:
        if not reader.closed:
            raise
        raise StopAsyncIteration from None


async def enter(reader: Reader) -> Reader:
    return reader.__enter__()


async def leave(reader: Reader) -> None:
    reader.close()
