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

Threads: a Segment may be shared. A Writer or a Reader is for one thread at a time; a Reader that a thread waits in
refuses others with RuntimeError. The GIL is released while a call waits, never while it only copies.

Forks: a child process must attach for itself; handles it inherited raise `PermissionError`. With multiprocessing,
attach in the child.

Age: a message that has outlived its expiry interval, or the channel's max_age, is not given out any more;
`Message.expired` counts those passed over. The end is compared with this machine's clock.

Time stamps are Unix time in nanoseconds, sizes are bytes, timeouts are seconds (None: wait for ever).
"""

from shmgate._errors import (
    BusyError,
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
