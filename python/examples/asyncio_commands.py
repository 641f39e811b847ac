"""An event loop that obeys commands and reports beside it, with one state between the two.

    python asyncio_commands.py [COMMANDS [TELEMETRY]]

needs a running gateway with a subscribe and a publish channel of these names (default "commands" and "telemetry");
$SHMGATE_SEGMENT names its segment. A command is a number, the new set-point. Ctrl-C ends it.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "build" / "python"))

import shmgate  # noqa: E402 - the line above finds it


async def obey(segment, channel, state):
    """Take each command as it comes. The loop's other tasks go on meanwhile."""
    async for message in segment.reader(channel):
        try:
            state["setpoint"] = float(message.payload)
        except ValueError:
            print(f"{message.topic}: {message.payload!r} is no number", file=sys.stderr)


async def report(segment, channel, state):
    """Write the state once a second; a write never waits, so it needs no await."""
    with segment.writer(channel) as writer:
        while True:
            writer.write(json.dumps(state).encode())
            await asyncio.sleep(1)


async def main(commands="commands", telemetry="telemetry"):
    state = {"setpoint": 0.0}
    with shmgate.attach(os.environ.get("SHMGATE_SEGMENT"), timeout=5) as segment:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(obey(segment, commands, state))
            tasks.create_task(report(segment, telemetry, state))


if __name__ == "__main__":
    if len(sys.argv) > 3:
        sys.exit("usage: python asyncio_commands.py [COMMANDS [TELEMETRY]]")
    try:
        asyncio.run(main(*sys.argv[1:]))
    except* KeyboardInterrupt:
        pass
    except* shmgate.Error as errors:
        sys.exit(f"asyncio_commands.py: {errors.exceptions[0].strerror}")
