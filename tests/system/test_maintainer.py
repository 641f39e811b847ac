"""What those find who change the program: presets, the matrix of jobs, and what hosts call."""
from __future__ import annotations

import json
import re
import subprocess
from fnmatch import fnmatch

from harness import LIMIT, ROOT


def said(*command: str) -> str:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT, check=True).stdout


def test_presets_are_understood():
    """CMake reads them, and CONTRIBUTING.md names each."""
    found = re.findall(r'^ +"(\w+)"', said("cmake", "--list-presets=configure"), re.MULTILINE)
    assert {"debug", "release", "asan", "tsan", "coverage", "arm64"} <= set(found)
    text = (ROOT / "CONTRIBUTING.md").read_text()
    assert not [name for name in found if f"`{name}`" not in text]


def test_matrix_has_a_way_to_run_each_job():
    """Each job is for a Debian, says whether it holds, and is known to .ci/job; a host gets them as JSON."""
    jobs = json.loads(said(".ci/job", "--json"))
    assert [job["name"] for job in jobs] == said(".ci/job", "--list").split() and len(jobs) >= 8
    assert {job["suite"] for job in jobs} == {"bookworm", "trixie"} and {type(job["holds"]) for job in jobs} == {bool}
    script = (ROOT / ".ci/job").read_text()
    patterns = set(re.findall(r"^([\w*-]+)\) ?", script[script.index("\ncase $name in"):], re.MULTILINE)) - {"*"}
    unknown = [job["name"] for job in jobs if not any(fnmatch(job["name"], pattern) for pattern in patterns)]
    assert not unknown, f"add to .ci/job: {unknown}"
    assert ".ci/job ${{ matrix.name }} --here" in (ROOT / ".github/workflows/ci.yml").read_text()
