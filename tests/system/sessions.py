"""Commands and what they print, as documents show them: taken out of the text, run, and compared.

A document is made by pasting what the commands printed; these helpers find out when that has become untrue. What
differs from run to run (times, numbers, names of the test) is generalised before the comparison.
"""
from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness import LIMIT, ROOT, Build, Processes, wait_until

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


@dataclass
class Step:
    """A command behind "$ ", and the lines that are shown below it."""

    command: str
    shown: list[str]


def markdown_blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of that language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def page_blocks(text: str) -> list[str]:
    """The literal displays of a manual page, as they are shown."""
    blocks = re.findall(r"^\.Bd -literal[^\n]*\n(.*?)^\.Ed$", text, re.MULTILINE | re.DOTALL)
    return [block.replace("\\&", "").replace("\\e", "\\") for block in blocks]


def steps(block: str) -> list[Step]:
    """A block of commands and outputs. A command ends where its line does not end with a backslash."""
    found: list[Step] = []
    lines = iter(block.splitlines())
    for line in lines:
        if line.startswith("$ "):
            command = line[2:]
            while command.endswith("\\"):
                command = f"{command[:-1].rstrip()} {next(lines).strip()}"
            # Remarks are for people.
            found.append(Step(re.sub(r"\s+# .*", "", command), []))
        elif found:
            found[-1].shown.append(line)
    return found


def plain(line: str) -> str:
    """A line without its times and the width of its columns."""
    return re.sub(r" {2,}", " ", TIME.sub("TIME", line.strip()))


def shape(line: str) -> str:
    """A line with every number as 0."""
    return re.sub(r"\d+(\.\d+)?", "0", plain(line))


def shapes(lines: list[str]) -> set[str]:
    """What kinds of lines there are; "..." stands for any."""
    return {shape(line) for line in lines if line.strip() not in ("", "...")}


def compile_program(text: str, build: Build, folder: Path) -> Path:
    """Build a document's C program, without a warning, with the library of the build."""
    program, library = folder / "program", build.path / "lib"
    program.with_suffix(".c").write_text(text)
    (folder / "shmgate").symlink_to(ROOT / "shm", target_is_directory=True)
    subprocess.run(["gcc", "-Wall", "-Wextra", "-Werror", f"-I{folder}", program.with_suffix(".c"), f"-L{library}",
                    "-lshmgate", f"-Wl,-rpath,{library}", "-o", program], check=True, timeout=LIMIT)
    return program


class Session:
    """Runs the commands of a document one after the other, in a folder, with programs of the build first in PATH.

    `options` are added to a program's command line: a document names no port and no segment where the defaults do.
    `names` are replaced in commands and in what is shown.
    """

    def __init__(self, processes: Processes, build: Build, folder: Path, options: dict[str, list[str]] | None = None,
                 names: dict[str, str] | None = None) -> None:
        self.processes = processes
        self.folder = folder
        self.names = names or {}
        self.background = folder / "background"
        self.background.touch()
        self.seen = 0
        programs = folder / "programs"
        programs.mkdir()
        for name, more in (options or {}).items():
            (programs / name).write_text(f'#!/bin/sh\nPATH=${{PATH#*:}}\nexec {name} "$@" {shlex.join(more)}\n')
            (programs / name).chmod(0o755)
        path = f"{programs}:{build.path / 'bin'}:{os.environ['PATH']}:/usr/sbin"
        self.environment = build.environment(PATH=path, LC_ALL="C.UTF-8")

    def named(self, text: str) -> str:
        for name, ours in self.names.items():
            text = re.sub(rf"{re.escape(name)}\b", ours, text)
        return text

    def start(self, command: str) -> None:
        """What the document starts with "&": its lines belong to the steps that follow."""
        with open(self.background, "ab") as output:
            self.processes.start(["bash", "-c", f"exec {self.named(command)}"], stdout=output, stderr=output,
                                 cwd=self.folder, env=self.environment)

    def _run(self, command: str) -> list[str]:
        done = subprocess.run(["bash", "-c", self.named(command)], cwd=self.folder, env=self.environment,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=2 * LIMIT)
        return (done.stdout + done.stderr).splitlines()

    def check(self, step: Step, looks: bool, way: Callable[[str], str] = plain) -> None:
        """Run a step and compare. One that only `looks` is run until it shows the same, as things take their time."""
        expected = sorted(way(self.named(line)) for line in step.shown)
        printed: list[str] = [] if looks else self._run(step.command)

        def is_as_shown() -> bool:
            nonlocal printed
            if looks:
                printed = self._run(step.command)
            behind = self.background.read_text().splitlines()[self.seen:]
            return sorted(map(way, printed + behind)) == expected

        wait_until(is_as_shown, lambda: f"$ {step.command}\nprints {printed}, in the background "
                   f"{self.background.read_text()!r}; the document shows {step.shown}", interval=0.2)
        self.seen = len(self.background.read_text().splitlines())
