"""The Python package as pip builds and installs it: from the repository, which stays as it was, and from an sdist that
has nothing beside it. Needs the package index, as pip takes setuptools from there."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from harness import ROOT, publish_channel

LIMIT = 300
"""Seconds for pip, which may have to download."""


def run(*command: str | Path, **options) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=LIMIT, env=environment, **options
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture
def tree(tmp_path) -> Path:
    """A copy of what the repository has of the package, and of nothing else."""
    names = subprocess.run(
        ["git", "ls-files", "-c", "-o", "--exclude-standard", "python", "shm", "LICENSE"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    for name in names:
        target = tmp_path / "tree" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / name).read_bytes())
    return tmp_path / "tree"


@pytest.fixture
def pip(tmp_path) -> Path:
    """The pip of a new virtual environment."""
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    return tmp_path / "venv" / "bin" / "pip"


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def check_installed(pip: Path, gateway) -> None:
    """The installed package attaches and writes, with the library in it."""
    library = run(
        pip.with_name("python"),
        "-c",
        "import shmgate, sys; s = shmgate.attach(sys.argv[1], 5); s.writer('out').write(b'x'); "
        "print(shmgate._shmgate.__file__)",
        gateway.segment,
        cwd=pip.parent,
    ).strip()
    assert library.startswith(str(pip.parents[1])) and "libshmgate" not in run("ldd", library)


def test_pip_install_leaves_the_tree_as_it_was(tree, pip, broker, new_gateway):
    """Nothing is made, changed or removed beside the sources."""
    gateway = new_gateway(publish_channel(), broker=broker).start()
    before = content(tree)
    run(pip, "install", tree / "python")
    assert content(tree) == before
    check_installed(pip, gateway)


def test_sdist_can_be_installed_by_itself(tree, pip, broker, new_gateway, tmp_path):
    """It has all that it is built from, and the repository need not be there."""
    gateway = new_gateway(publish_channel(), broker=broker).start()
    before = content(tree)
    run(pip, "install", "setuptools")
    run(
        pip.with_name("python"),
        "-c",
        "import build_backend, sys; build_backend.build_sdist(sys.argv[1])",
        tmp_path,
        cwd=tree / "python",
    )
    assert content(tree) == before
    (sdist,) = tmp_path.glob("shmgate-*.tar.gz")
    names = tarfile.open(sdist).getnames()
    assert {name.split("/", 1)[1] for name in names if "/" in name} >= {
        "LICENSE",
        "shm/shared_memory.h",
        "shmgate/py.typed",
        "src/guard.h",
    }
    tree.rename(tmp_path / "gone")
    run(pip, "install", sdist, cwd=tmp_path)
    check_installed(pip, gateway)
