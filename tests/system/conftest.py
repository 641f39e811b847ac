"""Fixtures of the system tests, and the promise that nothing of them is left.

Every fixture ends its processes by their ids and removes its segments, also when a test fails.
"""
from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import BUILD, Broker, Build, Gateway, Processes, Subscriber, shared_memory_names
from proxy import Proxy

SEGMENT_PREFIX = f"shmgate-test-{os.getpid()}-"


# ---- Selection ----

def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="run the long sweeps too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without --full the long sweeps are not part of the set: deselected, not skipped."""
    if config.getoption("--full"):
        return
    long = [item for item in items if item.get_closest_marker("full")]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test marked `sanitized` runs with both builds."""
    if "build" in metafunc.fixturenames:
        names = ["plain"]
        if metafunc.definition.get_closest_marker("sanitized"):
            names.append("asan")
        metafunc.parametrize("build", names, indirect=True)


# ---- Fixtures ----

@pytest.fixture(scope="session", autouse=True)
def _nothing_left_in_shared_memory() -> Iterator[None]:
    """At the end of all tests /dev/shm has nothing of theirs."""
    yield
    left = sorted(name for name in shared_memory_names() if SEGMENT_PREFIX in name)
    assert not left, f"left in /dev/shm: {left}"


@pytest.fixture
def processes() -> Iterator[Processes]:
    started = Processes()
    try:
        yield started
    finally:
        started.end()


@pytest.fixture
def build(request: pytest.FixtureRequest) -> Build:
    """The programs under test: as users have them, or with the address sanitizer."""
    sanitized = getattr(request, "param", "plain") == "asan"
    found = Build(BUILD / "asan" if sanitized else BUILD, sanitized)
    assert found.shmgated.exists() and found.shmgate.exists(), f"not built: {found.path}; run tests/run"
    return found


@pytest.fixture
def segment() -> Iterator[str]:
    """A segment name that nobody else has. What is left under it, and its semaphore, is an error of the test's
    gateway."""
    name = f"/{SEGMENT_PREFIX}{os.urandom(4).hex()}"
    yield name
    left = [entry for entry in shared_memory_names() if name[1:] in entry]
    for entry in left:
        os.unlink(f"/dev/shm/{entry}")
    assert not left, f"left in /dev/shm: {left}"


@pytest.fixture
def socket_path() -> Iterator[Path]:
    """A path for a Unix socket; the folder of a test has too long a name."""
    folder = Path(tempfile.mkdtemp(prefix="shmgate-test-"))
    yield folder / "metrics.sock"
    shutil.rmtree(folder)


@pytest.fixture
def new_broker(processes: Processes, tmp_path: Path) -> Callable[..., Broker]:
    """A function that starts a broker with further configuration lines."""
    def make(*lines: str, port: int | None = None, tls: bool = False, start: bool = True) -> Broker:
        made = Broker(processes, tmp_path, list(lines), port, tls)
        return made.start() if start else made
    return make


@pytest.fixture
def broker(new_broker: Callable[..., Broker]) -> Broker:
    """A broker that takes anybody."""
    return new_broker()


@pytest.fixture
def new_proxy() -> Iterator[Callable[..., Proxy]]:
    """A function that puts a fault proxy in front of a broker."""
    made: list[Proxy] = []

    def make(broker: Broker, **options: Any) -> Proxy:
        made.append(Proxy(broker.port, broker.tls, **options))
        return made[-1]

    yield make
    for proxy in made:
        proxy.end()


@pytest.fixture
def subscribe(processes: Processes) -> Callable[..., Subscriber]:
    """A function that starts a collecting mosquitto_sub."""
    def make(broker: Broker, *topics: str, **options: Any) -> Subscriber:
        return Subscriber(processes, broker, *topics, **options)
    return make


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can enter, with the tool and its library in it."""
    folder = Path(tempfile.mkdtemp(prefix="shmgate-test-"))
    folder.chmod(0o755)
    for source in (BUILD / "bin" / "shmgate", *(BUILD / "lib").glob("libshmgate.so*")):
        shutil.copy2(source, folder, follow_symlinks=True)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def new_gateway(processes: Processes, build: Build, tmp_path: Path, segment: str) -> Iterator[Callable[..., Gateway]]:
    """A function that makes a gateway for some channels, not yet started; its segment is `segment` unless it says
    otherwise."""
    made: list[Gateway] = []

    def make(
        *channels: dict[str, Any],
        broker: Broker | None = None,
        mqtt: dict[str, Any] | None = None,
        shm: dict[str, Any] | None = None,
        spool: dict[str, Any] | None = None,
        name: str | None = None,
    ) -> Gateway:
        settings: dict[str, Any] = {} if broker is None else {"uri": broker.uri}
        settings.update(mqtt or {})
        made.append(Gateway(processes, build, tmp_path, name or segment, list(channels), settings, shm or {}, spool))
        return made[-1]

    yield make
    try:
        for gateway in reversed(made):
            gateway.end()
    finally:
        for gateway in made:
            gateway.remove_segment()
