"""Write to and read from shared memory in five small functions; the way the project began.

    python test_shm.py write [CHANNEL] [--interval SECONDS] [--count N] [--stock]
    python test_shm.py read  [CHANNEL] [--interval SECONDS] [--count N] [--stock]

each goes on until --count messages, or until Ctrl-C, and prints a line a message. It needs a running gateway:
$SHMGATE_SEGMENT names its segment (default /shmgate); the channel is "telemetry", or $SHMGATE_CHANNEL, unless another
is given.

The package shmgate does the work, where it is installed or, beside a build tree, in build/python. Where it is not, or
with --stock, stock_shm.py does the same with nothing but mmap, struct and posix_ipc (Linux on x86-64; elsewhere it can
only read).
"""

import argparse
import functools
import os
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "build" / "python"))

CHANNEL = os.environ.get("SHMGATE_CHANNEL", "telemetry")
TIMEOUT_S = 5


def choose_library(stock=False):
    """The module that does the work: the package where it can be had, unless `stock` forbids it."""
    if not stock:
        try:
            import shmgate

            shmgate.attach  # noqa: B018 - loads the compiled part
            return shmgate
        except ImportError:
            pass
    import stock_shm

    return stock_shm


def init_shared_memory(stock=False):
    """Attach to the gateway's segment, waiting up to 5 seconds for it. Returns a Segment of the package, or of
    stock_shm."""
    return choose_library(stock).attach(os.environ.get("SHMGATE_SEGMENT"), timeout=TIMEOUT_S)


@functools.cache
def writer_of(segment, channel):
    """Opened for the first message, and used for those that follow: a writer takes a lane of the channel."""
    return segment.writer(channel)


@functools.cache
def reader_of(segment, channel):
    """Opened for the first message, and used for those that follow: a reader has its place in the channel."""
    return segment.reader(channel)


def write_to_shared_memory(segment, payload, channel=CHANNEL):
    """Write one message (bytes) into a publish channel."""
    writer_of(segment, channel).write(payload)


def read_from_shared_memory(segment, channel=CHANNEL, timeout=TIMEOUT_S):
    """The next message (bytes) of a channel, at first the oldest that is still there; waits up to `timeout` seconds
    (None: for ever)."""
    return reader_of(segment, channel).read(timeout).payload


def turns(count, interval):
    """0, 1, 2, ... up to `count` (None: for ever), `interval` seconds apart."""
    begin, number = time.monotonic(), 0
    while count is None or number < count:
        yield number
        number += 1
        if count is None or number < count:
            time.sleep(max(0.0, begin + number * interval - time.monotonic()))


def test_write(channel=CHANNEL, interval=1.0, count=None, stock=False):
    """Write messages, `interval` seconds apart, `count` of them or for ever."""
    with init_shared_memory(stock) as segment:
        for number in turns(count, interval):
            payload = b"hello from process %d, message %d" % (os.getpid(), number)
            try:
                write_to_shared_memory(segment, payload, channel)
                print(f"wrote to {channel}: {payload.decode()}", flush=True)
            except BlockingIOError:
                print(f"did not write to {channel}: the ring is full, and it has overflow = reject", flush=True)


def test_read(channel=CHANNEL, interval=0.0, count=None, stock=False):
    """Read messages as they come, at least `interval` seconds apart, `count` of them or for ever."""
    with init_shared_memory(stock) as segment:
        for _ in turns(count, interval):
            payload = read_from_shared_memory(segment, channel, None)
            print(f"read from {channel}: {payload.decode('utf-8', 'backslashreplace')}", flush=True)


def main():
    parser = argparse.ArgumentParser(description="Write to or read from a channel in shared memory, until Ctrl-C.")
    parser.add_argument("command", choices=("write", "read"))
    parser.add_argument("channel", nargs="?", default=CHANNEL, metavar="CHANNEL", help=f"default {CHANNEL}")
    parser.add_argument(
        "-i", "--interval", type=float, metavar="SECONDS", help="between two messages (write: 1, read: as they come)"
    )
    parser.add_argument("-c", "--count", type=int, metavar="N", help="end after so many messages")
    parser.add_argument("--stock", action="store_true", help="with nothing but mmap, struct and posix_ipc")
    options = parser.parse_args()
    run, interval = (test_write, 1.0) if options.command == "write" else (test_read, 0.0)
    # Also for what a shell has started in the background, where SIGINT is ignored, and for SIGTERM.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        run(options.channel, interval if options.interval is None else options.interval, options.count, options.stock)
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:
        # Whoever took the lines has gone; without this the interpreter complains about it at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except ImportError as error:
        sys.exit(f"test_shm.py: {error}: install the package shmgate, or posix_ipc (pip install posix_ipc)")
    except (OSError, ValueError) as error:
        sys.exit(f"test_shm.py: {getattr(error, 'strerror', None) or error}")


if __name__ == "__main__":
    main()
