"""Where a message that arrived over MQTT comes from, for channels with `source = yes`: remove duplicates, and sort.

The gateway delivers at least once: after a lost connection or a restart some messages arrive a second time, and with
`drain = live-first` older ones arrive after newer ones. The MQTT 5 user properties that it sends along tell them apart.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from shmgate.frame import Frame


class Origin(NamedTuple):
    """Origins compare by stream and then by number: sorting messages by them puts each stream into the order of its
    writing."""

    boot: str
    """The boot of the machine the message was written in."""
    stream: str
    """What the numbers count: one lane of one segment. Messages of one writer are in one stream until the segment or
    its lane changes."""
    sequence: int
    """The message's number in its stream, from 0."""
    time: float
    """Unix time of the write into shared memory, in seconds. A double has some 200 ns of resolution in this century."""


def origin(message: Any) -> Origin | None:
    """The origin of a paho-mqtt message; None when it has none, or one that makes no sense: anybody can publish."""
    found = dict(getattr(getattr(message, "properties", None), "UserProperty", []))
    try:
        return Origin(
            found["shmgate-boot"], found["shmgate-stream"], int(found["shmgate-seq"]), float(found["shmgate-time"])
        )
    except (KeyError, ValueError):
        return None


def sample_origins(message_origin: Origin, frame: Frame) -> list[Origin]:
    """The origins of the samples of a frame (shmgate.frame.unpack) that came in a message with that origin. A frame
    that is sent again need not hold the same samples as before: duplicates are found by these."""
    return [message_origin._replace(sequence=message_origin.sequence + number, time=sample.time_ns / 1e9)
            for number, sample in enumerate(frame.samples)]


class DuplicateFilter:
    """Tells first arrivals from repeated ones. Not thread-safe.

    Memory: two numbers for each gap in what has arrived of a stream, `gaps` at most: of more, the oldest counts as
    filled. And a stream for each lane of each segment, `streams` at most: of more, the one that was silent longest is
    forgotten.
    """

    def __init__(self, streams: int = 4096, gaps: int = 1024) -> None:
        self._streams = streams
        self._gaps = gaps
        self._ranges: dict[str, list[list[int]]] = {}

    def is_new(self, message_origin: Origin) -> bool:
        """Whether no message of that stream and number was seen before; it counts as seen from now on."""
        ranges = self._ranges.pop(message_origin.stream, [])
        self._ranges[message_origin.stream] = ranges
        while len(self._ranges) > self._streams:
            del self._ranges[next(iter(self._ranges))]
        new = self._add(ranges, message_origin.sequence)
        if len(ranges) > self._gaps + 1:
            ranges[0][1] = ranges.pop(1)[1]
        return new

    @staticmethod
    def _add(ranges: list[list[int]], number: int) -> bool:
        """Add a number to sorted, disjoint [first, end) ranges; False when one has it. Almost always it belongs at the
        end."""
        at = len(ranges)
        while at > 0 and ranges[at - 1][0] > number:
            at -= 1
        if at > 0 and number < ranges[at - 1][1]:
            return False
        follows = at > 0 and ranges[at - 1][1] == number
        precedes = at < len(ranges) and ranges[at][0] == number + 1
        if follows and precedes:
            ranges[at - 1][1] = ranges.pop(at)[1]
        elif follows:
            ranges[at - 1][1] = number + 1
        elif precedes:
            ranges[at][0] = number
        else:
            ranges.insert(at, [number, number + 1])
        return True
