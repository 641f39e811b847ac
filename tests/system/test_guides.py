"""What the manual pages of section 7 compute, show and quote is so. (test_manual looks at their form.)

Where each statement about failures is tested: shmgate-guarantees(7) by test_publish, test_subscribe,
test_subscribe_kills, test_restart, test_reload, test_spool, test_limits, test_half_open and test_topic_alias;
shmgate-security(7) by test_security, which names the others.
"""
from __future__ import annotations

import errno
import os
import re
import signal
import struct
import subprocess
from pathlib import Path

import pytest

from harness import LIMIT, ROOT, free_port, ini_text, publish_channel, subscribe_channel, wait_until
from sessions import Session, compile_program, page_blocks, shapes, steps

MAN = ROOT / "gateway/man"


def page(name: str) -> str:
    return (MAN / name).read_text()


def block_with(name: str, word: str) -> str:
    """The display of a page that has the word."""
    return next(block for block in page_blocks(page(name)) if word in block)


def rows(name: str, title: str) -> list[list[str]]:
    """The rows of the table whose first heading is `title`."""
    table = re.search(rf"^\.It Em {title} Ta .*\n((?:\.It .*\n)+)", page(name), re.MULTILINE)
    assert table
    return [re.split(r" Ta ", line[4:]) for line in table[1].splitlines()]


def check(build, folder: Path, text: str) -> str:
    """What shmgated --check says of a configuration that is in order."""
    (folder / "gateway.ini").write_text(text)
    done = subprocess.run([build.shmgated, "--config", "gateway.ini", "--check"], cwd=folder, capture_output=True,
                          text=True, timeout=LIMIT, env=build.environment())
    assert done.returncode == 0, done.stdout
    return done.stdout


# ---- shmgate(7) ----

def test_overview_names_every_page():
    """From shmgate(7) every other page can be found."""
    pages = [path for folder in (MAN, ROOT / "shm/man") for path in folder.iterdir()]
    text = page("shmgate.7")
    text = text[:text.index(".Ss The segment")]
    missing = [path.name for path in pages if path.name != "shmgate.7" and f"{path.stem} {path.suffix[1:]}" not in text]
    assert len(pages) >= 11 and not missing, f"add to the list of shmgate(7): {missing}"


def test_metrics_are_as_shown(broker, new_gateway, socket_path):
    """Every kind of line that is shown is served."""
    gateway = new_gateway(publish_channel("telemetry"), broker=broker)
    gateway.metrics = {"listen": f"unix:{socket_path}"}
    gateway.write_config()
    gateway.start()
    gateway.write("telemetry", b"1")
    gateway.wait_for_delivery("telemetry", 1)
    (step,) = steps(block_with("shmgate.7", "curl"))
    command = step.command.replace("/run/shmgate/metrics.sock", str(socket_path))
    shown = {line.replace("/demo", "NAME") for line in shapes(step.shown)}

    def missing() -> set[str]:
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=LIMIT)
        return shown - shapes(done.stdout.replace(gateway.segment, "NAME").splitlines())

    wait_until(lambda: not missing(), lambda: f"not served: {missing()}")


def test_program_with_frames_works(build):
    """The lines of shmgate(7) that take a frame apart do so."""
    first_ns = 1_700_000_000_000_000_000
    samples = b"".join(struct.pack("<IQff", 8, first_ns + number, number, 2 * number) for number in (1, 2))
    message = struct.pack("<4sIQ", b"SGF1", 2, 0) + samples
    call = f"from types import SimpleNamespace\non_message(None, None, SimpleNamespace(payload={message!r}))\n"
    program = f"{block_with('shmgate.7', 'as_array')}\n{call}"
    done = subprocess.run(["/usr/bin/python3", "-c", program], capture_output=True, text=True, timeout=LIMIT,
                          env={**os.environ, "PYTHONPATH": str(build.path / "python")})
    assert done.returncode == 0, done.stderr
    printed = [line.split()[:2] for line in done.stdout.splitlines()]
    assert printed == [["8", str(first_ns + number)] for number in (1, 2)]


# ---- shmgate-guarantees(7) ----

def test_outage_goes_as_shown(processes, build, new_broker, new_gateway, tmp_path):
    """The outage of shmgate-guarantees(7): written without a broker, spooled, looked at, delivered when it is back."""
    broker = new_broker(start=False)
    keys = dict(line.split(" = ") for line in block_with("shmgate-guarantees.7", "[channel").splitlines()[1:])
    gateway = new_gateway({"name": "telemetry", **keys}, broker=broker, spool={"path": tmp_path / "spool.db"})
    gateway.start(link=False)
    session = Session(processes, build, tmp_path, names={"/demo": gateway.segment})
    for step in steps(block_with("shmgate-guarantees.7", "seq 1500")):
        if step.command.startswith("mosquitto "):
            broker.start()
        else:
            session.check(step, looks="write" not in step.command)


# ---- shmgate-sizing(7) ----

def test_segment_is_as_large_as_computed(build, tmp_path):
    """A table's channel alone makes a segment of so many KiB, and some for all else."""
    for name, payload, slots, writers, slot, kib in rows("shmgate-sizing.7", "Channel"):
        keys = {"max_payload": payload, "slots": slots}
        if "subscribe" in name:
            keys |= {"direction": "subscribe", "topic": "a/#"}
        else:
            keys |= {"direction": "publish", "topic": "a/b", "writers": writers}
        text = ini_text({"mqtt": {"uri": "mqtt://localhost"}, "channel a": keys})
        found = int(re.search(r"of (\d+) KiB", check(build, tmp_path, text))[1])
        assert 0 < found - int(kib) <= 12, (name, found)
        assert int(writers) * int(slots) * int(slot) / 1024 == pytest.approx(int(kib), abs=1), name


def test_example_of_sizing_is_as_shown(build, tmp_path):
    """The machine of the example: --check prints what is shown, and the sum in the text is that of its channels."""
    (step,) = steps(block_with("shmgate-sizing.7", "--check"))
    assert [check(build, tmp_path, block_with("shmgate-sizing.7", "[mqtt]")).rstrip()] == step.shown
    sentence = r"That is ([\d +]+) = (\d+) KiB of slots, and (\d+) for all else"
    terms, total, rest = re.search(sentence, page("shmgate-sizing.7")).groups()
    assert sum(map(int, terms.split(" + "))) == int(total)
    assert f"of {int(total) + int(rest)} KiB" in step.shown[0]


def test_spool_is_as_large_as_computed():
    """The sums of the table are right, and the constant is that of the source."""
    constant = int(re.search(r"payload \+ (\d+) bytes of file", page("shmgate-sizing.7"))[1])
    headers = [path.read_text() for path in (ROOT / "gateway").rglob("spool*.h")]
    assert any(re.search(rf"#define SPOOL_MESSAGE_BYTES {constant}\b", text) for text in headers)
    seconds = {"hour": 3600, "hours": 3600, "day": 86400, "week": 7 * 86400}
    for messages, outage, spool in rows("shmgate-sizing.7", "Messages"):
        numbers = re.match(r"([\d,]+) bytes, ([\d,]+) a second", messages).groups()
        size, rate = (int(number.replace(",", "")) for number in numbers)
        count, unit = outage.split()
        assert round(int(count) * seconds[unit] * rate * (size + constant) / 1e6) == int(spool.split()[0]), messages


@pytest.mark.parametrize("payload", ["64", "1024"])
def test_spooled_message_takes_what_was_measured(new_gateway, payload):
    """A spool of many messages is as large as the table says, give or take a twentieth."""
    measured = next(int(row[2]) for row in rows("shmgate-sizing.7", "payload") if row[0] == payload)
    channel = publish_channel(max_payload=payload, writers=1, overflow="reject", spool="always")
    gateway = new_gateway(channel, mqtt={"uri": f"mqtt://127.0.0.1:{free_port()}"}).start(link=False)
    done = gateway.tool("write", "out", "-l", "-W", str(int(LIMIT)), input=(b"x" * int(payload) + b"\n") * 4000)
    assert done.returncode == 0, done.stderr
    wait_until(lambda: gateway.channel("out")["spooled"] == 4000, "all on disk")
    assert gateway.stats()["spool"]["bytes"] / 4000 == pytest.approx(measured, rel=0.05)


# ---- shmgate-realtime(7) ----

@pytest.fixture
def loop_program(build, tmp_path):
    """The page's program, for a segment of the test."""
    def make(segment: str) -> Path:
        text = block_with("shmgate-realtime.7", "int main")
        return compile_program(text.replace("attach(&shm, NULL", f'attach(&shm, "{segment}"'), build, tmp_path)
    return make


@pytest.fixture
def machine(broker, new_gateway):
    """The gateway that the page's program wants, with a segment of 8 MiB."""
    state = publish_channel("state", max_payload=64, slots=65536, writers=1)
    return new_gateway(state, subscribe_channel("commands"), broker=broker).start()


def test_control_loop_of_the_page_runs(machine, broker, loop_program, processes):
    """It writes its state again and again, and follows a set-point that comes by MQTT."""
    loop = processes.start([loop_program(machine.segment)], stderr=subprocess.DEVNULL)
    machine.wait_for_delivery("state", 100)
    broker.publish("test/commands", struct.pack("<d", 5.0))

    def position() -> float:
        done = machine.tool("read", "state", "-C", "1", "-R", "-F", "%x", "-W", str(int(LIMIT)))
        return struct.unpack("<dd", bytes.fromhex(done.stdout.decode()))[0]

    wait_until(lambda: position() > 0, "the loop to move towards its set-point")
    loop.send_signal(signal.SIGTERM)
    assert loop.wait(LIMIT) == -signal.SIGTERM


def test_too_little_locked_memory_is_told(machine, loop_program):
    """With locked memory and too low a limit, attaching fails with the page's words."""
    (message,) = re.findall(r"^\.Dl (map segment .*)", page("shmgate-realtime.7"), re.MULTILINE)
    # Root knows no limit, unless the capability is taken away.
    drop = ["setpriv", "--inh-caps=-all", "--bounding-set=-ipc_lock"] if os.geteuid() == 0 else []
    command = ["prlimit", "--memlock=4194304:4194304", *drop, str(loop_program(machine.segment))]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
    except subprocess.TimeoutExpired as error:
        pytest.fail(f"it attached all the same: {error.stderr}; may nobody lock memory here, in a container?")
    assert done.returncode == 1 and message.replace("/shmgate", machine.segment) in done.stderr, done


# ---- shmgate-troubleshooting(7) ----

def literals(source: str) -> list[str]:
    """The string literals of a C source, with those that stand side by side as one."""
    joined = re.sub(r'"\s*\n?\s*"', "", re.sub(r"/\*.*?\*/", "", source, flags=re.DOTALL))
    return re.findall(r'"((?:[^"\\\n]|\\.)*)"', joined)


PLACE = re.compile(r"%[-#0-9l.*zu]*[a-z]")
"""Where printf puts something in."""


def is_made_of(line: str, formats: set[str]) -> bool:
    """Whether one of the formats makes this line, and two fifths of it at least are the format's own text.

    What is put in may be a message itself, of ours or of the system.
    """
    inner = {text for text in formats if len(text) > 15 and not PLACE.search(text)}
    inner |= {os.strerror(number) for number in errno.errorcode}
    short = line
    for text in sorted(inner, key=len, reverse=True):
        short = short.replace(text, "X")
    for text in formats:
        own, pattern = PLACE.sub("", text), ".+".join(map(re.escape, PLACE.split(text)))
        if any(len(own) > 0.4 * len(part) and re.fullmatch(pattern, part) for part in (line, short)):
            return True
    return line in formats


def test_quoted_messages_are_in_the_sources():
    """Each message of shmgate-troubleshooting(7) is one that gateway or library have, with an example's values."""
    quoted = []
    for block in re.findall(r"^\.Bl -diag\n(.*?)^\.El", page("shmgate-troubleshooting.7"), re.MULTILINE | re.DOTALL):
        quoted += re.findall(r"^\.It (.*)", block, re.MULTILINE)
    for name in ("shmgate-containers.7", "shmgate-realtime.7"):
        quoted += re.findall(r"^\.Dl ((?:create|map) segment .*)", page(name), re.MULTILINE)
    sources = [path for folder in ("gateway", "shm") for path in (ROOT / folder).rglob("*.c")]
    found = {literal for path in sources for literal in literals(path.read_text())}
    formats = {literal.replace('\\"', '"').replace("\\n", "") for literal in found}
    unknown = [line for line in quoted if not is_made_of(line, formats)]
    assert len(quoted) > 15 and not unknown, f"nobody says: {unknown}"
