"""A data folder to be examined, and what an examination of it finds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from core.doctor.examine import CHECKS, examine
from core.doctor.finding import Finding, Severity
from core.doctor.report import Report
from core.settings.paths import Paths
from tests import fake_ollama
from tests.beds.server import ollama_environment
from tests.beds.sidecar import CHECKOUT
from tests.beds.wire import free_port

DEADLINE = 60.0


class Patient:
    """Settings for an Ollama on a free port, and for a sidecar's port that is free too."""

    def __init__(self, root: Path, executable: Path | None = None) -> None:
        self.root = root
        self.paths = Paths(root)
        self.port = free_port()
        self.executable = executable or fake_ollama.install(root / "bin")
        self.paths.data.mkdir(parents=True, exist_ok=True)
        self.set()
        self.set_own()

    def set(self, **values: object) -> None:
        """Write `settings.json`."""
        found = {"ollamaUrl": f"http://127.0.0.1:{self.port}", "ollamaExecutablePath": str(self.executable)} | values
        self.paths.settings.write_text(json.dumps(found))

    def set_own(self, **values: object) -> None:
        """Write `ollama-sidecar.json`."""
        env = ollama_environment(self.root, self.root / "models")
        self.paths.sidecar.write_text(json.dumps({"port": free_port(), "env": env} | values))

    async def examined(self, *names: str) -> Report:
        """What the checks of these names find, or all."""
        return await examined(self.paths, *names)


async def examined(paths: Paths, *names: str) -> Report:
    """What the checks of these names find in a data folder, or all."""
    checks = tuple(check for check in CHECKS if not names or check.name in names)
    assert len(checks) == (len(names) or len(CHECKS))
    # A machine that is busy with other tests answers late.
    return await examine(paths, checks=checks, seconds=8.0)


def only(report: Report) -> Finding:
    """The one finding that there is, beside notes."""
    (found,) = [finding for finding in report.findings if finding.severity is not Severity.NOTE]
    return found


def codes(report: Report) -> list[str]:
    """The codes of all findings."""
    return [finding.code for finding in report.findings]


class _Told(msgspec.Struct):
    broken: bool
    findings: list[dict[str, str | None]]
    checked: list[str]


def by_command(
    root: Path, *options: str, env: Mapping[str, str] | None = None
) -> tuple[subprocess.CompletedProcess[str], _Told | None]:
    """`aura-ollama doctor` as a process of its own, and what its `--json` tells."""
    done = subprocess.run(
        [sys.executable, "-m", "cli", "doctor", "--data-dir", str(root), *options],
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONUTF8": "1", **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=DEADLINE,
        check=False,
    )
    return done, msgspec.json.decode(done.stdout, type=_Told) if "--json" in options and done.stdout else None
