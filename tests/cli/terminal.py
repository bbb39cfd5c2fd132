"""Runs `aura-ollama` as a person does, and looks at what it printed and how it ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import tied
from tests.beds.ending import NO_WINDOW
from tests.beds.sidecar import CHECKOUT

DEADLINE = tied.seconds(30.0)
PROGRAM = (sys.executable, "-m", "cli")


@dataclass(frozen=True, slots=True)
class Said:
    """How a command ended: its exit code, and all that it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, as the one JSON document that it has to be."""
        return json.loads(self.out)


def environment(env: Mapping[str, str] | None = None) -> dict[str, str]:
    """Ours without what would change a command's output, and with `env`."""
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "AURA_DATA_PATH", "COLUMNS")}
    return kept | {"PYTHONIOENCODING": "utf-8"} | dict(env or {})


def aura(*arguments: str, data: Path | None = None, env: Mapping[str, str] | None = None) -> Said:
    """`aura-ollama` with these arguments, its output in pipes; `data` is given as `--data-dir`."""
    done = subprocess.run(
        [*PROGRAM, *arguments, *(["--data-dir", str(data)] if data else [])],
        cwd=CHECKOUT,
        env=environment(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=DEADLINE,
        check=False,
        creationflags=NO_WINDOW,
    )
    return Said(done.returncode, _text(done.stdout), _text(done.stderr))


def _text(printed: bytes) -> str:
    return printed.decode("utf-8").replace("\r\n", "\n")
