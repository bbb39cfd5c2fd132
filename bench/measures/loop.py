"""For how long anything holds the sidecar's loop: while it answers with 8 MB of log, or of 1,000 models, or tells 32
readers of 1,000 events a second.

The longest callback of the loop in each round, by `bench.held`. On a busy machine other programs' turns are in it too,
so the median of some rounds counts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import tray
from bench.held import Held, held
from bench.readers import readers
from bench.rows import Measure, Options, Pair, Round, Row, Take, below
from tests import fake_ollama
from tests.beds.wire import call, free_port

LOG_LINES = 10_000
LOG_LINE = b"[OUT] 2024-11-01 12:00:00 " + b"x" * 800 + b"\n"
MODELS = 1_000
READERS, EVENTS, RATE = 32, 2_000, 1_000.0
CALLS = 4


@contextlib.contextmanager
def sidecar_of(models: int = 0, log_lines: int = 0) -> Iterator[Held]:
    """One whose Ollama is a stand-in with so many models, and whose log has so many lines."""
    with TemporaryDirectory() as top:
        root = Path(top)
        executable = fake_ollama.install(
            root / "bin", FAKE_MODELS=",".join(f"model-{number}" for number in range(models))
        )
        tray.configure(root, free_port(), executable)
        if log_lines:
            folder = root / "AuraData" / "logs" / "ollama"
            folder.mkdir(parents=True)
            (folder / "ollama-20241101-120000.log").write_bytes(LOG_LINE * log_lines)
        with held(root) as sidecar:
            if models:
                assert call("POST", f"{sidecar.url}/api/ollama/start", timeout=60).status == 200
            yield sidecar


def log_work(sidecar: Held) -> dict[str, object]:
    """The longest callback while 8 MB of log are answered."""
    for _ in range(CALLS):
        assert len(call("GET", f"{sidecar.url}/api/ollama/logs?maxLines={LOG_LINES}").body) > 8_000_000
    return sidecar.longest()


def models_work(sidecar: Held) -> dict[str, object]:
    """The longest callback while 1,000 models are answered."""
    for _ in range(CALLS):
        assert len(call("GET", f"{sidecar.url}/api/ollama/models").json["models"]) == MODELS  # type: ignore[arg-type]
        call("GET", f"{sidecar.url}/api/ollama/models/loaded")
        call("GET", f"{sidecar.url}/api/ollama/status")
    return sidecar.longest()


def events_work(sidecar: Held) -> dict[str, object]:
    """The longest callback while 32 readers are told of 1,000 events a second."""
    with readers(sidecar.url, "/api/ollama/events?types=job", READERS):
        return sidecar.longest(EVENTS, RATE)


Work = Callable[[Held], dict[str, object]]


def bed_of(name: str, work: Work, **size: int) -> Callable[[Options], contextlib.AbstractContextManager[Take]]:
    """The bed of one row."""

    @contextlib.contextmanager
    def bed(options: Options) -> Iterator[Take]:
        with sidecar_of(**size) as sidecar:
            # The first call imports and fills caches.
            work(sidecar)

            def take() -> Round:
                seconds = work(sidecar)["seconds"]
                assert isinstance(seconds, float)
                return {name: Pair(seconds * 1000)}

            yield take

    return bed


def profile_of(work: Work, **size: int) -> Callable[[], Sequence[str]]:
    """What tells which callback holds the loop longest, in each of some rounds."""

    def profile() -> Sequence[str]:
        with sidecar_of(**size) as sidecar:
            work(sidecar)
            rounds = [work(sidecar) for _ in range(4)]
        return [f"{float(str(each['seconds'])) * 1000:5.1f} ms {str(each['callback'])[:160]}" for each in rounds]

    return profile


def _measure(name: str, what: str, work: Work, **size: int) -> Measure:
    row = Row(name, f"the loop is held, {what}", "ms", "", below(10.0))
    return Measure((row,), rounds=5, bed=bed_of(name, work, **size), profile=profile_of(work, **size))


MEASURES = (
    _measure("loop-log", "answers with 8 MB of log", log_work, log_lines=LOG_LINES),
    _measure("loop-models", "answers with 1,000 models", models_work, models=MODELS),
    _measure("loop-events", "1,000 events/s to 32 readers", events_work),
)
