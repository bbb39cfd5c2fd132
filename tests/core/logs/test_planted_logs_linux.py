"""What bears a log's name without being one is neither followed nor waited for."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.logs.segments import Caps, SegmentedFile, open_log
from core.logs.tail import append_line, count_after, newest, tail, total_bytes

assert sys.platform == "linux"


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


def test_what_is_no_plain_file_is_not_opened_in_any_way(planted: tuple[SegmentedFile, Path]) -> None:
    for flags in (os.O_RDONLY, os.O_WRONLY, os.O_WRONLY | os.O_CREAT | os.O_APPEND):
        with pytest.raises(OSError, match=planted[1].name):
            os.close(open_log(str(planted[1]), flags))


def test_a_line_for_the_newest_log_goes_to_the_newest_plain_file(planted: tuple[SegmentedFile, Path]) -> None:
    file, path = planted
    folder = str(path.parent)
    append_line(folder, "SYS", "the end")
    assert newest(folder) == file.path
    assert Path(file.path).read_text().endswith(" the end\n")


def test_lines_are_counted_past_what_is_no_plain_file(planted: tuple[SegmentedFile, Path]) -> None:
    file, path = planted
    path.with_suffix("").with_suffix(".002.log").write_text("[OUT] second\n")
    assert count_after(str(path.parent), file.stamp, (0, 0), "OUT") == 2


def test_whoever_carries_a_log_on_begins_a_segment_of_his_own_past_it(planted: tuple[SegmentedFile, Path]) -> None:
    successor = SegmentedFile(str(planted[1].parent), Caps(), time.time(), planted[0].stamp)
    assert successor.append(b"[OUT] second\n") == 0
    successor.close()
    assert successor.path.endswith(".002.log")
    assert tail(str(planted[1].parent), 9) == ["[OUT] first", "[OUT] second"]


def test_a_link_counts_nothing_of_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 5000)
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "ollama-20240101-000000.log").symlink_to(tmp_path / "large")
    assert total_bytes(str(tmp_path / "logs")) < 1000
