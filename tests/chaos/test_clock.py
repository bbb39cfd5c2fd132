"""The wall clock jumps: who is who, how long things take, and which log comes last do not depend on it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tests import fake_ollama
from tests.beds.clock import Clock
from tests.beds.ollama import ollama
from tests.beds.require import require
from tests.beds.wire import call
from tests.chaos.invariants import settle
from tests.chaos.place import Place, wait_until

pytestmark = pytest.mark.timeout(60)  # several starts, and true seconds that have to pass
HOUR, DAY = 3600, 86_400
# A second, what a time zone makes of a clock that two systems share, and what an empty battery does to one.
STEPS = [1, -1, 14 * HOUR, -14 * HOUR, 400 * DAY, -400 * DAY]


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of every sidecar, shim and Ollama that is started from here on."""
    clock = require(lambda: Clock(tmp_path))
    for name, value in clock.environment.items():
        monkeypatch.setenv(name, value)
    return clock


@pytest.fixture
def real(clock: Clock, tmp_path: Path) -> Iterator[Place]:
    """A place with the real Ollama."""
    bed = require(ollama)
    with Place(tmp_path, bed.executable) as place:
        yield place


def _fake(root: Path, **env: str) -> Place:
    return Place(root, fake_ollama.install(root / "bin", **env), {"stopTimeout": 0.5})


def test_the_clock_of_the_bed_is_the_one_that_a_log_shows(real: Place, clock: Clock) -> None:
    """Or all the rest would prove nothing."""
    clock.step_to(-400 * DAY)
    real.start()
    year = time.gmtime(time.time() - 400 * DAY).tm_year
    assert real.newest_log()[0].startswith(f"[SYS] {year}-")
    assert f"ollama-{year}" in str(real.record())


def test_processes_keep_their_identity_and_are_adopted_and_stopped(real: Place, clock: Clock) -> None:
    for step in STEPS[2:]:
        clock.step_to(0)
        pid = real.start()
        clock.step_to(step)
        status = real.status()
        assert (status["running"], status["pid"], status["error"]) == (True, pid, None), step
        real.kill_sidecar()
        adopted = real.status()
        assert (adopted["pid"], adopted["adopted"], adopted["managedByApp"]) == (pid, True, True), step
        settle(real)
        assert real.post("stop").status == 200
        real.see_all_gone()
        settle(real)


def test_the_age_of_the_news_is_never_negative_and_never_leaps(real: Place, clock: Clock) -> None:
    real.start()
    for step in [*STEPS, 0]:
        clock.step_to(step)
        for _ in range(3):
            assert 0 <= int(str(real.status()["ageMs"])) < 2500, step


@pytest.mark.parametrize("step", [HOUR, -HOUR])
def test_a_restart_after_a_crash_waits_a_true_second(real: Place, clock: Clock, step: int) -> None:
    real.settings["restartOnCrash"] = True
    psutil.Process(real.start()).kill()
    wait_until(lambda: real.status()["state"] == "backoff", "backoff")
    began = time.monotonic()
    clock.step_to(step)
    wait_until(lambda: real.status()["running"], "a restart", within=4.0)
    assert time.monotonic() - began > 0.7


@pytest.mark.parametrize("step", [HOUR, -HOUR])
def test_a_grace_period_is_as_long_as_ever(clock: Clock, step: int, tmp_path: Path) -> None:
    with _fake(tmp_path, FAKE_IGNORE_TERM="1") as place, ThreadPoolExecutor(1) as pool:
        place.start()
        began = time.monotonic()
        stopping = pool.submit(place.post, "stop")
        wait_until(lambda: place.status()["state"] == "stopping", "a stop")
        clock.step_to(step)
        assert stopping.result(10).status == 200
        assert 0.5 <= time.monotonic() - began < 3.0


def test_no_line_is_lost_or_out_of_order_while_the_clock_jumps(clock: Clock, tmp_path: Path) -> None:
    count = tmp_path / "count"
    with _fake(tmp_path, FAKE_COUNT=str(count)) as place:
        place.start()
        for step in [*STEPS, 0]:
            clock.step_to(step)
            _print_on(count, 50)
        place.post("stop")
        settle(place)
        said = [line for line in place.said() if line[:10].isdigit()]
        assert len(said) >= int(count.read_bytes())
        for number, line in enumerate(said):
            assert line == fake_ollama.plain_line(number).decode().rstrip("\n")


def _print_on(count: Path, lines: int) -> None:
    before = int(count.read_bytes())
    wait_until(lambda: int(count.read_bytes()) > before + lines, f"{lines} lines")


@pytest.mark.parametrize("step", [1, -1, 14 * HOUR, -14 * HOUR])
def test_the_newest_log_is_that_of_the_last_start(real: Place, clock: Clock, step: int) -> None:
    """Also in the answer to whoever asks for the last lines, and when the clock is right again."""
    for at in (0, step, 0):
        clock.step_to(at)
        record_before = real.record()
        real.start()
        record = real.record()
        assert record
        assert record != record_before
        assert sorted(path.name for path in real.paths.logs.iterdir())[-1] == Path(record.log).name
        assert real.post("stop").status == 200
        settle(real)
        answer = call("GET", f"{real.sidecar.url}/api/ollama/logs?maxLines=5").json
        assert answer["logs"] == real.newest_log()[-5:]
