"""Measure, print the table, draw the plots. See tests/bench/run, which builds and then calls this.

  measure.py [--quick] [--only NAME] [--json FILE] [--list]
"""
from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import group_bridges
import group_gateway
import group_memory
import group_mqtt
import group_peers
import plots
from group_memory import Settings
from table import Table
from world import BUILD, World

GROUPS: dict[str, Callable[[World, Table, Settings], None]] = {
    "latency": group_memory.latency,
    "write": group_memory.write,
    "wake": group_memory.wake,
    "flow": group_memory.flow,
    "python": group_memory.python,
    "outward": group_mqtt.outward,
    "inward": group_mqtt.inward,
    "batched": group_gateway.batched,
    "scale": group_gateway.scale,
    "outage": group_gateway.outage,
    "daemon": group_gateway.daemon,
    "spinning-peers": group_peers.spinning,
    "sleeping-peers": group_peers.sleeping,
    "broker-peers": group_bridges.to_broker,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="", metavar="NAME")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--list", action="store_true", help="only the names of the groups")
    options = parser.parse_args()
    chosen = {name: group for name, group in GROUPS.items() if options.only in name}
    if options.list:
        print("\n".join(GROUPS))
        return 0
    if not chosen:
        parser.error(f"no group has {options.only!r} in its name: {', '.join(GROUPS)}")
    settings = Settings(options.quick, 3 if options.quick else 5)
    begin = time.monotonic()
    table = Table()
    for group in chosen.values():
        world = World()
        try:
            group(world, table, settings)
        finally:
            world.close()
    for file in plots.draw(settings.curves, BUILD):
        print(file)
    print(f"\n{time.monotonic() - begin:.0f} seconds")
    if options.json:
        table.write(options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
