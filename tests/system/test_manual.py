"""The manual pages are well formed, tell all there is to tell, and show what really happens. (test_config_manual looks
at the keys of gateway.ini, test_guides at what the pages of section 7 compute and show.) Each failure says what is to
be added to which page."""
from __future__ import annotations

import gzip
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from harness import LIMIT, ROOT, publish_channel, subscribe_channel, wait_until

PAGES = sorted([*(ROOT / "gateway/man").iterdir(), *(ROOT / "shm/man").iterdir()])
OTHERS = {
    "fork(2)",
    "less(1)",
    "limits.conf(5)",
    "mlockall(2)",
    "mosquitto_pub(1)",
    "mosquitto_sub(1)",
    "poll(2)",
    "sched(7)",
    "sd_notify(3)",
    "sd_watchdog_enabled(3)",
    "sem_post(3)",
    "systemd-nspawn(1)",
}
"""Pages of other packages that ours refer to."""
HEADER = (ROOT / "shm/shared_memory.h").read_text()
COMMANDS = ["write", "read", "list", "stats", "top", "release", "spool"]
"""Those of shmgate that the tests below go through; test_page_has_every_command compares them with what the tool
says."""

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def source(name: str) -> str:
    """The source of a page."""
    return next(path for path in PAGES if path.name == name).read_text()


def shown(name: str) -> str:
    """What a terminal shows of a page, without bold and underlining, in one line."""
    path = next(path for path in PAGES if path.name == name)
    done = subprocess.run(["mandoc", "-T", "ascii", path], capture_output=True, text=True, timeout=LIMIT, check=True)
    return " ".join(re.sub(".\b", "", done.stdout).split())


def said(build: Any, program: str, *arguments: str) -> str:
    """What a program prints."""
    return subprocess.run(
        [build.path / "bin" / program, *arguments],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=True,
        env=build.environment(),
    ).stdout


def options_of(text: str) -> set[str]:
    """The options that a --help describes: those at the beginning of an indented line."""
    return {
        word
        for line in re.findall(r"^ {2,}(-\S.*)", text, re.MULTILINE)
        for word in re.findall(r"(?:^|, )(--?[a-z-]+)", line, re.IGNORECASE)
    }


def macro(option: str) -> str:
    """An option as mdoc has it: .Fl puts one dash before its argument."""
    return option[1:]


def test_there_are_eleven_pages():
    """Nobody has moved them away from these tests."""
    guides = {
        f"shmgate-{name}.7"
        for name in ("containers", "guarantees", "realtime", "security", "sizing", "troubleshooting")
    }
    assert {path.name for path in PAGES} >= guides | {
        "gateway.ini.5",
        "shmgate.1",
        "shmgate.7",
        "shmgated.8",
        "shared_memory.3",
    }


@each_page
def test_page_is_well_formed(page):
    """mandoc has no error and no warning."""
    done = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "warning", page], capture_output=True, text=True, timeout=LIMIT
    )
    lines = [line for line in (done.stdout + done.stderr).splitlines() if "outdated mandoc.db" not in line]
    assert not lines, "\n".join(lines)


@each_page
def test_page_refers_to_pages_that_are_there(page):
    """Each cross reference is one of ours, or of a package that we name."""
    ours = {f"{path.stem}({path.suffix[1:]})" for path in PAGES}
    found = {
        f"{name}({number})"
        for name, number in re.findall(r"^\.(?:Pq see )?Xr (\S+) (\d)", page.read_text(), re.MULTILINE)
    }
    assert found and found <= ours | OTHERS, f"{page.name} refers to {sorted(found - ours - OTHERS)}, which nobody has"


def test_page_has_every_option_of_the_daemon(build):
    """shmgated(8) describes each option that shmgated --help tells."""
    text = source("shmgated.8")
    options = options_of(said(build, "shmgated", "--help"))
    assert {"--config", "--check"} <= options
    missing = [
        f".It Fl {macro(option)}"
        for option in sorted(options)
        if not re.search(rf"^\.It Fl (?:. , )?{macro(option)}\b", text, re.MULTILINE)
    ]
    assert not missing, f"add to gateway/man/shmgated.8: {missing}"


def test_page_has_every_command(build):
    """shmgate(1) has a subsection for each command that shmgate --help tells, and the tests here know each."""
    commands = set(re.findall(r"^  ([a-z]+) ", said(build, "shmgate", "--help"), re.MULTILINE))
    assert commands
    missing = [f".Ss {command}" for command in sorted(commands) if f"\n.Ss {command}\n" not in source("shmgate.1")]
    assert not missing, f"add to gateway/man/shmgate.1, and to its SYNOPSIS: {missing}"
    known = {*COMMANDS, "help", "version"}
    assert commands == known, f"COMMANDS of {Path(__file__).name} differ from shmgate --help: {commands ^ known}"


@pytest.mark.parametrize("command", COMMANDS)
def test_page_has_every_option_of_the_command(build, command):
    """shmgate(1) has each option, action and format letter that shmgate COMMAND --help tells: in the SYNOPSIS, and
    described under the command or with those that several have."""
    text = source("shmgate.1")
    help_text = said(build, "shmgate", command, "--help")
    synopsis = "".join(re.findall(rf"^\.Nm\n\.Cm {command}\n(?:(?!\.Nm|\.Sh).*\n)*", text, re.MULTILINE))
    common = text[text.index("\n.Sh DESCRIPTION"):text.index("\n.Ss ")]
    described = common + text[text.index(f"\n.Ss {command}\n"):].split("\n.Ss ")[1].split("\n.Sh ")[0]
    options = options_of(help_text)
    assert options and synopsis
    missing = [
        f"{option} in SYNOPSIS" for option in sorted(options) if not re.search(rf"\bFl {macro(option)}\b", synopsis)
    ]
    missing += [f".It Fl {macro(option)}" for option in sorted(options)
                if not re.search(rf"^\.It (?:Fl . , )?Fl {macro(option)}\b", described, re.MULTILINE)]
    missing += [
        f".It Cm {word}"
        for word in re.findall(r"^  ([a-z]+) ", help_text, re.MULTILINE)
        if f"\n.It Cm {word}\n" not in described
    ]
    letters = re.findall(r"%[a-zA-Z](?= )", help_text)
    missing += [
        f".It Li {letter}"
        for letter in letters
        if not re.search(rf"^\.It Li (?:\\&)?{letter}$", described, re.MULTILINE)
    ]
    assert not missing, f"add to gateway/man/shmgate.1 for {command}: {missing}"


def declarations(text: str) -> dict[str, str]:
    """Each function that the header declares, with its declaration in one line."""
    found = re.findall(r"^SHARED_MEMORY_API ([^;]*?)(shared_memory_\w+)\(([^;]*?)\);", text, re.MULTILINE)
    return {name: re.sub(r"\s+", " ", f"{kind.strip()} {name}({arguments})") for kind, name, arguments in found}


def prototypes(text: str) -> dict[str, str]:
    """The same of a page's SYNOPSIS."""
    found = {}
    synopsis = text[text.index(".Sh SYNOPSIS"):text.index(".Sh DESCRIPTION")]
    for kind, macros in re.findall(r"^\.Ft (.*)\n((?:\.F[noac].*\n)+)", synopsis, re.MULTILINE):
        name = macros.split()[1]
        arguments = re.findall(r'"(.*?)"', macros) or macros.split()[2:3]
        found[name] = f"{kind} {name}({', '.join(arguments)})"
    return found


def test_page_has_every_function():
    """shared_memory(3) names, shows as it is declared, and describes, each function of the header, and no other."""
    text = source("shared_memory.3")
    declared = declarations(HEADER)
    assert len(declared) > 20 and len(declared) == HEADER.count("\nSHARED_MEMORY_API ")
    named = set(re.findall(r"^\.Nm (shared_memory_\w+)", text, re.MULTILINE))
    assert named == set(declared), f"NAME of shm/man/shared_memory.3: {named ^ set(declared)}"
    differing = sorted(set(prototypes(text).items()) ^ set(declared.items()))
    assert not differing, f"SYNOPSIS of shm/man/shared_memory.3 differs from the header: {differing}"
    described = set(re.findall(r"\.Fn (shared_memory_\w+)", text[text.index(".Sh DESCRIPTION"):]))
    assert described == set(declared), f"describe in shm/man/shared_memory.3: {set(declared) - described}"


def test_page_has_every_error():
    """shared_memory(3) explains each error that the header names, and no other."""
    header = set(re.findall(r"-(E[A-Z]{3,})\b", HEADER))
    explained = re.findall(r"^\.It Bq Er (E\w+)", source("shared_memory.3"), re.MULTILINE)
    assert set(explained) == header, f"ERRORS of shm/man/shared_memory.3: {set(explained) ^ header}"
    assert explained == sorted(explained)


def test_page_has_every_member_of_a_message():
    """shared_memory(3) shows the structures with the members that the header gives them."""
    text = source("shared_memory.3")
    for name in ("shared_memory_message", "shared_memory_counters", "shared_memory_status", "shared_memory_gauges"):
        members = [set(re.findall(r"(\w+)(?:\[\w+\])?[;,]", re.sub(r"/\*.*?\*/", "", body, flags=re.DOTALL)))
                   for body in re.findall(rf"struct {name} \{{(.*?)^\}};", HEADER + text, re.MULTILINE | re.DOTALL)]
        assert (
            len(members) == 2 and members[0] == members[1]
        ), f"struct {name} in shm/man/shared_memory.3: {members[0] ^ members[-1]}"


def test_example_of_the_page_compiles(build, tmp_path):
    """The program of shared_memory(3) can be built as it stands there."""
    program = re.search(r"^\.Bd -literal\n(#include.*?)^\.Ed", source("shared_memory.3"), re.MULTILINE | re.DOTALL)
    assert program
    (tmp_path / "program.c").write_text(program[1].replace("\\e", "\\"))
    (tmp_path / "shmgate").symlink_to(ROOT / "shm", target_is_directory=True)
    done = subprocess.run(
        [
            "gcc",
            "-Wall",
            "-Wextra",
            "-Werror",
            f"-I{tmp_path}",
            tmp_path / "program.c",
            f"-L{build.path / 'lib'}",
            "-lshmgate",
            "-o",
            tmp_path / "program",
        ],
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert done.returncode == 0, done.stderr


def test_examples_of_the_page_are_in_order(build, tmp_path):
    """shmgated --check takes the configurations of gateway.ini(5), but for certificates that this machine does not
    have."""
    examples = re.findall(
        r"^\.Bd -literal -offset indent\n(\[mqtt\]\n.*?)^\.Ed", source("gateway.ini.5"), re.MULTILINE | re.DOTALL
    )
    assert len(examples) >= 2
    for example in examples:
        (tmp_path / "gateway.ini").write_text(re.sub(r"^\w+_file = .*\n", "", example, flags=re.MULTILINE))
        done = subprocess.run(
            [build.shmgated, "--config", tmp_path / "gateway.ini", "--check"],
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )
        assert done.returncode == 0, done.stdout


def names_in(value: Any) -> set[str]:
    """The member names of a JSON value, at any depth."""
    if isinstance(value, list):
        return set().union(*map(names_in, value))
    if isinstance(value, dict):
        return set(value).union(*map(names_in, value.values()))
    return set()


def test_page_has_every_member_of_the_statistics(broker, new_gateway):
    """shmgate(7) explains each member of the JSON on the stats topic, and each reason for which a message is
    dropped."""
    text = source("shmgate.7")
    gateway = new_gateway(publish_channel(), subscribe_channel(), broker=broker).start()
    gateway.write("out", b"1")
    gateway.wait_for_delivery("out", 1)
    wait_until(lambda: "latency_us" in gateway.channel("out"), "latencies in the statistics")
    names = names_in(gateway.stats())
    assert {"link", "by_lane", "p99.9"} <= names
    missing = [f".It Li \\(dq{name}\\(dq" for name in sorted(names) if f"Li \\(dq{name}\\(dq" not in text]
    reasons = re.findall(r'^\s*\[LAYOUT_DROP_\w+\] = "(\w+)"', (ROOT / "shm/layout.c").read_text(), re.MULTILINE)
    assert len(reasons) >= 10
    missing += [f".It Li {reason}" for reason in reasons if f"\n.It Li {reason}\n" not in text]
    assert not missing, f"add to TOPICS of gateway/man/shmgate.7: {missing}"


def test_diagnostics_of_the_page_are_real(broker, new_gateway):
    """What shmgate(1) has under DIAGNOSTICS is what the tool says, word for word."""
    text = source("shmgate.1")
    gateway = new_gateway(publish_channel(), subscribe_channel(), broker=broker)
    lines = [gateway.tool("stats").stderr]
    gateway.start(link=False)
    lines += [gateway.tool("write", "nothing", "-n").stderr, gateway.tool("write", "in", "-n").stderr,
              gateway.tool("write", "out", "-s", input=bytes(12813)).stderr, gateway.tool("release").stderr]
    messages = [
        re.sub(r"^shmgate: [a-z]+( \w+)?: ", "", line.decode().strip()).replace(gateway.segment, "/shmgate")
        for line in lines
    ]
    # What the machine has, in brackets at the end, is another each time.
    messages = [re.sub(r" \([^()]*\)$", "", message) for message in messages]
    messages = [re.sub(r"(channel) (?:nothing|in|out)\b", r"\1 NAME", message) for message in messages]
    assert re.findall(r"^\.It (.*)", text[text.index(".Sh DIAGNOSTICS"):], re.MULTILINE) == messages


def test_pages_are_installed(build, tmp_path):
    """The packages have each page, compressed, shared_memory(3) under the name of each of its functions, and what bash
    completes with."""
    for component in ("daemon", "development"):
        done = subprocess.run(
            ["cmake", "--install", build.path, "--component", component],
            capture_output=True,
            text=True,
            timeout=LIMIT,
            env={**os.environ, "DESTDIR": str(tmp_path)},
        )
        assert done.returncode == 0, done.stderr
    folder = next(tmp_path.glob("**/share/man"))
    assert {path.name for path in (folder.parent / "bash-completion/completions").iterdir()} == {"shmgate", "shmgated"}
    for path in PAGES:
        assert (
            gzip.decompress((folder / f"man{path.suffix[1:]}" / f"{path.name}.gz").read_bytes()) == path.read_bytes()
        ), path.name
    for name in declarations(HEADER):
        assert os.readlink(folder / "man3" / f"{name}.3.gz") == "shared_memory.3.gz"
