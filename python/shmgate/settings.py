"""What a Python program beside the gateway needs of gateway.ini: the broker, how to get in, and the channels'
topics."""

from __future__ import annotations

import configparser
import os
import re
import socket
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_PORTS = {"mqtt": 1883, "mqtts": 8883}


@dataclass
class Settings:
    """The [mqtt] section, and the topics by channel name, as filters where each lane has its own. Missing keys are
    None."""

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
    """`frame` or `lines`, by topic filter, of the publish channels that put several samples into a message."""


def read_settings(path: str) -> Settings:
    """Read gateway.ini, and the files that drop in beside it. shmgated --check tells what is wrong with them; this
    reader takes correct ones.

    Raises OSError when a file cannot be read, ValueError (with file and reason) when it is no ini file or has a
    placeholder that cannot be filled in.
    """
    parser = configparser.ConfigParser(interpolation=None, comment_prefixes=(";", "#"), delimiters=("=",), strict=False)
    parser.optionxform = str
    for file_name in [path, *_drop_ins(path)]:
        try:
            with open(file_name, encoding="utf-8-sig") as file:
                parser.read_file(file)
        except (configparser.Error, UnicodeDecodeError) as error:
            raise ValueError(f"{file_name}: {error}") from error
    sections = {name: {key: _fill_in(path, value) for key, value in parser[name].items()} for name in parser.sections()}
    mqtt = sections.get("mqtt", {})
    settings = Settings()
    if "uri" in mqtt:
        settings.uris = [uri.strip() for uri in mqtt["uri"].split(",") if uri.strip()]
    for name in ("version", "username", "password_file", "ca_file", "cert_file", "key_file"):
        if name in mqtt:
            setattr(settings, name, mqtt[name])
    client_id = mqtt.get("client_id", "shmgate-" + re.sub(r"[^!-~]|[/+#]", "-", socket.gethostname()))
    for section, keys in sections.items():
        kind, _, name = section.partition(" ")
        if kind == "channel":
            _take_channel(settings, name.strip(), {**sections.get("defaults", {}), **keys}, client_id)
    return settings


def _drop_ins(path: str) -> list[str]:
    """gateway.d/*.ini for gateway.ini, in the byte order of their names."""
    folder = path.removesuffix(".ini") + ".d"
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [
        os.path.join(folder, name)
        for name in sorted(names, key=os.fsencode)
        if name.endswith(".ini") and name[0] != "." and name != ".ini"
    ]


def _fill_in(path: str, value: str) -> str:
    """Put in what the placeholders of a value stand for."""
    def found(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        if match[1] == "hostname":
            return socket.gethostname().partition(".")[0]
        kind, _, rest = match[1].partition(":")
        name, default, text = rest.partition(":-")
        if kind != "env" or (not default and name not in os.environ):
            raise ValueError(f"{path}: {match[0]} cannot be filled in: shmgated --check says why")
        return (os.environ.get(name) or text) if default else os.environ[name]
    return re.sub(r"\$\$|\$\{([^}]*)\}", found, value)


def _take_channel(settings: Settings, name: str, keys: dict[str, str], client_id: str) -> None:
    if "topic" not in keys:
        return
    topic = keys["topic"].replace("{channel}", name).replace("{client_id}", client_id)
    if keys.get("direction") != "publish":
        settings.subscribe_topics[name] = topic
        return
    # Every lane's: a wildcard takes a level as a whole.
    topic = "/".join("+" if "{lane}" in level else level for level in topic.split("/"))
    settings.publish_topics[name] = topic
    if keys.get("batch_max", "1") != "1":
        settings.batch_formats[topic] = keys.get("batch_format", "frame")


def split_uri(uri: str) -> tuple[str, int, bool]:
    """Host, port and whether TLS is wanted, of mqtt://HOST[:PORT] or mqtts://HOST[:PORT]. Raises ValueError."""
    parts = urlsplit(uri)
    if parts.scheme not in _PORTS or not parts.hostname:
        # What stands before an @ may be a password.
        scheme, _, rest = uri.rpartition("@")[0].partition("://")
        shown = uri if "@" not in uri else f"{scheme}://***@" if rest else "***@"
        shown += uri.rpartition("@")[2] if "@" in uri else ""
        raise ValueError(f"uri {shown}: expected mqtt://HOST[:PORT] or mqtts://HOST[:PORT]")
    return parts.hostname, parts.port or _PORTS[parts.scheme], parts.scheme == "mqtts"


def read_password(path: str | None) -> str | None:
    """The first line of a password file."""
    if path is None:
        return None
    with open(path, encoding="utf-8") as file:
        return file.readline().rstrip("\r\n")
