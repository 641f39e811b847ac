"""How pip builds the package: setuptools does, in a copy of the sources.

The library's C files lie beside this folder in the repository, and in it in an sdist. A copy of both lets an sdist hold
all that it needs to be built from, and leaves the source tree as it was: setuptools puts what it makes beside the
sources.

These are the hooks of PEP 517. There is none for editable installations: an extension is not editable.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from setuptools import build_meta

HERE = Path(__file__).resolve().parent
OWN = ("MANIFEST.in", "build_backend.py", "pyproject.toml", "setup.py", "shmgate", "src")
RUBBISH = shutil.ignore_patterns("__pycache__", "*.so", "*.pyc", "man", "examples")

# Python has put this file's own bytecode beside it just now.
with contextlib.suppress(OSError, TypeError):
    os.unlink(__cached__)
    os.rmdir(os.path.dirname(__cached__))


@contextlib.contextmanager
def copied_sources() -> Iterator[None]:
    """Make a copy of the sources the present folder."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="shmgate-build-") as folder:
        for name in OWN:
            source, target = HERE / name, Path(folder, name)
            if source.is_dir():
                shutil.copytree(source, target, ignore=RUBBISH)
            else:
                shutil.copy(source, target)
        beside = HERE if (HERE / "shm").is_dir() else HERE.parent
        shutil.copytree(beside / "shm", Path(folder, "shm"), ignore=RUBBISH)
        shutil.copy(beside / "LICENSE", folder)
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)


def run(hook: Callable[..., Any], *arguments: Any) -> Any:
    with copied_sources():
        return hook(*arguments)


def get_requires_for_build_wheel(config_settings: Any = None) -> list[str]:
    return run(build_meta.get_requires_for_build_wheel, config_settings)


def get_requires_for_build_sdist(config_settings: Any = None) -> list[str]:
    return run(build_meta.get_requires_for_build_sdist, config_settings)


def prepare_metadata_for_build_wheel(metadata_directory: str, config_settings: Any = None) -> str:
    return run(build_meta.prepare_metadata_for_build_wheel, os.path.abspath(metadata_directory), config_settings)


def build_wheel(wheel_directory: str, config_settings: Any = None, metadata_directory: str | None = None) -> str:
    metadata = metadata_directory and os.path.abspath(metadata_directory)
    return run(build_meta.build_wheel, os.path.abspath(wheel_directory), config_settings, metadata)


def build_sdist(sdist_directory: str, config_settings: Any = None) -> str:
    return run(build_meta.build_sdist, os.path.abspath(sdist_directory), config_settings)
