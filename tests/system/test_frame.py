"""shmgate.frame: several samples in one MQTT message, in Python."""
from __future__ import annotations

import random
import sys

import numpy
import pytest

from harness import BUILD

sys.path.insert(0, str(BUILD / "python"))
from shmgate import frame  # noqa: E402
from shmgate.origin import DuplicateFilter, Origin, sample_origins  # noqa: E402

EQUAL = [(1000 + number, b"%08d" % number) for number in range(5)]
MIXED = [(1, b""), (2, b"abc"), (3, b"two\nlines"), (4, bytes(range(256)))]


@pytest.mark.parametrize("samples", [EQUAL, MIXED, [(7, b"")], MIXED[::-1]])
def test_samples_come_back(samples):
    """What was packed is unpacked: payloads, times and the first number, whether the samples are of one size or not."""
    taken = frame.unpack(frame.pack(samples, sequence=99))
    assert taken.sequence == 99
    assert [(sample.time_ns, sample.payload) for sample in taken.samples] == samples


@pytest.mark.parametrize("samples", [EQUAL, MIXED])
def test_damaged_frame_raises(samples):
    """A frame that is cut off anywhere, goes on behind its end, or was changed in a length is a ValueError and nothing
    else."""
    whole = frame.pack(samples)
    for size in range(len(whole)):
        with pytest.raises(ValueError):
            frame.unpack(whole[:size])
    for bad in (
        whole + b"x",
        b"x" + whole[1:],
        whole[:4] + b"\xff\xff\xff\xff" + whole[8:],
        whole[:4] + b"\0\0\0\0" + whole[8:],
    ):
        with pytest.raises(ValueError):
            frame.unpack(bad)


def test_random_bytes_raise_nothing_else():
    """Bytes from the network, with the right beginning or without, give samples or a ValueError."""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    dice = random.Random(seed)
    for _ in range(2000):
        message = bytearray(frame.pack(dice.choice([EQUAL, MIXED])))
        for _ in range(dice.randrange(1, 4)):
            message[dice.randrange(len(message))] = dice.choice([0, 1, 255, dice.randrange(256)])
        try:
            samples = frame.unpack(bytes(message)).samples
            assert sum(len(sample.payload) for sample in samples) <= len(message)
        except ValueError:
            pass


def test_frame_is_a_numpy_array():
    """Samples of one size are a structured array, without a copy; others are a ValueError."""
    samples = [(number, numpy.array([number, number / 2], "<f4").tobytes()) for number in range(100)]
    array = frame.as_array(frame.pack(samples), [("position", "<f4"), ("speed", "<f4")])
    assert array["time_ns"].tolist() == list(range(100))
    assert array["payload"]["speed"].tolist() == [number / 2 for number in range(100)]
    assert not array.flags.owndata
    for wrong in (
        frame.pack(MIXED),
        frame.pack(EQUAL),
        frame.pack([(1, b"12345678"), (2, b"1234567"), (3, b"123456789")]),
    ):
        with pytest.raises(ValueError):
            frame.as_array(wrong, "<f4")


def test_repeated_samples_are_found_in_other_frames():
    """A frame that is sent again with other bounds brings no sample twice: each has its own origin."""
    first = Origin("boot", "stream", 10, 0.0)
    seen = DuplicateFilter()
    once = [
        origin.sequence for origin in sample_origins(first, frame.unpack(frame.pack(EQUAL[:3]))) if seen.is_new(origin)
    ]
    again = [
        origin.sequence
        for origin in sample_origins(first._replace(sequence=11), frame.unpack(frame.pack(EQUAL)))
        if seen.is_new(origin)
    ]
    assert (once, again) == ([10, 11, 12], [13, 14, 15])
