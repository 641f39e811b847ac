"""What a Python program beside the gateway needs of gateway.ini: the broker, how to get in, and the channels' topics."""

from __future__ import annotations

import configparser
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_PORTS = {"mqtt": 1883, "mqtts": 8883}


@dataclass
class Settings:
    """The [mqtt] section, and the topics by channel name. Missing keys are None."""

    uris: list[str] = field(default_factory=lambda: ["mqtt://localhost:1883"])
    version: str = "5"
    username: str | None = None
    password_file: str | None = None
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    keepalive: int = 60
    publish_topics: dict[str, str] = field(default_factory=dict)
    subscribe_topics: dict[str, str] = field(default_factory=dict)
    batch_formats: dict[str, str] = field(default_factory=dict)
    """`frame` or `lines`, by topic, of the publish channels that put several samples into a message."""


def read_settings(path: str) -> Settings:
    """Read gateway.ini. shmgated --check tells what is wrong with a file; this reader takes a correct one.

    Raises OSError when the file cannot be read, ValueError (with file and reason) when it is no ini file.
    """
    parser = configparser.ConfigParser(interpolation=None, comment_prefixes=(";", "#"), delimiters=("=",), strict=False)
    parser.optionxform = str
    try:
        with open(path, encoding="utf-8-sig") as file:
            parser.read_file(file)
    except (configparser.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: {error}") from error
    settings = Settings()
    mqtt = parser["mqtt"] if parser.has_section("mqtt") else {}
    if "uri" in mqtt:
        settings.uris = [uri.strip() for uri in mqtt["uri"].split(",") if uri.strip()]
    for name in ("version", "username", "password_file", "ca_file", "cert_file", "key_file"):
        if name in mqtt:
            setattr(settings, name, mqtt[name])
    for section in parser.sections():
        kind, _, name = section.partition(" ")
        if kind != "channel":
            continue
        channel = parser[section]
        topics = settings.publish_topics if channel.get("direction") == "publish" else settings.subscribe_topics
        if "topic" in channel:
            topics[name.strip()] = channel["topic"]
        if channel.get("direction") == "publish" and channel.get("batch_max", "1").strip() != "1":
            settings.batch_formats[channel.get("topic", "")] = channel.get("batch_format", "frame")
    return settings


def split_uri(uri: str) -> tuple[str, int, bool]:
    """Host, port and whether TLS is wanted, of mqtt://HOST[:PORT] or mqtts://HOST[:PORT]. Raises ValueError."""
    parts = urlsplit(uri)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError(f"uri {uri}: expected mqtt://HOST[:PORT] or mqtts://HOST[:PORT]")
    return parts.hostname, parts.port or _PORTS[parts.scheme], parts.scheme == "mqtts"


def read_password(path: str | None) -> str | None:
    """The first line of a password file."""
    if path is None:
        return None
    with open(path, encoding="utf-8") as file:
        return file.readline().rstrip("\r\n")
