"""What README.md shows is what the commands print: its sessions, programs and configuration are taken out and tried.

An output that has changed is to be pasted anew. What needs root, or another machine, is in NOT_HERE, with the place of
its test.
"""
from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from harness import LIMIT, ROOT, publish_channel, shared_memory_names, subscribe_channel, wait_until
from sessions import Session, compile_program, markdown_blocks, shape, shapes, steps

README = (ROOT / "README.md").read_text()
SESSIONS = [steps(block) for block in markdown_blocks(README, "console")]
QUICKSTART_LIMIT = 600.0
"""Seconds: it builds, when something has changed since the last time."""
NOT_HERE = {
    "sudo apt install": "tests/device/life", "cmake -S . -B build": "tests/run",
    "systemctl is-active": "tests/device/life", "sudo adduser": "tests/device/life",
}
"""Commands that change the machine, by how they begin, and what goes through them."""


def session_with(word: str) -> list:
    """The session that has a command which begins so."""
    return next(session for session in SESSIONS if any(step.command.startswith(word) for step in session))


def test_every_command_is_tried():
    """No command of the README is without a test."""
    tried = ("./gateway/quickstart", "mosquitto_sub", "mosquitto_pub", "shmgate write", "shmgate read", "shmgate stats",
             "shmgated --config")
    commands = [step.command for session in SESSIONS for step in session]
    unknown = [command for command in commands if not command.startswith((*tried, *NOT_HERE))]
    assert SESSIONS and not unknown, f"add a test for {unknown}"


def test_quickstart_prints_what_is_shown():
    """Every kind of line that is shown is printed, with the counts at the end, and nothing is left behind."""
    step = session_with("./gateway/quickstart")[0]
    process = subprocess.Popen(step.command.split(), cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True)
    try:
        output, _ = process.communicate(timeout=QUICKSTART_LIMIT)
    finally:
        if process.poll() is None:
            # It takes what it has started along.
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=LIMIT)
    assert process.returncode == 0, output
    missing = shapes(step.shown) - shapes(output.splitlines())
    assert not missing, f"not printed any more: {missing}, but:\n{output}"
    counts = [line for line in output.splitlines() if " received" in line]
    assert [shape(line) for line in counts] == [shape(line) for line in step.shown if " received" in line]
    assert not [name for name in shared_memory_names() if f"shmgate-quickstart-{process.pid}" in name]


def test_first_message_goes_as_shown(processes, build, broker, new_gateway, tmp_path):
    """With the configuration that is installed, the steps from the subscriber to the counters print what is shown."""
    gateway = new_gateway(publish_channel(), broker=broker)
    text = (ROOT / "conf/gateway.ini").read_text()
    for line, ours in ((r"^uri = .*", f"uri = {broker.uri}"), (r"^#client_id = .*", f"client_id = {gateway.client_id}"),
                       (r"^#segment = .*", f"segment = {gateway.segment}"),
                       (r"^#path = .*", f"path = {gateway.spool_path}")):
        text, count = re.subn(line, ours, text, flags=re.MULTILINE)
        assert count == 1, line
    gateway.config.write_text(text)
    gateway.start()
    to_broker = ["-h", "127.0.0.1", "-p", str(broker.port)]
    options = {"shmgate": ["-S", gateway.segment], "mosquitto_sub": to_broker, "mosquitto_pub": to_broker}
    session = Session(processes, build, tmp_path, options, {"/shmgate": gateway.segment})
    for step in session_with("mosquitto_sub"):
        if step.command.endswith("&"):
            session.start(step.command[:-1])
            wait_until(lambda: "Sending SUBACK to auto-" in broker.log(), "mosquitto_sub to have subscribed")
        else:
            session.check(step, looks=step.command == "shmgate stats")


def test_configuration_is_in_order(build, tmp_path):
    """--check takes it; with the mistake that the text names it prints what is shown."""
    (text,) = markdown_blocks(README, "ini")
    path = tmp_path / "gateway.ini"
    command = [build.shmgated, "--config", "gateway.ini", "--check"]
    path.write_text(text)
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT, env=build.environment())
    assert done.returncode == 0, done.stdout
    wrong, right = re.search(r"here `(\w+)` for `(\w+)`", README).groups()
    path.write_text(text.replace(f"\n{right} = ", f"\n{wrong} = ", 1))
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT, env=build.environment())
    assert done.returncode == 1 and done.stdout.splitlines() == session_with("shmgated")[0].shown


@pytest.fixture
def waiting_command(broker, new_gateway, subscribe):
    """A gateway with a command in its ring, and a subscriber."""
    commands = subscribe_channel("commands", topic="commands/#")
    gateway = new_gateway(publish_channel("telemetry"), commands, broker=broker).start()
    subscriber = subscribe(broker, "test/telemetry")
    broker.publish("commands/speed", "10")
    gateway.wait_for_delivery("commands", 1)
    return gateway, subscriber


def test_program_in_c_works(waiting_command, tmp_path, build):
    """The four calls compile without a warning; the value arrives, and the command is printed."""
    gateway, subscriber = waiting_command
    (text,) = markdown_blocks(README, "c")
    program = compile_program(text.replace("(NULL,", f'("{gateway.segment}",'), build, tmp_path)
    done = subprocess.run([program], capture_output=True, text=True, timeout=LIMIT)
    assert (done.returncode, done.stdout) == (0, "command: 10\n"), done.stderr
    assert subscriber.expect(1)[0].payload == b"21.5"


def test_program_in_python_works(waiting_command, build):
    """The same in Python."""
    gateway, subscriber = waiting_command
    (text,) = markdown_blocks(README, "python")
    program = text.replace("attach(", f'attach("{gateway.segment}", ')
    done = subprocess.run(["/usr/bin/python3", "-c", program], capture_output=True, text=True, timeout=LIMIT,
                          env={**os.environ, "PYTHONPATH": str(build.path / "python")})
    assert (done.returncode, done.stdout) == (0, "commands/speed b'10'\n"), done.stderr
    assert subscriber.expect(1)[0].payload == b"21.5"


def test_text_is_as_wide_as_a_terminal_and_links_lead_somewhere():
    """Prose has at most 100 columns; what is shown of programs is as wide as it is."""
    prose = re.sub(r"^```.*?^```$", "", README, flags=re.MULTILINE | re.DOTALL)
    assert not [line for line in prose.splitlines() if len(line) > 100]
    links = re.findall(r"\]\(([^):#]+)\)", README)
    assert len(links) > 5 and not [link for link in links if not Path(ROOT / link).exists()]
