"""The order of the starts in a log folder, where the clock was wrong."""

from __future__ import annotations

import os
import time
from pathlib import Path

from core.logs.segments import Caps, SegmentedFile, stamp_of
from core.logs.tail import newest, segments, tail

HOUR, DAY = 3600.0, 86_400.0


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
