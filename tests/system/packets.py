"""The packets of MQTT 5 in what a recording proxy has seen, as far as the tests look at them."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

CONNECT, PUBLISH, PINGREQ = 1, 3, 12
"""Packet types (MQTT 5, 2.1.2)."""

TOPIC_ALIAS = 35
"""Identifier of the property (MQTT 5, 3.3.2.3.4)."""


@dataclass
class Packet:
    kind: int
    flags: int
    body: bytes

    def keepalive(self) -> int:
        """Of a CONNECT: after the name MQTT with its length, the version and the flags (MQTT 5, 3.1.2)."""
        assert self.kind == CONNECT and self.body.startswith(b"\0\4MQTT\5")
        return int.from_bytes(self.body[8:10], "big")

    def topic(self) -> str:
        """Of a PUBLISH; empty when a number stands for it."""
        assert self.kind == PUBLISH
        return self.body[2:2 + int.from_bytes(self.body[:2], "big")].decode()

    def alias(self) -> int:
        """Of a PUBLISH whose properties are none but perhaps the alias: the number, or 0."""
        at = 2 + int.from_bytes(self.body[:2], "big") + (2 if self.flags & 6 else 0)
        if self.body[at] == 0:
            return 0
        assert self.body[at] == 3 and self.body[at + 1] == TOPIC_ALIAS
        return int.from_bytes(self.body[at + 2:at + 4], "big")


def packets(data: bytes) -> Iterator[Packet]:
    """All whole packets of one direction of a connection, from its first byte on."""
    at = 0
    while at < len(data):
        size, shift, start = 0, 0, at + 1
        while start < len(data):
            size |= (data[start] & 127) << shift
            shift += 7
            start += 1
            if data[start - 1] < 128:
                break
        else:
            return
        if start + size > len(data):
            return
        yield Packet(data[at] >> 4, data[at] & 15, bytes(data[start:start + size]))
        at = start + size
