"""What Python's own ways between processes cost for 64 bytes: multiprocessing.shared_memory with a counter beside the
bytes, and multiprocessing.Queue.

  peer_python.py COUNT

Prints nanoseconds: a write, a read, and a message through a queue (put and get); and records a second copied into a
NumPy array.
"""
from __future__ import annotations

import json
import multiprocessing
import struct
import sys
import time
from multiprocessing import shared_memory

import numpy

SLOTS = 1000
SIZE = 64
QUEUE_PART = 20
"""Queues are some 20 times slower: they get a smaller count."""


def through_memory(rounds: int) -> tuple[float, float, float]:
    memory = shared_memory.SharedMemory(create=True, size=8 + SLOTS * SIZE)
    payload, counter = b"." * SIZE, struct.Struct("<Q")
    records = numpy.zeros(SLOTS, numpy.dtype([("time", "<u8"), ("number", "<u8"), ("values", "<f8", 6)]))
    writing = reading = copying = 0
    buffer = memory.buf
    try:
        for _ in range(rounds):
            begin = time.perf_counter_ns()
            for number in range(SLOTS):
                at = 8 + number * SIZE
                buffer[at:at + SIZE] = payload
                counter.pack_into(buffer, 0, number + 1)
            writing += time.perf_counter_ns() - begin
            begin = time.perf_counter_ns()
            for number in range(SLOTS):
                if counter.unpack_from(buffer, 0)[0] <= number:
                    raise SystemExit("the counter is behind")
                at = 8 + number * SIZE
                bytes(buffer[at:at + SIZE])
            reading += time.perf_counter_ns() - begin
            begin = time.perf_counter_ns()
            memoryview(records).cast("B")[:] = buffer[8:8 + SLOTS * SIZE]
            copying += time.perf_counter_ns() - begin
    finally:
        del buffer
        memory.close()
        memory.unlink()
    count = rounds * SLOTS
    return writing / count, reading / count, count * 1e9 / copying


def put_all(queue, count: int) -> None:
    payload = b"." * SIZE
    for _ in range(count):
        queue.put(payload)


def through_queue(count: int) -> float:
    queue = multiprocessing.Queue()
    process = multiprocessing.Process(target=put_all, args=(queue, count), daemon=True)
    process.start()
    queue.get()
    begin = time.perf_counter_ns()
    for _ in range(count - 1):
        queue.get()
    took = time.perf_counter_ns() - begin
    process.join()
    return took / (count - 1)


def main() -> None:
    count = int(sys.argv[1])
    write, read, copied = through_memory(count // SLOTS)
    print(json.dumps({"shared_memory_write": write, "shared_memory_read": read, "numpy": copied,
                      "queue": through_queue(count // QUEUE_PART)}))


if __name__ == "__main__":
    main()
