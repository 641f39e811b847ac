"""Several samples in one MQTT message, as channels with `batch_max` publish them: take them apart, or put them
together.

A binary frame; all numbers are little-endian: the 4 bytes `SGF1`, the number of samples (32 bits), the sequence number
of the first (64 bits); then for each sample the size of its payload in bytes (32 bits), the Unix time of its write in
nanoseconds (64 bits), and the payload. With `batch_format = lines` the payloads stand one a line.

Whatever comes from a broker is checked: what is no frame raises ValueError.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Iterable, NamedTuple

if TYPE_CHECKING:
    import numpy

MAGIC = b"SGF1"
_HEADER = struct.Struct("<4sIQ")
_SAMPLE = struct.Struct("<IQ")


class Sample(NamedTuple):
    size: int
    """Bytes of payload."""
    time_ns: int
    """Unix time of the write into shared memory, in nanoseconds."""
    payload: bytes


class Frame(NamedTuple):
    sequence: int
    """The first sample's number in its stream (shmgate.origin); each of the others has one more than the one before
    it."""
    samples: list[Sample]


def unpack(message: bytes) -> Frame:
    """Take a frame apart. Raises ValueError when it is none, or is cut off or too long.

    Frames with samples of one size, the usual case, are taken apart in C: some 0.1 us a sample; others in Python, some
    0.5 us.
    """
    count, sequence, size = _check_header(message)
    if count * (_SAMPLE.size + size) == len(message) - _HEADER.size:
        samples = list(map(Sample._make, struct.iter_unpack(f"<IQ{size}s", memoryview(message)[_HEADER.size:])))
        if all(sample[0] == size for sample in samples):
            return Frame(sequence, samples)
    samples, at = [], _HEADER.size
    for _ in range(count):
        if len(message) - at < _SAMPLE.size:
            raise ValueError("frame is cut off")
        size, time_ns = _SAMPLE.unpack_from(message, at)
        at += _SAMPLE.size
        if size > len(message) - at:
            raise ValueError("frame is cut off")
        samples.append(Sample(size, time_ns, bytes(message[at:at + size])))
        at += size
    if at != len(message):
        raise ValueError("frame has bytes behind its last sample")
    return Frame(sequence, samples)


def _check_header(message: bytes) -> tuple[int, int, int]:
    """Number of samples, sequence number, and size of the first sample."""
    if len(message) < _HEADER.size + _SAMPLE.size or message[:4] != MAGIC:
        raise ValueError("not a frame")
    _, count, sequence = _HEADER.unpack_from(message)
    if count == 0 or count > (len(message) - _HEADER.size) // _SAMPLE.size:
        raise ValueError("frame has a wrong number of samples")
    return count, sequence, _SAMPLE.unpack_from(message, _HEADER.size)[0]


def as_array(message: bytes, dtype: Any = None) -> "numpy.ndarray":
    """The samples of a frame as a NumPy structured array with the fields size, time_ns and payload, without a copy;
    `dtype` is that of a payload, raw bytes unless given. Raises ValueError when it is no frame, or its samples differ
    in size or from `dtype`. Needs NumPy."""
    import numpy

    count, _, size = _check_header(message)
    wanted = numpy.dtype(dtype if dtype is not None else f"V{size}")
    record = numpy.dtype([("size", "<u4"), ("time_ns", "<u8"), ("payload", wanted)])
    if wanted.itemsize != size or count * record.itemsize != len(message) - _HEADER.size:
        raise ValueError(f"samples of {size} bytes and others: expected {wanted.itemsize} bytes each")
    array = numpy.frombuffer(message, record, count, _HEADER.size)
    if not (array["size"] == size).all():
        raise ValueError(f"samples differ in size: expected {size} bytes each")
    return array


def pack(samples: Iterable[tuple[int, bytes]], sequence: int = 0) -> bytes:
    """Put (Unix time in nanoseconds, payload) pairs together, for a subscribe channel with `unpack = frame`. Raises
    ValueError when there are none."""
    parts = [part for time_ns, payload in samples for part in (_SAMPLE.pack(len(payload), time_ns), payload)]
    if not parts:
        raise ValueError("a frame has at least one sample")
    return b"".join([_HEADER.pack(MAGIC, len(parts) // 2, sequence), *parts])


def split(message: bytes, batch_format: str) -> list[bytes]:
    """The payloads of a message in a format as gateway.ini names it: `no`, `frame` or `lines`. Raises ValueError when
    it is no such frame."""
    if batch_format == "frame":
        return [sample.payload for sample in unpack(message).samples]
    if batch_format == "lines":
        lines = message.split(b"\n")
        return lines[:-1] if len(lines) > 1 and not lines[-1] else lines
    return [message]
