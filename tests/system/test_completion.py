"""Bash completes the command lines of shmgate and shmgated: commands, options, segments and their channels."""
from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from harness import LIMIT, ROOT, publish_channel, subscribe_channel, wait_until

SCRIPTS = {"shmgate": ROOT / "gateway/tool/shmgate.bash", "shmgated": ROOT / "gateway/shmgated.bash"}


@pytest.fixture
def complete(build, tmp_path):
    """A function that gives what a real bash offers for the last of some words; the cursor stands at its end, or at
    that of word `at`."""
    def offered(program: str, *words: str, at: int | None = None) -> set[str]:
        script = (
            'source "$1"; shift; read -ra registered < <(complete -p "$1"); function=${registered[2]}; shift\n'
            'COMP_CWORD=$1; shift; COMP_WORDS=("$@"); set -u; "$function" "$1" && printf "%s\\n" "${COMPREPLY[@]}"'
        )
        command = [
            "bash",
            "--norc",
            "-c",
            script,
            "bash",
            SCRIPTS[program],
            program,
            str(at or len(words)),
            build.path / "bin" / program,
            *words,
        ]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            env=build.environment(PATH="/usr/bin:/bin"),
        )
        assert done.returncode == 0 and not done.stderr, done.stderr
        return set(done.stdout.split("\n")) - {""}
    return offered


def test_commands_are_offered(complete):
    """The first word is a command or one of the two options."""
    everything = complete("shmgate", "")
    assert everything >= {
        "write",
        "read",
        "list",
        "stats",
        "release",
        "spool",
        "help",
        "version",
        "--help",
        "--version",
    }
    assert not {word for word in everything if not word.strip("-").isalpha()}
    assert complete("shmgate", "re") == {"read", "release"}
    assert complete("shmgate", "x") == set()


def test_options_of_the_command_are_offered(complete):
    """Each command has its own options, long ones too; a command that does not exist has none."""
    assert complete("shmgate", "write", "-") == {
        "-m",
        "-n",
        "-f",
        "-l",
        "-s",
        "-W",
        "-S",
        "--message",
        "--null-message",
        "--file",
        "--stdin-line",
        "--stdin-file",
        "--timeout",
        "--segment",
        "--help",
    }
    assert complete("shmgate", "read", "-") == {
        "-C",
        "-W",
        "-F",
        "-R",
        "-S",
        "--count",
        "--timeout",
        "--format",
        "--new-only",
        "--segment",
        "--help",
    }
    assert complete("shmgate", "help", "re") == {"read", "release"}
    assert complete("shmgate", "stats", "--j") == {"--json"}
    assert complete("shmgate", "nonsense", "-") == set()


def test_actions_of_the_spool_are_offered(complete):
    """The second word of spool is an action."""
    assert complete("shmgate", "spool", "") == {"list", "show", "export", "check"}
    assert complete("shmgate", "spool", "-f", "spool.db", "e") == {"export"}


def test_files_are_offered(complete, tmp_path):
    """Behind options that take a file stand files, also those with a space; behind others nothing."""
    (tmp_path / "one file").touch()
    assert complete("shmgate", "write", "out", "-f", "") == {"one file"}
    assert complete("shmgate", "spool", "list", "-f", "one") == {"one file"}
    assert complete("shmgate", "spool", "list", "--file", "one") == {"one file"}
    assert complete("shmgate", "spool", "list", "--file", "=", "one") == {"one file"}
    assert complete("shmgate", "spool", "list", "--file", "=") == {"one file"}
    assert complete("shmgate", "write", "out", "-m", "") == set()
    assert complete("shmgated", "--config", "one") == {"one file"}
    assert complete("shmgated", "-c", "") == {"one file"}
    assert complete("shmgated", "--config", "=", "one") == {"one file"}
    assert complete("shmgated", "--config", "=") == {"one file"}


def test_options_of_the_daemon_are_offered(complete):
    """All that its --help tells."""
    assert complete("shmgated", "") >= {"--config", "--check", "--version", "--help"}
    assert complete("shmgated", "--config", "file", "--c") == {"--config", "--check"}


def test_channels_of_the_segment_are_offered(complete, broker, new_gateway, segment):
    """Channels are those of the segment that -S names, wherever it stands: publish channels to write, all to read."""
    new_gateway(
        publish_channel("out"),
        publish_channel("other", topic='test/"name": "no", "direction": "publish"'),
        subscribe_channel("in"),
        broker=broker,
    ).start(link=False)
    assert complete("shmgate", "write", "-S", segment, "") == {"out", "other"}
    assert complete("shmgate", "read", f"-S{segment}", "") == {"out", "other", "in"}
    assert complete("shmgate", "read", "i", "-S", segment, at=2) == {"in"}
    assert complete("shmgate", "read", "--segment", segment, "i") == {"in"}
    assert complete("shmgate", "read", "--segment", "=", segment, "i") == {"in"}
    assert complete("shmgate", "read", "i", "--segment", "=", segment, at=2) == {"in"}
    assert complete("shmgate", "write", "-S", segment, "-m", "text", "ou") == {"out"}
    assert complete("shmgate", "write", "out", "-S", segment, "") == set()
    assert complete("shmgate", "stats", "-S", segment, "") == set()


def test_channels_of_the_spool_are_offered(complete, new_gateway):
    """Actions that take a channel are offered those that have messages in the spool."""
    gateway = new_gateway(publish_channel("out", spool="always"), publish_channel("other", spool="always"),
                          mqtt={"uri": "mqtt://127.0.0.1:1", "connect_timeout": "1s"}).start(link=False)
    gateway.write("out", b"1")
    wait_until(lambda: gateway.channel("out")["spooled"] == 1, "the message in the spool")
    spool = str(gateway.spool_path)
    assert complete("shmgate", "spool", "list", "-f", spool, "") == {"out"}
    assert complete("shmgate", "spool", "-f", spool, "export", "o") == {"out"}
    assert complete("shmgate", "spool", "show", "", "-f", spool, at=3) == {"out"}
    assert complete("shmgate", "spool", "check", "-f", spool, "") == set()
    assert complete("shmgate", "spool", "list", "-f", spool + ".gone", "") == set()


def test_no_segment_is_silence(complete, segment):
    """Without the segment nothing is offered, and nothing said."""
    assert complete("shmgate", "write", "-S", segment, "") == set()
    assert complete("shmgate", "read", "-S", "nonsense", "") == set()


def test_segments_are_offered(complete, broker, new_gateway, segment, tmp_path):
    """Behind -S stand the segments of this machine. Other files are not offered, and names that a shell would obey are
    not obeyed."""
    others = [Path("/dev/shm") / f"{segment[1:]}{name}" for name in ("-other", "-$(touch trapped)", "-fifo")]
    new_gateway(publish_channel(), broker=broker).start(link=False)
    try:
        os.mkfifo(others[2])
        others[0].write_bytes(b"something\0else")
        others[1].write_bytes(b"SHMGATE1")
        assert complete("shmgate", "stats", "-S", segment) == {segment}
        assert segment in complete("shmgate", "read", "in", "-S", "")
        assert not (tmp_path / "trapped").exists()
    finally:
        for other in others:
            other.unlink(missing_ok=True)
