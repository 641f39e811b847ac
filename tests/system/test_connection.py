"""The link to the broker: away, back, elsewhere, secured; and programs that start in any order."""
from __future__ import annotations

import subprocess

import pytest

from harness import LIMIT, free_port, publish_channel, subscribe_channel, wait_until, write_secret
from certificates import Certificates


@pytest.fixture
def keeping_broker(new_broker, tmp_path):
    """A broker that saves sessions and retained messages when it is stopped."""
    folder = tmp_path / "broker"
    folder.mkdir()
    return new_broker("persistence true", f"persistence_location {folder}/")


def write_numbers(gateway, first: int, last: int) -> list[bytes]:
    """Write the numbers from first to last, each as a message; returns them as payloads."""
    payloads = [b"%d" % number for number in range(first, last + 1)]
    done = gateway.tool("write", "out", "-l", input=b"\n".join(payloads) + b"\n")
    assert done.returncode == 0, done.stderr.decode()
    return payloads


@pytest.mark.parametrize("version", ["3.1.1", "5"])
def test_broker_away_at_start_is_no_error(new_gateway, keeping_broker, subscribe, version):
    """The gateway is ready without a broker, takes messages, and publishes them in order once there is one."""
    subscriber = subscribe(keeping_broker, "test/out", session="keeper")
    keeping_broker.stop()
    gateway = new_gateway(publish_channel(), broker=keeping_broker, mqtt={"version": version}).start(link=False)
    expected = write_numbers(gateway, 1, 100)
    assert gateway.channel("out")["queued"] == 100
    keeping_broker.start()
    subscriber.expect(100)
    assert subscriber.payloads() == expected


@pytest.mark.parametrize("version", ["3.1.1", "5"])
@pytest.mark.sanitized
def test_broker_restart_loses_nothing(new_gateway, keeping_broker, subscribe, version):
    """What is written before, during and after a restart of the broker arrives, in order."""
    subscriber = subscribe(keeping_broker, "test/out", session="keeper")
    gateway = new_gateway(
        publish_channel(), subscribe_channel(), broker=keeping_broker, mqtt={"version": version}
    ).start()
    expected = write_numbers(gateway, 1, 50)
    gateway.wait_for_delivery("out", 50)
    keeping_broker.stop()
    gateway.wait_for_link("down")
    expected += write_numbers(gateway, 51, 100)
    keeping_broker.start()
    gateway.wait_for_link()
    expected += write_numbers(gateway, 101, 150)
    gateway.wait_for_delivery("out", 150)
    wait_until(lambda: b"150" in subscriber.payloads(), "the last message")
    # QoS 1: a message whose acknowledgement was lost may come twice.
    assert list(dict.fromkeys(subscriber.payloads())) == expected
    keeping_broker.publish("test/in", "still subscribed")
    assert gateway.read("in", fields="%p") == ["still subscribed"]


def test_broker_killed_under_load_loses_nothing(new_gateway, keeping_broker, subscribe, build, processes):
    """kill -9 of the broker in the middle of a flood: every message is delivered, and the ledger adds up."""
    gateway = new_gateway(publish_channel(overflow="reject", max_payload=64), broker=keeping_broker).start()
    flood = processes.start(
        [build.driver("flood_writer"), gateway.segment, "out", "20000", "0"], env=build.environment()
    )
    wait_until(lambda: gateway.channel("out")["delivered"] > 1000, "the flood to flow")
    keeping_broker.kill()
    gateway.wait_for_link("down")
    keeping_broker.start()
    assert flood.wait(LIMIT) == 0
    ledger = gateway.wait_for_delivery("out", 20000)
    assert ledger["written"] == ledger["delivered"] == 20000


def test_second_broker_takes_over_and_the_first_again(new_gateway, new_broker, subscribe):
    """With two addresses the one that answers is used; when it goes, the other one, and messages follow."""
    first = new_broker(start=False)
    second = new_broker()
    gateway = new_gateway(publish_channel(), subscribe_channel(), mqtt={"uri": f"{first.uri}, {second.uri}"}).start()
    second.publish("test/in", "by the second")
    assert gateway.read("in", fields="%p") == ["by the second"]
    second.stop()
    gateway.wait_for_link("down")
    first.start()
    gateway.wait_for_link()
    first.publish("test/in", "by the first")
    assert gateway.read("in", 2, "%p")[1] == "by the first"
    subscriber = subscribe(first, "test/out")
    gateway.write("out", b"to the first")
    assert subscriber.expect(1)[0].payload == b"to the first"


def test_writer_may_start_before_the_gateway(new_gateway, broker, subscribe, segment, build, processes):
    """A writer that finds no gateway waits in one call, and its messages arrive once there is one."""
    subscriber = subscribe(broker, "test/out", qos=1)
    flood = processes.start([build.driver("flood_writer"), segment, "out", "10", "0"], env=build.environment())
    wait_until(lambda: is_asleep(flood.pid), "the writer to wait")
    new_gateway(publish_channel(), broker=broker).start()
    assert flood.wait(LIMIT) == 0
    subscriber.expect(10)


def test_reader_may_start_before_the_gateway(new_gateway, broker, segment, build, processes):
    """A reader that finds no gateway waits in one call, and gets what comes once there is one."""
    reader = processes.start(
        [build.driver("flood_reader"), segment, "in", "1"], stdout=subprocess.PIPE, env=build.environment()
    )
    wait_until(lambda: is_asleep(reader.pid), "the reader to wait")
    gateway = new_gateway(subscribe_channel(), broker=broker).start()
    broker.publish("test/in", "0")
    assert reader.wait(LIMIT) == 0, gateway.log()


@pytest.mark.sanitized
def test_messages_written_without_a_gateway_are_published_by_the_next(new_gateway, broker, subscribe):
    """After an orderly stop and after kill -9 writers write on; the next gateway publishes it, in order, once."""
    subscriber = subscribe(broker, "test/out")
    gateway = new_gateway(publish_channel(), broker=broker).start()
    expected = write_numbers(gateway, 1, 10)
    gateway.wait_for_delivery("out", 10)
    gateway.stop()
    expected += write_numbers(gateway, 11, 20)
    gateway.start()
    gateway.wait_for_delivery("out", 20)
    gateway.kill()
    expected += write_numbers(gateway, 21, 30)
    gateway.start()
    gateway.wait_for_delivery("out", 30)
    subscriber.expect(30)
    assert subscriber.payloads() == expected


def test_open_writer_goes_on_over_a_gateway_restart(new_gateway, broker, subscribe, processes, build):
    """A writer that stays attached sees no error while the gateway is stopped and started, and all it wrote arrives in
    order."""
    subscriber = subscribe(broker, "test/out")
    gateway = new_gateway(publish_channel(), broker=broker).start()
    writer = processes.start([build.shmgate, "write", "out", "-l", "-S", gateway.segment], stdin=subprocess.PIPE,
                             env=build.environment())

    def write(text: bytes, total: int) -> None:
        writer.stdin.write(text + b"\n")
        writer.stdin.flush()
        wait_until(lambda: gateway.channel("out")["written"] == total, "the write")

    write(b"before", 1)
    gateway.wait_for_delivery("out", 1)
    gateway.stop()
    write(b"between", 2)
    gateway.start()
    write(b"after", 3)
    writer.stdin.close()
    assert writer.wait(LIMIT) == 0
    subscriber.expect(3)
    assert subscriber.payloads() == [b"before", b"between", b"after"]


# ---- TLS and credentials ----

@pytest.fixture
def certificates(tmp_path):
    """An authority, and certificates by it for a broker on this machine and for a client."""
    return Certificates(tmp_path / "certificates")


def password_lines(folder, user: str, password: str) -> list[str]:
    """Broker configuration that wants this user and password."""
    path = folder / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(path), user, password], check=True, capture_output=True)
    return ["allow_anonymous false", f"password_file {path}"]


@pytest.mark.sanitized
@pytest.mark.parametrize("version", ["3.1.1", "5"])
def test_tls_with_client_certificate_and_password(new_gateway, new_broker, subscribe, certificates, tmp_path, version):
    """With a broker that wants TLS, a client certificate and a password, messages go both ways, and over its restart
    too."""
    broker = new_broker(*certificates.broker_lines(), *password_lines(tmp_path, "machine7", "geheim"), tls=True)
    write_secret(tmp_path / "password", "geheim\n")
    options = (
        "--cafile",
        str(certificates.ca),
        "--cert",
        str(certificates.client),
        "--key",
        str(certificates.client_key),
        "-u",
        "machine7",
        "-P",
        "geheim",
    )
    gateway = new_gateway(publish_channel(), subscribe_channel(), mqtt={
        "uri": f"mqtts://127.0.0.1:{broker.port}", "version": version, "username": "machine7",
        "password_file": tmp_path / "password", "ca_file": certificates.ca, "cert_file": certificates.client,
        "key_file": certificates.client_key}).start()
    subscriber = subscribe(broker, "test/out", options=options)
    gateway.write("out", b"secret")
    assert subscriber.expect(1)[0].payload == b"secret"
    broker.publish("test/in", "set", *options)
    assert gateway.read("in", fields="%p") == ["set"]
    broker.kill()
    gateway.wait_for_link("down")
    broker.start()
    gateway.wait_for_link()
    broker.publish("test/in", "again", *options)
    assert gateway.read("in", 2, "%p") == ["set", "again"]
    assert "geheim" not in gateway.log()


def test_broker_of_an_unknown_authority_gets_nothing(new_gateway, new_broker, certificates, tmp_path):
    """A broker whose certificate another authority has signed is not spoken to: the reason is logged, the messages are
    kept."""
    other = Certificates(tmp_path / "other")
    broker = new_broker(*other.broker_lines(client_certificate=False), tls=True)
    gateway = new_gateway(publish_channel(), mqtt={"uri": f"mqtts://127.0.0.1:{broker.port}",
                                                   "ca_file": certificates.ca}).start(link=False)
    gateway.write("out", b"secret")
    gateway.wait_for_log("could not connect")
    assert gateway.stats()["link"] == "down" and gateway.channel("out")["queued"] == 1
    assert "certificate" in gateway.log().lower(), gateway.log()


def test_credentials_refused_later_are_tried_again(new_gateway, new_broker, tmp_path):
    """Once it has served, the gateway outlives a refusal: messages wait, and are published when the broker takes it
    again."""
    lines = password_lines(tmp_path, "machine7", "right")
    write_secret(tmp_path / "password", "right\n")
    broker = new_broker(*lines)
    gateway = new_gateway(
        publish_channel(), broker=broker, mqtt={"username": "machine7", "password_file": tmp_path / "password"}
    )
    gateway.start()
    broker.stop()
    password_lines(tmp_path, "machine7", "changed")
    broker.start()
    gateway.write("out", b"kept")
    gateway.wait_for_log("password_file")
    broker.stop()
    password_lines(tmp_path, "machine7", "right")
    broker.start()
    gateway.wait_for_delivery("out", 1)


def test_dead_address_does_not_hold_up_the_stop(new_gateway):
    """With nobody at the address an orderly stop is still one."""
    gateway = new_gateway(publish_channel(), mqtt={"uri": f"mqtt://127.0.0.1:{free_port()}"}).start(link=False)
    gateway.write("out", b"x")
    gateway.stop()


def is_asleep(pid: int) -> bool:
    """Whether a process has run for a while and waits in the kernel now (proc(5): state S, context switches)."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        fields = dict(line.split(":", 1) for line in status)
    return fields["State"].split()[0] == "S" and int(fields["voluntary_ctxt_switches"]) >= 2
