"""Wrong input: one clear line with what to do, exit 1, and nothing left behind."""
from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from harness import (
    LIMIT,
    ROOT,
    free_port,
    publish_channel,
    shared_memory_names,
    subscribe_channel,
    wait_until,
    write_secret,
)

from certificates import Certificates


FAULTY_CONFIGURATION = 78
"""The exit code after which the units do not try again."""


def fails(gateway, *words: str, expected: int = 1) -> str:
    """Start a gateway that must end with that exit code, one error line that has all the words, and no segment. Returns
    its log."""
    gateway.launch()
    code = gateway.wait_for_end()
    log = gateway.log()
    errors = [line for line in log.splitlines() if "error: " in line]
    assert code == expected and len(errors) == 1, log
    for word in words:
        assert word in errors[0], f"{word!r} in {errors[0]!r}"
    assert not any(gateway.segment[1:] in name for name in shared_memory_names())
    return log


def tool_fails(done: subprocess.CompletedProcess[bytes], *words: str) -> None:
    """shmgate ended with exit code 1 and one line that has all the words."""
    error = done.stderr.decode()
    assert done.returncode == 1 and error.count("\n") == 1 and done.stdout == b"", done
    for word in words:
        assert word in error, f"{word!r} in {error!r}"


def test_missing_configuration(new_gateway):
    """No gateway.ini: the line names the file."""
    gateway = new_gateway(publish_channel(), mqtt={"uri": "mqtt://127.0.0.1"})
    gateway.config.unlink()
    fails(gateway, str(gateway.config), "No such file", expected=FAULTY_CONFIGURATION)


@pytest.mark.parametrize("keys, line, words", [
    ({"qos": "3"}, "qos = 3", ["qos", "0", "1", "2"]),
    ({"max_paylod": "3"}, "max_paylod = 3", ["max_paylod", "max_payload"]),
    ({"topic": "a/#"}, "topic = a/#", ["topic"]),
    ({"overflow": "drop"}, "overflow = drop", ["overflow", "drop-oldest"]),
    ({"direction": "sideways"}, "direction = sideways", ["publish", "subscribe"]),
])
def test_broken_configuration(new_gateway, keys, line, words):
    """A wrong value or key: the line has the file, the line number, and what would be right; --check says the same."""
    gateway = new_gateway(publish_channel(**keys), mqtt={"uri": "mqtt://127.0.0.1"})
    number = gateway.config.read_text().splitlines().index(line) + 1
    fails(gateway, f"{gateway.config}:{number}: ", *words, expected=FAULTY_CONFIGURATION)
    done = subprocess.run(
        [str(gateway.build.shmgated), "--config", str(gateway.config), "--check"], capture_output=True, text=True
    )
    assert done.returncode == 1 and any(
        text.startswith(f"{gateway.config}:{number}: ") for text in done.stdout.splitlines()
    ), done


def test_fault_at_the_start_is_told_to_the_service_manager(new_gateway):
    """Before it ends the daemon says file, line and fault, for systemctl status, and how many more there are; the units
    do not try that code again."""
    gateway = new_gateway(publish_channel(qos="3"), mqtt={"uri": "mqtt://127.0.0.1"}).launch()
    number = gateway.config.read_text().splitlines().index("qos = 3") + 1
    assert gateway.process.wait(LIMIT) == FAULTY_CONFIGURATION
    (status,) = gateway.notifications()
    gateway.end()
    assert status.startswith(f"STATUS=faulty: {gateway.config}:{number}: qos 3: ") and "more" not in status, status
    gateway.channels = [publish_channel(qos="3", slots="none", topic="a/#")]
    gateway.write_config()
    gateway.launch()
    assert gateway.process.wait(LIMIT) == FAULTY_CONFIGURATION
    (status,) = gateway.notifications()
    assert status.endswith(" (and 2 more)\n"), status
    for unit in ("shmgated.service", "shmgated@.service"):
        assert f"\nRestartPreventExitStatus={FAULTY_CONFIGURATION}\n" in (ROOT / "systemd" / unit).read_text()


def test_check_names_every_fault(new_gateway):
    """--check finds all faults of a file at once, each on a line of its own, and a good file is one line and exit 0."""
    gateway = new_gateway(publish_channel(qos="3", slots="none"), mqtt={"uri": "mqtt://127.0.0.1", "keepalive": "soon"})
    check = [str(gateway.build.shmgated), "--config", str(gateway.config), "--check"]
    done = subprocess.run(check, capture_output=True, text=True)
    faults = [text for text in done.stdout.splitlines() if text.startswith(f"{gateway.config}:")]
    assert done.returncode == 1 and len(faults) >= 3, done
    gateway.channels, gateway.mqtt = [publish_channel()], {"uri": "mqtt://127.0.0.1"}
    gateway.write_config()
    done = subprocess.run(check, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.count("\n") == 1, done


def test_unknown_channel(new_gateway, broker):
    """A channel that the configuration does not have: the line names it, for a writer and for a reader."""
    gateway = new_gateway(publish_channel(), broker=broker).start()
    tool_fails(gateway.tool("write", "nosuch", "-m", "x"), "nosuch")
    tool_fails(gateway.tool("read", "nosuch", "-W", "1"), "nosuch")


def test_wrong_direction(new_gateway, broker):
    """Writing into a subscribe channel: the line names it."""
    gateway = new_gateway(subscribe_channel(), broker=broker).start()
    tool_fails(gateway.tool("write", "in", "-m", "x"), "in", "subscribe")


def test_no_gateway(build, segment):
    """No segment, and no time to wait for one: the line names it and says what to start."""
    for arguments in (["write", "out", "-m", "x", "-W", "0"], ["stats"]):
        done = subprocess.run([str(build.shmgate), *arguments, "-S", segment], capture_output=True, timeout=LIMIT)
        tool_fails(done, segment, "shmgated")
    # A reader's time has run out, which has an exit code of its own.
    done = subprocess.run(
        [str(build.shmgate), "read", "out", "-W", "0", "-S", segment], capture_output=True, text=True, timeout=LIMIT
    )
    assert done.returncode == 27 and segment in done.stderr and "shmgated" in done.stderr, done


@pytest.mark.parametrize("key", ["ca_file", "cert_file", "key_file", "password_file"])
def test_missing_file(new_gateway, tmp_path, key):
    """A certificate, key or password file that is not there: the line has the setting and the file."""
    certificates = Certificates(tmp_path / "certificates")
    mqtt = {"uri": "mqtts://127.0.0.1", "ca_file": certificates.ca, "cert_file": certificates.client,
            "key_file": certificates.client_key, "username": "u", "password_file": certificates.client_key}
    mqtt[key] = tmp_path / "nosuch"
    fails(new_gateway(publish_channel(), mqtt=mqtt), key, str(tmp_path / "nosuch"), expected=FAULTY_CONFIGURATION)


@pytest.mark.parametrize("key", ["ca_file", "cert_file", "key_file"])
def test_unreadable_certificate(new_gateway, new_broker, tmp_path, key):
    """A file that is no certificate or key: the line has the setting."""
    certificates = Certificates(tmp_path / "certificates")
    broker = new_broker(*certificates.broker_lines(), tls=True)
    garbage = tmp_path / "garbage"
    write_secret(garbage, "this is not PEM\n")
    mqtt = {"uri": f"mqtts://127.0.0.1:{broker.port}", "ca_file": certificates.ca, "cert_file": certificates.client,
            "key_file": certificates.client_key}
    mqtt[key] = garbage
    fails(new_gateway(publish_channel(), mqtt=mqtt), key, expected=FAULTY_CONFIGURATION)


@pytest.mark.parametrize("version", ["3.1.1", "5"])
def test_refused_credentials(new_gateway, new_broker, tmp_path, version):
    """The broker refuses user and password at the start: the line says so, and where they come from."""
    passwords = tmp_path / "passwords"
    subprocess.run(
        ["mosquitto_passwd", "-b", "-c", str(passwords), "machine7", "right"], check=True, capture_output=True
    )
    broker = new_broker("allow_anonymous false", f"password_file {passwords}")
    write_secret(tmp_path / "password", "wrong-one\n")
    log = fails(new_gateway(publish_channel(), broker=broker, mqtt={
        "version": version, "username": "machine7", "password_file": tmp_path / "password"}), broker.uri, "username")
    assert "wrong-one" not in log


def test_segment_of_another_gateway(new_gateway, broker):
    """A second gateway on the segment: refused by name, and the first one serves on."""
    first = new_gateway(publish_channel(), broker=broker).start()
    second = new_gateway(publish_channel(), broker=broker, mqtt={"client_id": "second"})
    second.config = first.config.with_suffix(".second.ini")
    second.log_path = first.log_path.with_suffix(".second.log")
    second.write_config()
    second.launch()
    assert second.wait_for_end() == 1
    errors = [line for line in second.log().splitlines() if "error: " in line]
    assert len(errors) == 1 and first.segment in errors[0], second.log()
    first.write("out", b"x")
    first.wait_for_delivery("out", 1)
    tool_fails(first.tool("release"), first.segment)


def test_no_permission_on_the_segment(new_gateway, broker, open_folder):
    """Somebody who is not in the group: the line names the segment, and says what is missing."""
    gateway = new_gateway(publish_channel(), broker=broker).start()
    stranger = []
    if os.geteuid() == 0:
        stranger = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    else:
        os.chmod(f"/dev/shm{gateway.segment}", 0)
    try:
        for arguments in (["write", "out", "-m", "x"], ["read", "out", "-W", "1"], ["stats"]):
            done = subprocess.run(
                [*stranger, str(open_folder / "shmgate"), *arguments, "-S", gateway.segment],
                capture_output=True,
                env={"LD_LIBRARY_PATH": str(open_folder), "PATH": os.environ["PATH"]},
                timeout=LIMIT,
            )
            tool_fails(done, gateway.segment, "group")
    finally:
        os.chmod(f"/dev/shm{gateway.segment}", 0o660)


def test_shared_memory_full(new_gateway, tmp_path):
    """A segment larger than /dev/shm: one line with the size, at the start and not later as SIGBUS, and /dev/shm is as
    before."""
    gateway = new_gateway(
        publish_channel(slots=65536, max_payload=1024), mqtt={"uri": f"mqtt://127.0.0.1:{free_port()}"}
    )
    # In a mount name space of its own; without root, also in a user name space of its own. Inside a plain chroot the
    # propagation of the root cannot be changed, hence only that of /dev/shm is: without it the small one would be
    # everybody's.
    unshare = ["unshare", "--propagation", "unchanged", "-m"] + (["-r"] if os.geteuid() != 0 else [])
    script = (
        "mount --make-private /dev/shm && mount -t tmpfs -o size=1m tmpfs /dev/shm && "
        '{ "$0" --config "$1"; code=$?; ls -A /dev/shm; exit $code; }'
    )
    done = subprocess.run(
        [*unshare, "sh", "-c", script, str(gateway.build.shmgated), str(gateway.config)],
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    errors = [line for line in done.stderr.splitlines() if "error: " in line]
    assert done.returncode == 1 and len(errors) == 1 and "/dev/shm" in errors[0], done
    assert done.stdout == "", "left in /dev/shm"


def test_segment_of_another_kind(new_gateway, broker):
    """Something else under the segment's name is set aside, whole, with one warning, and the gateway serves; the next
    start has nothing to say."""
    gateway = new_gateway(publish_channel(), broker=broker)
    path = Path(f"/dev/shm{gateway.segment}")
    path.write_bytes(b"something else" * 1000)
    gateway.start()
    prefix = f"{gateway.segment[1:]}.damaged-"
    aside = [Path("/dev/shm", name) for name in shared_memory_names() if name.startswith(prefix)]
    assert [file.read_bytes() for file in aside] == [b"something else" * 1000]
    warnings = [line for line in gateway.log().splitlines() if "warning: " in line]
    assert len(warnings) == 1 and str(aside[0]) in warnings[0], gateway.log()
    gateway.write("out", b"x")
    wait_until(lambda: gateway.channel("out")["delivered"] == 1)
    gateway.stop()
    gateway.start()
    assert gateway.log().count("warning: ") == 1


@pytest.mark.parametrize("removed", ["{}", "sem.{}", "both"])
@pytest.mark.parametrize("broker_away", [False, True])
def test_names_that_somebody_removes_are_put_back(new_gateway, broker, removed, broker_away):
    """A clean-up script takes segment or semaphore away: said once, new programs get in, the attached go on, and
    nothing is lost."""
    gateway = new_gateway(publish_channel(), broker=broker).start()
    with subprocess.Popen([str(gateway.build.shmgate), "write", "out", "-l", "-S", gateway.segment],
                          stdin=subprocess.PIPE) as attached:
        assert attached.stdin
        for number in range(3):
            attached.stdin.write(b"%d\n" % number)
            attached.stdin.flush()
        wait_until(lambda: gateway.channel("out")["delivered"] == 3)
        if broker_away:
            broker.stop()
            gateway.wait_for_link("down")
            attached.stdin.write(b"kept\n")
            attached.stdin.flush()
            wait_until(lambda: gateway.channel("out")["queued"] == 1)
        name = gateway.segment[1:]
        for file in (name, f"sem.{name}") if removed == "both" else (removed.format(name),):
            Path("/dev/shm", file).unlink()
        wait_until(lambda: "removed by another program" in gateway.log())
        wait_until(lambda: gateway.tool("write", "out", "-m", "new").returncode == 0)
        attached.stdin.write(b"on\n")
        attached.stdin.close()
        assert attached.wait(LIMIT) == 0
    if broker_away:
        broker.start()
    count = 6 if broker_away else 5
    wait_until(lambda: gateway.channel("out")["delivered"] == count, lambda: str(gateway.channel("out")))
    assert gateway.channel("out")["written"] == count
    assert gateway.log().count("removed by another program") == 1
    # Of the one that was left nothing stays when it is drained.
    wait_until(lambda: not [file for file in shared_memory_names() if file.startswith(f"{name}.next")])
