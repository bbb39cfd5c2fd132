"""What a crash, a quit or an upgrade of the sidecar does to a real Ollama, with the program as its users have it."""

from __future__ import annotations

import contextlib
import json
import signal
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path

import psutil
import pytest

from core.logs import tail
from core.logs.segments import PREFIX_BYTES
from tests import fake_ollama, tied
from tests.beds.ending import NO_SIGTERM, end
from tests.beds.ollama import ollama
from tests.beds.require import require
from tests.beds.server import copy_models
from tests.beds.sidecar import Sidecar
from tests.beds.wire import call, free_port, listens
from tests.rig import lives

DEADLINE = tied.seconds(10.0)
TOKENS = 2_000 if tied.ON_WINE else 10_000
STORM_MEGABYTES = 80
SILENCE = 20


class Place:
    """A data folder, a port and an Ollama, for one sidecar after the other."""

    def __init__(self, root: Path, executable: Path) -> None:
        self.root = root
        self.executable = executable
        self.models = root / "models"
        self.port = free_port()

    def sidecar(self, settings: Mapping[str, object] | None = None) -> Sidecar:
        """The next sidecar on this folder."""
        return Sidecar(
            self.root, executable=self.executable, models=self.models, ollama_port=self.port, settings=settings
        )

    def log_files(self) -> list[Path]:
        """All logs of Ollama, oldest first."""
        return [Path(path) for path in tail.segments(str(self.root / "AuraData/logs/ollama"))]

    def log_bytes(self) -> int:
        """The size of all logs."""
        return sum(path.stat().st_size for path in self.log_files())

    def record(self) -> dict[str, object]:
        """The run record."""
        found: dict[str, object] = json.loads((self.root / "AuraData/run/default.json").read_text())
        return found

    def tree(self) -> list[psutil.Process]:
        """The shim and all below it."""
        shim = psutil.Process(int(str(self.record()["shimPid"])))
        return [shim, *shim.children(recursive=True)]

    def log(self) -> list[str]:
        """All lines of all logs."""
        return [line for path in self.log_files() for line in path.read_text().splitlines()]


@pytest.fixture(params=["bare", "wrapped"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A place with the real Ollama and a model, which is ended in any case."""
    bed = require(ollama)
    copy_models(tmp_path / "models")
    with ended(Place(tmp_path, bed.executable if request.param == "bare" else bed.wrapped)) as place:
        yield place


@contextmanager
def ended(place: Place) -> Iterator[Place]:
    """The place, without whatever Ollama of it still runs at the end."""
    try:
        yield place
    finally:
        end_what_runs(place)


def end_what_runs(place: Place) -> None:
    """Have the shim end its tree, if there is one."""
    with contextlib.suppress(FileNotFoundError, psutil.NoSuchProcess):
        shim = place.tree()[0]
        shim.terminate()
        assert gone([shim], within=DEADLINE) == []


def wait_until(holds: Callable[[], bool]) -> None:
    """Return once it holds."""
    deadline = time.monotonic() + DEADLINE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def gone(processes: list[psutil.Process], within: float) -> list[psutil.Process]:
    """Those that still live after `within` seconds."""
    deadline = time.monotonic() + within
    while (left := [one for one in processes if lives(one)]) and time.monotonic() < deadline:
        time.sleep(0.01)
    return left


class Generation:
    """A long streaming generation on a thread of its own, straight from Ollama."""

    def __init__(self, port: int) -> None:
        # One thread: two would spin while they wait for each other, and a busy machine makes minutes of that.
        # The likeliest token that was not said lately: chance would say the end token after a few hundred.
        options = {"num_predict": TOKENS, "num_thread": 1, "temperature": 0, "repeat_penalty": 1.5}
        body = json.dumps({"model": "tiny", "prompt": "x", "raw": True, "options": options}).encode()
        self._request = urllib.request.Request(f"http://127.0.0.1:{port}/api/generate", data=body)
        self._begun = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self.pieces = 0
        self.last: dict[str, object] = {}

    def _read(self) -> None:
        """To its end. That of a server that is killed may be an error or, in Wine, silence."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with contextlib.suppress(OSError, HTTPException), opener.open(self._request, timeout=SILENCE) as answer:
            for line in answer:
                self.pieces += 1
                self.last = json.loads(line)
                if self.pieces == 3:
                    self._begun.set()

    def begin(self) -> None:
        """Return once it is well under way."""
        self._thread.start()
        assert self._begun.wait(DEADLINE)

    def end(self) -> None:
        """Return once it has ended, one way or another."""
        self._thread.join(30)
        assert not self._thread.is_alive()


def start(sidecar: Sidecar) -> int:
    """Start Ollama through the API; its pid."""
    answer = call("POST", f"{sidecar.url}/api/ollama/start", timeout=30)
    assert answer.status == 200, answer.body
    return int(str(answer.json["pid"]))


@contextmanager
def killed(sidecar: Sidecar) -> Iterator[None]:
    """SIGKILL the sidecar, and reap it at the end."""
    sidecar.process.kill()
    sidecar.process.wait(DEADLINE)
    yield


@pytest.mark.timeout(60)  # a long generation on two busy cores
def test_a_generation_outlives_the_sidecar_and_the_next_one_adopts_it(place: Place) -> None:
    first = place.sidecar().__enter__()
    pid = start(first)
    generation = Generation(place.port)
    generation.begin()
    with killed(first):
        assert not generation.last["done"]
        generation.end()
    assert (generation.last["done"], generation.last["eval_count"]) == (True, TOKENS)
    # The line that Ollama writes after the last token, when no sidecar was there to see it.
    wait_until(lambda: any('POST     "/api/generate"' in line for line in place.log()))
    assert [line for line in place.log() if 'POST     "/api/generate"' in line and "| 200 |" in line]
    before = place.log()
    files = [(path, path.stat().st_ino) for path in place.log_files()]
    assert len(files) == 1

    with place.sidecar() as second:
        status = call("GET", f"{second.url}/api/ollama/status").json
        assert (status["managedByApp"], status["adopted"], status["pid"]) == (True, True, pid)
        tree = place.tree()
        assert call("POST", f"{second.url}/api/ollama/stop", timeout=30).status == 200
        assert gone(tree, within=0.5) == []
        assert not listens(place.port)
        after = place.log()
    assert after[: len(before)] == before
    assert [(path, path.stat().st_ino) for path in place.log_files()] == files


@pytest.mark.timeout(60)  # 800,000 lines are written, read back and compared
def test_no_line_is_lost_when_the_sidecar_is_killed_in_a_storm_of_them(tmp_path: Path) -> None:
    """Some are printed while no sidecar lives, over several segments; none is dropped or doubled."""
    program = fake_ollama.install(tmp_path / "bin", FAKE_PRINT_MB=str(STORM_MEGABYTES))
    with ended(Place(tmp_path, program)) as place:
        with ThreadPoolExecutor(1) as pool:
            first = place.sidecar().__enter__()
            starting = pool.submit(start, first)
            wait_until(lambda: place.log_bytes() > 1_000_000)
            with killed(first):
                printed = place.log_bytes()
            assert isinstance(starting.exception(DEADLINE), OSError | HTTPException | None)
        assert printed < STORM_MEGABYTES * 1_000_000, "all was printed before the kill"
        with place.sidecar() as second:
            status = call("GET", f"{second.url}/api/ollama/status").json
            assert (status["adopted"], status["pid"]) == (True, place.record()["pid"])
            wait_until(lambda: listens(place.port))
            assert call("GET", f"http://127.0.0.1:{place.port}/printed", timeout=30).status == 200
            assert call("POST", f"{second.url}/api/ollama/stop", timeout=30).status == 200
        assert len(place.log_files()) > 1
        lines = place.log()
    said = [line[PREFIX_BYTES:].encode() + b"\n" for line in lines if line.startswith("[OUT]")]
    assert len(said) == STORM_MEGABYTES * 10_000
    assert all(line == fake_ollama.plain_line(number) for number, line in enumerate(said))


@pytest.mark.timeout(30)  # two starts of a sidecar
@pytest.mark.parametrize("end", [psutil.Process.kill, psutil.Process.terminate])
@pytest.mark.parametrize("is_sidecar_alive", [True, False], ids=["sidecar alive", "sidecar dead"])
def test_no_descendant_outlives_its_shim_by_2_s(
    place: Place, end: Callable[[psutil.Process], None], *, is_sidecar_alive: bool
) -> None:
    with place.sidecar() as sidecar:
        start(sidecar)
        generation = Generation(place.port)
        generation.begin()
        tree = place.tree()
        assert any("runner" in process.cmdline() for process in tree)
        if not is_sidecar_alive:
            sidecar.process.kill()
            sidecar.process.wait(DEADLINE)
        end(tree[0])
        assert gone(tree, within=2.0) == []
        assert not listens(place.port)
        with contextlib.suppress(Exception):
            generation.end()
        if is_sidecar_alive:
            deadline = time.monotonic() + tied.seconds(1.0)
            status = call("GET", f"{sidecar.url}/api/ollama/status").json
            # In Wine the news of the end may come a moment later than the closed port.
            assert status["running"] is False or tied.ON_WINE
            # The guard has the last word on how it ended.
            while status["state"] != "failed" and time.monotonic() < deadline:
                status = call("GET", f"{sidecar.url}/api/ollama/status").json
            assert (status["state"], status["running"], status["pid"]) == ("failed", False, None)
            assert status["reason"]


@pytest.mark.timeout(30)  # two starts of a sidecar
@pytest.mark.parametrize(
    ("number", "settings", "lives_on"),
    [
        pytest.param(signal.SIGTERM, {"stopOnTerminate": False}, True, marks=NO_SIGTERM),
        pytest.param(signal.SIGTERM, {"stopOnTerminate": True}, False, marks=NO_SIGTERM),
        pytest.param(signal.SIGINT, {}, False),
        pytest.param(signal.SIGINT, {"stopOnQuit": False}, True),
    ],
    ids=["SIGTERM", "SIGTERM, stopOnTerminate", "SIGINT", "SIGINT, no stopOnQuit"],
)
def test_a_signal_ends_the_sidecar_and_the_settings_say_whether_ollama_too(
    place: Place, number: signal.Signals, settings: Mapping[str, object], *, lives_on: bool
) -> None:
    sidecar = place.sidecar(settings).__enter__()
    pid = start(sidecar)
    tree = place.tree()
    assert end(sidecar.process, DEADLINE, number) == 0
    assert psutil.pid_exists(pid) == lives_on
    assert listens(place.port) == lives_on
    if lives_on:
        with place.sidecar() as following:
            status = call("GET", f"{following.url}/api/ollama/status").json
            assert (status["managedByApp"], status["adopted"], status["pid"]) == (True, True, pid)
            assert call("POST", f"{following.url}/api/ollama/stop", timeout=30).status == 200
    assert gone(tree, within=0.5) == []
    assert not listens(place.port)
