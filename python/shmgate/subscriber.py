"""python -m shmgate.subscriber: print what the gateway publishes, as it arrives at the broker.

The topics come from the gateway's own gateway.ini or from the command line. Needs paho-mqtt, 1.6 or later; not the C
extension.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading

from shmgate.frame import split
from shmgate.settings import Settings, read_settings, split_uri

EXIT_FAILED = 1
EXIT_TIMEOUT = 27  # as mosquitto_sub -W


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m shmgate.subscriber", description="Print the messages that the gateway publishes."
    )
    parser.add_argument(
        "-c",
        "--config",
        metavar="FILE",
        help="gateway.ini: broker, credentials, and the topics of its publish channels",
    )
    parser.add_argument("-t", "--topic", action="append", default=[], help="a topic filter; may be given several times")
    parser.add_argument(
        "-u",
        "--uri",
        help="broker, mqtt://HOST[:PORT] or mqtts://HOST[:PORT] (default: the config's, or mqtt://localhost)",
    )
    parser.add_argument(
        "-q",
        "--qos",
        type=int,
        choices=(0, 1, 2),
        default=1,
        help="quality of service of the subscriptions (default 1)",
    )
    parser.add_argument("-C", "--count", type=int, metavar="COUNT", help="stop after COUNT messages")
    parser.add_argument(
        "-W", "--wait", type=float, metavar="SECONDS", help=f"stop after that time, with exit status {EXIT_TIMEOUT}"
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="print the topic before the payload")
    parser.add_argument("-b", "--batch", choices=("no", "frame", "lines"),
                        help="how the messages hold samples, for topics that --config does not tell of (default no)")
    parser.add_argument("-x", "--hex", action="store_true", help="print payloads in hex")
    options = parser.parse_args(arguments)
    if not options.topic and not options.config:
        parser.error("which topics? Give -t TOPIC or --config FILE")
    if options.count is not None and options.count < 1:
        parser.error("-C: expected a number above 0")
    return options


def matches(topic_filter: str, topic: str) -> bool:
    """Whether a filter of publish channels, which has no wildcard but +, takes a topic."""
    levels = topic.split("/")
    wanted = topic_filter.split("/")
    return len(levels) == len(wanted) and all(want in ("+", level) for want, level in zip(wanted, levels))


class Subscriber:
    """Prints messages until a count, a time, a signal or a closed output ends it. `finished` is set then, and `status`
    is the exit status."""

    def __init__(self, settings: Settings, topics: list[str], options: argparse.Namespace) -> None:
        from shmgate.client import make_client

        self.topics = topics
        self.batch_formats = settings.batch_formats
        self.options = options
        self.printed = 0
        self.status = 0
        self.finished = threading.Event()
        self.pending: dict[int, str] = {}
        self.refused_once = False
        self.client = make_client(settings)
        self.client.on_connect = self.on_connect
        self.client.on_disconnect = self.on_disconnect
        self.client.on_subscribe = self.on_subscribe
        self.client.on_message = self.on_message
        self.host, self.port, _ = split_uri(settings.uris[0])

    def finish(self, status: int, line: str | None = None) -> None:
        if not self.finished.is_set():
            if line:
                print(f"subscriber: {line}", file=sys.stderr, flush=True)
            self.status = status
            self.finished.set()

    def on_connect(self, client, userdata, flags, code, properties=None) -> None:
        from shmgate.client import explain

        if (code if isinstance(code, int) else code.value) != 0:
            self.finish(EXIT_FAILED, f"the broker at {self.host}:{self.port} refused the connection: {explain(code)}")
            return
        for topic in self.topics:
            result, identifier = client.subscribe(topic, self.options.qos)
            if result == 0:
                self.pending[identifier] = topic

    def on_disconnect(self, client, userdata, code, properties=None) -> None:
        if not self.finished.is_set():
            print(f"subscriber: connection to {self.host}:{self.port} lost; trying again", file=sys.stderr, flush=True)

    def on_subscribe(self, client, userdata, identifier, codes, properties=None) -> None:
        from shmgate.client import is_failure

        topic = self.pending.pop(identifier, "?")
        if any(is_failure(code) for code in codes):
            self.finish(EXIT_FAILED, f"the broker refused the subscription to {topic}: check its access rules")

    def on_message(self, client, userdata, message) -> None:
        if self.finished.is_set():
            return
        batch_format = self.options.batch or next(
            (found for topic, found in self.batch_formats.items() if matches(topic, message.topic)), "no"
        )
        try:
            samples = split(message.payload, batch_format)
        except ValueError as error:
            print(f"subscriber: {message.topic}: {error}", file=sys.stderr, flush=True)
            return
        for sample in samples:
            self.show(message.topic, sample)

    def show(self, topic: str, payload: bytes) -> None:
        if self.finished.is_set():
            return
        text = payload.hex() if self.options.hex else payload.decode("utf-8", "backslashreplace")
        try:
            print(f"{topic} {text}" if self.options.verbose else text, flush=True)
        except BrokenPipeError:
            self.finish(0)
            return
        except OSError as error:
            self.finish(EXIT_FAILED, f"write standard output: {error.strerror}")
            return
        self.printed += 1
        if self.options.count is not None and self.printed >= self.options.count:
            self.finish(0)

    def run(self) -> int:
        """Connect, and print until something ends it. Returns the exit status."""
        self.client.reconnect_delay_set(min_delay=1, max_delay=30)
        try:
            self.client.connect(self.host, self.port)
        except OSError as error:
            print(
                f"subscriber: no broker at {self.host}:{self.port}: {error.strerror or error}; trying again",
                file=sys.stderr,
                flush=True,
            )
            self.client.connect_async(self.host, self.port)
        self.client.loop_start()
        if not self.finished.wait(self.options.wait):
            self.finish(EXIT_TIMEOUT)
        self.client.disconnect()
        self.client.loop_stop()
        return self.status


def choose(options: argparse.Namespace) -> tuple[Settings, list[str]]:
    """The settings and the topics that the command line asks for."""
    settings = read_settings(options.config) if options.config else Settings()
    if options.uri:
        settings.uris = [options.uri]
    topics = options.topic or list(settings.publish_topics.values())
    if not topics:
        raise ValueError(f"{options.config}: no publish channel, so nothing to subscribe to")
    return settings, topics


def main(arguments: list[str] | None = None) -> int:
    options = parse_arguments(arguments)
    try:
        subscriber = Subscriber(*choose(options), options)
    except ImportError as error:
        print(f"subscriber: {error}: install paho-mqtt (Debian: python3-paho-mqtt)", file=sys.stderr)
        return EXIT_FAILED
    except (OSError, ValueError) as error:
        print(f"subscriber: {error}", file=sys.stderr)
        return EXIT_FAILED
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: subscriber.finish(0))
    status = subscriber.run()
    try:
        sys.stdout.flush()
    except OSError:
        # The reader of our output has gone; without this the interpreter complains about it at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return status


if __name__ == "__main__":
    sys.exit(main())
