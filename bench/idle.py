"""What the sidecar costs while nobody asks it: beside its own real Ollama, beside somebody else's, and beside none.

Run from the top of the checkout: `python -m bench.idle [--minutes 10] [managed external none]`. Linux, because of
/proc. The targets: no line of ours in the log of our Ollama, at most 15 requests a minute to somebody else's, less
than 0.1 % of a core and less than 3 wake-ups a second.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.beds.cost import busy_seconds, wake_ups
from tests.beds.ollama import ollama
from tests.beds.server import OllamaServer
from tests.beds.sidecar import Sidecar
from tests.beds.wire import call, free_port

KINDS = ("managed", "external", "none")
SETTLE_SECONDS = 10.0
OURS = b"by=aura-ollama"


def requests(logs: list[Path]) -> tuple[int, int]:
    """The requests that Ollama's log tells of: all, and ours."""
    lines = [line for log in logs for line in log.read_bytes().splitlines() if b"[GIN]" in line]
    return len(lines), sum(OURS in line for line in lines)


@contextlib.contextmanager
def situation(kind: str, root: Path) -> Iterator[tuple[Sidecar, list[Path]]]:
    """A sidecar that has found what `kind` says, and the logs of that Ollama."""
    port = free_port()
    sidecar = Sidecar(root, executable=ollama().executable, models=root / "models", ollama_port=port)
    with contextlib.ExitStack() as stack:
        logs = []
        stack.enter_context(sidecar)
        if kind == "external":
            logs = [stack.enter_context(OllamaServer(root / "theirs", port=port)).log]
        if kind == "managed":
            answer = call("POST", f"{sidecar.url}/api/ollama/start", b"", headers={"Content-Type": "application/json"})
            assert answer.status == 200, answer.body
            logs = sorted((root / "AuraData" / "logs" / "ollama").glob("*.log"))
        yield sidecar, logs


def measure(kind: str, seconds: float) -> None:
    """Print one line."""
    with TemporaryDirectory() as top, situation(kind, Path(top)) as (sidecar, logs):
        pid = sidecar.process.pid
        time.sleep(SETTLE_SECONDS)
        used, woken, asked, began = busy_seconds(pid), wake_ups(pid), requests(logs), time.monotonic()
        time.sleep(seconds)
        span = time.monotonic() - began
        used, woken = busy_seconds(pid) - used, wake_ups(pid) - woken
        seen, ours = (after - before for after, before in zip(requests(logs), asked, strict=True))
        print(f"{kind:9} {used / span:8.3%} of a core  {woken / span:5.2f} wake-ups/s", end="  ")
        print(f"{seen / span * 60:5.1f} requests/min in Ollama's log, {ours / span * 60:5.1f} of them ours", flush=True)


def main() -> int:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"{', '.join(KINDS)} (all of them)")
    parser.add_argument("--minutes", type=float, default=10.0)
    options = parser.parse_args()
    if unknown := [kind for kind in options.kinds if kind not in KINDS]:
        parser.error(f"{unknown[0]!r} is no situation; give some of {', '.join(KINDS)}, or none for all of them")
    for kind in options.kinds or KINDS:
        measure(kind, options.minutes * 60)
    return 0


if __name__ == "__main__":
    sys.exit(main())
