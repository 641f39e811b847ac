"""What a write, a read, and a record read into a NumPy array cost in Python.

  ours_python.py SEGMENT COUNT

The segment has the publish channel ping with 1,024 slots of 64 bytes. Prints nanoseconds a write and a read, and
records a second.
"""
from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(os.environ["SHMGATE_BUILD"], "python")))

import numpy  # noqa: E402

import shmgate  # noqa: E402

SLOTS = 1000
RECORD = numpy.dtype([("time", "<u8"), ("number", "<u8"), ("values", "<f8", 6)])


def main() -> None:
    rounds = int(sys.argv[2]) // SLOTS
    writing = reading = draining = 0
    payload = numpy.zeros(1, RECORD).tobytes()
    records = numpy.zeros(SLOTS, RECORD)
    with shmgate.attach(sys.argv[1], timeout=10) as segment, segment.writer("ping") as writer, segment.reader(
        "ping", True
    ) as reader:
        write, read = writer.write, reader.read

        def fill() -> int:
            begin = time.perf_counter_ns()
            for _ in range(SLOTS):
                write(payload)
            return time.perf_counter_ns() - begin
        for _ in range(rounds):
            writing += fill()
            begin = time.perf_counter_ns()
            for _ in range(SLOTS):
                read(0)
            reading += time.perf_counter_ns() - begin
            writing += fill()
            begin = time.perf_counter_ns()
            drain(reader, records)
            draining += time.perf_counter_ns() - begin
    count = rounds * SLOTS
    print(json.dumps({"write": writing / count / 2, "read": reading / count, "drain": count * 1e9 / draining}))


def drain(reader, records) -> None:
    """All that waits, into the array: in one call where the reader has one, else record by record."""
    if hasattr(reader, "read_many_into"):
        assert reader.read_many_into(records) == len(records)
        return
    read_into = reader.read_into
    view, size = memoryview(records).cast("B"), records.itemsize
    for at in range(0, len(records) * size, size):
        read_into(view[at:at + size], 0)


main()
