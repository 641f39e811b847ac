"""systemd/shmgated.service is what systemd understands."""
from __future__ import annotations

import subprocess

from harness import LIMIT, ROOT

UNIT = ROOT / "systemd" / "shmgated.service"


def test_unit_file_is_valid(tmp_path):
    """systemd-analyze verify has nothing to say. The daemon is not installed here, so the copy starts another program."""
    text = UNIT.read_text()
    copy = tmp_path / "shmgated.service"
    copy.write_text(text.replace("/usr/sbin/shmgated", "/bin/true").replace("User=shmgate", "User=root")
                    .replace("Group=shmgate", "Group=root"))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True, timeout=LIMIT)
    said = [line for line in (done.stdout + done.stderr).splitlines() if "shmgated.service" in line]
    assert not said, said


def test_unit_file_spares_shared_memory():
    """None of the settings that empty or hide /dev/shm is in it."""
    settings = [line.split("=", 1) for line in UNIT.read_text().splitlines() if "=" in line and not line.startswith("#")]
    names = {name for name, _ in settings}
    assert not names & {"DynamicUser", "RemoveIPC", "TemporaryFileSystem", "InaccessiblePaths"}
    assert ["Type", "notify"] in settings and ["ExecReload", "/bin/kill -HUP $MAINPID"] in settings
