"""A disk that is full, and is not any more: Ollama never waits for it, what is lost is counted, nothing is torn."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest

from core.errors import ConfigError
from core.logs.segments import PREFIX_BYTES
from core.owners.run_record import record_path
from core.settings.edit import write_settings
from core.settings.paths import Paths
from core.settings.reader import SettingsReader
from tests import fake_ollama
from tests.beds.disk import fill, make_room, small_disk
from tests.beds.ollama import ollama
from tests.beds.require import require
from tests.beds.sidecar import CHECKOUT
from tests.beds.wire import call
from tests.chaos.invariants import settle
from tests.chaos.place import Place, wait_until

pytestmark = pytest.mark.timeout(30)  # a storm of lines, and several starts
DISK_BYTES = 4 << 20
LOST = re.compile(r"(\d+) lines? (?:was|were) lost: (?:No space left on device|the disk did not take them)")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[Path], Path]]:
    """Puts a small disk at a folder; it is there until the test ends."""
    with ExitStack() as disks:

        def put(at: Path) -> Path:
            at.mkdir(parents=True)
            mounted: AbstractContextManager[Path] = small_disk(at, DISK_BYTES)
            return require(lambda: disks.enter_context(mounted))

        yield put


def _account(log: list[str]) -> tuple[int, int]:
    """Check that every line is there in order, or counted as lost in its place. Returns all that there were, and lost.

    What is left of a line that the disk took half of is one of those that the marker after it counts.
    """
    following = lost = 0
    torn = False
    for line in log:
        text, expected = line[PREFIX_BYTES:], fake_ollama.plain_line(following).decode().rstrip("\n")
        if marker := LOST.fullmatch(text):
            following += int(marker[1])
            lost += int(marker[1])
            torn = False
            continue
        assert not torn, line
        if line.startswith("[OUT]") and text == expected:
            following += 1
        elif not line.startswith(("[SYS]", "[ERR]")):
            assert expected.startswith(text), line
            torn = True
    assert not torn
    return following, lost


@contextmanager
def _printing(disk: Callable[[Path], Path], root: Path) -> Iterator[tuple[Place, Path, Path]]:
    """One that prints on and on, the small disk that its logs are on, and where it counts its lines."""
    full = disk(root / "AuraData/logs/ollama")
    count = root / "count"
    program = fake_ollama.install(root / "bin", FAKE_COUNT=str(count))
    with Place(root, program) as place:
        place.start()
        yield place, full, count


def _print_on(count: Path, lines: int) -> None:
    """Return once Ollama has got rid of so many more."""
    before = int(count.read_bytes())
    wait_until(lambda: int(count.read_bytes()) > before + lines, f"{lines} lines", within=5.0)


def test_a_full_log_disk_never_holds_ollama_and_what_is_lost_is_counted(
    disk: Callable[[Path], Path], tmp_path: Path
) -> None:
    with _printing(disk, tmp_path) as (place, full, count):
        for _ in range(2):
            fill(full)
            _print_on(count, 700)
            began = time.monotonic()
            assert place.status()["error"] is None
            assert time.monotonic() - began < 0.5
            make_room(full)
            _print_on(count, 100)
        assert place.post("stop").status == 200
        settle(place)
        total, lost = _account(place.log())
        # It may have been ended between a line and its count.
        assert total - int(count.read_bytes()) in (0, 1)
        assert lost >= 1000
        assert len([line for line in place.log() if LOST.search(line)]) == 2


def test_what_a_full_disk_took_from_a_shim_that_is_killed_is_counted_by_its_guard(
    disk: Callable[[Path], Path], tmp_path: Path
) -> None:
    with _printing(disk, tmp_path) as (place, full, count):
        fill(full)
        _print_on(count, 700)
        (shim,) = place.shims()
        # It must not tell of it itself as soon as there is room.
        shim.suspend()
        wait_until(lambda: shim.status() == psutil.STATUS_STOPPED, "a shim that is stopped")
        make_room(full)
        shim.kill()
        wait_until(lambda: place.status()["state"] == "failed", "the end")
        settle(place)
        total, lost = _account(place.log())
        assert total - int(count.read_bytes()) in (0, 1)
        assert lost >= 500
        assert any("the disk did not take them" in line for line in place.log())


def test_a_storm_that_no_disk_holds_is_printed_at_once_and_accounted_for(
    disk: Callable[[Path], Path], tmp_path: Path
) -> None:
    full = disk(tmp_path / "AuraData/logs/ollama")
    program = fake_ollama.install(tmp_path / "bin", FAKE_PRINT_MB="20")
    with Place(tmp_path, program) as place:
        (full / "ballast").write_bytes(bytes(DISK_BYTES // 2))
        place.start()
        assert call("GET", f"{place.url}/printed", timeout=15).status == 200
        make_room(full)
        assert place.post("stop").status == 200
        settle(place)
        total, lost = _account(place.log())
        is_greeting_lost = not any("Listening on" in line for line in place.log())
        assert total == 20 * 10_000 + is_greeting_lost
        assert 0 < lost < total


def test_a_full_disk_refuses_a_start_with_the_way_out_and_lets_it_work_again(
    disk: Callable[[Path], Path], tmp_path: Path
) -> None:
    bed = require(ollama)
    full = disk(tmp_path / "AuraData")
    with Place(tmp_path, bed.executable) as place:
        place.start()
        assert place.post("stop").status == 200
        record = record_path(place.paths.run)
        before = record.read_bytes()
        fill(full)
        for _ in range(2):
            refusal = place.post("start")
            assert (refusal.status, refusal.json["code"]) == (500, "spawn_failed")
            assert "No space left on device" in str(refusal.json["message"])
            assert "Make room" in str(refusal.json["action"])
            place.see_all_gone()
        assert record.read_bytes() == before
        assert place.status()["state"] == "failed"
        make_room(full)
        place.post("stop")
        place.start()
        settle(place)


@pytest.mark.parametrize("end", ["stop", "crash"])
def test_a_run_that_ends_on_a_full_disk_ends_whole_and_its_record_is_never_trusted(
    end: str, disk: Callable[[Path], Path], tmp_path: Path
) -> None:
    bed = require(ollama)
    full = disk(tmp_path / "AuraData")
    with Place(tmp_path, bed.executable) as place:
        pid = place.start()
        fill(full)
        if end == "stop":
            assert place.post("stop").status == 200
            assert place.status()["state"] == "stopped"
        else:
            psutil.Process(pid).kill()
            wait_until(lambda: place.status()["state"] == "failed", "a failure")
            assert "the disk may be full" in str(place.status()["reason"])
        place.see_all_gone()
        place.kill_sidecar()
        assert json.loads(record_path(place.paths.run).read_text())["endedAt"] is None
        assert place.status()["state"] == "stopped"
        make_room(full)
        place.start()
        settle(place)


def test_settings_are_written_whole_or_not_at_all(disk: Callable[[Path], Path], tmp_path: Path) -> None:
    full = disk(tmp_path / "AuraData")
    paths = Paths(tmp_path)
    write_settings(paths, {"ollamaModel": "before"})
    before = paths.settings.read_bytes()
    fill(full)
    with pytest.raises(ConfigError, match=r"settings\.json cannot be written: No space left on device") as refusal:
        write_settings(paths, {"ollamaModel": "x" * 5000})
    assert "space" in str(refusal.value.action)
    assert paths.settings.read_bytes() == before
    assert {path.name for path in paths.data.iterdir()} == {"settings.json", "ballast"}
    make_room(full)
    write_settings(paths, {"ollamaModel": "after"})
    assert SettingsReader(paths).read().ollama_model == "after"


def test_a_sidecar_says_why_it_cannot_begin_on_a_full_disk(disk: Callable[[Path], Path], tmp_path: Path) -> None:
    fill(disk(tmp_path / "AuraData"))
    command = [sys.executable, "-m", "api", "--port", "0", "--data-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1
    told = done.stderr.splitlines()[-1]
    assert told.startswith(f"aura-ollama: {tmp_path / 'AuraData/run'}")
    assert told.endswith(": No space left on device. Make room on the disk that holds AuraData, and try again.")
    assert "Traceback" not in done.stderr


def test_our_own_log_takes_a_full_disk_without_a_word_and_goes_on(disk: Callable[[Path], Path], tmp_path: Path) -> None:
    full = disk(tmp_path / "AuraData")
    program = """
import logging, sys
from pathlib import Path
from core.output import sidecar_log
from core.settings.paths import Paths
from tests.beds.disk import fill, make_room
root = Path(sys.argv[1])
sidecar_log.configure(Paths(root), verbose=False)
logging.info("before")
logging.getLogger().handlers[0].flush()
fill(root / "AuraData")
for number in range(200):
    logging.info("line %d of a hundred bytes or so, of which a page of what the disk has left holds few", number)
    logging.getLogger().handlers[0].flush()
make_room(root / "AuraData")
logging.info("after")
"""
    command = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=20, check=True)
    lines = (full / "logs/sidecar.log").read_text().splitlines()
    assert lines[0].endswith(" before")
    assert lines[-1].endswith(" after")
    told = re.search(
        r"WARNING core.output.outlet: (\d+) lines are missing here: the disk did not take them", "\n".join(lines)
    )
    assert told
    whole = [line for line in lines if re.fullmatch(r"\S+ \S+ INFO root: line \d+ of a hundred .* few", line)]
    assert 0 < int(told[1]) == 200 - len(whole)
    assert len(done.stderr.splitlines()) == 202
