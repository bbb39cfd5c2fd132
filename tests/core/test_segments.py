"""The order of starts where the clock was wrong, and what bears a log's name without being one."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.logs import append_line, count_after, newest, segments, tail, total_bytes
from core.segments import Caps, SegmentedFile, open_log, stamp_of
from tests import tied

HOUR, DAY = 3600.0, 86_400.0

fifos = tied.posix("FIFOs and links that anybody may make")


def start(folder: Path, at: float, text: str) -> str:
    """The name of the log of a start at that time, with one line in it, last written then."""
    file = SegmentedFile(str(folder), Caps(), at)
    file.append(f"{text}\n".encode())
    file.close()
    os.utime(file.path, (at, at))
    return Path(file.path).name


def order(folder: Path) -> list[str]:
    return [Path(path).name for path in segments(str(folder))]


def test_a_log_from_a_clock_that_was_ahead_is_older_than_the_next_start_and_pruned_first(tmp_path: Path) -> None:
    now = time.time()
    good = start(tmp_path, now - HOUR, "before")
    ahead = start(tmp_path, now + 400 * DAY, "ahead")
    last = start(tmp_path, now, "after")
    assert order(tmp_path) == [ahead, good, last]
    assert newest(str(tmp_path)) == str(tmp_path / last)
    assert tail(str(tmp_path), 9) == ["ahead", "before", "after"]
    SegmentedFile(str(tmp_path), Caps(starts=3), now + 1).close()
    assert order(tmp_path) == [good, last, f"ollama-{stamp_of(now + 1)}.log"]


def test_of_several_logs_from_clocks_that_were_ahead_the_name_decides(tmp_path: Path) -> None:
    now = time.time()
    ahead = [start(tmp_path, now + days * DAY, "ahead") for days in (900, 30, 400)]
    last = start(tmp_path, now, "after")
    assert order(tmp_path) == [ahead[1], ahead[2], ahead[0], last]


def test_a_log_that_is_written_on_after_the_clock_was_put_right_stands_where_it_was_written(tmp_path: Path) -> None:
    now = time.time()
    ahead = start(tmp_path, now + 400 * DAY, "ahead")
    before, after = start(tmp_path, now - 2 * HOUR, "before"), start(tmp_path, now, "after")
    os.utime(tmp_path / ahead, (now - HOUR, now - HOUR))
    assert order(tmp_path) == [before, ahead, after]
    os.utime(tmp_path / ahead, (now + 5, now + 5))
    assert newest(str(tmp_path)) == str(tmp_path / ahead)


def test_segments_of_a_start_stay_together_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    now = time.time()
    stamp = stamp_of(now + 400 * DAY)
    names = [f"ollama-{stamp}.log", *(f"ollama-{stamp}.00{number}.log" for number in (1, 2))]
    for name in reversed(names):
        (tmp_path / name).write_text("x\n")
    last = start(tmp_path, now + 1, "after")
    os.utime(tmp_path / last, (now + 9, now + 9))
    assert order(tmp_path) == [*names, last]


@pytest.fixture(params=["fifo", "fifo with a reader", "link"])
def planted(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[SegmentedFile, Path]]:
    """A log in progress, and what bears the name of its next segment but is no plain file."""
    file = SegmentedFile(str(tmp_path / "logs"), Caps(), time.time())
    file.append(b"[OUT] first\n")
    path = Path(file.path).with_suffix(".001.log")
    reader = None
    if request.param == "link":
        (tmp_path / "elsewhere").write_text("theirs\n")
        path.symlink_to(tmp_path / "elsewhere")
    else:
        os.mkfifo(path)
        if "reader" in request.param:
            reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    yield file, path
    file.close()
    if reader is not None:
        os.close(reader)
    if request.param == "link":
        assert (tmp_path / "elsewhere").read_text() == "theirs\n"


@fifos
def test_what_is_no_plain_file_is_not_opened_in_any_way(planted: tuple[SegmentedFile, Path]) -> None:
    for flags in (os.O_RDONLY, os.O_WRONLY, os.O_WRONLY | os.O_CREAT | os.O_APPEND):
        with pytest.raises(OSError, match=planted[1].name):
            os.close(open_log(str(planted[1]), flags))


@fifos
def test_a_line_for_the_newest_log_goes_to_the_newest_plain_file(planted: tuple[SegmentedFile, Path]) -> None:
    file, path = planted
    folder = str(path.parent)
    append_line(folder, "SYS", "the end")
    assert newest(folder) == file.path
    assert Path(file.path).read_text().endswith(" the end\n")


@fifos
def test_lines_are_counted_past_what_is_no_plain_file(planted: tuple[SegmentedFile, Path]) -> None:
    file, path = planted
    path.with_suffix("").with_suffix(".002.log").write_text("[OUT] second\n")
    assert count_after(str(path.parent), file.stamp, (0, 0), "OUT") == 2


@fifos
def test_whoever_carries_a_log_on_begins_a_segment_of_his_own_past_it(planted: tuple[SegmentedFile, Path]) -> None:
    heir = SegmentedFile(str(planted[1].parent), Caps(), time.time(), planted[0].stamp)
    assert heir.append(b"[OUT] second\n") == 0
    heir.close()
    assert heir.path.endswith(".002.log")
    assert tail(str(planted[1].parent), 9) == ["[OUT] first", "[OUT] second"]


@fifos
def test_a_link_counts_nothing_of_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 5000)
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "ollama-20240101-000000.log").symlink_to(tmp_path / "large")
    assert total_bytes(str(tmp_path / "logs")) < 1000
