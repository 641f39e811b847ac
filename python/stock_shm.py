"""A segment with nothing of shmgate's: only mmap, struct and posix_ipc (from PyPI), and the kernel's locks by fcntl.

For a machine without the package, and to show all that a program in another language has to do; test_shm.py uses it.
What shm/layout.h and shm/ring.h say is done here in the simplest way: the doorbell is rung after each message, and
readers look again and again.

To write takes an x86-64 processor: it makes stores visible in the order they are made, and Python knows no other way to
ask for that. The numbers that others look at are stored by memoryviews, which write 8 bytes at once; struct would write
them byte by byte.
"""

import errno
import fcntl
import mmap
import os
import platform
import struct
import sys
import time
from typing import NamedTuple

import posix_ipc

MAGIC = 0x31455441474D4853
LAYOUT = 2  # the version of shm/layout.h that the offsets below are of
HEADER_SIZE = 512
PUBLISH, REJECT, RETIRED = 1, 2, 2

HEADER = struct.Struct("<QIIQQ")  # of struct layout_header, from its beginning
TABLE = struct.Struct("<IIQ")  # how many, how far apart, where the first is
HEADER_CHANNELS, HEADER_LANES, HEADER_DIRTY, HEADER_STATE = 32, 48, 64, 128
CHANNEL = struct.Struct("<64s8IQI")  # of struct layout_channel, from its beginning
LANE_SLOTS, LANE_HEAD, LANE_TAIL = 8, 128, 256
SLOT_STATE, SLOT_TIME, SLOT_SIZE, SLOT_TOPIC_SIZE, SLOT_FLAGS, SLOT_EXPIRES, SLOT_PAYLOAD = 0, 8, 16, 20, 22, 24, 32
LOCK_LANE = 1  # + the lane's number: the byte of the segment that its writer holds
FLOCK = struct.Struct("hhqqi4x")  # struct flock of 64-bit Linux
POLL_S = 0.005


class Message(NamedTuple):
    payload: bytes
    sequence: int
    """Counts the messages of its lane from 0."""
    time_ns: int
    """Unix time of the write, in nanoseconds."""


class Channel(NamedTuple):
    name: bytes
    direction: int
    overflow: int
    lane_first: int
    lane_count: int
    slots: int
    slot_stride: int
    max_payload: int
    topic_max: int
    topic_offset: int
    topic_size: int


class Mapping:
    """One segment's memory. Raises ValueError when it is no segment, or of another layout than this program knows."""

    def __init__(self, name):
        shared = posix_ipc.SharedMemory(name)
        self.fd = shared.fd
        self.bytes = mmap.mmap(self.fd, 0)
        magic, layout, header_size, size, self.generation = HEADER.unpack_from(self.bytes)
        self.channel_count, self.channel_stride, self.channel_offset = TABLE.unpack_from(self.bytes, HEADER_CHANNELS)
        _, self.lane_stride, self.lane_offset = TABLE.unpack_from(self.bytes, HEADER_LANES)
        if magic != MAGIC or header_size != HEADER_SIZE or size != len(self.bytes):
            raise ValueError(f"{name} is no segment of shmgate")
        if layout >> 24 != LAYOUT:
            raise ValueError(
                f"segment {name} has layout {layout >> 24}, this program knows {LAYOUT}: "
                "use the program that came with the gateway"
            )
        view = memoryview(self.bytes)
        self.u64, self.u32, self.u16 = view.cast("Q"), view.cast("I"), view.cast("H")
        self.dirty_offset = self.u64[HEADER_DIRTY // 8]

    def is_retired(self):
        """Whether the gateway has put another segment in this one's place."""
        return self.u32[HEADER_STATE // 4] == RETIRED

    def channel(self, name):
        for index in range(self.channel_count):
            channel = Channel(*CHANNEL.unpack_from(self.bytes, self.channel_offset + index * self.channel_stride))
            if channel.name.rstrip(b"\0") == name.encode():
                return channel
        raise FileNotFoundError(errno.ENOENT, f"no channel {name}: add [channel {name}] to gateway.ini")

    def close(self):
        """Let the memory go, and with it the locks."""
        for view in (self.u64, self.u32, self.u16):
            view.release()
        self.bytes.close()
        os.close(self.fd)


class Lane:
    """A lane of a channel in a mapping: where its numbers and its slots are."""

    def __init__(self, mapping, channel, number):
        self.mapping, self.channel, self.number = mapping, channel, number
        self.base = mapping.lane_offset + number * mapping.lane_stride
        self.slots = mapping.u64[(self.base + LANE_SLOTS) // 8]

    @property
    def head(self):
        """The number of the next message."""
        return self.mapping.u64[(self.base + LANE_HEAD) // 8]

    @property
    def tail(self):
        """Slots of messages below it may be written again."""
        return self.mapping.u64[(self.base + LANE_TAIL) // 8]

    def slot(self, sequence):
        return self.slots + sequence % self.channel.slots * self.channel.slot_stride

    def state(self, sequence):
        """2 * sequence + 2: the slot holds that message; below: not yet; above: a later one."""
        return self.mapping.u64[(self.slot(sequence) + SLOT_STATE) // 8]

    def oldest(self):
        return max(0, self.head - self.channel.slots)


class Writer:
    """One lane of a publish channel. Raises OSError: EBUSY when all lanes are taken."""

    def __init__(self, segment, name):
        if platform.machine() != "x86_64" or sys.platform != "linux":
            raise OSError(
                errno.ENOTSUP, f"plain Python cannot order its stores on {platform.machine()}: use the package shmgate"
            )
        self.segment, self.name = segment, name
        self._enter(segment.mapping())

    def _enter(self, mapping):
        channel = mapping.channel(self.name)
        if channel.direction != PUBLISH:
            raise OSError(errno.EBADF, f"channel {self.name} is a subscribe channel: only the gateway writes it")
        for number in range(channel.lane_first, channel.lane_first + channel.lane_count):
            try:
                fcntl.fcntl(
                    mapping.fd, fcntl.F_OFD_SETLK, FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, LOCK_LANE + number, 1, 0)
                )
                break
            except BlockingIOError:
                continue
        else:
            raise OSError(
                errno.EBUSY,
                f"channel {self.name}: all {channel.lane_count} lanes have a living writer: raise `writers`",
            )
        self.mapping, self.channel, self.lane = mapping, channel, Lane(mapping, channel, number)
        # The lane's last writer may have been killed between the message and the count.
        self.next = self.lane.head
        self.next += self.lane.state(self.next) == 2 * self.next + 2

    def write(self, payload):
        """Write one message (bytes)."""
        if self.mapping.is_retired():
            old = self.mapping
            self._enter(self.segment.mapping(after=old))
            old.close()
        mapping, sequence = self.mapping, self.next
        if len(payload) > self.channel.max_payload:
            raise OSError(
                errno.EMSGSIZE,
                f"channel {self.name}: {len(payload)} bytes are above its max_payload of {self.channel.max_payload}",
            )
        if self.channel.overflow == REJECT and sequence - self.lane.tail >= self.channel.slots:
            raise BlockingIOError(errno.EAGAIN, f"channel {self.name}: the ring is full: try again later")
        slot = self.lane.slot(sequence)
        mapping.u64[(slot + SLOT_STATE) // 8] = 2 * sequence + 1  # announce: whoever reads the old message will notice
        mapping.u64[(slot + SLOT_TIME) // 8] = time.time_ns()
        mapping.u32[(slot + SLOT_SIZE) // 4] = len(payload)
        mapping.u16[(slot + SLOT_TOPIC_SIZE) // 2] = mapping.u16[(slot + SLOT_FLAGS) // 2] = 0
        mapping.u64[(slot + SLOT_EXPIRES) // 8] = 0
        mapping.bytes[slot + SLOT_PAYLOAD : slot + SLOT_PAYLOAD + len(payload)] = payload
        mapping.u64[(slot + SLOT_STATE) // 8] = 2 * sequence + 2  # commit: from here on there is a message
        mapping.u64[(self.lane.base + LANE_HEAD) // 8] = self.next = sequence + 1
        # News of this lane, and perhaps of the seven beside it: to set one bit alone takes an atomic operation, and the
        # gateway does not mind.
        mapping.bytes[mapping.dirty_offset + self.lane.number // 8] = 0xFF
        self.segment.doorbell.release()

    def close(self):
        self.mapping.close()


class Reader:
    """One place in each lane of a channel, from the oldest message that is still there."""

    def __init__(self, segment, name):
        self.segment, self.name = segment, name
        self._enter(segment.mapping())

    def _enter(self, mapping):
        channel = mapping.channel(self.name)
        self.mapping, self.channel = mapping, channel
        self.lanes = [
            Lane(mapping, channel, number)
            for number in range(channel.lane_first, channel.lane_first + channel.lane_count)
        ]
        self.places = [lane.oldest() for lane in self.lanes]

    def _copy(self, lane, sequence):
        """The message in a slot that holds it, or None when it was overwritten meanwhile or is too old."""
        mapping, slot = self.mapping, lane.slot(sequence)
        size = min(mapping.u32[(slot + SLOT_SIZE) // 4], self.channel.max_payload)
        time_ns, expires_ns = mapping.u64[(slot + SLOT_TIME) // 8], mapping.u64[(slot + SLOT_EXPIRES) // 8]
        payload = mapping.bytes[slot + SLOT_PAYLOAD : slot + SLOT_PAYLOAD + size]
        whole = lane.state(sequence) == 2 * sequence + 2
        fresh = expires_ns == 0 or expires_ns > time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        return Message(payload, sequence, time_ns) if whole and fresh else None

    def _next(self):
        for index, lane in enumerate(self.lanes):
            while (state := lane.state(self.places[index])) >= 2 * self.places[index] + 2:
                sequence = self.places[index]
                overwritten = state > 2 * sequence + 2
                self.places[index] = max(sequence + 1, lane.oldest()) if overwritten else sequence + 1
                message = None if overwritten else self._copy(lane, sequence)
                if message:
                    return message
        return None

    def read(self, timeout=None):
        """The next message, waiting up to `timeout` seconds (None: for ever). Raises TimeoutError."""
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            retired = self.mapping.is_retired()
            message = self._next()
            if message:
                return message
            if retired:
                old = self.mapping
                self._enter(self.segment.mapping(after=old))
                old.close()
            elif end is not None and time.monotonic() >= end:
                raise TimeoutError(errno.ETIMEDOUT, f"no message in channel {self.name} within {timeout:g} s")
            else:
                time.sleep(POLL_S)

    def close(self):
        self.mapping.close()


class Segment:
    """A gateway's segment and its doorbell."""

    def __init__(self, name, timeout):
        self.name = name
        end = time.monotonic() + timeout
        while True:
            try:
                self.mapping().close()
                self.doorbell = posix_ipc.Semaphore(name)
                return
            except posix_ipc.ExistentialError:
                if time.monotonic() >= end:
                    raise TimeoutError(
                        errno.ETIMEDOUT, f"no segment {name} within {timeout:g} s: start shmgated"
                    ) from None
                time.sleep(0.05)

    def mapping(self, after=None):
        """The segment's memory, of a writer's or reader's own: a lock belongs to an open file, and each needs one."""
        mapping = Mapping(self.name)
        if after and mapping.generation == after.generation:
            mapping.close()
            raise OSError(
                errno.EPROTO,
                f"segment {self.name} says that it was replaced, but nothing took its place: restart shmgated",
            )
        return mapping

    def writer(self, channel):
        return Writer(self, channel)

    def reader(self, channel):
        return Reader(self, channel)

    def close(self):
        """Writers and readers stay usable."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def attach(name=None, timeout=0):
    """Attach to a segment (default "/shmgate"), waiting up to `timeout` seconds for a gateway to make it. Raises
    TimeoutError, PermissionError."""
    try:
        return Segment(name or "/shmgate", timeout)
    except posix_ipc.PermissionsError:
        raise PermissionError(errno.EACCES, f"segment {name}: not in its group") from None
