"""Reads a segment with nothing of shmgate: only mmap, struct, and posix_ipc from PyPI. Written from shm/layout.h alone.

    stock_reader.py SEGMENT counters            one line of JSON: the channels with their counters
    stock_reader.py SEGMENT messages CHANNEL    the channel's messages, oldest first: lane, sequence, topic and payload
                                                in hex, a line each
    stock_reader.py SEGMENT ring                ring the gateway's doorbell

A copy is checked as the header says: the slot's state is read before and after.
"""

import json
import mmap
import struct
import sys
import time

import posix_ipc

MAGIC = 0x31455441474D4853
DIRECTIONS = {1: "publish", 2: "subscribe"}
REASONS = [
    "overwritten",
    "too_large",
    "topic_too_long",
    "refused",
    "corrupt",
    "spool_size",
    "spool_age",
    "spool_failed",
    "expired",
    "rate",
]


class Segment:
    def __init__(self, name):
        shared = posix_ipc.SharedMemory(name)
        self.map = mmap.mmap(shared.fd, shared.size)
        shared.close_fd()
        magic, self.format, header_size, size = self.at("QIIQ", 0)
        assert magic == MAGIC and self.format >> 24 == 2 and header_size == 512 and size == len(self.map)
        self.channel_count, self.channel_stride, self.channel_offset = self.at("IIQ", 32)
        self.lane_count, self.lane_stride, self.lane_offset = self.at("IIQ", 48)

    def at(self, fields, offset):
        return struct.unpack_from("<" + fields, self.map, offset)

    def channels(self):
        for index in range(self.channel_count):
            base = self.channel_offset + index * self.channel_stride
            name = self.at("64s", base)[0].rstrip(b"\0").decode()
            keys = (
                "direction",
                "overflow",
                "lane_first",
                "lane_count",
                "slots",
                "slot_stride",
                "max_payload",
                "topic_max",
            )
            channel = dict(zip(keys, self.at("8I", base + 64)))
            topic_offset, topic_size = self.at("QI", base + 96)
            channel.update(name=name, base=base, topic=self.map[topic_offset : topic_offset + topic_size])
            yield channel

    def ledger(self, lane):
        """The lane's current record; the turn is read again, as the gateway may have gone on meanwhile."""
        while True:
            turn = self.at("Q", lane + 264)[0]
            cell = lane + 512 + turn % 2 * 384
            tail, delivered, spooled = self.at("3Q", cell)
            dropped = self.at("10Q", cell + 32)
            filtered = self.at("Q", cell + 176)[0]
            if self.at("Q", lane + 264)[0] == turn:
                return tail, delivered, spooled, filtered, dropped

    def counters(self, channel):
        written = delivered = spooled = filtered = queued = 0
        dropped = [0] * len(REASONS)
        for index in range(channel["lane_first"], channel["lane_first"] + channel["lane_count"]):
            lane = self.lane_offset + index * self.lane_stride
            tail, lane_delivered, lane_spooled, lane_filtered, lane_dropped = self.ledger(lane)
            if channel["direction"] == 1:
                head = self.at("Q", lane + 128)[0]
                written += head
                queued += min(head - tail, channel["slots"])
                dropped[0] += max(0, head - tail - channel["slots"])
            else:
                written += lane_delivered + sum(lane_dropped)
            delivered += lane_delivered
            spooled += lane_spooled
            filtered += lane_filtered
            dropped = [a + b for a, b in zip(dropped, lane_dropped)]
        return {
            "name": channel["name"], "direction": DIRECTIONS[channel["direction"]], "topic": channel["topic"].decode(),
            "written": written, "delivered": delivered, "queued": queued, "spooled": spooled, "filtered": filtered,
            "dropped": {reason: count for reason, count in zip(REASONS, dropped) if count},
        }

    def messages(self, channel):
        topic_offset = 32 + (channel["max_payload"] + 7) // 8 * 8
        for number in range(channel["lane_count"]):
            lane = self.lane_offset + (channel["lane_first"] + number) * self.lane_stride
            slots = self.at("Q", lane + 8)[0]
            head = self.at("Q", lane + 128)[0]
            for sequence in range(max(0, head - channel["slots"]), head):
                slot = slots + sequence % channel["slots"] * channel["slot_stride"]
                state = self.at("Q", slot)[0]
                if state != 2 * sequence + 2:
                    continue
                size, topic_size = self.at("IH", slot + 16)
                expires_ns = self.at("Q", slot + 24)[0]
                now_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
                payload = self.map[slot + 32 : slot + 32 + size]
                topic = (
                    self.map[slot + topic_offset : slot + topic_offset + topic_size]
                    if channel["topic_max"]
                    else channel["topic"]
                )
                if self.at("Q", slot)[0] == state and (expires_ns == 0 or expires_ns > now_ns):
                    yield number, sequence, topic, payload


def main(name, command, *rest):
    segment = Segment(name)
    if command == "counters":
        print(json.dumps([segment.counters(channel) for channel in segment.channels()]))
    elif command == "messages":
        channel = next(channel for channel in segment.channels() if channel["name"] == rest[0])
        for lane, sequence, topic, payload in segment.messages(channel):
            print(lane, sequence, topic.hex(), payload.hex() or "-")
    elif command == "ring":
        doorbell = posix_ipc.Semaphore(name)
        doorbell.release()
        doorbell.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
