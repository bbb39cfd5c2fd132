"""From a real pipe, filled by a real child, to the log: every line, in order, whatever bytes come."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.logs.lines import MAX_LINE
from core.logs.segments import PREFIX_BYTES, Caps
from core.logs.tail import segments, tail
from core.shim.pump import Pump
from core.shim.writer import LogWriter
from tests import tied
from tests.core.dirt import EVIL, cut

NOON = 1_730_462_400.0  # 2024-11-01 12:00:00 UTC
ROOT = Path(__file__).parents[3]
UNLIMITED = Caps(segments_per_start=1000)

finds_descriptors = tied.linux("finds the log's descriptor in /proc")


def pump_child(folder: Path, program: str, caps: Caps = UNLIMITED) -> Iterator[bytes]:
    """Run a Python child through a pipe into a log; yield the messages on disk, after checks of their prefixes."""
    reader, pipe = os.pipe()
    writer = LogWriter(str(folder), caps, lambda: NOON)
    pump = Pump(reader, "OUT", writer)
    with subprocess.Popen([sys.executable, "-I", "-S", "-c", program], stdout=pipe) as child:
        os.close(pipe)
        pump.start()
        assert pump.join(30)
    assert child.returncode == 0
    assert writer.close(10)
    for path in segments(str(folder)):
        with open(path, "rb") as file:  # noqa: PTH123 - the product hands out str
            for line in file:
                assert line[:PREFIX_BYTES] == b"[OUT] 2024-11-01 12:00:00 "
                yield line[PREFIX_BYTES:-1]


@pytest.mark.timeout(30, method="thread")  # 200 MB twice through a shared machine
def test_two_hundred_megabytes_at_full_speed_lose_no_line(tmp_path: Path) -> None:
    program = """
import os
number = 0
while number < 2_000_000:
    block = memoryview(b"".join(b"%099d\\n" % n for n in range(number, number + 10_000)))
    number += 10_000
    while block:
        block = block[os.write(1, block):]
"""
    seen = 0
    for seen, message in enumerate(pump_child(tmp_path, program), 1):
        assert int(message) == seen - 1
    assert seen == 2_000_000
    sizes = [Path(path).stat().st_size for path in segments(str(tmp_path))]
    assert len(sizes) == 16
    assert max(sizes) <= Caps().segment_bytes


@pytest.mark.timeout(30)  # 100 MB on a shared machine
def test_a_hundred_megabytes_without_newline_come_whole(tmp_path: Path) -> None:
    program = """
import os
for number in range(100_000_000 // 50_000):
    block = memoryview(b"%010d" % number * 5_000)
    while block:
        block = block[os.write(1, block):]
"""
    expected = memoryview(b"".join(b"%010d" % number * 5_000 for number in range(2_000)))
    at = 0
    for message in pump_child(tmp_path, program):
        assert len(message) == MAX_LINE or at + len(message) == len(expected)
        assert message == expected[at : at + len(message)]
        at += len(message)
    assert at == 100_000_000


@pytest.mark.timeout(30)  # 8 MB of the slowest kind on a shared machine
def test_dirty_output_comes_whole_and_in_order(tmp_path: Path) -> None:
    source = random.Random(7)
    data = b"".join(source.choice([*EVIL, b"some ordinary text, as most of it is\n"]) for _ in range(120_000))
    (tmp_path / "data").write_bytes(data)
    program = f"""
import os
with open({str(tmp_path / "data")!r}, "rb", buffering=0) as file:
    while block := memoryview(file.read(100_001)):
        while block:
            block = block[os.write(1, block):]
"""
    assert list(pump_child(tmp_path / "logs", program)) == cut(data, iter([999_999] * 100))


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[LogWriter]:
    opened = LogWriter(str(tmp_path), UNLIMITED, lambda: NOON)
    yield opened
    assert opened.close(10)


def on_disk(folder: Path) -> bytes:
    return b"".join(Path(path).read_bytes() for path in segments(str(folder)))


def test_streams_and_notes_keep_the_order_in_which_they_came(tmp_path: Path, writer: LogWriter) -> None:
    writer.note("starting\x1b[m ollama\nin two lines")
    writer.write("ERR", b"one\n\ntwo\n")
    writer.write("OUT", b"three\n")
    assert writer.close(10)
    assert on_disk(tmp_path).decode().splitlines() == [
        "[SYS] 2024-11-01 12:00:00 starting ollama",
        "[SYS] 2024-11-01 12:00:00 in two lines",
        "[ERR] 2024-11-01 12:00:00 one",
        "[ERR] 2024-11-01 12:00:00 ",
        "[ERR] 2024-11-01 12:00:00 two",
        "[OUT] 2024-11-01 12:00:00 three",
    ]


def test_a_storm_rolls_over_segments_at_whole_lines(tmp_path: Path) -> None:
    writer = LogWriter(str(tmp_path), Caps(segment_bytes=1000, segments_per_start=1000), lambda: NOON)
    for number in range(10):
        writer.write("OUT", b"".join(b"%d\n" % n for n in range(number * 100, number * 100 + 100)) + b"\n" * 30)
    assert writer.close(10)
    contents = [Path(path).read_bytes() for path in segments(str(tmp_path))]
    assert all(content.startswith(b"[OUT] ") and content.endswith(b"\n") for content in contents)
    assert max(map(len, contents)) <= 1000
    assert [int(line) for line in (text[PREFIX_BYTES:] for text in b"".join(contents).splitlines()) if line] == list(
        range(1000)
    )
    assert writer.path == segments(str(tmp_path))[-1]


def test_a_first_segment_that_cannot_be_made_raises_and_leaves_no_thread(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    before = threading.active_count()
    with pytest.raises(OSError, match="file"):
        LogWriter(str(tmp_path / "file"))
    assert threading.active_count() == before


def test_the_last_messages_are_those_of_stderr_if_there_are_any(writer: LogWriter) -> None:
    assert writer.last() == []
    writer.write("OUT", b"out 1\nout 2\n")
    writer.note("not a message of the child")
    assert writer.last() == ["out 1", "out 2"]
    writer.write("ERR", b"".join(b"err %d\n" % number for number in range(50)))
    assert writer.last(2) == ["err 48", "err 49"]
    assert writer.last() == [f"err {number}" for number in range(30, 50)]


def test_the_last_messages_begin_with_the_cause_though_more_was_printed_after_it(writer: LogWriter) -> None:
    writer.write("ERR", b"err 1\npanic: it broke\n\ngoroutine 1 [running]:\n")
    assert writer.last() == ["err 1", "panic: it broke", "", "goroutine 1 [running]:"]
    for number in range(500):
        writer.write("ERR", b"frame %d of many, each in a line that is not short at all\n" % number)
    told = writer.last()
    assert told[0] == "panic: it broke"
    assert [line.split()[1] for line in told[1:]] == [str(number) for number in range(481, 500)]


def test_the_last_messages_are_whole_lines_of_bounded_size(writer: LogWriter) -> None:
    for number in range(10):
        writer.write("ERR", b"%d" % number + b"x" * 5000 + b"\n")
    assert writer.last() == [f"{number}" + "x" * 5000 for number in (7, 8, 9)]
    writer.write("ERR", b"y" * MAX_LINE + b"\n")
    assert writer.last() == ["y" * (16 * 1024 - 1)]


def test_the_pump_ends_with_its_pipe_and_leaves_its_end_open(tmp_path: Path, writer: LogWriter) -> None:
    reader, pipe = os.pipe()
    pump = Pump(reader, "ERR", writer)
    pump.start()
    os.write(pipe, b"whole\nhalf")
    assert not pump.join(0.01)
    os.close(pipe)
    assert pump.join(5)
    os.close(reader)
    assert writer.close(10)
    assert tail(str(tmp_path), 9) == ["[ERR] 2024-11-01 12:00:00 whole", "[ERR] 2024-11-01 12:00:00 half"]


class Disk:
    """Puts another open file behind the log's descriptor, as a disk that fails or blocks, and takes it away again."""

    def __init__(self, writer: LogWriter) -> None:
        self._log = next(int(fd.name) for fd in Path("/proc/self/fd").iterdir() if self._is_at(fd, writer.path))
        self._good = os.dup(self._log)

    @staticmethod
    def _is_at(fd: Path, path: str) -> bool:
        try:
            return str(fd.readlink()) == path
        except OSError:
            return False

    def replace(self, fd: int) -> None:
        os.dup2(fd, self._log, inheritable=False)
        os.close(fd)

    def repair(self) -> None:
        self.replace(self._good)


class Drain:
    """Reads a pipe to its end in a thread of its own."""

    def __init__(self, fd: int) -> None:
        self.data = b""
        self._fd = fd
        self._grown = threading.Condition()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while chunk := os.read(self._fd, 65536):
            with self._grown:
                self.data += chunk
                self._grown.notify_all()
        os.close(self._fd)

    def wait_for(self, size: int) -> bool:
        with self._grown:
            return self._grown.wait_for(lambda: len(self.data) >= size, 5)

    def join(self) -> None:
        self._thread.join(5)
        assert not self._thread.is_alive()


def account(log: bytes, reason: str) -> tuple[int, int]:
    """Check that every number is on its line, or in the count of a marker at its place; return the total and losses."""
    following = lost = 0
    torn = b""
    for line in log.split(b"\n")[:-1]:
        stream, message = line[:6], line[PREFIX_BYTES:]
        if stream == b"[SYS] ":
            number, text = message.decode().split(" ", 1)
            assert text == ("line was" if number == "1" else "lines were") + f" lost: {reason}"
            assert not torn or message_of(following).startswith(torn[PREFIX_BYTES:])
            following += int(number)
            lost += int(number)
            torn = b""
            continue
        assert not torn
        if stream == b"[OUT] " and message == message_of(following):
            following += 1
        else:
            torn = line
    assert not torn
    return following, lost


def message_of(number: int) -> bytes:
    return b"%09d" % number


def numbered(first: int, lines: int) -> bytes:
    return b"".join(message_of(number) + b"\n" for number in range(first, first + lines))


@finds_descriptors
def test_a_full_disk_loses_counted_lines_and_a_marker_says_so_first(tmp_path: Path, writer: LogWriter) -> None:
    writer.write("OUT", numbered(0, 10))
    disk = Disk(writer)
    disk.replace(os.open("/dev/full", os.O_WRONLY))
    for block in range(300):
        writer.write("OUT", numbered(10 + block * 3000, 3000))
    disk.repair()
    writer.write("OUT", numbered(900_010, 5))
    assert writer.close(10)
    total, lost = account(on_disk(tmp_path), "No space left on device")
    assert total == 900_015
    assert 0 < lost <= 900_010


@finds_descriptors
def test_losses_at_the_very_end_are_told_by_close(tmp_path: Path, writer: LogWriter) -> None:
    disk = Disk(writer)
    reader, pipe = os.pipe()
    disk.replace(pipe)
    blocks = 0
    longest = 0.0
    while longest < 0.5:
        began = time.monotonic()
        writer.write("OUT", numbered(blocks * 3000, 3000))
        longest = time.monotonic() - began
        blocks += 1
    drain = Drain(reader)
    assert writer.close(10)
    drain.join()
    disk.repair()
    assert account(drain.data, "the disk took nothing for 1 s") == (blocks * 3000, 3000)


@finds_descriptors
def test_a_stalled_disk_holds_the_child_for_a_second_and_no_longer(tmp_path: Path, writer: LogWriter) -> None:
    reader, pipe = os.pipe()
    Disk(writer).replace(pipe)
    spans = []
    for block in range(20):
        began = time.monotonic()
        writer.write("OUT", numbered(block * 3000, 3000))
        spans.append(time.monotonic() - began)
    assert 0.9 < max(spans) < 3
    assert sorted(spans)[-2] < 0.5
    drain = Drain(reader)
    # More than the pipe and the block in hand: the queue has room again.
    assert drain.wait_for(256 * 1024)
    writer.write("OUT", numbered(60_000, 7))
    assert writer.close(10)
    drain.join()
    total, lost = account(drain.data, "the disk took nothing for 1 s")
    assert total == 60_007
    assert 0 < lost < 60_000
    assert drain.data.endswith(b"000060006\n")


@finds_descriptors
def test_a_slow_disk_holds_the_child_back_and_loses_nothing(tmp_path: Path, writer: LogWriter) -> None:
    reader, pipe = os.pipe()
    Disk(writer).replace(pipe)
    waited = threading.Event()

    def fill() -> None:
        for block in range(20):
            writer.write("OUT", numbered(block * 3000, 3000))
        waited.set()

    filler = threading.Thread(target=fill)
    filler.start()
    assert not waited.wait(0.3)
    drain = Drain(reader)
    filler.join(5)
    assert waited.is_set()
    assert writer.close(10)
    drain.join()
    assert account(drain.data, "") == (60_000, 0)


@finds_descriptors
def test_closing_does_not_wait_longer_than_told(tmp_path: Path, writer: LogWriter) -> None:
    reader, pipe = os.pipe()
    Disk(writer).replace(pipe)
    writer.write("OUT", numbered(0, 3000))
    assert not writer.close(0.05)
    drain = Drain(reader)
    assert writer.close(10)
    drain.join()
    assert account(drain.data, "") == (3000, 0)


def run_isolated(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program the way the shim is run: with the standard library only."""
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", program, str(ROOT), *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


LIMITED = """
import resource, sys
sys.path.insert(0, sys.argv[1])
from core.shim.pump import LogWriter
def numbered(first, lines):
    return b"".join(b"%09d\\n" % number for number in range(first, first + lines))
writer = LogWriter(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
# Far more than the queue holds, so that most of it meets the limit.
for first in range(0, 300_000, 3000):
    writer.write("OUT", numbered(first, 3000))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
writer.write("OUT", numbered(300_000, 50))
sys.exit(not writer.close(10))
"""


@tied.linux("limits the size of a file")
@pytest.mark.parametrize("limit", [36 * 1000, 36 * 1000 + 3, 36 * 1000 + 30])
def test_a_write_torn_by_a_full_disk_goes_on_at_a_new_line(tmp_path: Path, limit: int) -> None:
    done = run_isolated(LIMITED, str(tmp_path), str(limit))
    assert (done.returncode, done.stderr) == (0, "")
    log = on_disk(tmp_path)
    assert log[limit - 1 :].startswith((b"\n[SYS] ", log[limit - 1 : limit] + b"\n[SYS] "))
    total, lost = account(log, "File too large")
    assert total == 300_050
    assert lost > 200_000


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from core.shim.pump import LogWriter
writer = LogWriter(sys.argv[2])
writer.write("OUT", b"written\\n")
while not os.stat(writer.path).st_size:
    pass
# On Windows that number means TerminateProcess, too.
os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
"""


def test_a_killed_writer_loses_nothing_it_has_written(tmp_path: Path) -> None:
    assert run_isolated(KILLED, str(tmp_path)).returncode == (15 if sys.platform == "win32" else -9)
    assert on_disk(tmp_path)[PREFIX_BYTES:] == b"written\n"


MEASURED = """
import os, sys
sys.path.insert(0, sys.argv[1])
from core.shim.pump import LogWriter, Pump
def kilobytes(field):
    with open("/proc/self/smaps_rollup", "rb") as rollup:
        return next(int(line.split()[1]) for line in rollup if line.startswith(field))
before = kilobytes(b"Anonymous:")
reader, pipe = os.pipe()
child = [sys.executable, "-I", "-S", "-c", sys.argv[3]]
os.posix_spawn(sys.executable, child, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, pipe, 1)])
os.close(pipe)
writer = LogWriter(sys.argv[2])
pump = Pump(reader, "OUT", writer)
pump.start()
peak = whole = 0
while not pump.join(0.005):
    peak = max(peak, kilobytes(b"Anonymous:"))
    whole = max(whole, kilobytes(b"Pss:"))
assert writer.close(10)
print(peak - before, whole)
"""


@tied.linux("reads memory use from /proc")
@pytest.mark.timeout(30)  # tens of megabytes on a shared machine
@pytest.mark.parametrize(
    ("unit", "times"),
    [
        pytest.param("b'some ordinary text, as most of it is, 80 bytes long or so, with a newline\\n' * 800", 1600),
        pytest.param("b'x' * 65536", 1600),
        pytest.param("b'\\n' * 65536", 100),
        pytest.param("b'\\x1b[1mbold\\x1b[0m \\xff caf\\xc3\\xa9\\r\\n' * 3000", 200),
    ],
    ids=["text", "no newline", "only newlines", "dirty"],
)
def test_memory_stays_small_through_a_storm(tmp_path: Path, unit: str, times: int) -> None:
    """All buffers of a pump and its writer stay below 1.5 MB, and the whole process within 12 MB."""
    child = f"import os\nunit = {unit}\nfor _ in range({times}):\n    rest = memoryview(unit)\n"
    child += "    while rest:\n        rest = rest[os.write(1, rest):]\n"
    done = run_isolated(MEASURED, str(tmp_path), child)
    assert (done.returncode, done.stderr) == (0, "")
    growth, whole = map(int, done.stdout.split())
    assert 0 < growth < 1500
    assert whole <= 12 * 1024
