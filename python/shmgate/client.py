"""A paho-mqtt client for the gateway's broker, the same with paho-mqtt 1.6 (Debian 12) and 2.x."""

from __future__ import annotations

import paho.mqtt.client as mqtt

from shmgate.settings import Settings, read_password, split_uri


def make_client(settings: Settings, client_id: str = "") -> mqtt.Client:
    """A client with the settings' version, credentials and TLS; not connected yet. An empty id lets the broker choose
    one.

    Raises OSError when a password or certificate file cannot be read, ValueError for a bad URI.
    """
    protocol = mqtt.MQTTv5 if settings.version == "5" else mqtt.MQTTv311
    arguments = {"client_id": client_id, "protocol": protocol}
    if protocol == mqtt.MQTTv311:
        arguments["clean_session"] = True
    # 2.x wants to be told how it shall call back; 1.6 knows only the first way.
    if hasattr(mqtt, "CallbackAPIVersion"):
        client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION1, **arguments)
    else:
        client = mqtt.Client(**arguments)
    if settings.username is not None:
        client.username_pw_set(settings.username, read_password(settings.password_file))
    if split_uri(settings.uris[0])[2]:
        client.tls_set(ca_certs=settings.ca_file, certfile=settings.cert_file, keyfile=settings.key_file)
    return client


def explain(code) -> str:
    """A CONNACK's or SUBACK's code in words: an int in MQTT 3.1.1, a ReasonCodes object in MQTT 5."""
    return mqtt.connack_string(code) if isinstance(code, int) else str(code)


def is_failure(code) -> bool:
    """Whether a SUBACK's code is a refusal (MQTT 3.1.1, 3.9.3: 0x80; MQTT 5, 3.9.3: 0x80 and above)."""
    return (code if isinstance(code, int) else code.value) >= 0x80
