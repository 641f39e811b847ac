"""Write to and read from shared memory in five small functions; the way the project began.

    python test_shm.py write [CHANNEL]
    python test_shm.py read [CHANNEL]

needs a running gateway. $SHMGATE_SEGMENT names its segment (default /shmgate); the channel is "telemetry" unless
another is given. Run from a build tree, the package in build/python is found by itself.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "build" / "python"))

import shmgate  # noqa: E402 - the line above finds it

CHANNEL = os.environ.get("SHMGATE_CHANNEL", "telemetry")


def init_shared_memory():
    """Attach to the gateway's segment, waiting up to 5 seconds for it. Returns a shmgate.Segment."""
    return shmgate.attach(os.environ.get("SHMGATE_SEGMENT"), timeout=5)


def write_to_shared_memory(segment, payload, channel=CHANNEL):
    """Write one message (bytes) into a publish channel."""
    with segment.writer(channel) as writer:
        writer.write(payload)


def read_from_shared_memory(segment, channel=CHANNEL, timeout=5):
    """The newest message (bytes) of a channel, waiting up to `timeout` seconds for the first one."""
    with segment.reader(channel) as reader:
        message = reader.latest() or reader.read(timeout)
    return message.payload


def test_write(channel=CHANNEL):
    """What is written can be read back by every process that is attached."""
    payload = b"hello from process %d" % os.getpid()
    with init_shared_memory() as segment:
        write_to_shared_memory(segment, payload, channel)
        print(f"wrote to {channel}: {payload.decode()}")


def test_read(channel=CHANNEL):
    """The newest message of the channel is there for whoever comes later."""
    with init_shared_memory() as segment:
        payload = read_from_shared_memory(segment, channel)
    assert payload is not None
    print(f"read from {channel}: {payload.decode('utf-8', 'backslashreplace')}")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3) or sys.argv[1] not in ("write", "read"):
        sys.exit("usage: python test_shm.py write|read [CHANNEL]")
    try:
        (test_write if sys.argv[1] == "write" else test_read)(*sys.argv[2:])
    except shmgate.Error as error:
        sys.exit(f"test_shm.py: {error.strerror}")
