"""Send a command through MQTT with paho-mqtt and wait for its arrival in shared memory.

    python example_command.py gateway.ini [CHANNEL [TEXT]]

reads the broker and the subscribe channel's topic from the gateway's own configuration.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "build" / "python"))

import shmgate  # noqa: E402 - the line above finds it
from shmgate.client import make_client  # noqa: E402
from shmgate.settings import read_settings, split_uri  # noqa: E402


def topic_for(filter_, name):
    """A topic that the filter takes: wildcards are replaced by `name`."""
    return "/".join(name if level in ("+", "#") else level for level in filter_.split("/"))


def main(config, channel="commands", text="start"):
    settings = read_settings(config)
    topic = topic_for(settings.subscribe_topics[channel], "example")
    host, port, _ = split_uri(settings.uris[0])
    with shmgate.attach(os.environ.get("SHMGATE_SEGMENT"), timeout=5) as segment:
        with segment.reader(channel, from_now=True) as reader:
            client = make_client(settings)
            client.connect(host, port)
            client.loop_start()
            client.publish(topic, text, qos=1).wait_for_publish()
            message = reader.read(timeout=10)
            client.disconnect()
            client.loop_stop()
    print(f"{message.topic} arrived in channel {channel}: {message.payload.decode('utf-8', 'backslashreplace')}")


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 4:
        sys.exit("usage: python example_command.py GATEWAY_INI [CHANNEL [TEXT]]")
    try:
        main(*sys.argv[1:])
    except KeyError as error:
        sys.exit(f"example_command.py: no subscribe channel {error} in {sys.argv[1]}")
    except (OSError, ValueError) as error:
        sys.exit(f"example_command.py: {error}")
