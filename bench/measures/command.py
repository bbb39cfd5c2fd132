"""What `aura-ollama status` takes, beside a Python that does nothing."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

from bench import profiles
from bench.measures.status import running
from bench.rows import Measure, Options, Pair, Round, Row, Take, at_most
from tests.beds.sidecar import CHECKOUT


def taken(command: Sequence[str]) -> float:
    """Milliseconds from its start to its end."""
    began = time.perf_counter()
    subprocess.run(command, cwd=CHECKOUT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    return (time.perf_counter() - began) * 1000


@contextlib.contextmanager
def commands(options: Options) -> Iterator[Take]:
    """Pairs of a status and of nothing."""
    with running() as sidecar:
        ours = [sys.executable, "-m", "cli", "status", "--data-dir", str(sidecar.root)]
        nothing = [sys.executable, "-c", "pass"]
        # The first of each compiles and fills caches.
        taken(ours), taken(nothing)

        def take() -> Round:
            return {"command": Pair(taken(ours), taken(nothing))}

        yield take


def profile() -> Sequence[str]:
    """The longest imports of the command."""
    return ["Of the imports, each with its own:", *profiles.by_import("cli.commands.status", CHECKOUT)]


MEASURES = (
    Measure(
        (Row("command", "`aura-ollama status`", "ms", "`python -c pass`", at_most(6.0)),),
        rounds=21,
        bed=commands,
        profile=profile,
    ),
)
