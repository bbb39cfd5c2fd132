"""Lines that something else keeps are copied once each, whatever happens between two batches."""

from __future__ import annotations

from pathlib import Path

import pytest

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
    kept = (paths.run / "default.copied").read_bytes()
    copy.write(numbered(*range(3, 3 + had)), "c-lost", start)
    if torn:
        assert copy.path
        with Path(copy.path).open("ab") as file:
            file.write(b"[OUT] 2023-11-14 22:13:2")
    copy.close()
    (paths.run / "default.copied").write_bytes(kept)
    again = copy_of(paths)
    assert again.open() == "c2"
    # The same lines come again, in other batches.
    again.write(numbered(3), "c3", start)
    again.write(numbered(4, 5), "c5", start)
    again.write(numbered(6), "c6", "run 3")
    assert shown(paths) == [f"line {number}" for number in range(1, 7)]
    assert len(list(paths.logs_of("default").iterdir())) == (3 if start == "run 2" else 2)


def test_a_copy_of_another_source_begins_anew(paths: Paths) -> None:
    copy_of(paths).write(numbered(1), "c1", "run 1")
    other = copy_of(paths, "container:ollama")
    assert other.open() is None
    other.write(numbered(2), "d1", "run 1")
    assert shown(paths) == ["line 1", "line 2"]
    assert copy_of(paths).open() is None


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
