"""shmgate: write messages into shared memory that a gateway publishes on MQTT, and read those that arrive.

    import shmgate

    with shmgate.attach(timeout=5) as segment:
        with segment.writer("telemetry") as writer:
            writer.write(b"21.5")
        with segment.reader("commands") as reader:
            for message in reader:
                print(message.topic, message.payload)

The work is done by libshmgate, the C library, through the extension module `shmgate._shmgate`; there is no second
implementation of the protocol. Errors are exceptions derived from `shmgate.Error`.

Threads: a Segment and a Writer may be shared; a Writer's lock lets one write at a time. A Reader is for one call at a
time: a second one, of another thread or of a signal handler, gets RuntimeError. The GIL is released while a call waits,
never while it only copies. Nothing here relies on the GIL: a free-threaded Python stays so. Each interpreter of a
process has a module of its own, also with a GIL of its own.

Closing: any handle may be closed at any time, by a signal handler, a finalizer or another thread. A Reader's call that
waits raises ValueError then, `for message in reader` ends, and what is in use is freed by the last one that uses it;
memoryviews of a Peek stay valid. `Reader.cancel()` ends a wait without closing. A signal does not lengthen a wait.

Event loops: in a thread where a loop of asyncio runs, `read()` gives a coroutine (unless its timeout is 0, which does
not wait), so that the loop goes on meanwhile; this holds in notebooks, too, whose cells run in a loop:

    async for message in segment.reader("commands"):
        print(message.payload)
    async with segment.reader("commands") as reader:
        message = await reader.read(timeout=5)

One task at a time waits in a Reader. A task that is cancelled has taken no message. The other calls are the same as
without a loop; those that wait would hold it up. `Reader.fileno()` is for other loops and for selectors. Each Reader
that is awaited has a thread of the library that sleeps for it, until the Reader is closed.

Forks: a child process must attach for itself; handles it inherited raise `PermissionError`. With multiprocessing,
attach in the child.

Age: a message that has outlived its expiry interval, or the channel's max_age, is not given out any more;
`Message.expired` counts those passed over. The end is compared with this machine's clock.

Time stamps are Unix time in nanoseconds, sizes are bytes, timeouts are seconds (None: wait for ever).
"""

from shmgate._errors import (
    BusyError,
    CancelledError,
    DirectionError,
    Error,
    FullError,
    IncompatibleError,
    NotFoundError,
    PermissionError,
    StaleError,
    TimeoutError,
    TooLargeError,
)

__all__ = [
    "BusyError",
    "CancelledError",
    "DirectionError",
    "Error",
    "FullError",
    "IncompatibleError",
    "Message",
    "NotFoundError",
    "Peek",
    "PermissionError",
    "Reader",
    "Segment",
    "StaleError",
    "TimeoutError",
    "TooLargeError",
    "Writer",
    "attach",
    "remove",
]

_EXTENSION = {"Message", "Peek", "Reader", "Segment", "Writer", "attach", "remove"}


def __getattr__(name):
    """Load the extension when it is first needed: `python -m shmgate.subscriber` runs on machines that do not have
    it."""
    if name not in _EXTENSION:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from shmgate import _shmgate

    return getattr(_shmgate, name)
