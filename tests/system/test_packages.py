"""What is installed for those who build programs: pkg-config, CMake, and the library to link dynamically and
statically; and what the packages begin with."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from harness import LIMIT, ROOT, Build

PROGRAM = """#include <shmgate/shared_memory.h>
#include <stdio.h>
int main(void) { shared_memory_init("/shmgate-test-nosuch", 0); puts(shared_memory_error()); return 0; }
"""


@pytest.fixture
def installed(build: Build, tmp_path: Path) -> Path:
    """A folder as the development package and the library's fill it."""
    for component in ("library", "development"):
        done = subprocess.run(
            ["cmake", "--install", build.path, "--component", component],
            capture_output=True,
            text=True,
            timeout=LIMIT,
            env={**os.environ, "DESTDIR": str(tmp_path / "root")},
        )
        assert done.returncode == 0, done.stderr
    (tmp_path / "program.c").write_text(PROGRAM)
    return tmp_path / "root/usr"


def run(*command: object, **environment: str) -> str:
    """What a command prints, which must succeed."""
    done = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


def test_programs_are_built_with_pkg_config(installed, tmp_path):
    """Dynamically, and statically, which needs no library of ours any more when it runs."""
    library = next(installed.glob("lib/**/libshmgate.so")).parent
    settings = {"PKG_CONFIG_PATH": str(library / "pkgconfig"), "PKG_CONFIG_SYSROOT_DIR": str(installed.parent)}
    flags = run("pkg-config", "--cflags", "--libs", "shmgate", **settings).split()
    run("gcc", "-Wall", "-Werror", tmp_path / "program.c", *flags, "-o", tmp_path / "dynamic")
    assert "no segment" in run(tmp_path / "dynamic", LD_LIBRARY_PATH=str(library))
    flags = run("pkg-config", "--static", "--cflags", "--libs", "shmgate", **settings).split()
    run(
        "gcc",
        "-Wall",
        "-Werror",
        "-static",
        tmp_path / "program.c",
        *flags,
        "-o",
        tmp_path / "static",
    )
    assert "no segment" in run(tmp_path / "static")


def test_programs_are_built_with_cmake(installed, tmp_path):
    """find_package takes a version that is met, refuses one that is not, and gives both libraries."""
    version = re.search(r"project\(shmgate VERSION (\d+\.\d+)", (ROOT / "CMakeLists.txt").read_text())[1]
    text = (
        "cmake_minimum_required(VERSION 3.16)\nproject(user C)\nfind_package(shmgate {} REQUIRED)\n"
        "add_executable(dynamic program.c)\ntarget_link_libraries(dynamic shmgate::shmgate)\n"
        "add_executable(static program.c)\ntarget_link_libraries(static shmgate::static)\n"
    )
    (tmp_path / "CMakeLists.txt").write_text(text.format(version))
    run("cmake", "-S", tmp_path, "-B", tmp_path / "build", f"-DCMAKE_PREFIX_PATH={installed}")
    run("cmake", "--build", tmp_path / "build")
    for name in ("dynamic", "static"):
        assert "no segment" in run(tmp_path / "build" / name)
    assert "libshmgate" not in run("ldd", tmp_path / "build/static")
    (tmp_path / "CMakeLists.txt").write_text(text.format("9.0"))
    done = subprocess.run(
        ["cmake", "-S", tmp_path, "-B", tmp_path / "other", f"-DCMAKE_PREFIX_PATH={installed}"],
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert done.returncode != 0 and version in done.stderr, done


def test_license_of_the_packages_is_ours():
    """The copyright file that Debian asks for has the words of LICENSE."""
    ours = (ROOT / "LICENSE").read_text()
    debian = re.sub(r"^ \.?", "", (ROOT / "systemd/debian/copyright").read_text(), flags=re.MULTILINE)
    assert ours[ours.index("Permission") :].split() == debian[debian.index("Permission") :].split()
    assert re.search(r"Copyright.*(2\d{3})", ours)[1] in debian


@pytest.mark.parametrize("name", ["postinst", "prerm", "postrm", "python/prerm"])
def test_maintainer_scripts_are_shell(name):
    """They are what dash understands."""
    run("dash", "-n", ROOT / "systemd/debian" / name)
