"""Terminals for the tests: a pseudo terminal whose bytes are kept, and tmux, which shows what a person would see."""
from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import shutil
import struct
import subprocess
import tempfile
import termios
import threading
from pathlib import Path
from typing import Any

from harness import LIMIT, Processes, wait_until


class Pty:
    """A pseudo terminal of 80 columns and 24 lines; everything a program sends to it is kept, as it was sent."""

    def __init__(self, columns: int = 80, lines: int = 24) -> None:
        self.master, self.slave = pty.openpty()
        self.resize(columns, lines)
        self.settings = termios.tcgetattr(self.slave)
        self.received = b""
        self.started: list[subprocess.Popen[bytes]] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        # EIO: the last one who had it open has gone, or we have closed it.
        with contextlib.suppress(OSError):
            while data := os.read(self.master, 65536):
                self.received += data

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def send(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def start(self, processes: Processes, arguments: list[Any], **options: Any) -> subprocess.Popen[bytes]:
        """Start a program on it; streams that `options` do not name are the terminal."""
        for stream in ("stdin", "stdout", "stderr"):
            options.setdefault(stream, self.slave)
        self.started.append(processes.start(arguments, **options))
        return self.started[-1]

    def expect(self, text: bytes, start: int = 0) -> int:
        """Wait until `text` has come, at `start` or later; returns the place behind it."""
        wait_until(lambda: text in self.received[start:], lambda: f"{text!r} in {self.received[start:]!r}")
        return self.received.index(text, start) + len(text)

    def is_as_before(self) -> bool:
        """Whether its settings are those it began with."""
        return termios.tcgetattr(self.slave) == self.settings

    def end(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.wait()
        os.close(self.slave)
        self._reader.join(LIMIT)
        os.close(self.master)


class Tmux:
    """A server of tmux of its own with one window, in which a shell runs, in a folder of its own."""

    def __init__(self, columns: int = 80, lines: int = 24) -> None:
        # The folder of a test has too long a name for a socket.
        self.folder = Path(tempfile.mkdtemp(prefix="shmgate-tmux-"))
        self.run("-f", "/dev/null", "-u", "new-session", "-d", "-c", str(self.folder), "-x", str(columns), "-y",
                 str(lines), "env", "ENV=", "PS1=ready> ", "sh")
        self.expect("ready>")

    def run(self, *arguments: str) -> str:
        done = subprocess.run(
            ["tmux", "-S", str(self.folder / "socket"), *arguments],
            capture_output=True,
            text=True,
            timeout=LIMIT,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )
        assert done.returncode == 0, f"{arguments}: {done.stderr}"
        return done.stdout

    def type(self, *keys: str) -> None:
        """Keys by tmux's names, or text."""
        self.run("send-keys", *keys)

    def resize(self, columns: int, lines: int) -> None:
        self.run("resize-window", "-x", str(columns), "-y", str(lines))

    def lines(self) -> list[str]:
        """The screen."""
        return self.run("capture-pane", "-p").split("\n")[:-1]

    def screen(self) -> str:
        return "\n".join(self.lines())

    def expect(self, *texts: str) -> list[str]:
        """Wait until all of `texts` are on the screen at once; returns its lines."""
        def found() -> list[str] | None:
            lines = self.lines()
            screen = "\n".join(lines)
            return lines if all(text in screen for text in texts) else None
        return wait_until(found, lambda: f"{texts} on the screen:\n{self.screen()}", interval=0.05)

    def end(self) -> None:
        subprocess.run(["tmux", "-S", str(self.folder / "socket"), "kill-server"], capture_output=True, timeout=LIMIT)
        shutil.rmtree(self.folder, ignore_errors=True)
