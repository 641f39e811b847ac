"""systemd/shmgated.service is what systemd understands."""
from __future__ import annotations

import re
import subprocess

import pytest

from harness import LIMIT, ROOT

UNIT = ROOT / "systemd" / "shmgated.service"
UNITS = [UNIT, ROOT / "systemd" / "shmgated@.service"]


@pytest.mark.parametrize("unit", UNITS, ids=["one", "template"])
def test_unit_is_hardened(unit):
    """systemd-analyze security finds little to complain of: an exposure of 1.5 or less."""
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)],
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    last = done.stdout.strip().splitlines()[-1]
    assert float(re.search(r": (\d+\.\d+)", last).group(1)) <= 1.5, last


@pytest.mark.parametrize("name", ["shmgated.service", "shmgated@.service"])
def test_unit_file_is_valid(tmp_path, name):
    """systemd-analyze verify has nothing to say. The daemon is not installed here, so the copy starts another
    program."""
    text = (UNIT.parent / name).read_text()
    copy = tmp_path / name.replace("@", "@one")
    copy.write_text(
        text.replace("/usr/sbin/shmgated", "/bin/true")
        .replace("/usr/lib/shmgate/check-reload", "/bin/true")
        .replace("User=shmgate", "User=root")
        .replace("Group=shmgate", "Group=root")
    )
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True, timeout=LIMIT
    )
    said = [line for line in (done.stdout + done.stderr).splitlines() if copy.name in line]
    assert not said, said


def test_unit_file_spares_shared_memory():
    """None of the settings that empty or hide /dev/shm is in it."""
    settings = [
        line.split("=", 1) for line in UNIT.read_text().splitlines() if "=" in line and not line.startswith("#")
    ]
    names = {name for name, _ in settings}
    assert not names & {"DynamicUser", "RemoveIPC", "TemporaryFileSystem", "InaccessiblePaths"}
    assert ["Type", "notify"] in settings


@pytest.mark.parametrize("unit", UNITS, ids=["one", "template"])
def test_unit_file_checks_before_it_reloads(unit):
    """A reload begins with a check of the file that the gateway runs with, so that a faulty one fails visibly, and only
    then says SIGHUP."""
    lines = unit.read_text().splitlines()
    start, = (line.partition("=")[2] for line in lines if line.startswith("ExecStart="))
    reload = [line.partition("=")[2] for line in lines if line.startswith("ExecReload=")]
    file = start.removeprefix("/usr/sbin/shmgated --config ")
    assert reload == [f"+/usr/lib/shmgate/check-reload $MAINPID {file}", "/bin/kill -HUP $MAINPID"]
