"""What a service prints into files is copied once and in order, over rotation, truncation and restarts of ours."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from core.owners.services.copy import FileCopy
from core.settings.paths import Paths
from tests import tied
from tests.core.owners.test_copied import copy_of, shown


class Source:
    """A file that a service prints to."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def prints(self, *numbers: int) -> None:
        with self.path.open("ab") as file:
            file.write(b"".join(f"line {number}\n".encode() for number in numbers))


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return Source(tmp_path / "ollama.log")


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths(tmp_path)
    paths.data.mkdir()
    return paths


def lines(*numbers: int) -> list[str]:
    return [f"line {number}" for number in numbers]


def test_a_file_that_is_not_there_yet_is_waited_for(paths: Paths, source: Source) -> None:
    copy = FileCopy(copy_of(paths))
    copy.copy([str(source.path)], "1")
    source.prints(1, 2)
    copy.copy([str(source.path)], "1")
    copy.copy([str(source.path)], "1")
    copy.close()
    assert shown(paths) == lines(1, 2)


def test_half_a_line_waits_for_its_other_half(paths: Paths, source: Source) -> None:
    copy = FileCopy(copy_of(paths))
    source.path.write_bytes(b"line 1\nli")
    copy.copy([str(source.path)], "1")
    assert shown(paths) == lines(1)
    with source.path.open("ab") as file:
        file.write(b"ne 2\n")
    copy.copy([str(source.path)], "1")
    copy.close()
    assert shown(paths) == lines(1, 2)


def renamed(source: Source) -> None:
    source.path.rename(source.path.with_name("ollama.log.0"))


def renamed_and_printed_to(source: Source) -> None:
    """As newsyslog does it: a service keeps printing to the file that it has open."""
    old = source.path.open("ab")
    renamed(source)
    with old:
        old.write(b"line 3\n")


@tied.posix("Windows renames no file that is open, and no service prints to files there")
@pytest.mark.parametrize("is_restarted", [False, True], ids=["goes on", "is restarted meanwhile"])
@pytest.mark.parametrize("rotate", [renamed, renamed_and_printed_to])
def test_a_file_that_was_renamed_is_read_to_its_end_before_the_new_one(
    paths: Paths, source: Source, rotate: Callable[[Source], None], *, is_restarted: bool
) -> None:
    copy = FileCopy(copy_of(paths))
    source.prints(1, 2)
    copy.copy([str(source.path)], "1")
    if is_restarted:
        copy.close()
        copy = FileCopy(copy_of(paths))
    rotate(source)
    printed = [1, 2, 3] if rotate is renamed_and_printed_to else [1, 2]
    source.prints(4)
    copy.copy([str(source.path)], "1")
    copy.close()
    assert shown(paths) == lines(*printed, 4)


def test_a_file_that_was_truncated_is_read_from_its_beginning(paths: Paths, source: Source) -> None:
    copy = FileCopy(copy_of(paths))
    source.prints(1, 2, 3)
    copy.copy([str(source.path)], "1")
    os.truncate(source.path, 0)
    source.prints(4)
    copy.copy([str(source.path)], "1")
    copy.close()
    assert shown(paths) == lines(1, 2, 3, 4)


def test_a_long_file_that_is_followed_for_the_first_time_is_copied_from_a_line_near_its_end(
    paths: Paths, source: Source
) -> None:
    source.prints(*range(100_000))
    copy = FileCopy(copy_of(paths))
    copy.copy([str(source.path)], "1")
    copy.close()
    found = shown(paths)
    assert found[-1] == "line 99999"
    assert 0 < len(found) < 10_000


def test_output_and_errors_have_streams_of_their_own_unless_they_are_one_file(paths: Paths, tmp_path: Path) -> None:
    out, errors = Source(tmp_path / "out"), Source(tmp_path / "err")
    out.prints(1)
    errors.prints(2)
    copy = FileCopy(copy_of(paths))
    copy.copy([str(out.path), str(errors.path)], "1")
    copy.copy([str(out.path), str(out.path)], "1")
    copy.close()
    log = paths.logs_of("default")
    text = "".join(each.read_text() for each in log.iterdir())
    assert [line[:5] for line in text.splitlines()] == ["[OUT]", "[ERR]"]


@tied.posix("Windows has no FIFOs among files")
def test_a_pipe_in_its_place_is_refused_and_not_waited_for(paths: Paths, source: Source) -> None:
    if hasattr(os, "mkfifo"):
        os.mkfifo(source.path)
    with pytest.raises(OSError, match="no plain file"):
        FileCopy(copy_of(paths)).copy([str(source.path)], "1")
