"""Files that another program holds open, as Windows alone lets it: nobody else may replace or delete them meanwhile."""

from __future__ import annotations

import asyncio
import ctypes
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.errors import ConfigError
from core.logs.segments import Caps, SegmentedFile
from core.logs.tail import segments, tail
from core.owners.adopt import adopt
from core.owners.run_record import record_path
from core.settings.edit import write_settings
from core.settings.paths import Paths
from core.settings.reader import SettingsReader
from core.supervision.state import State
from tests import fake_ollama, tied
from tests.beds.ollama import ollama
from tests.beds.require import require
from tests.rig import Rig, until

if sys.platform != "win32":
    raise ImportError("These tests are for Windows only")

NOON = 1_730_462_400.0  # 2024-11-01 12:00:00 UTC
GENERIC_READ, OPEN_EXISTING, INVALID = 0x80000000, 3, -1
SHARE_NOTHING, SHARE_READ, SHARE_WRITE = 0, 1, 2

kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
kernel32.CreateFileW.restype = ctypes.c_ssize_t


@contextmanager
def held(path: Path, share: int) -> Iterator[None]:
    """The file, open in a way that lets others do no more than `share` says."""
    handle = kernel32.CreateFileW(str(path), ctypes.c_uint32(GENERIC_READ), share, None, OPEN_EXISTING, 0, None)
    if handle == INVALID:
        raise ctypes.WinError(ctypes.get_last_error())
    try:
        yield
    finally:
        kernel32.CloseHandle(ctypes.c_void_p(handle))


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    found = Paths(tmp_path)
    found.data.mkdir()
    found.settings.write_text('{"ollamaModel": "old", "theme": "dark"}')
    return found


def test_settings_are_written_once_their_reader_lets_go(paths: Paths) -> None:
    with held(paths.settings, SHARE_READ):
        writing = threading.Thread(target=write_settings, args=(paths, {"ollamaModel": "new"}))
        writing.start()
        writing.join(0.3)
        assert writing.is_alive()
        assert SettingsReader(paths).read().ollama_model == "old"
    writing.join(10)
    assert paths.settings.read_text() == '{"ollamaModel": "new", "theme": "dark"}'


def test_settings_that_stay_locked_are_an_error_that_names_them_and_are_left_as_they_were(paths: Paths) -> None:
    with held(paths.settings, SHARE_READ), pytest.raises(ConfigError, match=r"settings\.json"):
        write_settings(paths, {"ollamaModel": "new"})
    assert paths.settings.read_text() == '{"ollamaModel": "old", "theme": "dark"}'
    assert [path.name for path in paths.data.iterdir()] == ["settings.json"]


async def test_settings_that_nobody_may_read_are_told_and_the_last_good_ones_stay_in_force(tmp_path: Path) -> None:
    rig = Rig(tmp_path, require(ollama).executable)
    async with rig.supervising() as supervisor:
        await supervisor.status()
        rig.configure()
        with held(rig.paths.settings, SHARE_NOTHING):
            told = await until(supervisor, lambda status: status.settings_problem is not None)
            assert "settings.json" in str(told.settings_problem)
            assert (await supervisor.start()).state is State.RUNNING
        await until(supervisor, lambda status: status.settings_problem is None)


async def last_lines(rig: Rig) -> list[str]:
    return await asyncio.to_thread(tail, str(rig.paths.logs), 100)


async def test_the_log_of_a_real_ollama_is_written_and_shown_while_another_program_holds_it(tmp_path: Path) -> None:
    rig = Rig(tmp_path, require(ollama).executable).with_model()
    async with rig.supervising() as supervisor:
        await supervisor.start()
        with held(Path(rig.record.log), SHARE_READ | SHARE_WRITE):
            await rig.generate()
            async with asyncio.timeout(tied.seconds(5)):
                while not any("/api/generate" in line for line in await last_lines(rig)):
                    await asyncio.sleep(0.02)
            await supervisor.stop()
        assert "stopped with exit code 0" in (await last_lines(rig))[-1]


def test_a_log_that_somebody_reads_stays_until_he_lets_go_and_the_rest_is_pruned(tmp_path: Path) -> None:
    file = SegmentedFile(str(tmp_path), Caps(segment_bytes=1000, segments_per_start=3), NOON)
    first = Path(file.path)
    with held(first, SHARE_READ | SHARE_WRITE):
        for number in range(200):
            file.append(b"%099d\n" % number)
        assert first.exists()
        assert len(segments(str(tmp_path))) == 4
    file.append(b"%01000d\n" % 200)
    assert not first.exists()
    assert len(segments(str(tmp_path))) == 3
    file.close()


def test_a_log_that_somebody_locked_is_left_out_of_the_tail(tmp_path: Path) -> None:
    file = SegmentedFile(str(tmp_path), Caps(segment_bytes=1000), NOON)
    for number in range(30):
        file.append(b"%099d\n" % number)
    file.close()
    middle = Path(segments(str(tmp_path))[1])
    with held(middle, SHARE_NOTHING):
        assert [int(line) for line in tail(str(tmp_path), 100)] == [*range(10), *range(20, 30)]
    assert len(tail(str(tmp_path), 100)) == 30


@pytest.mark.timeout(60)  # two sidecars, one of which waits for the record
@pytest.mark.parametrize("is_let_go", [True, False], ids=["for a moment", "all the time"])
async def test_a_run_record_that_a_virus_scanner_holds_disowns_no_ollama(tmp_path: Path, *, is_let_go: bool) -> None:
    rig = Rig(tmp_path, fake_ollama.install(tmp_path / "bin"))
    async with rig.supervising(stop_ollama=False) as supervisor:
        pid = (await supervisor.start()).pid
    record = record_path(rig.paths.run)
    with held(record, SHARE_NOTHING):
        adopting = asyncio.create_task(asyncio.to_thread(adopt, rig.paths.run, 1.0))
        # It is tried again and again.
        await asyncio.wait([adopting], timeout=0.5 if is_let_go else 30.0)
        assert adopting.done() is not is_let_go
    assert [managed.record.pid for managed in (await adopting).found] == ([pid] if is_let_go else [])
    assert list(rig.paths.run.glob("*.stale")) == []
    async with rig.supervising() as supervisor:
        status = await supervisor.status()
        assert (status.state, status.pid, status.adopted) == (State.RUNNING, pid, True)
