"""Python handles that are closed while a call is inside, by a signal's handler, a finalizer, an argument, or another
thread: the interpreter goes on, the call raises or the iteration ends. And waits that end when they should, whatever
signals come."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import pytest

from harness import BUILD, LIMIT, publish_channel, subscribe_channel, wait_until

sys.path.insert(0, str(BUILD / "python"))
import shmgate  # noqa: E402 - the line above finds it

HANDLER = """
import shmgate, signal, sys, threading, time
segment = shmgate.attach(sys.argv[1], timeout=30)
reader, writer = segment.reader('commands'), segment.writer('telemetry')
def after(seconds, call):
    signal.signal(signal.SIGALRM, lambda *_: call())
    signal.setitimer(signal.ITIMER_REAL, seconds)
"""


@pytest.fixture
def gateway(new_gateway, broker):
    return new_gateway(
        publish_channel("telemetry", writers=2), subscribe_channel("commands", topic="commands/#"), broker=broker
    ).start()


@pytest.fixture
def run(gateway):
    """A function that runs a program of these lines behind HANDLER and returns what it prints; it must end in order."""

    def program(code: str) -> str:
        done = subprocess.run(
            [sys.executable, "-X", "faulthandler", "-c", HANDLER + code, gateway.segment],
            capture_output=True,
            text=True,
            timeout=LIMIT,
            env={**os.environ, "PYTHONPATH": str(BUILD / "python")},
        )
        assert done.returncode == 0, f"ended with {done.returncode}: {done.stderr}"
        return done.stdout

    return program


# ---- Signal handlers ----


def test_handler_that_closes_the_reader_ends_the_loop(run):
    """The usual way to end `for message in reader`."""
    assert (
        run("after(0.3, reader.close)\nfor message in reader: pass\nprint('behind the loop', reader.closed)")
        == "behind the loop True\n"
    )


def test_loop_ends_when_the_reader_was_closed_between_two_messages(run):
    """Closed in the loop's body, not in a wait: the same end; but nothing can be begun with a closed reader."""
    assert (
        run("""
reader = segment.reader('telemetry')
writer.write(b'1'); writer.write(b'2')
for message in reader:
    print(message.payload)
    reader.close()
try: iter(reader)
except ValueError as error: print(error)
""")
        == "b'1'\nthe reader is closed\n"
    )


@pytest.mark.parametrize(
    "call", ["read()", "read(30)", "read_into(bytearray(9))", "read_many_into(bytearray(9))", "peek()"]
)
def test_handler_that_closes_the_reader_ends_each_wait(run, call):
    """Each call that waits raises ValueError, and says why."""
    assert "closed while" in run(f"""
after(0.3, reader.close)
try: reader.{call}
except ValueError as error: print(error)
""")


def test_handler_that_closes_the_segment_leaves_the_read_alone(run):
    """Readers stay usable without their Segment, also when it goes while one waits."""
    assert (
        run("""
after(0.1, segment.close)
try: reader.read(0.5)
except TimeoutError as error: print(error.strerror)
""")
        == "no message in channel commands within 0.5 s\n"
    )


def test_handler_cannot_read_in_the_midst_of_a_read(run):
    """It gets RuntimeError, which comes out of the interrupted read; the reader stays usable."""
    assert (
        run("""
after(0.1, lambda: reader.read(0))
try: reader.read(30)
except RuntimeError as error: print('refused')
try: reader.read(0)
except TimeoutError: print('usable')
""")
        == "refused\nusable\n"
    )


def test_handler_that_raises_ends_the_wait_and_takes_no_message(run):
    """What a handler raises comes out of the read, and the next read gets the next message."""
    assert (
        run("""
reader = segment.reader('telemetry')
def handler(): writer.write(b'1'); raise InterruptedError
after(0.1, handler)
try: reader.read()
except InterruptedError: print('raised')
print(reader.read(5).payload)
""")
        == "raised\nb'1'\n"
    )


def test_handler_that_closes_the_reader_leaves_a_memoryview_whole(run):
    """The bytes stay where they are until the Peek is released; then the reader is gone."""
    assert (
        run("""
reader = segment.reader('telemetry')
writer.write(b'x' * 100)
peek = reader.peek()
view = memoryview(peek)
after(0.1, reader.close)
while not reader.closed: time.sleep(0.01)
del segment, writer
assert bytes(view) == b'x' * 100
view.release()
print(peek.release())
try: reader.peek(0)
except ValueError as error: print(error)
""")
        == "True\nthe reader is closed\n"
    )


# ---- Waits ----


def test_read_ends_in_time_while_signals_come(run):
    """PEP 475: the deadline is computed once, not after each signal."""
    took = run("""
signal.signal(signal.SIGALRM, lambda *_: None)
signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
begin = time.monotonic()
try: reader.read(timeout=0.5)
except TimeoutError: print(time.monotonic() - begin)
signal.setitimer(signal.ITIMER_REAL, 0)
""")
    assert 0.5 <= float(took) < 5


def test_attach_ends_in_time_while_signals_come(run):
    """The same for a segment that is not there."""
    took = run("""
signal.signal(signal.SIGALRM, lambda *_: None)
signal.setitimer(signal.ITIMER_REAL, 0.005, 0.005)
begin = time.monotonic()
try: shmgate.attach('/shmgate-nosuch', timeout=0.5)
except TimeoutError: print(time.monotonic() - begin)
signal.setitimer(signal.ITIMER_REAL, 0)
""")
    assert 0.5 <= float(took) < 5


@pytest.mark.parametrize(("timeout", "text"), [(0.25, "within 0.25 s"), (1, "within 1 s")])
def test_errors_name_the_timeout_that_was_given(gateway, timeout, text):
    """Not that of a slice of the wait."""
    with pytest.raises(shmgate.TimeoutError, match=f"no segment /shmgate-nosuch {text}: start shmgated"):
        shmgate.attach("/shmgate-nosuch", timeout=timeout)
    with (
        shmgate.attach(gateway.segment) as segment,
        segment.reader("commands") as reader,
        pytest.raises(shmgate.TimeoutError, match=f"no message in channel commands {text}"),
    ):
        reader.read(timeout)


# ---- Python code that runs inside a call ----

BUFFER = """
class Closing:
    def __init__(self, close): self.close = close
    def __buffer__(self, flags): self.close(); return memoryview(bytearray(64))
for call in (lambda: writer.write(Closing(writer.close)), lambda: reader.read_into(Closing(reader.close), 0),
             lambda: segment.reader('commands').read_many_into(Closing(reader.close), 0)):
    try: call()
    except (ValueError, TimeoutError) as error: print(error)
"""


def test_argument_that_closes_the_handle(run):
    """A timeout's __float__, and from Python 3.12 on an argument's __buffer__, are Python code: it may close the handle
    that it is an argument to."""
    assert (
        run("""
class Closing:
    def __float__(self): reader.close(); return 0.1
try: reader.read(Closing())
except ValueError as error: print(error)
""")
        == "the reader is closed\n"
    )
    if sys.version_info >= (3, 12):
        assert run(BUFFER).splitlines()[:2] == ["the writer is closed", "the reader is closed"]


if sys.version_info >= (3, 12):

    def test_buffer_methods_of_a_peek(run):
        """__buffer__ and __release_buffer__ can be called by anybody, again, with another's buffer, and after all is
        closed."""
        assert (
            run("""
import gc
reader = segment.reader('telemetry')
writer.write(b'hello')
peek = reader.peek()
view = peek.__buffer__(0)
peek.__release_buffer__(view)
for wrong in (lambda: peek.__release_buffer__(view), lambda: bytes(view), lambda: peek.__buffer__(1),
              lambda: peek.__release_buffer__(memoryview(b''))):
    try: print(wrong())
    except (ValueError, BufferError): pass
view = peek.__buffer__(0)
other = memoryview(view)
reader.close(); segment.close(); writer.close()
del peek, reader, segment, writer
gc.collect()
view.release()
print(bytes(other))
""")
            == "b'hello'\n"
        )


def test_finalizer_that_closes_everything(run):
    """The garbage collector can run between any two steps of counters()."""
    assert (
        run("""
import gc
class Closing:
    def __init__(self): self.me = self
    def __del__(self): segment.close()
gc.set_threshold(1)
for _ in range(100):
    Closing()
    try: segment.counters()
    except ValueError: segment = shmgate.attach(sys.argv[1])
print('alive')
""")
        == "alive\n"
    )


# ---- Threads ----


def test_other_thread_ends_a_wait_by_close(gateway):
    """close() does not wait for the reader in the other thread: that one ends, and closes."""
    with shmgate.attach(gateway.segment) as segment:
        for _ in range(20):
            reader = segment.reader("commands")
            errors = []

            def wait(reader=reader, errors=errors) -> None:
                try:
                    reader.read()
                except ValueError as error:
                    errors.append(str(error))

            waiter = threading.Thread(target=wait)
            waiter.start()
            time.sleep(0.002)
            reader.close()
            waiter.join(LIMIT)
            assert not waiter.is_alive() and "closed" in errors[0]


def test_other_thread_ends_a_wait_by_cancel(gateway, broker):
    """CancelledError, and the reader can be used again."""
    with shmgate.attach(gateway.segment) as segment, segment.reader("commands") as reader:
        errors = []

        def wait() -> None:
            try:
                reader.read()
            except shmgate.CancelledError as error:
                errors.append(error)

        waiter = threading.Thread(target=wait)
        waiter.start()
        reader.cancel()
        waiter.join(LIMIT)
        assert errors
        broker.publish("commands/x", "1")
        assert reader.read(LIMIT).payload == b"1"
    with pytest.raises(ValueError, match="closed"):
        reader.cancel()


def test_threads_that_close_and_read_at_random(gateway):
    """Four threads read, peek, look, write and close the same handles for a second: errors that say why, and no
    crash."""
    stop = time.monotonic() + 1
    segment = shmgate.attach(gateway.segment)
    handles = {"reader": segment.reader("telemetry"), "writer": segment.writer("telemetry")}
    unexpected = []

    def use(reader: shmgate.Reader, writer: shmgate.Writer) -> None:
        writer.write(b"x")
        with reader.peek(0.001) as peek:
            bytes(memoryview(peek))
        reader.latest()
        reader.read(0.001)

    def reopen(reader: shmgate.Reader, writer: shmgate.Writer) -> None:
        reader.close()
        writer.close()
        handles["reader"] = segment.reader("telemetry")
        # The lane is free when the last write that was under way has ended.
        handles["writer"] = wait_until(writer_of_free_lane)

    def writer_of_free_lane() -> shmgate.Writer | None:
        try:
            return segment.writer("telemetry")
        except shmgate.BusyError:
            return None

    def hammer(number: int) -> None:
        while time.monotonic() < stop:
            try:
                use(handles["reader"], handles["writer"])
            except (ValueError, RuntimeError, BufferError, shmgate.Error):
                pass
            except BaseException as error:  # noqa: BLE001 - whatever it is, it is not expected
                unexpected.append(error)
            if number == 0:
                reopen(handles["reader"], handles["writer"])
    threads = [threading.Thread(target=hammer, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    assert not unexpected and not any(thread.is_alive() for thread in threads)


def test_threads_share_a_writer(gateway):
    """One write after the other: all messages are there, each whole."""
    with shmgate.attach(gateway.segment) as segment, segment.writer("telemetry") as writer:
        before = segment.counters()["telemetry"]["written"]
        threads = [threading.Thread(target=lambda: [writer.write(b"x" * 200) for _ in range(500)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert segment.counters()["telemetry"]["written"] == before + 2000


def test_child_forked_beside_a_thread_that_waits(run):
    """The child has the handles without the thread that is in one of them: it can close them all, attach anew, and end;
    the parent's read goes on."""
    assert (
        run("""
import os, warnings
warnings.simplefilter('ignore')
reader = segment.reader('telemetry')
got = []
waiter = threading.Thread(target=lambda: got.append(reader.read(30).payload))
waiter.start()
time.sleep(0.1)
child = os.fork()
if child == 0:
    for handle in reader, writer, segment: handle.close()
    with shmgate.attach(sys.argv[1]) as again, again.writer('telemetry') as other:
        other.write(b'from the child')
    sys.exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
waiter.join()
print(got)
""")
        == "7\n[b'from the child']\n"
    )


# ---- Interpreters ----


def test_each_interpreter_has_its_own_module(run):
    """The module can be used in several interpreters of one process, each with types and exceptions of its own."""
    assert (
        run("""
try: import _interpreters as interpreters
except ImportError: import _xxsubinterpreters as interpreters
import os
shmgate.Error
for _ in range(3):
    one = interpreters.create()
    failure = interpreters.run_string(one, f'''
import os, shmgate
segment = shmgate.attach({sys.argv[1]!r})
with segment.writer('telemetry') as writer: writer.write(b'1')
try: segment.writer('nosuch')
except shmgate.NotFoundError: os.write(1, b'own ')
''')
    assert failure is None, failure
    interpreters.destroy(one)
with segment.reader('telemetry') as reader: print(reader.read(5).payload)
""")
        == "own own own b'1'\n"
    )
