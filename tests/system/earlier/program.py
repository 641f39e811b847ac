"""A program for the Python package of commit fc9d131, which uses all that it had. Prints "done"."""

import sys

import shmgate

segment_name, count = sys.argv[1], int(sys.argv[2])

with shmgate.attach(segment_name, timeout=5.0) as segment:
    assert segment.gateway_alive()
    with segment.writer("telemetry") as writer, segment.reader("telemetry", from_now=True) as reader:
        for number in range(4):
            writer.write(b"%d" % number)
        assert writer.max_payload == reader.max_payload == 64
        message = reader.read()
        assert (message.payload, message.topic, message.missed, message.lane) == (b"0", "earlier/telemetry", 0, 0)
        assert (message.retained, message.expired) == (False, 0) and message.time_ns > 0
        assert message[:3] == (b"0", "earlier/telemetry", message.sequence)
        buffer = bytearray(64)
        assert reader.read_into(buffer, timeout=1.0) == 1 and buffer[:1] == b"1"
        with reader.peek(timeout=1) as peek:
            assert bytes(memoryview(peek)) == b"2" and len(peek) == 1 and peek.message.sequence == message.sequence + 2
        assert reader.latest().payload == b"3"
        records = memoryview(bytearray(2)).cast("B")
        assert reader.read_many_into(records, 0) in (0, 1)
        try:
            reader.read(timeout=0)
        except shmgate.TimeoutError as error:
            assert isinstance(error, shmgate.Error) and isinstance(error, OSError) and error.strerror
        try:
            segment.writer("nobody")
        except shmgate.NotFoundError:
            pass
        try:
            segment.writer("commands")
        except shmgate.DirectionError:
            pass
        try:
            writer.write(b"x" * 65)
        except shmgate.TooLargeError:
            pass
    counters = segment.counters()["telemetry"]
    assert counters["direction"] == "publish" and counters["topic"] == "earlier/telemetry" and counters["lanes"] == 2
    assert counters["written"] >= 4
    assert set(counters) >= {"delivered", "queued", "spooled", "rejected", "dropped"}
    with segment.reader("commands") as commands:
        print("ready", flush=True)
        payloads = []
        for message in commands:
            payloads.append(message.payload)
            if len(payloads) == count:
                break
    assert payloads == [b"command %d" % number for number in range(count)], payloads
print("done")
