"""The last 200 lines of a log of a gigabyte, by the API and by `tail`; and by how much a tenth of it is faster."""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import profiles
from bench.rows import Measure, Options, Pair, Round, Row, Take, at_most, grows_by
from tests.beds.ollama import ollama
from tests.beds.sidecar import Sidecar
from tests.beds.wire import free_port

LINES = 200
LINE = b"[OUT] 2024-11-01 12:00:00 [GIN] 200 | 1.2ms | ::1\n"
BLOCK = LINE * ((1 << 20) // len(LINE))
BYTES = 1_000_000_000
CALLS = 20


def write_log(root: Path, size: int) -> Path:
    """A log of that size in one file, as the sidecar for `root` finds it."""
    folder = root / "AuraData" / "logs" / "ollama"
    folder.mkdir(parents=True)
    path = folder / "ollama-20241101-120000.log"
    with path.open("wb", buffering=0) as file:
        for _ in range(size // len(BLOCK)):
            file.write(BLOCK)
    return path


def milliseconds(work: Callable[[], object]) -> float:
    """Of one call, over some."""
    began = time.perf_counter()
    for _ in range(CALLS):
        work()
    return (time.perf_counter() - began) / CALLS * 1000


@contextlib.contextmanager
def tail_of(root: Path) -> Iterator[tuple[Sidecar, Callable[[], object]]]:
    """A sidecar for `root`, and a call on a kept connection for its last 200 lines."""
    executable = ollama().executable
    with Sidecar(root, executable=executable, models=root / "models", ollama_port=free_port()) as sidecar:
        kept = http.client.HTTPConnection("127.0.0.1", int(sidecar.url.rpartition(":")[2]), timeout=30)

        def ask() -> bytes:
            kept.request("GET", f"/api/ollama/logs?maxLines={LINES}")
            return kept.getresponse().read()

        with contextlib.closing(kept):
            assert len(json.loads(ask())["logs"]) == LINES
            yield sidecar, ask


@contextlib.contextmanager
def tails(options: Options) -> Iterator[Take]:
    """Of a gigabyte and of a tenth of it."""
    with TemporaryDirectory() as top:
        large, small = Path(top) / "large", Path(top) / "small"
        path = write_log(large, BYTES)
        write_log(small, BYTES // 10)
        tail = [shutil.which("tail") or "tail", "-n", str(LINES), str(path)]
        with tail_of(large) as (_, ours), tail_of(small) as (_, tenth):

            def take() -> Round:
                whole = milliseconds(ours)
                peer = milliseconds(lambda: subprocess.run(tail, stdout=subprocess.DEVNULL, check=True))
                return {"log-tail": Pair(whole, peer), "growth-log": Pair(whole, milliseconds(tenth))}

            yield take


def profile() -> Sequence[str]:
    """Of the sidecar while it is asked again and again."""
    with TemporaryDirectory() as top:
        root = Path(top)
        write_log(root, BYTES // 10)
        with tail_of(root) as (sidecar, ask), profiles.again_and_again(ask):
            return profiles.by_function(sidecar.process.pid, 4)


MEASURES = (
    Measure(
        (
            Row("log-tail", "last 200 lines of a log of 1 GB", "ms", "`tail -n 200`", at_most(1.0)),
            Row("growth-log", "… beside a log of 100 MB", "ms", "100 MB", grows_by(0.1), is_growth=True),
        ),
        rounds=9,
        bed=tails,
        profile=profile,
    ),
)
