"""Lines that something else keeps are copied once each, whatever happens between two batches."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from core import files
from core.logs.segments import SegmentedFile
from core.logs.tail import tail
from core.owners.copied import Line, LogCopy
from core.settings.paths import Paths
from tests import tied

CAPS = {"segment_bytes": 1 << 16, "segments_per_start": 8, "starts": 20, "total_bytes": 1 << 20}


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """A data folder that is there."""
    paths = Paths(tmp_path)
    paths.data.mkdir()
    return paths


def copy_of(paths: Paths, source: str = "systemd:ollama.service") -> LogCopy:
    return LogCopy(paths, "default", source, CAPS)


def numbered(*numbers: int) -> list[Line]:
    return [Line("OUT", 1_700_000_000.0 + number, f"line {number}".encode()) for number in numbers]


def kept_of(paths: Paths) -> Path:
    """The file with the cursor of the source that was written last."""
    return max(paths.run.glob("default.*.copied"), key=lambda path: path.stat().st_mtime_ns)


def shown(paths: Paths) -> list[str]:
    """The lines without their stamps."""
    return [line[len("[OUT] yyyy-MM-dd HH:mm:ss ") :] for line in tail(str(paths.logs_of("default")), 1000)]


def test_lines_bear_the_time_at_which_they_were_printed(paths: Paths) -> None:
    copy = copy_of(paths)
    assert copy.open() is None
    copy.write([*numbered(1), Line("SYS", 1_700_000_060.0, b"Stopped.")], "c1", "run 1")
    assert tail(str(paths.logs_of("default")), 10) == [
        "[OUT] 2023-11-14 22:13:21 line 1",
        "[SYS] 2023-11-14 22:14:20 Stopped.",
    ]
    assert copy.path
    assert Path(copy.path).name == "ollama-20231114-221321.log"


def test_a_copy_goes_on_after_the_last_batch(paths: Paths) -> None:
    first = copy_of(paths)
    first.write(numbered(1, 2), "c2", "run 1")
    first.close()
    second = copy_of(paths)
    assert second.open() == "c2"
    second.write(numbered(3), "c3", "run 1")
    assert shown(paths) == ["line 1", "line 2", "line 3"]
    assert len(list(paths.logs_of("default").iterdir())) == 1


@pytest.mark.parametrize("had", [0, 1, 2, 3])
@pytest.mark.parametrize("start", ["run 1", "run 2"])
@pytest.mark.parametrize("torn", [False, True])
def test_a_kill_between_lines_and_cursor_loses_and_doubles_nothing(
    paths: Paths, had: int, start: str, torn: bool
) -> None:
    """The log holds some lines of a batch whose cursor was never kept, the last of them perhaps only in part."""
    copy = copy_of(paths)
    copy.write(numbered(1), "c1", "run 1")
    copy.write(numbered(2), "c2", start)
    kept = kept_of(paths).read_bytes()
    copy.write(numbered(*range(3, 3 + had)), "c-lost", start)
    if torn:
        assert copy.path
        with Path(copy.path).open("ab") as file:
            file.write(b"[OUT] 2023-11-14 22:13:2")
    copy.close()
    kept_of(paths).write_bytes(kept)
    again = copy_of(paths)
    assert again.open() == "c2"
    # The same lines come again, in other batches.
    again.write(numbered(3), "c3", start)
    again.write(numbered(4, 5), "c5", start)
    again.write(numbered(6), "c6", "run 3")
    assert shown(paths) == [f"line {number}" for number in range(1, 7)]
    assert len(list(paths.logs_of("default").iterdir())) == (3 if start == "run 2" else 2)


def test_each_source_goes_on_where_it_was_left_when_its_turn_comes_again(paths: Paths) -> None:
    """As after a change of the owner and back, with or without a restart of this program in between."""
    copy_of(paths).write(numbered(1), "c1", "run 1")
    other = copy_of(paths, "container:ollama")
    assert other.open() is None
    other.write(numbered(2), "d2", "run 1")
    other.close()
    again = copy_of(paths)
    assert again.open() == "c1"
    again.write(numbered(3), "c3", "run 1")
    again.write(numbered(4), "c4", "run 1")
    again.close()
    assert other.open() == "d2"
    other.write(numbered(5), "d5", "run 1")
    # The newest lines are the last ones, although the run is the same.
    assert shown(paths) == [f"line {number}" for number in range(1, 6)]
    assert copy_of(paths).open() == "c4"


T = TypeVar("T")


class Killed(BaseException):
    """This program has been killed."""


class Killer:
    """Kills at some of the writes to the disk: before it, in its midst, or after it."""

    def __init__(self, patch: pytest.MonkeyPatch, at: set[int], when: str) -> None:
        self.count = 0
        self._at = at
        append, keep = SegmentedFile.append, files.write

        def appended(file: SegmentedFile, data: bytes) -> int:
            half = data[: len(data) // 2]
            return self._write(when, lambda: append(file, half), lambda: append(file, data))

        def kept(path: str, text: str) -> None:
            self._write(when, lambda: None, lambda: keep(path, text))

        patch.setattr(SegmentedFile, "append", appended)
        patch.setattr("core.owners.copied.files.write", kept)

    def _write(self, when: str, half: Callable[[], object], whole: Callable[[], T]) -> T:
        self.count += 1
        if self.count not in self._at:
            return whole()
        {"before": lambda: None, "amid": half, "after": whole}[when]()
        raise Killed


@pytest.mark.timeout(60)  # some hundred files, and the disk is waited for
@pytest.mark.parametrize("when", ["amid", "after"])
@pytest.mark.parametrize("goes_on", [True, False], ids=["owner kept", "owner changed"])
def test_kills_at_any_writes_lose_and_double_nothing_over_changes_of_the_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str, goes_on: bool
) -> None:
    sources = {"systemd:a.service": numbered(*range(1, 9)), "container:b": numbered(*range(101, 109))}
    # Whose turn it is, and how many lines it has printed by then.
    turns = (("systemd:a.service", 3), ("container:b", 2), ("systemd:a.service", 7), ("container:b", 6))
    last = (("systemd:a.service", 8), ("container:b", 8))
    writes = first = 0
    while writes >= first:
        first += 1
        for gap in (5, 6):
            # All of one run, or three lines of each.
            size = 100 if gap == 6 else 3
            paths = Paths(tmp_path / f"{first}-{gap}")
            paths.data.mkdir(parents=True)
            with monkeypatch.context() as patch:
                killer = Killer(patch, {first, first + gap}, when)
                for name, printed in turns:
                    while not give(paths, name, sources[name][:printed], 2, size) and goes_on:
                        pass
            writes = killer.count
            for name, printed in last:
                assert give(paths, name, sources[name][:printed], 3, size)
            lines = shown(paths)
            assert [line for line in lines if len(line) == len("line 1")] == [f"line {n}" for n in range(1, 9)]
            assert [line for line in lines if len(line) > len("line 1")] == [f"line {n}" for n in range(101, 109)]


def give(paths: Paths, name: str, lines: list[Line], most: int, of_a_run: int) -> bool:
    """Copy what has not been copied of a source's lines, in batches of one run each; False if it was killed meanwhile.

    A cursor is how many lines there were.
    """
    copy = copy_of(paths, name)
    try:
        done = int(copy.open() or 0)
        while done < len(lines):
            run = done // of_a_run
            batch = lines[done : min(done + most, (run + 1) * of_a_run)]
            done += len(batch)
            copy.write(batch, str(done), f"run {run}")
    except Killed:
        return False
    finally:
        copy.close()
    return True


def test_lines_are_cleaned_redacted_and_without_our_own_calls(paths: Paths) -> None:
    copy = copy_of(paths)
    copy.conceal({"HF_TOKEN": "hf_secret"})
    ours = b'[GIN] 2026/01/01 - 00:00:00 | 200 | 1ms | 127.0.0.1 | GET      "/api/version?by=aura-ollama"'
    copy.write(
        [Line("OUT", 0.0, b"key hf_secret"), Line("OUT", 1.0, ours), Line("OUT", 2.0, b"\x1b[1mtwo\nlines\x07")],
        "c",
        "run 1",
    )
    assert shown(paths) == ["key ***", "two", r"lines\x07"]


@tied.posix("a folder there cannot be renamed while a file in it is open")
def test_a_batch_that_the_disk_refuses_is_given_again(paths: Paths) -> None:
    copy = copy_of(paths)
    copy.write(numbered(1), "c1", "run 1")
    logs = paths.logs_of("default")
    hidden = logs.rename(logs.with_name("hidden"))
    logs.write_text("no folder")
    with pytest.raises(NotADirectoryError):
        copy.write(numbered(2), "c2", "run 2")
    logs.unlink()
    hidden.rename(logs)
    assert copy.open() == "c1"
    copy.write(numbered(2), "c2", "run 2")
    assert shown(paths) == ["line 1", "line 2"]
