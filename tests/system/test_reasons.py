"""Why there is no connection is told, each different reason once, in words that lead to the cause."""
from __future__ import annotations

import subprocess

import pytest

from certificates import Certificates
from harness import free_port, publish_channel, subscribe_channel, wait_until
from refusing_broker import RefusingBroker


@pytest.fixture
def refusing_broker():
    """Make brokers that refuse; all end with the test."""
    made: list[RefusingBroker] = []

    def make(version: int = 5, **answers) -> RefusingBroker:
        made.append(RefusingBroker(version, **answers))
        return made[-1]

    yield make
    for broker in made:
        broker.end()


def lines(gateway, text: str) -> list[str]:
    return [line for line in gateway.log().splitlines() if text in line]


@pytest.mark.parametrize("code, words", [
    (0x8B, "shutting down"),
    (0x8D, "keep-alive"),
    (0x8E, "another client"),
    (0x93, "receive maximum"),
    (0x98, "administrative"),
])
def test_reason_for_a_goodbye_is_told(new_gateway, refusing_broker, code, words):
    """The reason code of the broker's DISCONNECT, and the text beside it, stand in the line of the lost connection."""
    broker = refusing_broker(disconnect=code, words="come\nback")
    gateway = new_gateway(publish_channel(), mqtt={"uri": broker.uri}).start(link=False)
    gateway.wait_for_log("connection lost")
    line = lines(gateway, "connection lost")[0]
    assert words in line and '"come\\x0aback"' in line, line


def test_each_reason_of_an_outage_is_told_once(new_gateway, refusing_broker):
    """The broker is busy, then knows our password no more, then is busy again: two lines, and the status has the
    present one."""
    broker = refusing_broker()
    gateway = new_gateway(publish_channel(), mqtt={"uri": broker.uri}).start()
    broker.answers.connect = 0x89
    broker.cut()
    gateway.wait_for_log("the broker is busy")
    broker.answers.connect = 0x86
    gateway.wait_for_log("check username and password_file")
    broker.answers.connect = 0x89
    wait_until(lambda: "the broker is busy" in (gateway.notifications() or [""])[-1])
    broker.answers.connect = 0
    gateway.wait_for_link()
    told = lines(gateway, "could not connect")
    assert len(told) == 2 and "busy" in told[0] and "password_file" in told[1], told


def told_reason(gateway) -> str:
    gateway.launch()
    gateway.wait_for_log("could not connect")
    return lines(gateway, "could not connect")[0].partition("uri=")[2].partition(": ")[2]


def test_names_of_the_certificate_are_told(new_gateway, new_broker, tmp_path):
    """A certificate for another host: the names it is for."""
    certificates = Certificates(tmp_path / "certificates", names="DNS:elsewhere.example,IP:192.0.2.7")
    broker = new_broker(*certificates.broker_lines(client_certificate=False), tls=True)
    mqtt = {"uri": f"mqtts://127.0.0.1:{broker.port}", "ca_file": certificates.ca}
    reason = told_reason(new_gateway(publish_channel(), mqtt=mqtt))
    assert "not a name in the broker's certificate" in reason and "elsewhere.example" in reason, reason
    assert "192.0.2.7" in reason, reason


def test_unknown_authority_is_told(new_gateway, new_broker, tmp_path):
    """A certificate that another authority has signed than that of ca_file."""
    certificates, others = Certificates(tmp_path / "certificates"), Certificates(tmp_path / "others")
    broker = new_broker(*certificates.broker_lines(client_certificate=False), tls=True)
    mqtt = {"uri": f"mqtts://127.0.0.1:{broker.port}", "ca_file": others.ca}
    reason = told_reason(new_gateway(publish_channel(), mqtt=mqtt))
    assert "unknown authority" in reason and "ca_file" in reason, reason


def test_certificate_of_ours_that_is_missing_is_told(new_gateway, new_broker, tmp_path):
    """A broker that wants a certificate of its clients, and cert_file is not set."""
    certificates = Certificates(tmp_path / "certificates")
    broker = new_broker(*certificates.broker_lines(), tls=True)
    mqtt = {"uri": f"mqtts://127.0.0.1:{broker.port}", "ca_file": certificates.ca}
    reason = told_reason(new_gateway(publish_channel(), mqtt=mqtt))
    assert "set cert_file and key_file" in reason, reason


def test_port_with_tls_is_told(new_gateway, new_broker, tmp_path):
    """mqtt:// to a port with TLS."""
    certificates = Certificates(tmp_path / "certificates")
    secured = new_broker(*certificates.broker_lines(client_certificate=False), tls=True)
    reason = told_reason(new_gateway(publish_channel(), mqtt={"uri": f"mqtt://127.0.0.1:{secured.port}"}))
    assert "mqtts://" in reason, reason


def test_port_without_tls_is_told(new_gateway, broker):
    """mqtts:// to a port without TLS."""
    reason = told_reason(new_gateway(publish_channel(), mqtt={"uri": f"mqtts://127.0.0.1:{broker.port}"}))
    assert "mqtt://" in reason and "TLS" in reason, reason


def test_failures_of_tcp_are_told_apart(new_gateway, refusing_broker):
    """Nobody listens; somebody does and is silent; the name is not known."""
    closed = f"mqtt://127.0.0.1:{free_port()}"
    silent = refusing_broker(connect=None)
    gateway = new_gateway(
        publish_channel(), mqtt={"uri": f"{closed}, {silent.uri}, mqtt://no-such-host.invalid", "connect_timeout": "2s"}
    ).launch()
    gateway.wait_for_log("uri=mqtt://no-such-host.invalid:")
    told = {line.partition("uri=")[2].partition(": ")[0]: line for line in lines(gateway, "could not connect")}
    assert "connection refused" in told[closed]
    assert "connected, and then no answer" in told[silent.uri]
    assert "the name" in told["mqtt://no-such-host.invalid"]


def check(gateway) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(gateway.build.shmgated), "--config", str(gateway.config), "--check"],
                          capture_output=True, text=True)


def test_check_finds_faults_of_certificates(new_gateway, tmp_path):
    """Without a network: a key of another certificate, a key with a passphrase; an expired certificate is a warning."""
    certificates, others = Certificates(tmp_path / "certificates"), Certificates(tmp_path / "others")
    mqtt = {"uri": "mqtts://127.0.0.1", "ca_file": certificates.ca, "cert_file": certificates.client,
            "key_file": others.client_key}
    gateway = new_gateway(publish_channel(), mqtt=mqtt)
    done = check(gateway)
    assert done.returncode == 1 and "does not match cert_file" in done.stdout, done
    locked = tmp_path / "locked.key"
    openssl = ["openssl", "pkey", "-in", str(certificates.client_key), "-aes256", "-passout", "pass:x", "-out"]
    subprocess.run([*openssl, str(locked)], check=True)
    locked.chmod(0o600)
    gateway.mqtt["key_file"] = locked
    gateway.write_config()
    done = check(gateway)
    assert done.returncode == 1 and "passphrase" in done.stdout, done
    expired = tmp_path / "expired.pem"
    subprocess.run(["openssl", "x509", "-in", str(certificates.client), "-signkey", str(certificates.client_key),
                    "-days", "0", "-out", str(expired)], check=True, capture_output=True)
    gateway.mqtt.update(cert_file=expired, key_file=certificates.client_key)
    gateway.write_config()
    done = check(gateway)
    assert done.returncode == 0 and "it has expired: it was valid until 20" in done.stdout + done.stderr, done


@pytest.mark.parametrize("version", ["3.1.1", "5"])
def test_second_client_with_our_id_is_told(new_gateway, broker, subscribe, version):
    """Two gateways with one client_id: after a few losses the log of each says what to do, once."""
    first = new_gateway(publish_channel(), broker=broker, mqtt={"version": version}).start()
    thief = broker.client("mosquitto_sub", "-i", first.client_id, "-t", "x", "-W", "20")

    def steal() -> bool:
        first.wait_for_link()
        subprocess.run([*thief, "-E"], check=False, capture_output=True)
        return "the same client_id" in first.log()

    wait_until(steal)
    told = lines(first, "the same client_id")
    assert len(told) == 1 and first.client_id in told[0] and "id of its own" in told[0], told


@pytest.mark.parametrize("version", [4, 5])
def test_lower_qos_is_told(new_gateway, refusing_broker, version):
    """The broker grants QoS 0 where 1 was asked for: said once, with the channel, over reconnections."""
    broker = refusing_broker(version, subscribe=0)
    mqtt = {"uri": broker.uri, "version": "5" if version == 5 else "3.1.1"}
    gateway = new_gateway(subscribe_channel("orders", qos=1), subscribe_channel("state", qos=0), mqtt=mqtt).start()
    gateway.wait_for_log("grants a lower QoS")
    broker.cut()
    wait_until(lambda: broker.subscribed.count("test/orders") == 2)
    gateway.wait_for_link()
    told = lines(gateway, "grants a lower QoS")
    assert len(told) == 1 and "channel=orders" in told[0] and "qos=0 instead of 1" in told[0], told


def test_refused_status_is_told(new_gateway, refusing_broker):
    """The access rules have no place for the status: said once, over reconnections, and messages flow."""
    broker = refusing_broker()
    gateway = new_gateway(publish_channel(), mqtt={"uri": broker.uri})
    broker.answers.publish[f"shmgate/{gateway.client_id}/status"] = 0x87
    gateway.start()
    gateway.wait_for_log("refuses the status")
    broker.cut()
    wait_until(lambda: len(lines(gateway, " connected: ")) == 2)
    gateway.write("out", b"x")
    gateway.wait_for_delivery("out", 1)
    told = lines(gateway, "refuses the status")
    assert len(told) == 1 and "not authorised to publish" in told[0], told


def test_shared_filter_beside_a_plain_one_is_warned_of(new_gateway):
    """Where nothing tells their messages apart, with MQTT 3.1.1, --check warns; with MQTT 5 and without overlap it does
    not."""
    shared = subscribe_channel("jobs", topic="$share/g/job/+")
    gateway = new_gateway(shared, subscribe_channel("all", topic="job/#"), mqtt={"uri": "mqtt://h", "version": "3.1.1"})
    done = check(gateway)
    assert done.returncode == 0 and "a shared subscription" in done.stdout + done.stderr, done
    gateway.mqtt["version"] = "5"
    gateway.write_config()
    assert "a shared subscription" not in check(gateway).stdout
    gateway.mqtt["version"] = "3.1.1"
    gateway.channels = [shared, subscribe_channel("others", topic="task/#")]
    gateway.write_config()
    assert "a shared subscription" not in check(gateway).stdout


def test_refused_subscription_is_asked_for_again(new_gateway, refusing_broker):
    """Within a minute, in the same connection: when the access rules have been changed, it is granted, and said."""
    broker = refusing_broker(subscribe=0x87)
    gateway = new_gateway(subscribe_channel(), mqtt={"uri": broker.uri}).start()
    gateway.wait_for_log("could not subscribe")
    broker.answers.subscribe = 1
    wait_until(lambda: "no longer refused" in gateway.log(), limit=60)
    broker.publish("test/in", b"go")
    assert gateway.read("in", fields="%p") == ["go"]
    assert len(lines(gateway, "could not subscribe")) == 1 and len(lines(gateway, " connected: ")) == 1
