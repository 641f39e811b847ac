"""Programs with another C library or word size than the gateway's use its segment: they ring, they are woken, and they
sleep."""
from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness import LIMIT, publish_channel, subscribe_channel, wait_until

ROOT = Path(__file__).resolve().parents[2]
FLAGS = ["-std=c11", "-D_GNU_SOURCE", "-O2", "-static"]
# Debian's kernel headers, which musl-gcc does not look for. With 64-bit times a 32-bit system call for waiting would be
# given the wrong structure.
KINDS = {
    "musl": (["musl-gcc", "-idirafter", "LINUX"], []),
    "armhf": (["arm-linux-gnueabihf-gcc"], ["qemu-arm"]),
    "armhf with 64-bit time": (["arm-linux-gnueabihf-gcc", "-D_TIME_BITS=64", "-D_FILE_OFFSET_BITS=64"], ["qemu-arm"]),
}


def built(kind: str, folder: Path) -> list[str]:
    compiler, runner = KINDS[kind]
    headers = folder / "linux"
    headers.mkdir()
    architecture = subprocess.run(
        ["gcc", "-print-multiarch"], capture_output=True, text=True, timeout=LIMIT, check=True
    ).stdout.strip()
    for name, target in (("linux", "linux"), ("asm-generic", "asm-generic"), ("asm", f"{architecture}/asm")):
        (headers / name).symlink_to(f"/usr/include/{target}")
    command = [str(headers) if word == "LINUX" else word for word in compiler]
    sources = [str(ROOT / "tests/system/foreign.c"), *map(str, sorted((ROOT / "shm").glob("*.c")))]
    done = subprocess.run([*command, *FLAGS, f"-I{ROOT / 'shm'}", *sources, "-o", str(folder / "foreign"), "-lpthread"],
                          capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 0, done.stderr
    return [*runner, str(folder / "foreign")]


@pytest.mark.parametrize("kind", ["musl", pytest.param("armhf", marks=pytest.mark.full),
                                  pytest.param("armhf with 64-bit time", marks=pytest.mark.full)])
def test_program_of_another_kind_is_served(new_gateway, broker, tmp_path, kind):
    """Each message is delivered at once, one that arrives wakes the reader, and a wait without a message costs no
    processor time."""
    command = built(kind, tmp_path)
    gateway = new_gateway(publish_channel(), subscribe_channel(), broker=broker).start()
    with subprocess.Popen([*command, gateway.segment], stdout=subprocess.PIPE, text=True) as program:
        try:
            assert program.stdout.readline() == "written\n"
            wait_until(lambda: gateway.channel("out")["delivered"] == 5, limit=3)
            broker.publish("test/in", "hello")
            output, _ = program.communicate(timeout=LIMIT)
        finally:
            program.kill()
    assert program.returncode == 0, output
    waited, used = map(float, output.split())
    assert 1.4 < waited < 10 and used < 0.2
