"""Files cut off at every byte or filled with garbage: nothing crashes, and nobody is signalled for their sake."""

from __future__ import annotations

import asyncio
import http.server
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil
import pytest

from core.errors import ConfigError, PortInUse
from core.owners.adopt import adopt
from core.owners.run_record import RunRecord, record_path
from core.platform import birth
from core.settings.edit import write_settings
from core.settings.paths import Paths
from core.settings.reader import SettingsReader
from core.supervision.state import State
from tests import fake_ollama
from tests.beds.sidecar import CHECKOUT
from tests.chaos.conftest import Chance
from tests.rig import Rig, gone, lives

DEEP = b'{"x":' + b"[" * 100_000
GARBAGE = [
    DEEP,
    b'{"shimPid": "\xff"}',
    b'{"\xff": 1}',
    b"",
    b"\0" * 64,
    b"\xff\xfe\xfd",
    b"{",
    b"[]",
    b"null",
    b'"x"',
    b"{}",
    b'{"shimPid": 1}',
    b"\xef\xbb\xbf",
]
AURA = b"""{
  "ollamaUrl": "http://127.0.0.1:11434",
  "ollamaModel": "caf\xc3\xa9 \xf0\x9f\xa6\x99",
  "ui": {"a": [1, 2.5]}
}
"""
OWN = b'{"port": 5006, "env": {"OLLAMA_DEBUG": "1"}, "restartOnCrash": true, "stopTimeout": 2.5, "origins": []}'


@pytest.fixture
def stranger() -> Iterator[psutil.Process]:
    """A living process that is none of ours."""
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    with subprocess.Popen(command) as process:
        yield psutil.Process(process.pid)
        process.kill()


def _torn(whole: bytes, chance: Chance) -> Iterator[bytes]:
    """All beginnings of a file, and each with the rest full of zeros or of chance, as a lost write leaves it."""
    for end in range(len(whole)):
        yield whole[:end]
        yield whole[:end] + bytes(len(whole) - end)
        yield whole[:end] + chance.random.randbytes(len(whole) - end)


@pytest.mark.timeout(60)  # some thousand files
@pytest.mark.parametrize(("name", "whole"), [("settings.json", AURA), ("ollama-sidecar.json", OWN)])
def test_torn_settings_are_told_and_the_last_good_ones_stay(
    name: str, whole: bytes, chance: Chance, tmp_path: Path
) -> None:
    paths = Paths(tmp_path)
    paths.data.mkdir()
    path = paths.data / name
    path.write_bytes(whole)
    reader = SettingsReader(paths)
    good = reader.read()
    assert reader.problem is None
    for torn in [*_torn(whole, chance), *GARBAGE]:
        path.write_bytes(torn)
        settings = reader.read()
        if reader.problem is not None:
            assert (settings, name in str(reader.problem)) == (good, True), torn
        else:
            # What is left is whole after all.
            assert settings == good or isinstance(json.loads(torn), dict), torn
            path.write_bytes(whole)
            assert reader.read() == good
    path.unlink()
    path.mkdir()
    assert reader.read() == good
    assert name in str(reader.problem)


@pytest.mark.timeout(60)
def test_a_torn_settings_file_is_never_written_over(chance: Chance, tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    paths.data.mkdir()
    refused = 0
    for torn in _torn(AURA, chance):
        paths.settings.write_bytes(torn)
        try:
            write_settings(paths, {"ollamaModel": "new"})
        except ConfigError:
            refused += 1
            assert paths.settings.read_bytes() == torn
        else:
            assert json.loads(paths.settings.read_bytes())["ollamaModel"] == "new"
        assert [path.name for path in paths.data.iterdir()] == ["settings.json"], torn
    assert refused > 2 * len(AURA)


def _record(process: psutil.Process) -> bytes:
    """A record that names a living process, and rightly so, in both places."""
    born = birth(process.pid)
    assert born
    record = RunRecord(
        process.pid, born, process.pid, born, "ollama", 11434, "http://127.0.0.1:11434", "x.log", "2026", "event"
    )
    return msgspec.json.encode(record)


def test_a_torn_record_is_set_aside_and_nobody_is_signalled(
    stranger: psutil.Process, chance: Chance, tmp_path: Path
) -> None:
    run = Paths(tmp_path).run
    run.mkdir(parents=True)
    path = record_path(run)
    for torn in [*_torn(_record(stranger), chance), *GARBAGE, _record(stranger)]:
        path.write_bytes(torn)
        assert adopt(run, 1.0).found == [], torn
        assert not path.exists(), torn
        assert path.with_suffix(".stale").read_bytes() == torn
    path.with_suffix(".stale").unlink()
    path.mkdir()
    assert adopt(run, 1.0).found == []
    assert lives(stranger)


async def test_a_record_torn_under_a_living_ollama_neither_ends_nor_adopts_it(tmp_path: Path, chance: Chance) -> None:
    """The next sidecar tells it as external; the one who has it can still stop it."""
    rig = Rig(tmp_path, fake_ollama.install(tmp_path / "bin"))
    async with rig.supervising() as owner:
        started = await owner.start()
        family = rig.family()
        path = record_path(rig.paths.run)
        whole = path.read_bytes()
        for end in sorted(chance.random.sample(range(len(whole)), 5)):
            path.write_bytes(whole[:end])
            async with rig.supervising() as other:
                seen = await other.status()
                assert (seen.state, seen.pid) == (State.EXTERNAL, started.pid), end
            assert all(lives(process) for process in family), end
        await owner.stop()
        assert await gone(family, within=0.5) == []


@pytest.mark.parametrize("content", [DEEP, b'{"version": "\xff"}', b'{"version": "0.9', b"\0", b"null"])
async def test_a_stranger_s_torn_answer_is_no_ollama_and_no_harm(content: bytes, tmp_path: Path) -> None:
    class Stranger(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    rig = Rig(tmp_path, fake_ollama.install(tmp_path / "bin"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", rig.port), Stranger) as server:
        serving = asyncio.create_task(asyncio.to_thread(server.serve_forever, 0.01))
        async with rig.supervising() as supervisor:
            assert (await supervisor.status()).state is State.STOPPED
            with pytest.raises(PortInUse):
                await supervisor.start()
        await asyncio.to_thread(server.shutdown)
        await serving


@pytest.mark.timeout(60)  # many starts of a sidecar
@pytest.mark.parametrize(
    "name", ["token", "sidecar.lock", "sidecar.json", "ollama-1.json", "default.json", "default.spec.json"]
)
def test_a_sidecar_begins_beside_any_torn_file_or_says_why_not(name: str, tmp_path: Path) -> None:
    run = Paths(tmp_path).run
    run.mkdir(parents=True)
    for content in (b"", b"\0\xff\xfe", b"{"):
        (run / name).write_bytes(content)
        code, words = _begin(tmp_path)
        assert code == 0, words
    (run / name).unlink(missing_ok=True)
    (run / name).mkdir()
    code, words = _begin(tmp_path)
    assert code == 0 or words[-1].startswith("aura-ollama: "), words
    assert "Traceback" not in "".join(words)


def _begin(root: Path) -> tuple[int, list[str]]:
    """Run a sidecar until it listens, and interrupt it then. Its exit code, and what it said on stderr."""
    command = [sys.executable, "-m", "api", "--port", "0", "--data-dir", str(root)]
    with subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as sidecar:
        assert sidecar.stdout
        assert sidecar.stderr
        if sidecar.stdout.readline():
            sidecar.terminate()
        words = sidecar.stderr.readlines()
        return sidecar.wait(10), words
