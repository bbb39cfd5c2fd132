"""Names, retention and the tail of the logs, on real files."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.logs.segments import PREFIX_BYTES, Caps, Segment, SegmentedFile, line_prefix, prune, stamp_line
from core.logs.tail import count_after, newest, segments, tail, total_bytes
from tests import tied

NOON = 1_730_462_400.0  # 2024-11-01 12:00:00 UTC
MIB = 1024 * 1024
ROOT = Path(__file__).parents[3]

posix_only = tied.posix("file modes, and deletion of open files")
counts_reads = tied.linux("counts the bytes read in /proc/self/io")


def names(folder: Path) -> list[str]:
    return [os.path.basename(path) for path in segments(str(folder))]  # noqa: PTH119 - the product hands out str


def put(folder: Path, *files: str, size: int = 10) -> None:
    for name in files:
        (folder / name).write_bytes(b"x" * (size - 1) + b"\n")


@pytest.fixture
def started(tmp_path: Path) -> Iterator[SegmentedFile]:
    file = SegmentedFile(str(tmp_path), Caps(segment_bytes=100), NOON)
    yield file
    file.close()


def test_who_goes_on_for_a_killed_writer_cuts_its_torn_line_and_keeps_the_caps(
    tmp_path: Path, started: SegmentedFile
) -> None:
    started.append(b"x" * 79 + b"\n")
    with Path(started.path).open("ab") as torn:
        torn.write(b"tor")
    successor = SegmentedFile(str(tmp_path), Caps(segment_bytes=100), NOON + 9, started.stamp)
    assert successor.end == (0, 80)
    successor.append(b"y" * 9 + b"\n")
    successor.append(b"z" * 19 + b"\n")
    successor.close()
    assert names(tmp_path) == ["ollama-20241101-120000.log", "ollama-20241101-120000.001.log"]
    assert tail(str(tmp_path), 9) == ["x" * 79, "y" * 9, "z" * 19]


def test_the_lines_after_a_place_in_the_log_are_counted_across_segments(tmp_path: Path, started: SegmentedFile) -> None:
    started.append(b"[OUT] before\n")
    end = started.end
    for _ in range(20):
        started.append(b"[OUT] a\n[SYS] b\n[OUT] c\n[ERR] d\n")
    assert len(names(tmp_path)) > 5
    assert [count_after(str(tmp_path), started.stamp, end, stream) for stream in ("OUT", "ERR")] == [40, 20]
    assert count_after(str(tmp_path), started.stamp, started.end, "OUT") == 0


def test_a_line_begins_with_its_stream_and_the_utc_time() -> None:
    assert line_prefix("OUT", NOON) == b"[OUT] 2024-11-01 12:00:00 "
    assert len(line_prefix("ERR", NOON + 0.9)) == PREFIX_BYTES


def test_a_stamped_line_is_whole() -> None:
    line = stamp_line("SYS", "über \udcff")
    assert line.startswith(b"[SYS] 20")
    assert line[PREFIX_BYTES:] == "über \\udcff\n".encode()


def test_only_exact_names_are_logs_and_numbers_sort_as_numbers(tmp_path: Path) -> None:
    logs = [
        "ollama-20240101-000000.log",
        "ollama-20240101-000000.001.log",
        "ollama-20240101-000000.002.log",
        "ollama-20240101-000000.999.log",
        "ollama-20240101-000000.1000.log",
        "ollama-20240101-000001.log",
    ]
    foreign = [
        "ollama-20240101-000000.000.log",
        "ollama-20240101-000000.01.log",
        "ollama-20240101-000000.0001.log",
        "ollama-20240101-000000.log.bak",
        "ollama-20240101-00000٣.log",
        "xollama-20240101-000000.log",
        "Ollama-20240101-000000.txt",
        "server.log",
    ]
    put(tmp_path, *foreign, *reversed(logs))
    assert names(tmp_path) == logs
    assert newest(str(tmp_path)) == str(tmp_path / logs[-1])
    assert total_bytes(str(tmp_path)) == 10 * len(logs)


def test_a_missing_folder_is_an_empty_log(tmp_path: Path) -> None:
    folder = str(tmp_path / "none")
    assert segments(folder) == []
    assert newest(folder) is None
    assert total_bytes(folder) == 0
    assert tail(folder, 10) == []


def test_a_start_makes_the_folder_and_a_file_of_its_second(tmp_path: Path) -> None:
    file = SegmentedFile(str(tmp_path / "logs" / "ollama"), Caps(), NOON + 0.999)
    file.close()
    assert file.path == str(tmp_path / "logs" / "ollama" / "ollama-20241101-120000.log")


@posix_only
def test_only_the_user_may_read_a_log(started: SegmentedFile) -> None:
    started.append(b"x" * 99 + b"\n")
    started.append(b"second segment\n")
    folder = Path(started.path).parent
    assert [(folder / name).stat().st_mode & 0o777 for name in names(folder)] == [0o600, 0o600]


def test_a_second_start_in_the_same_second_takes_the_next_free_one(tmp_path: Path) -> None:
    for _ in range(3):
        SegmentedFile(str(tmp_path), Caps(), NOON).close()
    assert names(tmp_path) == [f"ollama-20241101-12000{second}.log" for second in range(3)]


@pytest.mark.parametrize(
    ("existing", "opened"),
    [
        ("20241101-125959", "20241101-130000"),
        ("20241102-115959", "20241102-120000"),
        ("20241102-120001", "20241101-120000"),
        ("99991231-235959", "20241101-120000"),
    ],
)
def test_a_clock_set_back_by_up_to_a_day_does_not_reorder_starts(tmp_path: Path, existing: str, opened: str) -> None:
    put(tmp_path, f"ollama-{existing}.log")
    file = SegmentedFile(str(tmp_path), Caps(), NOON)
    file.close()
    assert file.path == str(tmp_path / f"ollama-{opened}.log")


def test_a_first_segment_that_cannot_be_made_raises(tmp_path: Path) -> None:
    put(tmp_path, "logs")
    with pytest.raises(OSError, match="logs"):
        SegmentedFile(str(tmp_path / "logs"), Caps(), NOON)


def test_lines_that_would_pass_the_cap_open_the_next_segment(started: SegmentedFile) -> None:
    folder = Path(started.path).parent
    lines = [b"a" * 59 + b"\n", b"b" * 39 + b"\n", b"c\n", b"d" * 200 + b"\n", b"e\n"]
    assert [started.append(line) for line in lines] == [0] * 5
    contents = [(folder / name).read_bytes() for name in names(folder)]
    assert contents == [lines[0] + lines[1], lines[2], lines[3], lines[4]]
    assert started.path == segments(str(folder))[-1]
    assert names(folder)[-1] == "ollama-20241101-120000.003.log"


def test_a_continuation_never_overwrites_a_file_of_its_name(started: SegmentedFile) -> None:
    folder = Path(started.path).parent
    put(folder, "ollama-20241101-120000.001.log", size=7)
    started.append(b"a" * 99 + b"\n")
    started.append(b"b\n")
    assert (folder / "ollama-20241101-120000.001.log").stat().st_size == 7
    assert (folder / "ollama-20241101-120000.002.log").read_bytes() == b"b\n"


@posix_only
def test_a_log_deleted_by_hand_goes_on_in_a_new_segment(started: SegmentedFile) -> None:
    started.append(b"lost by the user\n")
    Path(started.path).unlink()
    assert started.append(b"kept\n") == 0
    assert Path(started.path).read_bytes() == b"kept\n"


def prune_after(folder: Path, caps: Caps, stamp: str, number: int) -> list[str]:
    current = Segment(str(folder), stamp, number)
    Path(current.path).touch()
    prune(str(folder), caps, current)
    return names(folder)


def test_the_oldest_segments_of_a_start_go_beyond_the_cap(tmp_path: Path) -> None:
    put(tmp_path, "ollama-20240101-000000.log", "ollama-20240202-000000.log")
    put(tmp_path, *(f"ollama-20240202-000000.00{number}.log" for number in (1, 2, 3)))
    assert prune_after(tmp_path, Caps(segments_per_start=3), "20240202-000000", 4) == [
        "ollama-20240101-000000.log",
        "ollama-20240202-000000.002.log",
        "ollama-20240202-000000.003.log",
        "ollama-20240202-000000.004.log",
    ]


def test_the_oldest_starts_go_whole(tmp_path: Path) -> None:
    put(tmp_path, "ollama-20240101-000000.log", "ollama-20240101-000000.001.log")
    put(tmp_path, "ollama-20240202-000000.log", "ollama-20240202-000000.001.log")
    assert prune_after(tmp_path, Caps(starts=2), "20240303-000000", 0) == [
        "ollama-20240202-000000.log",
        "ollama-20240202-000000.001.log",
        "ollama-20240303-000000.log",
    ]


def test_the_oldest_files_go_until_a_full_new_segment_fits(tmp_path: Path) -> None:
    put(tmp_path, "ollama-20240101-000000.log", "ollama-20240101-000000.001.log", "ollama-20240202-000000.log", size=40)
    exactly = Caps(segment_bytes=100, total_bytes=180)
    assert prune_after(tmp_path, exactly, "20240303-000000", 0) == [
        "ollama-20240101-000000.001.log",
        "ollama-20240202-000000.log",
        "ollama-20240303-000000.log",
    ]


def test_the_segment_being_written_is_never_deleted(tmp_path: Path) -> None:
    put(tmp_path, "ollama-20240101-000000.log", "ollama-20990101-000000.log")
    nothing = Caps(segment_bytes=100, segments_per_start=0, starts=0, total_bytes=0)
    assert prune_after(tmp_path, nothing, "20240101-000000", 1) == ["ollama-20240101-000000.001.log"]


def test_what_cannot_be_deleted_is_skipped_and_foreign_files_are_not_touched(tmp_path: Path) -> None:
    # A folder of that name stands for a file that the system does not let go of.
    (tmp_path / "ollama-20240101-000000.log" / "inside").mkdir(parents=True)
    put(tmp_path, "ollama-20240102-000000.log", "ollama-20240103-000000.log", "notes.log", size=40)
    assert prune_after(tmp_path, Caps(starts=1), "20240303-000000", 0) == [
        "ollama-20240101-000000.log",
        "ollama-20240303-000000.log",
    ]
    assert (tmp_path / "notes.log").exists()


def test_the_tail_crosses_segments_and_starts(tmp_path: Path) -> None:
    (tmp_path / "ollama-20240101-000000.log").write_bytes(b"1\n2\n")
    (tmp_path / "ollama-20240202-000000.log").write_bytes(b"3\n")
    (tmp_path / "ollama-20240202-000000.001.log").write_bytes(b"")
    (tmp_path / "ollama-20240202-000000.002.log").write_bytes(b"4\n5\n")
    assert tail(str(tmp_path), 4) == ["2", "3", "4", "5"]
    assert tail(str(tmp_path), 100) == ["1", "2", "3", "4", "5"]
    assert tail(str(tmp_path), 1) == ["5"]
    assert tail(str(tmp_path), 0) == tail(str(tmp_path), -1) == []


def test_the_tail_leaves_out_an_unfinished_line_and_replaces_bad_bytes(tmp_path: Path) -> None:
    (tmp_path / "ollama-20240101-000000.log").write_bytes("é\u2028\x85|\n".encode() + b"\xff\r\nhalf")
    assert tail(str(tmp_path), 5) == ["é\u2028\x85|", "�\r"]


def test_the_tail_skips_what_cannot_be_read(tmp_path: Path) -> None:
    put(tmp_path, "ollama-20240101-000000.log", size=2)
    (tmp_path / "ollama-20240202-000000.log").mkdir()
    assert tail(str(tmp_path), 5) == ["x"]


@given(
    st.lists(st.lists(st.one_of(st.integers(0, 30), st.integers(10_000, 40_000)), max_size=6), max_size=4),
    st.integers(1, 20),
)
@settings(max_examples=60, deadline=None)
def test_the_tail_is_the_end_of_all_lines(files: list[list[int]], wanted: int) -> None:
    """Whatever the lengths of lines, also around the sizes of the blocks that are read."""
    everything: list[str] = []
    with TemporaryDirectory() as folder:
        for number, lengths in enumerate(files):
            lines = [f"{number}.{line}".ljust(length, "é") for line, length in enumerate(lengths)]
            Path(Segment(folder, "20240101-000000", number).path).write_text(
                "".join(f"{line}\n" for line in lines), encoding="utf-8", newline=""
            )
            everything += lines
        assert tail(folder, wanted) == everything[-wanted:]


def bytes_read_by_tail(folder: Path, lines: int) -> tuple[int, list[str]]:
    def read_so_far() -> int:
        return int(Path("/proc/self/io").read_bytes().split()[1])

    read_so_far()
    before = read_so_far()
    answer_of_proc = read_so_far() - before
    before = read_so_far()
    found = tail(str(folder), lines)
    return read_so_far() - before - answer_of_proc, found


@counts_reads
def test_the_tail_of_two_gigabytes_reads_no_more_than_that_of_a_small_log(tmp_path: Path) -> None:
    lines = [f"[OUT] 2024-11-01 12:00:00 line {number}" for number in range(2000)]
    ending = "".join(f"{line}\n" for line in lines).encode()
    small, large = tmp_path / "small", tmp_path / "large"
    for folder in (small, large):
        folder.mkdir()
        with (folder / "ollama-20241101-120000.log").open("wb") as file:
            file.truncate(2048 * MIB - len(ending) if folder is large else 0)
            file.seek(0, os.SEEK_END)
            file.write(ending)
    read_small, found_small = bytes_read_by_tail(small, 200)
    read_large, found_large = bytes_read_by_tail(large, 200)
    assert found_small == found_large == lines[-200:]
    assert 0 < read_large <= read_small + 100
    assert read_large <= 64 * 1024


@counts_reads
def test_the_tail_reads_sixteen_mebibytes_at_most(tmp_path: Path) -> None:
    """An endless line yields fewer lines than wanted, never a piece of one."""
    with (tmp_path / "ollama-20240101-000000.log").open("wb") as file:
        file.truncate(40 * MIB)
        file.seek(0, os.SEEK_END)
        file.write(b"\nlast but one\nlast\n")
    read, found = bytes_read_by_tail(tmp_path, 5)
    assert found == ["last but one", "last"]
    assert 16 * MIB <= read <= 16 * MIB + 1024


WRITE_ON = """
import sys
sys.path.insert(0, sys.argv[1])
from core.logs.segments import Caps, SegmentedFile
file = SegmentedFile(sys.argv[2], Caps(segment_bytes=20_000), 0)
for number in range(20_000):
    file.append(b"".join(b"%d\\n" % n for n in range(number * 5, number * 5 + 5)))
    if number == 0:
        print("begun", end="", flush=True)
"""


def test_a_log_is_read_while_another_process_writes_and_prunes_it(tmp_path: Path) -> None:
    """Every answer is a run of whole, consecutive lines, though files appear and vanish meanwhile."""
    command = [sys.executable, "-c", WRITE_ON, str(ROOT), str(tmp_path)]
    answers = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.read(5) == b"begun"
        while writer.poll() is None:
            numbers = [int(line) for line in tail(str(tmp_path), 3000)]
            assert numbers == list(range(numbers[0], numbers[-1] + 1))
            answers += 1
    assert writer.returncode == 0
    assert answers > 5
    assert tail(str(tmp_path), 1) == ["99999"]
