"""What programs and people are told when something is not there or not permitted leads to what they can do about it:
the names that there are, the group and the command, the part of the system that is missing."""

from __future__ import annotations

import grp
import os
import resource
import signal
import subprocess
import sys

import pytest

from harness import LIMIT, ROOT, Build, free_port, publish_channel, subscribe_channel, wait_until

NOBODY = 65534
UNSHARE = ["unshare", "--propagation", "unchanged", "-m"] + (["-r"] if os.geteuid() != 0 else [])
"""In mounts of our own; without root, also in a user name space of our own."""


@pytest.fixture
def lonely(new_gateway):
    """A gateway without a broker, with three channels."""
    return lambda **shm: new_gateway(
        publish_channel("telemetry"),
        subscribe_channel("commands"),
        publish_channel("alarms"),
        mqtt={"uri": f"mqtt://127.0.0.1:{free_port()}"},
        shm=shm,
    )


def error_of(build: Build, *arguments: str, **keys) -> str:
    """The one line that the tool says when it fails."""
    done = subprocess.run([str(build.shmgate), *arguments], capture_output=True, text=True, timeout=LIMIT, **keys)
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done
    return done.stderr


def test_channels_are_told_when_one_is_mistyped(lonely, build):
    """The nearest channel, and all that there are, for writers and readers; without a near one, what to add."""
    gateway = lonely().start(link=False)
    for arguments in (["write", "telemtry", "-m", "x"], ["read", "telemtry", "-W", "0"]):
        error = error_of(build, *arguments, "-S", gateway.segment)
        assert "did you mean telemetry?" in error and "there are telemetry, commands, alarms" in error, error
    error = error_of(build, "read", "x", "-W", "0", "-S", gateway.segment)
    assert (
        "add [channel x]" in error and "there are telemetry, commands, alarms" in error and "mean" not in error
    ), error


def test_many_channels_are_told_in_part(new_gateway, build):
    """The line stays one: some names, and how many more there are; the nearest is among all of them."""
    names = [f"channel-of-a-long-name-{number:02}" for number in range(40)]
    gateway = new_gateway(
        *(publish_channel(name, topic=name) for name in names),
        publish_channel("pressure"),
        mqtt={"uri": f"mqtt://127.0.0.1:{free_port()}"},
    ).start(link=False)
    error = error_of(build, "read", "presure", "-W", "0", "-S", gateway.segment)
    assert "did you mean pressure?" in error and names[0] in error and " more)" in error and len(error) < 400, error


def test_segments_are_told_when_the_name_is_wrong(lonely, build):
    """The nearest segment of this machine, and others; in a Python program, too."""
    gateway = lonely().start(link=False)
    error = error_of(build, "stats", "-S", gateway.segment + "x")
    assert "there" in error and gateway.segment + "?" in error, error
    name = gateway.segment + "x"
    script = f"import shmgate\ntry: shmgate.attach({name!r}, timeout=0)\nexcept Exception as error: print(error)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        env=build.environment(PYTHONPATH=str(build.path / "python"), LD_LIBRARY_PATH=str(build.path / "lib")),
    )
    assert gateway.segment + "?" in done.stdout or gateway.segment + ")" in done.stdout, done


def test_missing_slash_is_told(new_gateway, build):
    """A segment's name without its slash, in gateway.ini: the one that was meant."""
    gateway = new_gateway(publish_channel(), mqtt={"uri": "mqtt://h"}, shm={"segment": "plant"})
    check = [str(build.shmgated), "--config", str(gateway.config), "--check"]
    done = subprocess.run(check, capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 1 and "did you mean /plant?" in done.stdout, done


STRANGER = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
"""Another user; without root, ourselves."""


def test_permission_names_the_group_and_the_command(lonely, open_folder):
    """Who is in no group of the segment is told which it is, and how to become a member; with a mode that lets no group
    in, that. (Without root only the latter can be tried.)"""
    root = os.geteuid() == 0
    gateway = lonely(**{"group": "daemon"} if root else {}).start(link=False)
    path = f"/dev/shm{gateway.segment}"

    def error() -> str:
        done = subprocess.run(
            [str(open_folder / "shmgate"), "write", "telemetry", "-m", "x", "-S", gateway.segment],
            capture_output=True,
            text=True,
            timeout=LIMIT,
            env={"LD_LIBRARY_PATH": str(open_folder), "PATH": os.environ["PATH"]},
            **STRANGER,
        )
        assert done.returncode == 1 and done.stderr.count("\n") == 1, done
        return done.stderr

    if root:
        assert grp.getgrnam("daemon").gr_gid == os.stat(path).st_gid
        assert "usermod -aG daemon" in error() and "log in again" in error()
        os.chown(path, 0, 54321)
        assert "group 54321" in error()
    os.chmod(path, 0o400)
    assert "mode is 0400" in error()
    os.chmod(path, 0o660)


def test_spool_of_another_user_names_the_ways(open_folder):
    """A spool that one may not read: with sudo, or as a member of its group."""
    folder = open_folder / "spool"
    folder.mkdir(0o700 if os.geteuid() == 0 else 0)
    command = [str(open_folder / "shmgate"), "spool", "list", "-f", str(folder / "spool.db")]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=LIMIT, env={"LD_LIBRARY_PATH": str(open_folder)}, **STRANGER
    )
    folder.chmod(0o700)
    assert done.returncode == 1 and "sudo" in done.stderr and "group" in done.stderr, done


def test_limit_of_locked_memory_is_named(lonely, build, open_folder):
    """A program that has locked its memory cannot map a segment above its limit: the error names that."""
    gateway = lonely(**{"group": "nogroup"} if os.geteuid() == 0 else {}).start(link=False)
    program = open_folder / "lock.c"
    program.write_text(
        '#include <shared_memory.h>\n#include <stdio.h>\n#include <sys/mman.h>\n'
        'int main(int argc, char **argv) { if (argc < 2 || mlockall(MCL_CURRENT | MCL_FUTURE)) return 3;\n'
        'if (shared_memory_init(argv[1], 0)) puts(shared_memory_error()); return 0; }\n'
    )
    subprocess.run(
        ["gcc", f"-I{ROOT / 'shm'}", program, "-o", open_folder / "lock", f"-L{build.path / 'lib'}", "-lshmgate"],
        check=True,
        timeout=LIMIT,
    )
    done = None
    # As little as lets the program itself be locked.
    for limit in range(1 << 20, 16 << 20, 256 << 10):
        done = subprocess.run(
            [open_folder / "lock", gateway.segment],
            capture_output=True,
            text=True,
            timeout=LIMIT,
            cwd="/",
            preexec_fn=lambda: resource.setrlimit(
                resource.RLIMIT_MEMLOCK, (limit, limit)
            ),  # pylint: disable=cell-var-from-loop
            env={"LD_LIBRARY_PATH": str(open_folder)},
            **STRANGER,
        )
        if done.returncode != 3:
            break
    assert done and done.returncode == 0 and "RLIMIT_MEMLOCK" in done.stdout, done


@pytest.mark.parametrize(
    "place, options, words",
    [
        ("/dev/shm", "-o ro", ["/dev/shm", "read-only"]),
        ("/dev", "", ["no /dev/shm", "tmpfs"]),
        ("/proc", "", ["no /proc", "procfs"]),
    ],
    ids=["read-only", "no-shm", "no-proc"],
)
def test_missing_part_of_the_system_is_named(lonely, build, place, options, words):
    """A gateway that cannot make its segment says which of /dev/shm and /proc is missing or in the way."""
    gateway = lonely()
    # Private first: what is mounted there would be everybody's on a machine that shares its mounts.
    script = (
        f"mount --make-private {place} && mount -t tmpfs {options} none {place} && "
        'exec timeout 5 "$0" --config "$1"'
    )
    done = subprocess.run(
        [*UNSHARE, "sh", "-c", script, str(build.shmgated), str(gateway.config)],
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert done.returncode == 1 and all(word in done.stderr for word in words), (place, done)


def test_group_that_a_user_namespace_does_not_map_is_named(lonely, build):
    """In a container whose user name space does not know the group, the error says so and not only that an argument is
    invalid."""
    gateway = lonely(group="nogroup")
    done = subprocess.run(
        ["unshare", "-Ur", "timeout", "5", str(build.shmgated), "--config", str(gateway.config)],
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert done.returncode == 1 and "user namespace" in done.stderr and "group" in done.stderr, done


def test_quotes_are_warned_of(new_gateway, build):
    """--check says file and line on standard error, beside its summary; the gateway says it in its log, also after a
    reload."""
    gateway = new_gateway(publish_channel(topic='"t"'), mqtt={"uri": f"mqtt://127.0.0.1:{free_port()}"})
    number = gateway.config.read_text().splitlines().index('topic = "t"') + 1
    place = f"{gateway.config}:{number}: topic "
    done = subprocess.run(
        [str(build.shmgated), "--config", str(gateway.config), "--check"],
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert done.returncode == 0 and done.stdout.count("\n") == 1, done
    assert done.stderr.startswith(place) and "quotes" in done.stderr, done
    gateway.start(link=False)
    assert gateway.log().count(f"warning: {place}") == 1, gateway.log()
    gateway.process.send_signal(signal.SIGHUP)
    wait_until(lambda: gateway.log().count(f"warning: {place}") == 2, gateway.log)


def test_secret_of_another_user_names_the_ways(new_gateway, build, open_folder):
    """A password file that the gateway may not read: the fault names its group, and LoadCredential. (Without root the
    file is our own, without permissions.)"""
    secret = open_folder / "secret"
    secret.write_text("x\n")
    secret.chmod(0o600 if os.geteuid() == 0 else 0)
    config = open_folder / "gateway.ini"
    config.write_text(
        f"[mqtt]\nuri = mqtt://h\nusername = u\npassword_file = {secret}\n[channel c]\ndirection = publish\ntopic = t\n"
    )
    stranger = {"user": NOBODY, "group": 1, "extra_groups": []} if os.geteuid() == 0 else {}
    done = subprocess.run(
        [str(build.shmgated), "--config", str(config), "--check"],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        **stranger,
    )
    group = grp.getgrgid(1 if stranger else os.getegid()).gr_name
    assert done.returncode == 1 and f"{config}:4: password_file" in done.stdout, done
    assert f"the group {group}" in done.stdout and "LoadCredential" in done.stdout, done
