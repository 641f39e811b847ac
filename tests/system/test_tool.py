"""The shmgate command: its exit codes, formats and counts, as scripts rely on them."""
from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from harness import LIMIT, free_port, publish_channel, shared_memory_names, subscribe_channel, wait_until


@pytest.fixture
def lonely(new_gateway):
    """A gateway without a broker: what is written into its channel stays in the ring."""
    def make(**keys):
        return new_gateway(publish_channel(**keys), mqtt={"uri": f"mqtt://127.0.0.1:{free_port()}"}).start(link=False)
    return make


def test_read_ends_with_27_when_nothing_came(new_gateway, broker):
    """-W runs out: exit code 27, as mosquitto_sub has it, and no output."""
    gateway = new_gateway(subscribe_channel(), broker=broker).start()
    done = gateway.tool("read", "in", "-W", "1")
    assert (done.returncode, done.stdout) == (27, b""), done


def test_read_formats(new_gateway, broker):
    """%p, %t, %n, %x and %U, text around them and %%."""
    gateway = new_gateway(subscribe_channel(topic="a/+"), broker=broker).start()
    before = time.time()
    broker.publish("a/b", "hello")
    line = gateway.read("in", fields="[%t] %p %x %n %U 100%%")[0]
    match = re.fullmatch(r"\[a/b\] hello 68656c6c6f 0 (\d+\.\d+) 100%", line)
    assert match, line
    # Two clocks of one machine: up to their resolution the message is not older than the publish.
    assert before - 0.1 <= float(match[1]) <= time.time() + 0.1


def test_publish_channel_can_be_read(new_gateway, broker):
    """What one program writes into a publish channel another can read, with the channel's topic."""
    gateway = new_gateway(publish_channel(), broker=broker).start()
    gateway.write("out", b"local")
    assert gateway.read("out", fields="%t %p") == ["test/out local"]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nosuch"],
        ["write"],
        ["write", "out"],
        ["write", "out", "-m", "a", "-l"],
        ["read"],
        ["read", "in", "-C", "many"],
        ["stats", "--nosuch"],
    ],
)
def test_wrong_usage_ends_with_2(build, arguments):
    """Wrong arguments: exit code 2, a reason, nothing on standard output."""
    done = subprocess.run([str(build.shmgate), *arguments], capture_output=True, timeout=LIMIT)
    assert done.returncode == 2 and done.stderr and not done.stdout, done


def test_wrong_usage_of_the_daemon_ends_with_2(build):
    """The same for shmgated; --help and --version are answers."""
    for arguments in (["--nosuch"], ["extra"]):
        assert subprocess.run([str(build.shmgated), *arguments], capture_output=True, timeout=LIMIT).returncode == 2
    for argument in ("--help", "--version"):
        done = subprocess.run([str(build.shmgated), argument], capture_output=True, timeout=LIMIT)
        assert done.returncode == 0 and done.stdout and not done.stderr, done


def test_release_removes_what_a_stopped_gateway_left(new_gateway, broker):
    """Segment and semaphore are gone afterwards; while a gateway runs, release is refused."""
    gateway = new_gateway(publish_channel(), broker=broker).start()
    name = gateway.segment[1:]
    done = gateway.tool("release")
    assert done.returncode == 1 and done.stderr.count(b"\n") == 1, done
    assert {name, f"sem.{name}"} <= shared_memory_names()
    gateway.stop()
    assert {name, f"sem.{name}"} <= shared_memory_names()
    assert gateway.tool("release").returncode == 0
    assert not {name, f"sem.{name}"} & shared_memory_names()
    assert gateway.tool("release").returncode == 1


def test_stats_are_readable_by_people(new_gateway, broker):
    """Without --json: a line for each channel, with its counters."""
    gateway = new_gateway(publish_channel("temperature"), subscribe_channel("setpoint"), broker=broker).start()
    gateway.write("temperature", b"x")
    text = gateway.tool("stats").stdout.decode()
    assert "temperature" in text and "setpoint" in text, text


@pytest.mark.parametrize("command", ["write", "read", "list", "stats", "release"])
def test_every_command_explains_itself(build, command):
    """--help and --version are answers: exit code 0, on standard output."""
    for argument, word in (("--help", command), ("--version", "shmgate")):
        done = subprocess.run([str(build.shmgate), command, argument], capture_output=True, text=True, timeout=LIMIT)
        assert done.returncode == 0 and word in done.stdout and not done.stderr, done


def test_read_takes_what_is_there_without_waiting(lonely):
    """-W 0 prints all that the ring holds and ends with 27."""
    gateway = lonely()
    gateway.tool("write", "out", "-l", input=b"one\ntwo\n")
    done = gateway.tool("read", "out", "-W", "0")
    assert (done.returncode, done.stdout) == (27, b"one\ntwo\n"), done


def test_read_of_new_messages_hides_old_ones(lonely):
    """-R: what was written before the call is not printed."""
    gateway = lonely()
    gateway.write("out", b"old")
    reader = gateway.start_reader("out", "-R", "-C", "1")

    def has_read() -> bool:
        gateway.write("out", b"new")
        return reader.poll() is not None

    wait_until(has_read, "the reader to end")
    assert (reader.returncode, reader.stdout.read()) == (0, b"new\n")


def test_read_waits_for_a_gateway_that_starts_later(new_gateway, broker):
    """Without -W a reader may come first; it says once what it waits for."""
    gateway = new_gateway(publish_channel(), broker=broker)
    reader = gateway.start_reader("out", "-C", "1")
    assert gateway.segment in reader.stderr.readline().decode()
    gateway.start()
    gateway.write("out", b"late")
    assert (reader.wait(LIMIT), reader.stdout.read(), reader.stderr.read()) == (0, b"late\n", b"")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_read_ends_quietly_by_a_signal(lonely, number):
    """Ctrl-C and SIGTERM end a reader that waits: exit code 0, nothing said, and what it had is printed."""
    gateway = lonely()
    gateway.write("out", b"before")
    reader = gateway.start_reader("out")
    assert reader.stdout.readline() == b"before\n"
    reader.send_signal(number)
    assert (reader.wait(LIMIT), reader.stdout.read(), reader.stderr.read()) == (0, b"", b"")


def test_read_ends_quietly_when_its_pipe_is_closed(lonely):
    """Whoever reads our output goes away: exit code 0 at the next message, nothing said."""
    gateway = lonely()
    gateway.write("out", b"first")
    reader = gateway.start_reader("out")
    assert reader.stdout.readline() == b"first\n"
    reader.stdout.close()
    gateway.write("out", b"second")
    assert (reader.wait(LIMIT), reader.stderr.read()) == (0, b"")


@pytest.mark.parametrize("arguments", [["read", "out", "-C", "1"], ["stats"], ["stats", "--json"]])
def test_full_disk_at_the_output_is_an_error(lonely, build, arguments):
    """Output that cannot be written: exit code 1 and one line."""
    gateway = lonely()
    gateway.write("out", b"x")
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [str(build.shmgate), *arguments, "-S", gateway.segment], stdout=full, stderr=subprocess.PIPE, timeout=LIMIT
        )
    assert done.returncode == 1 and done.stderr.count(b"\n") == 1, done


def test_closed_streams_do_not_reach_the_segment(lonely, build):
    """Started without standard streams the tool fails; it does not take the segment for one, to print into or to read
    from."""
    gateway = lonely()
    gateway.write("out", b"x")
    before = gateway.stats()
    for command, closed in (
        ("stats", ">&-"),
        ("stats --json", ">&-"),
        ("read out -C 1", ">&-"),
        ("read out -C 1", "0<&- >&- 2>&-"),
        ("write out -s", "<&-"),
        ("write out -l", "<&-"),
    ):
        script = f'"$0" {command} -S "$1" {closed}'
        done = subprocess.run(
            ["sh", "-c", script, str(build.shmgate), gateway.segment], capture_output=True, timeout=LIMIT
        )
        assert done.returncode == 1 and not done.stdout, (command, closed, done)
    assert gateway.stats() == before


def test_missed_messages_are_reported_once(lonely):
    """A reader that was stopped while its ring was written over says on one line how many messages it has missed."""
    gateway = lonely(slots=16, writers=1)
    gateway.write("out", b"0")
    reader = gateway.start_reader("out", "-C", "17")
    assert reader.stdout.readline() == b"0\n"
    reader.send_signal(signal.SIGSTOP)
    wait_until(
        lambda: Path(f"/proc/{reader.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T", "the reader to stop"
    )
    gateway.tool("write", "out", "-l", input=b"".join(b"%d\n" % number for number in range(1, 101)))
    reader.send_signal(signal.SIGCONT)
    assert reader.wait(LIMIT) == 0
    assert reader.stdout.read() == b"".join(b"%d\n" % number for number in range(85, 101))
    error = reader.stderr.read()
    assert error.count(b"\n") == 1 and b" missed 84 " in error, error


def test_lines_keep_every_byte(lonely):
    """write -l: NUL bytes stay, empty lines are messages, and a last line needs no newline."""
    gateway = lonely()
    assert gateway.tool("write", "out", "-l", input=b"a\0b\n\n\r\nlast").returncode == 0
    assert gateway.read("out", 4) == [b"a\0b".hex(), "", b"\r".hex(), b"last".hex()]


def test_line_that_is_too_large_ends_the_input(lonely):
    """write -l: the error has both sizes and the number of messages written before; nothing of that line or after it
    is."""
    gateway = lonely(max_payload=8)
    done = gateway.tool("write", "out", "-l", input=b"one\ntwo\n" + b"x" * 9 + b"\nfour\n")
    error = done.stderr.decode()
    assert done.returncode == 1 and error.count("\n") == 1, done
    assert "after 2 messages" in error and "9 bytes" in error and "max_payload is 8" in error, error
    assert gateway.channel("out")["written"] == 2


def test_input_without_an_end_is_refused(lonely):
    """A file that never ends is an error, before it fills the memory."""
    gateway = lonely()
    done = gateway.tool("write", "out", "-f", "/dev/zero")
    assert done.returncode == 1 and done.stderr.count(b"\n") == 1 and b"/dev/zero" in done.stderr, done
    assert gateway.channel("out")["written"] == 0


def test_lines_wait_for_room(new_gateway, broker, subscribe):
    """write -l into a full ring with overflow = reject: it goes on when there is room, and nothing is lost."""
    gateway = new_gateway(publish_channel(qos=1, overflow="reject", slots=4, writers=1), broker=broker).start()
    subscriber = subscribe(broker, "test/out")
    lines = [b"%d" % number for number in range(500)]
    done = gateway.tool("write", "out", "-l", "-W", str(int(LIMIT)), input=b"\n".join(lines))
    assert done.returncode == 0, done
    subscriber.expect(len(lines))
    assert subscriber.payloads() == lines


def test_stats_as_json(lonely):
    """The object and the keys that scripts rely on, with a topic that needs escapes; only reasons that occurred are in
    it."""
    topic = 'a "quoted" \\ topic/wärme'
    gateway = lonely(topic=topic, slots=4, writers=1)
    gateway.tool("write", "out", "-l", input=b"1\n2\n3\n4\n5\n6\n")
    stats = json.loads(gateway.tool("stats", "--json").stdout.decode("utf-8", "strict"))
    assert stats["segment"] == gateway.segment and stats["gateway"] is True and stats["link"] == "down"
    (channel,) = stats["channels"]
    assert {
        key: channel[key]
        for key in ("name", "direction", "topic", "written", "delivered", "queued", "spooled", "dropped")
    } == {
        "name": "out",
        "direction": "publish",
        "topic": topic,
        "written": 6,
        "delivered": 0,
        "queued": 4,
        "spooled": 0,
        "dropped": {"overwritten": 2},
    }
    gateway.stop()
    assert json.loads(gateway.tool("stats", "--json").stdout)["gateway"] is False


def run(build, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    """The tool, without a segment's name unless one is given."""
    return subprocess.run(
        [str(build.shmgate), *arguments],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        env={**build.environment(), "PATH": "/usr/bin:/bin", **environment},
    )


def test_long_options_are_the_short_ones(new_gateway, build):
    """Each short option has a word, with = or without."""
    gateway = new_gateway(publish_channel(), mqtt={"uri": f"mqtt://127.0.0.1:{free_port()}"}).start(link=False)
    assert run(build, "write", "out", "--message", "one", f"--segment={gateway.segment}").returncode == 0
    assert run(build, "write", "out", "--null-message", "--timeout", "1", "--segment", gateway.segment).returncode == 0
    done = run(build, "read", "out", "--count", "2", "--timeout=5", "--format", "%n[%p]", "--segment", gateway.segment)
    assert (done.returncode, done.stdout) == (0, "0[one]\n1[]\n"), done
    done = run(build, "read", "out", "--new-only", "--timeout", "0", "--segment", gateway.segment)
    assert (done.returncode, done.stdout) == (27, ""), done


@pytest.mark.parametrize(
    "arguments",
    [
        ["stats", "--message", "x"],
        ["read", "out", "--json"],
        ["release", "--count", "1"],
        ["help", "nosuch"],
        ["version", "extra"],
        ["list", "extra"],
        ["spool", "list", "--segment", "/x"],
    ],
)
def test_options_of_other_commands_are_wrong(build, arguments):
    """A word that belongs to another command is wrong usage, as its letter is."""
    done = run(build, *arguments)
    assert done.returncode == 2 and done.stderr and not done.stdout, done


def test_help_and_version_are_commands(build):
    """They print what the options print; a mistyped command is told what was probably meant."""
    assert run(build, "help").stdout == run(build, "--help").stdout
    assert run(build, "help", "read").stdout == run(build, "read", "--help").stdout
    assert run(build, "version").stdout == run(build, "--version").stdout
    done = run(build, "raed", "out")
    assert done.returncode == 2 and "did you mean read?" in done.stderr, done
    assert run(build, "help", "stat").stderr.count("did you mean stats?") == 1


def test_segment_is_named_without_slash_and_by_the_environment(lonely, build):
    """-S takes the name without its slash; $SHMGATE_SEGMENT is the default; -S goes before it; an empty one is none."""
    gateway = lonely()
    for arguments, environment in (
        (["-S", gateway.segment[1:]], {}),
        ([], {"SHMGATE_SEGMENT": gateway.segment}),
        ([], {"SHMGATE_SEGMENT": gateway.segment[1:]}),
        (["-S", gateway.segment], {"SHMGATE_SEGMENT": "/nosuch"}),
    ):
        done = run(build, "stats", "--json", *arguments, **environment)
        assert done.returncode == 0 and json.loads(done.stdout)["segment"] == gateway.segment, done
    assert "segment /shmgate" in run(build, "release", SHMGATE_SEGMENT="").stderr


def test_list_tells_the_channels(new_gateway, build):
    """Direction and topic of each channel, as text and as JSON, with topics that need escapes."""
    topic = 'a "quoted" \\ topic'
    gateway = new_gateway(
        publish_channel(topic=topic), subscribe_channel(topic="a/#"), mqtt={"uri": f"mqtt://127.0.0.1:{free_port()}"}
    ).start(link=False)
    lines = [line.split(None, 2) for line in run(build, "list", "-S", gateway.segment).stdout.splitlines()]
    assert lines == [["channel", "direction", "topic"], ["out", "publish", topic], ["in", "subscribe", "a/#"]]
    listed = json.loads(run(build, "list", "--json", SHMGATE_SEGMENT=gateway.segment).stdout)
    assert listed == {
        "segment": gateway.segment,
        "channels": [
            {"name": "out", "direction": "publish", "topic": topic},
            {"name": "in", "direction": "subscribe", "topic": "a/#"},
        ],
    }
    assert run(build, "list", "-S", gateway.segment + "-nosuch").returncode == 1


def test_list_tells_the_segments_when_there_are_several(new_gateway, build):
    """Without a name: each segment of the machine, and whether a gateway serves it. Other things in /dev/shm are passed
    over."""
    served = new_gateway(publish_channel("one"), mqtt={"uri": f"mqtt://127.0.0.1:{free_port()}"}).start(link=False)
    left = new_gateway(
        publish_channel("two"),
        publish_channel("three"),
        mqtt={"uri": f"mqtt://127.0.0.1:{free_port()}"},
        name=served.segment + "-left",
    ).start(link=False)
    left.stop()
    other = Path("/dev/shm") / (served.segment[1:] + "-other")
    try:
        os.mkfifo(other)
        found = {entry["segment"]: entry for entry in json.loads(run(build, "list", "--json").stdout)["segments"]}
        assert found[served.segment] == {"segment": served.segment, "gateway": True, "link": "down", "channels": 1}
        assert found[left.segment] == {"segment": left.segment, "gateway": False, "link": "down", "channels": 2}
        assert f"/{other.name}" not in found
        text = run(build, "list").stdout
        assert re.search(rf"^{served.segment} +running +down +1$", text, re.MULTILINE), text
        assert re.search(rf"^{left.segment} +gone +down +2$", text, re.MULTILINE), text
    finally:
        other.unlink(missing_ok=True)
        left.tool("release")


def test_stats_tell_the_state_of_the_broker(new_gateway, broker):
    """In words and since when, connected or not, and that no gateway runs."""
    gateway = new_gateway(publish_channel(), broker=broker).start()
    assert re.search(r", connected to the broker since 2\d{3}-\d\d-\d\dT", gateway.tool("stats").stdout.decode())
    broker.stop()
    wait_until(
        lambda: ", not connected to the broker since" in gateway.tool("stats").stdout.decode(),
        "the loss of the broker to show",
    )
    gateway.stop()
    assert "no gateway runs" in gateway.tool("stats").stdout.decode()


def test_stats_work_where_memory_is_read_only(lonely, build):
    """In a container that has /dev/shm mounted read-only, who only looks is served; who writes is told why not."""
    gateway = lonely()
    # Private first: a machine may share its mounts.
    script = (
        "mount --make-private /dev/shm && mount --bind /dev/shm /dev/shm && mount -o remount,ro,bind /dev/shm && "
        '"$0" stats --json -S "$1" >/dev/null && "$0" list -S "$1" >/dev/null && "$0" write out -m x -S "$1"'
    )
    unshare = ["unshare", "--propagation", "unchanged", "-m"] + (["-r"] if os.geteuid() != 0 else [])
    done = subprocess.run(
        [*unshare, "sh", "-c", script, str(build.shmgate), gateway.segment],
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    error = done.stderr
    assert done.returncode == 1 and "write out" in error and "read-only" in error and "/dev/shm" in error, done
